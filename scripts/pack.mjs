// Makes the npm packages as they are published, into target/packages: one with everything but native code, and one for
// each platform that holds only that, of which npm installs the one that fits.
//
// `node scripts/pack.mjs` packs what was built here. `node scripts/pack.mjs DIRECTORY` packs the addons of all platforms
// that lie in that directory, and fails when one is missing: that is what the release workflow publishes.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MOST_BYTES, readTarget } from './targets.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const OUT = join(ROOT, 'target', 'packages')
/** What npm packs although `files` does not name it. */
const ALWAYS = ['LICENSE', 'README.md']
/** What concerns only those who build the package. */
const NOT_PUBLISHED = ['scripts', 'devDependencies', 'knip', 'prettier', 'napi']
/** What may be in `lib` and `bin`: code and its types. */
const CODE = /^(lib|bin)\/[\w/-]+\.(js|d\.ts)$/

/**
 * @typedef {object} Packed
 * @property {string} name
 * @property {string} directory what was packed
 * @property {string | undefined} tarball none for a platform whose addon was not there
 */

/** @param {string} message @returns {never} */
function fail(message) {
  throw new Error(message)
}

function readManifest() {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
}

/** The package.json of a platform's package. */
function manifestOf(
  { os, cpu, libc, spoken, name, addon },
  { version, license, engines, repository, publishConfig },
) {
  return {
    name,
    version,
    description: `The native part of ip-risk for ${spoken}. Installed by ip-risk; not used by itself.`,
    license,
    repository,
    engines,
    os: [os],
    cpu: [cpu],
    libc: libc && [libc],
    type: 'commonjs',
    main: addon,
    files: [addon],
    publishConfig,
  }
}

/** The package.json of the package itself, which asks for exactly the platforms' packages that were made with it. */
function publishedManifest(manifest, platforms) {
  const published = Object.entries(manifest).filter(([name]) => !NOT_PUBLISHED.includes(name))
  const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, manifest.version]))
  return { ...Object.fromEntries(published), optionalDependencies }
}

/** Makes an empty directory for a package with its package.json. */
function stage(manifest) {
  const directory = join(OUT, manifest.name)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  return directory
}

/**
 * Packs a directory, and fails unless all of it is packed and nothing else that is not expected.
 *
 * @param {{ name: string, version: string }} manifest
 * @param {string} directory
 * @param {(file: string) => boolean} isExpected
 */
function packDirectory({ name, version }, directory, isExpected) {
  const words = ['pack', '--silent', '--pack-destination', OUT]
  // npm is a script on Windows, which only a shell can start.
  const shell = process.platform === 'win32'
  const { status, stderr } = spawnSync('npm', words, { cwd: directory, encoding: 'utf8', shell })
  if (status !== 0) fail(`\`npm pack\` failed for \`${name}\`: ${stderr}`)
  const tarball = join(OUT, `${name}-${version}.tgz`)
  const files = filesIn(tarball)
  const unexpected = files.filter((file) => !isExpected(file))
  if (unexpected.length > 0) fail(`\`${name}\` would be published with ${unexpected.join(', ')}`)
  const missing = filesBelow(directory).filter((file) => !files.includes(file))
  if (missing.length > 0) fail(`\`${name}\` would be published without ${missing.join(', ')}`)
  return tarball
}

/**
 * The files in a tarball, without the directory that npm puts around them.
 *
 * @param {string} tarball
 */
export function filesIn(tarball) {
  const { stdout } = spawnSync('tar', ['-tzf', tarball], { encoding: 'utf8' })
  return stdout
    .split('\n')
    .flatMap((line) => (line.endsWith('/') || line === '' ? [] : [line.replace('package/', '')]))
}

/** @param {string} directory */
function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
}

/**
 * @param {string} path
 * @param {number} most
 */
function checkSize(path, most) {
  const { size } = statSync(path)
  if (size > most) fail(`\`${path}\` has ${size} bytes, more than ${most}`)
}

/** @returns {Packed} */
function packRoot(manifest, platforms) {
  const published = publishedManifest(manifest, platforms)
  const directory = stage(published)
  const files = [...manifest.files, ...ALWAYS]
  for (const file of files) cpSync(join(ROOT, file), join(directory, file), { recursive: true })
  const isExpected = (file) => file === 'package.json' || files.includes(file) || CODE.test(file)
  return { name: manifest.name, directory, tarball: packDirectory(published, directory, isExpected) }
}

/** @returns {Packed} */
function packPlatform(manifest, platform, addons) {
  const own = manifestOf(platform, manifest)
  const directory = stage(own)
  copyFileSync(join(ROOT, 'LICENSE'), join(directory, 'LICENSE'))
  writeFileSync(join(directory, 'README.md'), `# ${own.name}\n\n${own.description}\n`)
  const addon = join(addons, platform.addon)
  if (!existsSync(addon)) return { name: own.name, directory, tarball: undefined }
  copyFileSync(addon, join(directory, platform.addon))
  const expected = [platform.addon, 'LICENSE', 'README.md', 'package.json']
  return {
    name: own.name,
    directory,
    tarball: packDirectory(own, directory, (file) => expected.includes(file)),
  }
}

/**
 * Fails when no addon is in a directory, or one of `platforms` that must be complete, or when one is too large.
 *
 * @param {string} addons
 */
function checkAddons(platforms, addons, mustBeComplete) {
  const missing = platforms.filter(({ addon }) => !existsSync(join(addons, addon))).map(({ addon }) => addon)
  if (mustBeComplete && missing.length > 0) fail(`\`${addons}\` has no ${missing.join(', ')}`)
  if (missing.length === platforms.length) fail(`\`${addons}\` has no addon; run \`npm run build\``)
  for (const { addon } of platforms) {
    if (!missing.includes(addon)) checkSize(join(addons, addon), MOST_BYTES.addon)
  }
}

/**
 * Makes all packages. Without a directory of addons, those that were built here.
 *
 * @param {string} [addons]
 * @returns {{ root: Packed, platforms: Packed[] }}
 */
export function pack(addons) {
  const manifest = readManifest()
  const platforms = manifest.napi.targets.map(readTarget)
  checkAddons(platforms, addons ?? ROOT, addons !== undefined)
  checkSize(join(ROOT, 'seed.feeds'), MOST_BYTES.seed)
  rmSync(OUT, { recursive: true, force: true })
  const packed = platforms.map((platform) => packPlatform(manifest, platform, addons ?? ROOT))
  return { root: packRoot(manifest, platforms), platforms: packed }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { root, platforms } = pack(process.argv[2])
  for (const { tarball } of [...platforms, root]) {
    if (tarball !== undefined) console.log(`${tarball}: ${statSync(tarball).size} bytes`)
  }
}
