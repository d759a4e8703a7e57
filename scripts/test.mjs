// Runs everything that a change can break, from a fresh clone: `npm test`.
//
// `npm test -- rust`, `npm test -- node`, `npm test -- python` and `npm test -- lint` run one part; a file name runs that
// test file of Node.js. `npm test -- built DIRECTORY` is `node` with the addon and the seed that lie here, whatever they were
// made of, and with the packages in a directory. `npm run test:release` tests what is shipped, as it is shipped.

import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installWithNpm, startPacked, startRegistryOf } from './installed.mjs'
import { testPython } from './python.mjs'
import { testRelease } from './release.mjs'
import { buildAddon, installDependencies } from './setup.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What a checker reads: set variables of the person who tests must not change what the tests see. */
const READ_BY_CHECKERS =
  /^(IPGEO_API_KEY|REDIS_URL|IP_RISK_FEEDS|IP_RISK_MODE|HTTPS_PROXY|NO_PROXY|NODE_EXTRA_CA_CERTS)$/i
const GENERATED = ['index.js', 'index.d.ts']

/** What is tested as it is published: packed, and installed into an empty directory. */
const TESTED_INSTALLED = [
  'lifecycle.test.mjs',
  'lifecycle-loading.test.mjs',
  'lifecycle-memory.test.mjs',
  'lifecycle-workers.test.mjs',
  'module-formats.test.mjs',
]

/** Runs a command and ends with its exit code when it fails. */
function run(title, command, ...words) {
  start({ cwd: root, env: cleanEnvironment() }, title, command, words)
}

function cleanEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !READ_BY_CHECKERS.test(name)))
}

/** The same in the directory of the Python face, whose tests look after their environment themselves: pip may need it. */
function runInPython(title, command, ...words) {
  start({ cwd: join(root, 'python') }, title, command, words)
}

function start(options, title, command, words) {
  console.log(`\n# ${title}`)
  const { status, error } = spawnSync(command, words, { ...options, stdio: 'inherit' })
  if (error !== undefined) console.error(`\`${command}\` cannot be run: ${error.message}`)
  if (status !== 0) process.exit(status || 1)
}

function testFiles(directory = join(root, '__test__')) {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.mjs'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

/** What the build writes must be what was committed: `src/` and `index.d.ts` change together. */
function buildAndCompare() {
  const read = () => GENERATED.map((name) => readFileSync(join(root, name), 'utf8'))
  const before = read()
  run('addon', 'npm', 'run', '--silent', 'build')
  const after = read()
  const changed = GENERATED.filter((_, index) => before[index] !== after[index])
  if (changed.length === 0) return
  console.error(`the build changed ${changed.join(' and ')}; commit what \`npm run build\` writes`)
  process.exit(1)
}

const parts = {
  rust() {
    run('rust: format', 'cargo', 'fmt', '--all', '--check')
    // Faces have no Rust tests, and what the napi macro exports is unused in a test build.
    for (const which of [
      ['-p', 'ip-risk-core', '--all-targets'],
      ['-p', 'ip-risk-benchmark', '--all-targets'],
      ['-p', 'ip-risk-upstream', '--all-targets'],
      ['-p', 'ip-risk-node'],
      ['-p', 'ip-risk-python'],
    ]) {
      run(`rust: lints of ${which[1]}`, 'cargo', 'clippy', ...which, '--quiet', '--', '-D', 'warnings')
    }
    run('rust: tests', 'cargo', 'test', '--workspace', '--quiet')
  },
  lint() {
    run('javascript: lints and format', 'npm', 'run', '--silent', 'lint')
    run('javascript: types', 'npm', 'run', '--silent', 'types')
  },
  async node() {
    testCheckout()
    const { registry } = await startPacked()
    await testInstalled(registry)
  },
  async built(packages) {
    testCheckout()
    await testInstalled(await startRegistryOf(packages))
  },
  python: () => testPython(runInPython),
  async release() {
    await testRelease()
    testPython(runInPython, { isRelease: true })
  },
}

function testWithNode(files) {
  run('javascript: tests', process.execPath, '--test', '--test-reporter=spec', ...files)
}

function testCheckout() {
  testWithNode(testFiles().filter((file) => !TESTED_INSTALLED.includes(basename(file))))
}

async function testInstalled(registry) {
  const project = await installWithNpm(registry.url)
  process.on('exit', project.remove)
  registry.close()
  const env = { ...cleanEnvironment(), IP_RISK_INSTALLED: project.directory }
  const files = TESTED_INSTALLED.map((name) => join(root, '__test__', name))
  const words = ['--test', '--test-reporter=spec', ...files]
  start({ cwd: root, env }, 'javascript: tests of what npm installs', process.execPath, words)
}

const [wanted, packages] = process.argv.slice(2)
installDependencies()
if (wanted === undefined) {
  // Seconds first: what they find is not worth waiting for a build.
  parts.lint()
  parts.rust()
  buildAndCompare()
  await parts.node()
  parts.python()
} else if (Object.hasOwn(parts, wanted)) {
  if (wanted !== 'built') buildAddon()
  await parts[wanted](packages)
} else {
  buildAddon()
  testWithNode([wanted])
}
