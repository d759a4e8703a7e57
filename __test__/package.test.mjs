/**
 * The package as it is published: packed, and installed by npm into empty directories from a registry on this machine.
 * What is installed is also what `npm test` runs `lifecycle*.test.mjs` and `module-formats.test.mjs` against.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { installWithNpm, makeProject, runCommand, startPacked, succeed } from '../scripts/installed.mjs'
import { filesIn, pack } from '../scripts/pack.mjs'
import { MOST_BYTES, readTarget } from '../scripts/targets.mjs'
import { OUTPUT, PROGRAM, importsFor } from './support/login-program.mjs'
import { runReadOnly } from './support/read-only.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const { version, napi } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const PLATFORMS = {
  'ip-risk-linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'ip-risk-linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'ip-risk-linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'ip-risk-linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'ip-risk-darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'ip-risk-darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'ip-risk-win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
  'ip-risk-win32-arm64-msvc': { os: ['win32'], cpu: ['arm64'] },
}
/** All that is packed beside `lib` and `bin`. */
const ROOT_FILES = [
  'ATTRIBUTION.md',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'index.d.ts',
  'index.js',
  'package.json',
  'seed.feeds',
]
/** Loads the package and writes what was said. */
const LOAD = `try { require('ip-risk'); console.log('loaded') } catch ({ code, message }) { console.log(code, message) }`

let packed, registry, project
before(async () => {
  packed = await startPacked()
  registry = packed.registry
  project = await installWithNpm(registry.url)
})
after(() => {
  registry?.close()
  project?.remove()
})

const here = () => packed.platforms.find(({ tarball }) => tarball !== undefined)
const manifestIn = ({ directory }) => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))

/** The packages of ours that are installed in a project. */
function installedIn({ directory }) {
  return readdirSync(join(directory, 'node_modules')).filter((name) => name.startsWith('ip-risk'))
}

describe('npm', () => {
  test('installs the package and that of this platform, and fetches no other', () => {
    assert.deepEqual(installedIn(project), ['ip-risk', here().name])
    const fetched = registry.fetched.filter((name) => name.startsWith('ip-risk'))
    assert.deepEqual(fetched.sort(), ['ip-risk', here().name])
  })

  test('installs for another platform where it is told to', async (t) => {
    const other = makeProject(registry.url, { dependencies: { 'ip-risk': version } })
    t.after(() => other.remove())
    await succeed(other, 'npm', ['install', '--os=linux', '--cpu=arm64', '--libc=musl'])
    assert.deepEqual(installedIn(other), ['ip-risk', 'ip-risk-linux-arm64-musl'])
  })

  test('gives the command `ip-risk`', async () => {
    const words = ['--no-install', 'ip-risk', 'check', '2.56.188.34', '--json']
    const { ip, score } = JSON.parse(await succeed(project, 'npx', words))
    assert.deepEqual([ip, score > 0], ['2.56.188.34', true])
  })
})

describe('the check before a release', () => {
  const check = (packages) =>
    runCommand(process.execPath, [join(ROOT, 'scripts', 'check-install.mjs'), packages], { cwd: ROOT })

  test('installs what is packed, and lets it decide', async () => {
    const { code, stdout, stderr } = await check(dirname(packed.root.tarball))
    assert.equal(code, 0, stderr)
    assert.match(stdout, /node_modules.ip-risk-.*\.node decides on/)
  })

  test('refuses packages of which none fits', async (t) => {
    const alone = mkdtempSync(join(tmpdir(), 'ip-risk-alone-'))
    t.after(() => rmSync(alone, { recursive: true }))
    cpSync(packed.root.tarball, join(alone, basename(packed.root.tarball)))
    const { code, stderr } = await check(alone)
    assert.equal(code, 1)
    assert.match(stderr, /npm must take one platform's package, and took: none/)
  })
})

describe('what is packed', () => {
  test('is code, types, feeds and documents, and nothing else', () => {
    const files = filesIn(packed.root.tarball)
    const isCode = (file) => /^(lib|bin)\/.*\.(js|d\.ts)$/.test(file)
    assert.deepEqual(files.filter((file) => !isCode(file)).sort(), ROOT_FILES)
    for (const file of ['lib/index.js', 'lib/testing.js', 'lib/testing.d.ts', 'bin/ip-risk.js']) {
      assert.ok(files.includes(file), file)
    }
  })

  test('for this platform is the native part with licence and readme', () => {
    const { addon } = napi.targets.map(readTarget).find(({ name }) => name === here().name)
    assert.deepEqual(filesIn(here().tarball).sort(), ['LICENSE', 'README.md', addon, 'package.json'].sort())
  })

  test('asks for exactly the platforms that it is published with, and runs nothing when it is installed', () => {
    const manifest = manifestIn(packed.root)
    const exact = Object.fromEntries(Object.keys(PLATFORMS).map((name) => [name, version]))
    assert.deepEqual(manifest.optionalDependencies, exact)
    for (const one of [manifest, ...packed.platforms.map(manifestIn)]) {
      assert.deepEqual([one.scripts, one.dependencies], [undefined, undefined], one.name)
      assert.deepEqual([one.version, one.license], [version, 'MIT'], one.name)
      assert.deepEqual(one.publishConfig, { access: 'public', provenance: true }, one.name)
      assert.deepEqual(one.engines, { node: '>=20.17' }, one.name)
    }
  })

  test('for each platform is only for that', () => {
    const seen = packed.platforms
      .map(manifestIn)
      .map(({ name, os, cpu, libc }) => [name, { os, cpu, ...(libc && { libc }) }])
    assert.deepEqual(Object.fromEntries(seen), PLATFORMS)
  })

  test('for a release is refused while an addon is missing, which is named', (t) => {
    const empty = mkdtempSync(join(tmpdir(), 'ip-risk-addons-'))
    t.after(() => rmSync(empty, { recursive: true }))
    writeFileSync(join(empty, 'ip-risk.linux-x64-gnu.node'), '')
    assert.throws(
      () => pack(empty),
      /has no .*ip-risk\.linux-x64-musl\.node.*ip-risk\.win32-arm64-msvc\.node/,
    )
  })

  test('for a release is refused when an addon is larger than its budget', (t) => {
    const large = mkdtempSync(join(tmpdir(), 'ip-risk-addons-'))
    t.after(() => rmSync(large, { recursive: true }))
    for (const { addon } of napi.targets.map(readTarget)) writeFileSync(join(large, addon), '')
    truncateSync(join(large, 'ip-risk.linux-arm64-gnu.node'), MOST_BYTES.addon + 1)
    assert.throws(() => pack(large), /linux-arm64-gnu\.node` has 8000001 bytes, more than 8000000/)
  })

  test('passes publint, strictly', async () => {
    for (const name of ['ip-risk', here().name]) {
      const pkgDir = join(project.directory, 'node_modules', name)
      const { messages, pkg } = await publint({ pkgDir, strict: true, pack: false })
      assert.deepEqual(
        messages.map((message) => formatMessage(message, pkg)),
        [],
        name,
      )
    }
  })

  test('has types that are right wherever `exports` is read', async () => {
    const analysis = await checkPackage(
      createPackageFromTarballData(new Uint8Array(readFileSync(packed.root.tarball))),
    )
    // The resolution of TypeScript before 4.7 knows no `exports`.
    const problems = analysis.problems.filter(({ resolutionKind }) => resolutionKind !== 'node10')
    assert.deepEqual(problems, [])
  })
})

describe('a file system that cannot be written to', () => {
  for (const kind of ['cjs', 'mjs']) {
    test(`is enough for a gate, in ${kind}`, async () => {
      const tryToWrite = kind === 'cjs' ? "require('node:fs')" : "(await import('node:fs'))"
      const attempt = `try { ${tryToWrite}.writeFileSync('new', '') } catch ({ code }) { console.log(code) }\n`
      project.write(`app.${kind}`, importsFor('express')[kind] + attempt + PROGRAM)
      const { code, stdout, stderr } = await runReadOnly(project, [`app.${kind}`])
      assert.deepEqual([code, stderr], [0, ''])
      const [refusal, ...lines] = stdout.split('\n')
      assert.match(refusal, /^(EROFS|EACCES)$/)
      assert.equal(lines.join('\n'), OUTPUT)
    })
  }
})

describe('without what fits this machine', () => {
  let incomplete
  before(async () => (incomplete = await installWithNpm(registry.url, ['--omit=optional'])))
  after(() => incomplete?.remove())

  const load = (words = []) => succeed(incomplete, process.execPath, [...words, '-e', LOAD])
  const PLACE = `cannot be loaded on ${process.platform} ${process.arch} with (glibc [\\d.]+|musl), Node.js ${process.version}`
  const pretend = (arch) => [
    '--import',
    `data:text/javascript,Object.defineProperty(process,'arch',{value:'${arch}'})`,
  ]

  test('loading says which package is missing, on which platform, and how to get it', async () => {
    const said = await load()
    assert.match(said, new RegExp(`^ERR_IP_RISK_NATIVE the native part of ip-risk ${PLACE}: `))
    assert.match(
      said,
      new RegExp(`the package \`${here().name}\` is not installed; remove .*\`npm install --os=linux`),
    )
    assert.match(said, /bundlers must keep `ip-risk` external/)
  })

  test('so it does on another platform that there is a package for', async () => {
    assert.match(await load(pretend('arm64')), /on linux arm64 .*`ip-risk-linux-arm64-\w+` is not installed/)
  })

  test('on a Node.js that is too old, it says which one it needs', async () => {
    const versions = "Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.16.0'}})"
    const said = await load(['--import', `data:text/javascript,${versions}`])
    const oldest = manifestIn(packed.root).engines.node.replace('>=', '')
    assert.match(said, new RegExp(`${PLACE}: it needs Node.js ${oldest} or newer`))
  })

  test('on a platform that has no package, it says to build it', async () => {
    assert.match(
      await load(pretend('riscv64')),
      /on linux riscv64 .*no package for this platform; build it from source/,
    )
  })

  for (const [what, manifest] of [
    ['nothing', undefined],
    ['the application’s package.json', '{ "name": "app" }'],
  ]) {
    test(`code that a bundler has moved beside ${what} says that it must not be bundled`, async () => {
      const moved = makeProject(registry.url)
      cpSync(join(incomplete.directory, 'node_modules', 'ip-risk', 'lib'), join(moved.directory, 'lib'), {
        recursive: true,
      })
      if (manifest === undefined) rmSync(join(moved.directory, 'package.json'))
      else moved.write('package.json', manifest)
      const said = await succeed(moved, process.execPath, ['-e', LOAD.replace('ip-risk', './lib/index.js')])
      moved.remove()
      assert.match(said, /^ERR_IP_RISK_NATIVE .*bundlers must keep `ip-risk` external/)
    })
  }

  test('a native part of another version is refused', async (t) => {
    const other = await installWithNpm(registry.url)
    t.after(() => other.remove())
    other.write(
      'node_modules/ip-risk/package.json',
      JSON.stringify({ ...manifestIn(packed.root), version: '9.9.9' }),
    )
    const said = await succeed(other, process.execPath, ['-e', LOAD])
    assert.match(said, /^ERR_IP_RISK_NATIVE .*the native part is of version .*, not of ip-risk 9\.9\.9/)
  })

  test('a native part that does not load says why', async () => {
    incomplete.write(`node_modules/${here().name}/package.json`, JSON.stringify(manifestIn(here())))
    incomplete.write(`node_modules/${here().name}/${manifestIn(here()).main}`, 'no shared library')
    assert.match(
      await load(),
      new RegExp(`${PLACE}: the package \`${here().name}\` is installed and does not load \\(.+\\)`),
    )
  })
})
