// Builds the Python package, installs it into a virtual environment that holds nothing else of ours, and runs its tests
// against what is installed there.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FACE = join(ROOT, 'python')
const WORK = join(ROOT, 'target', 'python')
const WHEELS = join(WORK, 'wheels')
/** For building and lints, and for the tests: what is installed beside the package must not help it. */
const TOOLS = join(WORK, 'tools')
const CLEAN = join(WORK, 'clean')
const LEAST = [3, 10]
/** What the package has from the root of the repository. */
const SHIPPED = ['ATTRIBUTION.md', 'LICENSE', 'seed.feeds']

/**
 * @typedef {(title: string, command: string, ...words: string[]) => void} Run runs a command in the directory of the face
 */

/**
 * @param {string} environment
 * @param {string} name
 */
export function inside(environment, name) {
  return process.platform === 'win32'
    ? join(environment, 'Scripts', `${name}.exe`)
    : join(environment, 'bin', name)
}

const COMMAND = process.env.PYTHON || 'python3'

export const NO_PYTHON =
  `\`${COMMAND}\` is not a Python ${LEAST.join('.')} or newer with \`venv\` (Debian: apt-get install python3-venv); ` +
  'install one, or name it in `PYTHON`'

/** A Python that is new enough, if there is one: what `PYTHON` names, or `python3`. */
export function findPython() {
  const script = 'import sys, venv, ensurepip; print(*sys.version_info[:2])'
  const { stdout, status } = spawnSync(COMMAND, ['-c', script], { encoding: 'utf8' })
  const [major, minor] = status === 0 ? stdout.trim().split(' ').map(Number) : [0, 0]
  return major > LEAST[0] || (major === LEAST[0] && minor >= LEAST[1]) ? COMMAND : undefined
}

/**
 * @param {Run} run
 * @param {string} python
 * @param {string} environment
 */
export function makeEnvironment(run, python, environment) {
  rmSync(environment, { recursive: true, force: true })
  run(`python: ${environment}`, python, '-m', 'venv', environment)
}

/**
 * @param {Run} run
 * @param {string} environment
 * @param {string[]} what
 */
export function install(run, environment, ...what) {
  run(
    'python: install',
    inside(environment, 'pip'),
    'install',
    '--quiet',
    '--disable-pip-version-check',
    ...what,
  )
}

function onlyWheel() {
  const wheels = readdirSync(WHEELS).filter((name) => name.endsWith('.whl'))
  if (wheels.length === 1) return join(WHEELS, wheels[0])
  console.error(`maturin made ${wheels.length} wheels, not one`)
  process.exit(1)
}

/** The version stands in Cargo.toml, where the wheel has it from, and in package.json. */
function checkVersion() {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  if (readFileSync(join(ROOT, 'Cargo.toml'), 'utf8').includes(`\nversion = "${version}"\n`)) return
  console.error(`the version of package.json, \`${version}\`, is not that of Cargo.toml`)
  process.exit(1)
}

/**
 * Brings what builds and checks the face.
 *
 * @param {Run} run
 * @param {string} python
 */
export function makeTools(run, python) {
  makeEnvironment(run, python, TOOLS)
  install(run, TOOLS, '-r', 'requirements.txt')
}

/**
 * Builds the wheel with words of maturin, which is among the tools, and says where it is.
 *
 * @param {Run} run
 * @param {string[]} words
 */
export function buildWheel(run, words) {
  checkVersion()
  mkdirSync(WHEELS, { recursive: true })
  for (const name of readdirSync(WHEELS)) rmSync(join(WHEELS, name))
  for (const name of SHIPPED) copyFileSync(join(ROOT, name), join(FACE, 'python', 'ip_risk', name))
  run('python: build', inside(TOOLS, 'maturin'), 'build', ...words, '--out', WHEELS)
  return onlyWheel()
}

/**
 * Lints the Python face, builds it, installs it and tests it. A release is made as it is shipped: optimised, and from the
 * source distribution, which shows that that is whole.
 *
 * @param {Run} run
 * @param {{ isRelease?: boolean }} [options]
 */
export function testPython(run, { isRelease = false } = {}) {
  const python = findPython()
  if (python === undefined) {
    console.error(NO_PYTHON)
    process.exit(1)
  }
  makeTools(run, python)
  run('python: lints', inside(TOOLS, 'ruff'), 'check', '.')
  run('python: format', inside(TOOLS, 'ruff'), 'format', '--check', '.')
  const wheel = buildWheel(run, isRelease ? ['--release', '--sdist'] : ['--profile', 'dev'])
  makeEnvironment(run, python, CLEAN)
  install(run, CLEAN, wheel, '-r', 'tests/requirements.txt')
  const interpreter = inside(CLEAN, 'python')
  run('python: types', inside(TOOLS, 'pyright'), '--pythonpath', interpreter)
  run('python: tests', interpreter, '-m', 'pytest')
}
