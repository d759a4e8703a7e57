// Programs that run to their end.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/**
 * Gives what one prints. It ends with this process, which may be told to end before it.
 *
 * @param {string} command
 * @param {string[]} words
 * @param {{ cwd?: string }} [options]
 */
export async function printedBy(command, words, options) {
  const child = spawn(command, words, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => child.kill()
  process.on('exit', kill)
  const [printed, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  process.off('exit', kill)
  if (status !== 0) throw new Error(`\`${command} ${words.join(' ')}\` ended with ${status}`)
  return printed
}
