// Sides of a benchmark that take turns, each in a process of its own, as an application has only one of them: no side
// pays for what another leaves on the heap.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * How many rounds count; `ROUNDS` in the environment shortens a trial.
 *
 * @param {number} usual
 */
export function roundsOf(usual) {
  return Number(process.env.ROUNDS ?? usual)
}

export const ROUNDS = roundsOf(15)

/** Without what configures ip-risk: a side has what it is given, and nothing of the caller's. */
const {
  IPGEO_API_KEY: _key,
  REDIS_URL: _redis,
  IP_RISK_FEEDS: _feeds,
  IP_RISK_MODE: _mode,
  ...ENV
} = process.env
export { ENV }

/**
 * Starts `program`, which calls `serve` of `serve.mjs` or does the same by itself. What it says when it is ready stands in
 * `facts`.
 *
 * @param {string} program a file beside this one or below
 * @param {string[]} words
 * @param {Record<string, string | undefined>} [env] beside that of this process
 */
export async function startSide(program, words, env = {}) {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = fork(path, words, { env: { ...ENV, ...env } })
  const ended = once(child, 'exit')
  const [facts] = await answerOf(child)
  return {
    facts,
    pid: child.pid,
    async round() {
      child.send('round')
      const [result] = await answerOf(child)
      return result
    },
    async close() {
      child.send('end', () => {}) // it may have ended already
      await ended
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

/**
 * What each side says in each round. The first round warms up and does not count. The order is drawn anew for each round, the
 * same in each run, so that none always follows the same one.
 *
 * @template T
 * @param {Record<string, { round: () => Promise<T> }>} sides
 * @returns {Promise<Record<string, T[]>>}
 */
export async function takeTurns(sides, rounds = ROUNDS) {
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]))
  const order = Object.entries(sides)
  for (let round = -1; round < rounds; round++) {
    shuffle(order, round)
    for (const [name, side] of order) {
      const result = await side.round()
      if (round >= 0) results[name].push(result)
    }
  }
  return results
}

/** Puts items in an order that the seed determines. */
function shuffle(items, seed) {
  for (let at = items.length - 1; at > 0; at--) {
    seed = (Math.imul(seed + 7, 1_103_515_245) + 12_345) & 0x7fffffff
    const other = (seed >> 8) % (at + 1)
    ;[items[at], items[other]] = [items[other], items[at]]
  }
}

export async function closeAll(sides) {
  for (const side of Object.values(sides)) await side.close()
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The ratios within each round. */
export function ratios(one, other) {
  return one.map((value, round) => value / other[round])
}

/** Their median. */
export function ratio(one, other) {
  return median(ratios(one, other))
}

/** The median with the least and the most, as `753 (719 to 785)`. */
export function shown(values) {
  if (values.length === 1) return figure(values[0])
  return `${figure(median(values))} (${figure(Math.min(...values))} to ${figure(Math.max(...values))})`
}

/** A number with three digits or more. */
export function figure(value) {
  const size = Math.abs(value)
  return size >= 100 ? whole(value) : value.toFixed(size >= 10 ? 1 : 2)
}

export function whole(value) {
  return Math.round(value).toLocaleString('en-US')
}
