// What a fresh clone needs before anything in it can run. Uses nothing but Node.js, because nothing else is there.
//
// Both functions return when there is nothing left to do, and end the process with a message when they cannot go on.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
/** What the addon and the seed are made of, files and directories. */
const SOURCES = [
  'Cargo.toml',
  'Cargo.lock',
  'build.rs',
  'src',
  'crates/core/Cargo.toml',
  // With `feeds/networks.csv`, our own part of the seed.
  'crates/core/src',
  'scripts/seed.mjs',
]
/** The feeds that are in the package, which the build makes, too. */
const SEED = 'seed.feeds'
/** The rest of what the seed is made of. */
const NETWORKS = '@ip-location-db/asn'
/** The parts of package.json that the build reads, as they were at the last build: its other parts change often. */
const BUILT_WITH = 'target/ip-risk-built-with.json'
const MOST_OUTPUT = 64 * 1024 * 1024

/**
 * Installs the npm dependencies when they are missing or older than package-lock.json.
 *
 * @param {string} [root]
 */
export function installDependencies(root = ROOT) {
  // npm writes this file last, and only when everything is in place.
  const installed = modifiedAt(root, 'node_modules/.package-lock.json')
  if (installed >= modifiedAt(root, 'package-lock.json')) return
  console.log('setup: installing the dependencies with `npm ci` ...')
  // The build and the tests are made of development dependencies, whatever NODE_ENV says.
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], root)
}

/**
 * Builds the addon and the seed when one is missing or older than what they are made of.
 *
 * @param {string} [root]
 */
export function buildAddon(root = ROOT) {
  const { napi, devDependencies } = readJson(root, 'package.json')
  const builtWith = JSON.stringify({ napi, networks: devDependencies?.[NETWORKS] })
  if (isBuilt(root, builtWith)) return
  checkCargo(root)
  console.log('setup: building the addon with `npm run build`; the first time takes a few minutes ...')
  run('npm', ['run', 'build'], root)
  rememberBuild(root, builtWith)
}

/**
 * @param {string} root
 * @param {string} builtWith
 */
function isBuilt(root, builtWith) {
  const addon = addonFile(root)
  if (addon === undefined) return false
  // One that is missing is older than everything.
  const builtAt = Math.min(modifiedAt(root, addon), modifiedAt(root, SEED))
  const isBuiltWithSame =
    readText(root, BUILT_WITH)?.trim() === builtWith || builtAt >= modifiedAt(root, 'package.json')
  return isBuiltWithSame && SOURCES.every((source) => builtAt >= modifiedAt(root, source))
}

/** @param {string} root */
function addonFile(root) {
  const isForThisMachine = (name) =>
    name.startsWith(`ip-risk.${process.platform}-${process.arch}`) && name.endsWith('.node') && fitsLibc(name)
  return readdirSync(root).find(isForThisMachine)
}

/**
 * A checkout that a container shares with its host may hold the addons of both.
 *
 * @param {string} name
 */
function fitsLibc(name) {
  if (process.platform !== 'linux') return true
  const isGlibc = Boolean(process.report.getReport().header.glibcVersionRuntime)
  return name.includes('musl') !== isGlibc
}

/**
 * @param {string} root
 * @param {string} builtWith
 */
function rememberBuild(root, builtWith) {
  const addon = addonFile(root)
  if (addon === undefined)
    fail('`npm run build` made no addon for this machine; see `napi.targets` in package.json')
  if (modifiedAt(root, SEED) === 0) fail(`\`npm run build\` made no \`${SEED}\`; see \`scripts/seed.mjs\``)
  // A build that had nothing to do may leave the old time, and would be run again and again.
  const now = new Date()
  for (const made of [addon, SEED]) utimesSync(join(root, made), now, now)
  mkdirSync(join(root, dirname(BUILT_WITH)), { recursive: true })
  writeFileSync(join(root, BUILT_WITH), `${builtWith}\n`)
}

/** @param {string} root */
function checkCargo(root) {
  const least = /rust-version = "([0-9.]+)"/.exec(readText(root, 'Cargo.toml') ?? '')?.[1] ?? '0'
  const advice = `install Rust ${least} or newer from https://rustup.rs and try again`
  const { error, stdout, status } = spawnSync('cargo', ['--version'], { cwd: root, encoding: 'utf8' })
  if (error || status !== 0)
    fail(`the addon has to be built, and \`cargo\` is not there or does not run; ${advice}`)
  const found = /[0-9]+\.[0-9]+\.[0-9]+/.exec(stdout)?.[0] ?? '0'
  if (found.localeCompare(least, 'en', { numeric: true }) >= 0) return
  fail(`\`cargo\` ${found} is too old to build the addon; run \`rustup update\`, or ${advice}`)
}

/**
 * Runs a command and shows what it said only when it fails.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {string} root
 */
function run(command, args, root) {
  // npm is a script on Windows, which only a shell can start.
  const shell = process.platform === 'win32'
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: MOST_OUTPUT, shell })
  if (result.status === 0) return
  if (result.signal === 'SIGINT') process.exit(130)
  const line = `\`${[command, ...args].join(' ')}\``
  if (result.error) fail(`${line} cannot be started: ${result.error.message}`)
  process.stderr.write(result.stdout + result.stderr)
  fail(`${line} failed; its output is above`)
}

/**
 * When a file, or the newest file in a directory, was changed; 0 when there is none.
 *
 * @param {string} root
 * @param {string} path
 */
function modifiedAt(root, path) {
  const stats = statSync(join(root, path), { throwIfNoEntry: false })
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0
  const inside = readdirSync(join(root, path)).map((name) => modifiedAt(root, join(path, name)))
  // A file that was removed changes only the directory.
  return Math.max(stats.mtimeMs, ...inside)
}

/**
 * @param {string} root
 * @param {string} path
 */
function readText(root, path) {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return undefined
  }
}

/**
 * @param {string} root
 * @param {string} path
 */
function readJson(root, path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'))
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(`setup: ${message}`)
  process.exit(1)
}
