/** Sources of addresses that are watched, and what is taken of streams of decisions. */
import assert from 'node:assert/strict'
import { publicAddress, until } from './start.mjs'

/** How far a source may be read ahead of the one who takes the decisions. */
export const MOST_AHEAD = 5_000

/** That many addresses, each another. */
export const many = (count) => Array.from({ length: count }, (_, number) => publicAddress(number))

/** All that a stream gives, and what it rejects with, if it does. */
export async function drain(stream) {
  const decisions = []
  try {
    for await (const decision of stream) decisions.push(decision)
  } catch (error) {
    return { decisions, error }
  }
  return { decisions }
}

export const textsOf = (decisions) => decisions.map(({ ip }) => ip)

/** The addresses that the provider was asked about. */
export const askedOf = (api) => api.requests.flatMap(({ ips }) => ips)

/** Resolves when the provider is asked about some addresses: about how many. */
export async function someAreAsked(api) {
  await until(() => askedOf(api).length >= 32)
  return askedOf(api).length
}

/** Resolves when no look-up of the checker is under way. */
export async function lookUpsAreOver(checker) {
  await until(() => checker.stats().upstream.inFlight === 0)
}

/** What was handed over, four batches of a thousand at most, may still arrive. */
export function assertFewMore(api, before) {
  const more = askedOf(api).length - before
  assert.ok(more <= 4_000, `${more} more addresses were asked about`)
}

/**
 * A source of either kind that counts: `{ ips, seen }`. `give(position)` is the item there, or throws; `undefined` is the
 * end.
 */
export function watchedSource(kind, give) {
  const seen = { read: 0, closed: 0, askedAtOnce: 0 }
  const step = () => {
    const value = give(seen.read)
    if (value !== undefined) seen.read++
    return { done: value === undefined, value }
  }
  let asking = 0
  const later = async () => {
    seen.askedAtOnce = Math.max(seen.askedAtOnce, ++asking)
    await new Promise((resolve) => queueMicrotask(resolve))
    asking--
    return step()
  }
  const close = () => ({ done: true, value: void seen.closed++ })
  const iterator =
    kind === 'synchronous' ? { next: step, return: close } : { next: later, return: async () => close() }
  const symbol = kind === 'synchronous' ? Symbol.iterator : Symbol.asyncIterator
  return { ips: { [symbol]: () => iterator }, seen }
}

/** Of sources. */
export const KINDS = ['synchronous', 'asynchronous']

/** A source that gives these addresses and then nothing for ever, with what shows that it was closed. */
export function quietSource(ips) {
  const source = { isClosed: false }
  const silence = new Promise(() => {})
  source.ips = {
    async *[Symbol.asyncIterator]() {
      try {
        yield* ips
        await silence
      } finally {
        source.isClosed = true
      }
    },
  }
  return source
}
