// Sides of a benchmark that take turns, each in a process of its own, as an application has only one of them: no side
// pays for what another leaves on the heap.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'

export const ROUNDS = Number(process.env.ROUNDS ?? 15)

/**
 * Starts `program`, which calls `serve` of `serve.mjs`. What it says when it is ready stands in `facts`.
 *
 * @param {string} program a file beside this one
 * @param {string[]} words
 * @param {Record<string, string | undefined>} [env]
 */
export async function startSide(program, words, env = process.env) {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = fork(path, words, { env })
  const [facts] = await answerOf(child)
  return {
    facts,
    async round() {
      child.send('round')
      const [nanoseconds] = await answerOf(child)
      return nanoseconds
    },
    async close() {
      child.send('end')
      await once(child, 'exit')
    },
  }
}

/** The next message; a process that ends instead has failed, and has said why itself. */
export async function answerOf(child) {
  const other = new AbortController()
  const ended = once(child, 'exit', other).then(([code, signal]) => {
    throw new Error(`a process of the benchmark ended with ${signal ?? code}`)
  })
  try {
    return await Promise.race([once(child, 'message', other), ended])
  } finally {
    other.abort()
  }
}

/** The nanoseconds of each side in each round. The first round warms up and does not count. */
export async function takeTurns(sides) {
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const [name, side] of Object.entries(sides)) {
      const nanoseconds = await side.round()
      if (round >= 0) results[name].push(nanoseconds)
    }
  }
  return results
}

export async function closeAll(sides) {
  for (const side of Object.values(sides)) await side.close()
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

/** The median of the ratios within a round. */
export function ratio(one, other) {
  return median(one.map((value, round) => value / other[round]))
}

/** The median with the least and the most, as `753 (719 to 785)`. */
export function shown(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(whole)
  return `${whole(median(values))} (${least} to ${most})`
}

export function whole(value) {
  return Math.round(value).toLocaleString('en-US')
}

export function machine() {
  const { version, platform, arch } = process
  return `Node.js ${version}, ${platform} ${arch}, ${cpus().length} processors, ${cpus()[0].model}`
}
