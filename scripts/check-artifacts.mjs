// The gate before a release: fails unless every target of `napi.targets` has its binary, made for the right machine, small
// enough, and linked to nothing that such a machine may not have. `napi prepublish` only warns when one is missing.
//
//   node scripts/check-artifacts.mjs DIRECTORY             every target, wherever below the directory its binary lies
//   node scripts/check-artifacts.mjs DIRECTORY TARGET ...  these targets
//   node scripts/check-artifacts.mjs --wheels DIRECTORY    what goes to PyPI
//
// It reads files and runs `readelf`, so that it can judge binaries of other machines. That each one also loads is shown on
// a machine of its kind, by `check-load.mjs`.

import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MOST_BYTES, readTarget, readTargets } from './targets.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** That of CentOS 7 and of manylinux2014: everything newer has it. */
const OLDEST_GLIBC = [2, 17]
/** What every Linux with the C library has. Alpine's images of Node.js bring `libgcc_s.so.1`, because Node.js needs it. */
const LIBRARIES = {
  glibc:
    /^(?:ld-linux-[\w-]+\.so\.[12]|lib(?:c|m)\.so\.6|lib(?:dl|pthread)\.so\.[02]|librt\.so\.1|libgcc_s\.so\.1)$/,
  musl: /^(?:ld-musl-\w+\.so\.1|libc\.so|libc\.musl-\w+\.so\.1|libgcc_s\.so\.1)$/,
}

/** What the headers of the three formats call the architectures. */
const MACHINES = {
  ELF: { 62: 'x64', 183: 'arm64' },
  'Mach-O': { 0x01000007: 'x64', 0x0100000c: 'arm64' },
  PE: { 0x8664: 'x64', 0xaa64: 'arm64' },
}

/**
 * The format of a binary, and the number of the machine that it is for.
 *
 * @param {Buffer} bytes
 */
function readHeader(bytes) {
  if (bytes.length < 64) return undefined
  if (bytes.readUInt32BE(0) === 0x7f454c46) return { format: 'ELF', machine: bytes.readUInt16LE(18) }
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return { format: 'Mach-O', machine: bytes.readUInt32LE(4) }
  const header = bytes.readUInt32LE(60)
  const isPe =
    bytes.toString('latin1', 0, 2) === 'MZ' && bytes.toString('latin1', header, header + 4) === 'PE\0\0'
  return isPe ? { format: 'PE', machine: bytes.readUInt16LE(header + 4) } : undefined
}

/**
 * What is wrong with the binary of a target.
 *
 * @param {string} path
 * @param {import('./targets.mjs').Target} target
 * @returns {string[]}
 */
function faultsOf(path, { format, cpu, libc }) {
  const bytes = readFileSync(path)
  const header = readHeader(bytes)
  const found =
    header && `${header.format} for ${MACHINES[header.format][header.machine] ?? 'another machine'}`
  const expected = `${format} for ${cpu}`
  if (found !== expected) return [`is ${found ?? 'no binary'}, not ${expected}`]
  const faults =
    bytes.length > MOST_BYTES.addon ? [`has ${bytes.length} bytes, more than ${MOST_BYTES.addon}`] : []
  return libc === undefined ? faults : [...faults, ...linkFaults(path, libc)]
}

/**
 * @param {string} path
 * @param {'glibc' | 'musl'} libc
 */
function linkFaults(path, libc) {
  const { status, stdout, stderr, error } = spawnSync(
    'readelf',
    ['--wide', '--dynamic', '--version-info', path],
    { encoding: 'utf8' },
  )
  if (status !== 0) return [`cannot be read: ${error?.message ?? stderr.trim()}`]
  const libraries = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name)
  const strangers = libraries.filter((name) => !LIBRARIES[libc].test(name))
  const versions = [...new Set(stdout.match(/\bGLIBC_[\w.]+/g))]
  const refused = libc === 'musl' ? versions : versions.filter(isTooNew)
  const rule = libc === 'musl' ? 'that is not there' : `only ${OLDEST_GLIBC.join('.')} is sure to be there`
  return [
    ...strangers.map((name) => `needs \`${name}\`, which not every Linux with ${libc} has`),
    ...(refused.length > 0 ? [`links symbols of glibc, and ${rule}: ${refused.join(', ')}`] : []),
  ]
}

/** @param {string} version */
function isTooNew(version) {
  const numbers = version.replace('GLIBC_', '').split('.').map(Number)
  // `GLIBC_PRIVATE` is nobody's to use.
  if (numbers.some(Number.isNaN)) return true
  const [major, minor = 0] = numbers
  return major > OLDEST_GLIBC[0] || (major === OLDEST_GLIBC[0] && minor > OLDEST_GLIBC[1])
}

/**
 * All complaints about the binaries below a directory.
 *
 * @param {string} directory
 * @param {import('./targets.mjs').Target[]} targets
 */
function checkBinaries(directory, targets) {
  const found = filesBelow(directory).filter((path) => path.endsWith('.node'))
  const complaints = targets.flatMap((target) => {
    const paths = found.filter((path) => basename(path) === target.addon)
    if (paths.length !== 1)
      return [`${target.triple}: \`${target.addon}\` is there ${paths.length} times, not once`]
    return faultsOf(paths[0], target).map((fault) => `${target.triple}: \`${target.addon}\` ${fault}`)
  })
  const names = targets.map(({ addon }) => addon)
  const strangers = found.filter((path) => !names.includes(basename(path)))
  return [...complaints, ...strangers.map((path) => `\`${basename(path)}\` is the binary of no target`)]
}

/** The wheels of a release, by their platform, and the source distribution. One wheel serves every CPython from 3.10 on. */
const DISTRIBUTIONS = [
  ...['x86_64', 'aarch64'].flatMap((machine) => [
    `-cp310-abi3-manylinux_2_17_${machine}.manylinux2014_${machine}.whl`,
    `-cp310-abi3-musllinux_1_2_${machine}.whl`,
  ]),
  '-cp310-abi3-macosx_\\d+_\\d+_x86_64.whl',
  '-cp310-abi3-macosx_\\d+_\\d+_arm64.whl',
  '-cp310-abi3-win_amd64.whl',
  '-cp310-abi3-win_arm64.whl',
  '.tar.gz',
]

/**
 * All complaints about what lies in a directory to go to PyPI.
 *
 * @param {string} directory
 */
function checkDistributions(directory) {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const names = filesBelow(directory).map((path) => basename(path))
  const patterns = DISTRIBUTIONS.map((end) => new RegExp(`^ip_risk-${version}${end}$`))
  const missing = DISTRIBUTIONS.filter((_, place) => !names.some((name) => patterns[place].test(name)))
  const strangers = names.filter((name) => !patterns.some((pattern) => pattern.test(name)))
  return [
    ...missing.map((end) => `\`ip_risk-${version}${end}\` is missing`),
    ...strangers.map((name) => `\`${name}\` is none of the distributions of ${version}`),
  ]
}

/** @param {string} directory */
function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function main(words) {
  const [first, ...rest] = words
  if (first === undefined)
    return ['name the directory with the binaries, or `--wheels` and that with the wheels']
  if (first === '--wheels')
    return rest.length === 1 ? checkDistributions(rest[0]) : ['`--wheels` takes one directory']
  return checkBinaries(first, rest.length > 0 ? rest.map(readTarget) : readTargets())
}

const complaints = main(process.argv.slice(2))
for (const complaint of complaints) console.error(`artifacts: ${complaint}`)
if (complaints.length === 0) console.log('artifacts: everything is there, and as it must be')
process.exitCode = complaints.length === 0 ? 0 : 1
