// Shows that what was packed installs and decides on the machine that this runs on, before it is published: npm takes the
// package and that of this platform from a registry on loopback, where nothing else is. It needs nothing but Node.js.
//
//   node scripts/check-install.mjs DIRECTORY  the tarballs of `scripts/pack.mjs`

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packedIn, startRegistry } from './registry.mjs'

const CHECK = fileURLToPath(new URL('check-load.mjs', import.meta.url))
/** npm is a script on Windows, which only a shell can start. */
const NEEDS_SHELL = process.platform === 'win32'

const [packages] = process.argv.slice(2)
if (packages === undefined) throw new Error('name the directory with the packages')
const project = mkdtempSync(join(tmpdir(), 'ip-risk-install-'))
const registry = await startRegistry(packedIn(packages))

/** Runs a command in the project. Not in this thread, which serves the registry. */
async function run(command, words, options = {}) {
  const child = spawn(command, words, { cwd: project, stdio: 'inherit', ...options })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`\`${[command, ...words].join(' ')}\` ended with ${code}`)
}

try {
  // A project of its own, or npm would look for one further up.
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const env = {
    ...process.env,
    NO_PROXY: '127.0.0.1',
    npm_config_cache: join(project, '.npm'),
    npm_config_registry: registry.url,
  }
  await run('npm', ['install', '--no-audit', '--no-fund', 'ip-risk'], { env, shell: NEEDS_SHELL })
  const installed = readdirSync(join(project, 'node_modules')).filter((name) => name.startsWith('ip-risk-'))
  assert.equal(
    installed.length,
    1,
    `npm must take one platform's package, and took: ${installed.join(', ') || 'none'}`,
  )
  await run(process.execPath, [CHECK, 'ip-risk'])
} finally {
  registry.close()
  // Virus scanners hold what has just been loaded.
  rmSync(project, { recursive: true, force: true, maxRetries: 5 })
}
