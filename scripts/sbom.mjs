// Writes what is in the native part of the npm package into a directory, as CycloneDX: `node scripts/sbom.mjs DIRECTORY`.
// It needs `cargo-cyclonedx`. The package has no other dependencies; wheels hold their own, which maturin writes.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const NAME = 'sbom'
/** `cargo-cyclonedx` writes one for each member of the workspace, beside its Cargo.toml. */
const MEMBERS = ['.', 'crates/core', 'python', 'benchmark/feeds', 'benchmark/upstream']

const [directory] = process.argv.slice(2)
if (directory === undefined) throw new Error('name the directory to write to')
const { name, version, napi } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
mkdirSync(directory, { recursive: true })
try {
  for (const target of napi.targets) {
    const words = [
      'cyclonedx',
      '--format',
      'json',
      '--spec-version',
      '1.5',
      '--target',
      target,
      '--override-filename',
      NAME,
    ]
    const { status, stderr, error } = spawnSync('cargo', words, { cwd: ROOT, encoding: 'utf8' })
    if (status !== 0) throw new Error(`\`cargo ${words.join(' ')}\` failed: ${error?.message ?? stderr}`)
    const made = join(directory, `${name}-${version}-${target}.cdx.json`)
    copyFileSync(join(ROOT, `${NAME}.json`), made)
    const { components } = JSON.parse(readFileSync(made, 'utf8'))
    if (!components.some((component) => component.name === 'ring'))
      throw new Error(`\`${made}\` is not whole`)
    console.log(`${made}: ${components.length} components`)
  }
} finally {
  for (const member of MEMBERS) rmSync(join(ROOT, member, `${NAME}.json`), { force: true })
}
