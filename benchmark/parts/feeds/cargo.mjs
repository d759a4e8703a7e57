// The Rust programs of `benchmark/feeds`.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('../../..', import.meta.url))

/**
 * Builds and runs one of them, and gives what it prints.
 *
 * @param {string} name
 * @param {...(string | number)} words
 */
export async function runCargo(name, ...words) {
  const which = ['run', '--quiet', '--release', '-p', 'ip-risk-benchmark', '--bin', name, '--']
  const child = spawn('cargo', [...which, ...words.map(String)], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const printed = await text(child.stdout)
  const [status] = await ended
  if (status !== 0) throw new Error(`\`cargo run --bin ${name}\` ended with ${status}`)
  return printed
}
