// The platforms of `napi.targets` in package.json: what Rust, npm and the build call each, and what its binary must be. A
// target that is not spelled here is refused, so that none is published that no gate has seen.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MANIFEST = fileURLToPath(new URL('../package.json', import.meta.url))
const CPUS = { x86_64: 'x64', aarch64: 'arm64' }
const SYSTEMS = {
  'unknown-linux-gnu': { os: 'linux', libc: 'glibc', suffix: '-gnu', format: 'ELF', spoken: 'Linux' },
  'unknown-linux-musl': { os: 'linux', libc: 'musl', suffix: '-musl', format: 'ELF', spoken: 'Linux' },
  'apple-darwin': { os: 'darwin', suffix: '', format: 'Mach-O', spoken: 'macOS' },
  'pc-windows-msvc': { os: 'win32', suffix: '-msvc', format: 'PE', spoken: 'Windows' },
}

/** What is installed with every application: an addon larger than this, or a seed, is not published. */
export const MOST_BYTES = { addon: 8_000_000, seed: 1_500_000 }

/**
 * @typedef {object} Target
 * @property {string} triple what Rust calls it, such as `x86_64-unknown-linux-gnu`
 * @property {string} os as npm and `process.platform` call it
 * @property {string} cpu as npm and `process.arch` call it
 * @property {'glibc' | 'musl'} [libc] as npm calls it
 * @property {string} spoken for people
 * @property {string} name the package that holds its binary
 * @property {string} addon the file name of its binary
 * @property {'ELF' | 'Mach-O' | 'PE'} format
 */

/**
 * @param {string} triple
 * @returns {Target}
 */
export function readTarget(triple) {
  const [, machine, system] = /^([^-]+)-(.*)$/.exec(triple) ?? []
  if (!Object.hasOwn(CPUS, machine) || !Object.hasOwn(SYSTEMS, system)) {
    throw new Error(`\`${triple}\` is a target that nothing here knows; add it to scripts/targets.mjs`)
  }
  const cpu = CPUS[machine]
  const { os, libc, suffix, format, spoken } = SYSTEMS[system]
  const platform = `${os}-${cpu}${suffix}`
  return {
    triple,
    os,
    cpu,
    libc,
    spoken: `${spoken} ${cpu}${libc === undefined ? '' : ` with ${libc}`}`,
    name: `ip-risk-${platform}`,
    addon: `ip-risk.${platform}.node`,
    format,
  }
}

/** All that package.json names. */
export function readTargets() {
  return JSON.parse(readFileSync(MANIFEST, 'utf8')).napi.targets.map(readTarget)
}
