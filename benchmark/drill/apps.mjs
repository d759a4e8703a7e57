// The processes of the application.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { answerOf } from '../rounds.mjs'

const PROGRAM = fileURLToPath(new URL('app.mjs', import.meta.url))

/** @param {object} options of its checker */
export async function startApp(options) {
  const child = fork(PROGRAM, [JSON.stringify(options)])
  const [port] = await answerOf(child)
  // A drill that fails before it closes everything still ends, and the child with it.
  child.unref()
  child.channel.unref()
  return {
    port,
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.ref()
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}
