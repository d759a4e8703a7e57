'use strict'

const { canonicalAddress } = require('./native.js')
const { actions, bands, codes, fields, modes, provenances, providers, sources } = require('./vocabulary.js')

/**
 * Turns the words that `src/words.rs` writes into decisions; the two change together.
 *
 * @import { Decision, Flags } from '../index.js'
 * @import { Policies } from './policies.js'
 *
 * @typedef {number[] | Uint32Array} Words
 */

/** Where each part of a decision stands among its words. */
const ACTION = 0
const FAILURE = 1
const POLICY = 2
const REASONS = 3
const FLAGS = 5
const NAMES = 9
const CHECKED_AT = 10

const KEEPS_TEXT = 1 << 27
const NO_ADDRESS = 1 << 28

/**
 * How many sets of flags are kept ready before all are forgotten. Clean answers share one; 10,000 addresses on real feeds
 * have a little more than 1,024.
 */
const MOST_KEPT = 4096
const DAY = 24 * 60 * 60 * 1000
const FIRST_DAY = Date.UTC(2000, 0, 1)
const ABSENT_SCORE = 255

/** Sets of flags as frozen objects, shared by all decisions with the same evidence. */
class FlagCache {
  /** @type {Map<number, { words: Words, flags: Readonly<Flags> }>} by the hash of their words */
  #kept = new Map()

  /**
   * @param {Words} words
   * @param {number} at where the decision begins
   * @param {(id: number) => string | null | undefined} namesOf gives the names as JSON
   * @returns {Readonly<Flags>}
   */
  read(words, at, namesOf) {
    const first = at + FLAGS
    const hash = hashOf(words, first)
    const kept = this.#kept.get(hash)
    if (kept !== undefined && areEqual(kept.words, words, first)) return kept.flags
    const flags = Object.freeze(buildFlags(words, first, namesOf))
    if (this.#kept.size >= MOST_KEPT) this.#kept.clear()
    this.#kept.set(hash, { words: words.slice(first, at + NAMES + 1), flags })
    return flags
  }
}

/**
 * @param {Words} words
 * @param {number} first
 */
function hashOf(words, first) {
  let hash = 0
  for (let index = first; index < first + 5; index++) {
    hash = Math.imul(hash ^ words[index], 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash
}

/**
 * @param {Words} kept
 * @param {Words} words
 * @param {number} first
 */
function areEqual(kept, words, first) {
  for (let index = 0; index < 5; index++) if (kept[index] !== words[first + index]) return false
  return true
}

/**
 * @param {Words} words
 * @param {number} first
 * @param {(id: number) => string | null | undefined} namesOf
 * @returns {Flags}
 */
function buildFlags(words, first, namesOf) {
  const booleans = words[first]
  const scores = words[first + 1]
  const id = words[first + 4]
  const names = id === 0 ? {} : JSON.parse(namesOf(id) ?? '{}')
  /** @type {Record<string, unknown>} */
  const flags = {}
  for (const [name, [kind, place]] of fields) {
    if (kind === 'boolean') {
      if (booleans & (1 << place)) flags[name] = (booleans & (1 << (place + 16))) !== 0
    } else if (kind === 'score') {
      const score = (scores >>> (place * 8)) & 255
      if (score !== ABSENT_SCORE) flags[name] = score
    } else if (kind === 'date') {
      const day = place === 2 ? words[first + 3] : (words[first + 2] >>> (place * 16)) & 0xffff
      if (day !== 0) flags[name] = new Date(FIRST_DAY + day * DAY).toISOString().slice(0, 10)
    } else if (name in names) {
      flags[name] = Object.isFrozen(names[name]) ? names[name] : Object.freeze(names[name])
    }
  }
  return flags
}

/** Reads decisions for one checker. */
class DecisionReader {
  #policies
  #flags = new FlagCache()

  /** @param {Policies} policies */
  constructor(policies) {
    this.#policies = policies
  }

  /**
   * The decision about `text` that begins at `at`.
   *
   * @param {Words} words
   * @param {number} at
   * @param {string} text
   * @param {(id: number) => string | null | undefined} namesOf
   * @returns {Decision}
   */
  read(words, at, text, namesOf) {
    const bits = words[at + ACTION]
    const failure = words[at + FAILURE]
    const provider = (failure >>> 16) & 255
    const policy = this.#policies.at(words[at + POLICY])
    const checkedAt = words[at + CHECKED_AT + 1] * 0x1_0000_0000 + words[at + CHECKED_AT]
    const band = (bits >>> 6) & 7
    return {
      ip: bits & KEEPS_TEXT ? text : bits & NO_ADDRESS ? null : canonicalAddress(text),
      score: (bits >>> 12) & 127,
      band: band === 0 ? null : bands[band - 1],
      flags: this.#flags.read(words, at, namesOf),
      action: actions[bits & 7],
      wouldBe: actions[(bits >>> 3) & 7],
      reasons: policy.reasons.read(words[at + REASONS], words[at + REASONS + 1]),
      source: sources[(bits >>> 9) & 7],
      provider: provider === 0 ? null : providers[provider - 1],
      stale: (bits & (1 << 23)) !== 0,
      degraded: (bits & (1 << 24)) !== 0,
      checkedAt: checkedAt === 0 ? null : checkedAt,
      failedOpen: (bits & (1 << 25)) !== 0,
      failedClosed: (bits & (1 << 26)) !== 0,
      failure: (failure & 255) === 0 ? null : codes[(failure & 255) - 1],
      mode: modes[(bits >>> 19) & 1],
      policy: policy.name,
    }
  }
}

/**
 * How the address of the decision that begins at `at` became known.
 *
 * @param {Words} words
 * @param {number} [at]
 */
function provenanceOf(words, at = 0) {
  return provenances[(words[at + ACTION] >>> 20) & 7]
}

/**
 * The code of a mistake in the set-up that the decision shows, if any.
 *
 * @param {Words} words
 * @param {number} [at]
 */
function warningOf(words, at = 0) {
  const warning = (words[at + FAILURE] >>> 8) & 255
  return warning === 0 ? undefined : codes[warning - 1]
}

/**
 * Writes another failure into the words of one decision.
 *
 * @param {Words} words
 * @param {number} code the place of the code in the vocabulary
 */
function writeFailure(words, code) {
  words[FAILURE] = (words[FAILURE] & ~255) | (code + 1)
}

exports.DecisionReader = DecisionReader
exports.provenanceOf = provenanceOf
exports.warningOf = warningOf
exports.writeFailure = writeFailure
