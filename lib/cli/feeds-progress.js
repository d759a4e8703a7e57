'use strict'

const { paint, takesEscapes } = require('./terminal.js')
const { byteCount } = require('./words.js')

/**
 * How far an update is: bars on a terminal, which are redrawn in place, elsewhere a line for each feed that ended.
 *
 * @import { WriteStream } from 'node:tty'
 * @import { Style } from './terminal.js'
 *
 * @typedef {'updated' | 'unchanged' | 'not_due' | 'refused' | 'failed' | 'needs_licence'} FeedOutcome
 *
 * @typedef {object} FeedProgress what `describe_progress` in `src/feeds.rs` writes
 * @property {string} id
 * @property {string} title
 * @property {'waiting' | 'fetching' | 'checking' | 'done'} stage
 * @property {number} bytes
 * @property {number | null} total
 * @property {FeedOutcome | null} outcome
 */

/** @type {Record<FeedOutcome, Style>} */
const OUTCOME_STYLES = {
  updated: 'green',
  unchanged: 'dim',
  not_due: 'dim',
  refused: 'red',
  failed: 'red',
  needs_licence: 'yellow',
}
const LONGEST_OUTCOME = Math.max(...Object.keys(OUTCOME_STYLES).map((outcome) => outcome.length))

/** Of these nothing was fetched, so that they are named in the report only. */
const NOT_TRIED = new Set(['not_due', 'needs_licence'])

const DEFAULT_COLUMNS = 80
const DEFAULT_ROWS = 24
const WIDEST_BAR = 30
const NARROWEST_BAR = 8
/** To the start of the line so many lines above, and nothing below it. */
const eraseLines = (/** @type {number} */ count) => (count === 0 ? '' : `\u001b[${count}A\u001b[0J`)

class ProgressView {
  #stream
  #isLive
  /** @type {Set<string>} */
  #ended = new Set()
  #drawn = 0

  /** @param {WriteStream} stream */
  constructor(stream) {
    this.#stream = stream
    this.#isLive = takesEscapes(stream)
  }

  /** Whether it is redrawn in place. */
  get isLive() {
    return this.#isLive
  }

  /** @param {FeedProgress[]} feeds */
  show(feeds) {
    const lines = this.#isLive ? this.#liveLines(feeds) : []
    this.#write(feeds, lines)
  }

  /** @param {FeedProgress[]} feeds */
  end(feeds) {
    this.#write(feeds, [])
  }

  /**
   * What ended goes above the bars and stays there.
   *
   * @param {FeedProgress[]} feeds
   * @param {string[]} live
   */
  #write(feeds, live) {
    const ended = feeds.filter(({ id, outcome }) => outcome !== null && !this.#ended.has(id))
    for (const { id } of ended) this.#ended.add(id)
    const tried = ended.filter(({ outcome }) => outcome !== null && !NOT_TRIED.has(outcome))
    const lines = [...tried.map((feed) => endedLine(feed, this.#stream)), ...live]
    const text = eraseLines(this.#drawn) + lines.map((line) => `${line}\n`).join('')
    this.#drawn = live.length
    if (text !== '') this.#stream.write(text)
  }

  /**
   * A bar for each feed under way, and how many wait.
   *
   * @param {FeedProgress[]} feeds
   */
  #liveLines(feeds) {
    // What stood higher than the terminal could not be redrawn.
    const { columns = DEFAULT_COLUMNS, rows = DEFAULT_ROWS } = this.#stream
    const underWay = feeds.filter(({ stage }) => stage === 'fetching' || stage === 'checking')
    const waiting = feeds.filter(({ stage }) => stage === 'waiting').length
    const idWidth = Math.max(...feeds.map(({ id }) => id.length))
    const lines = underWay.slice(0, Math.max(0, rows - 2)).map((feed) => bar(feed, idWidth, columns - 1))
    const rest = restLine(feeds, underWay, waiting)
    return rest === '' ? lines : [...lines, rest.slice(0, columns - 1)]
  }
}

/**
 * @param {FeedProgress[]} feeds
 * @param {FeedProgress[]} underWay
 * @param {number} waiting
 */
function restLine(feeds, underWay, waiting) {
  if (waiting > 0) return `${waiting} more to come`
  return feeds.length > 0 && underWay.length === 0 ? 'putting them together' : ''
}

/**
 * @param {FeedProgress} feed
 * @param {WriteStream} stream
 */
function endedLine({ id, outcome }, stream) {
  return `${outcomeWord(/** @type {FeedOutcome} */ (outcome), stream)}  ${id}`
}

/**
 * @param {FeedOutcome} outcome
 * @param {WriteStream} [stream]
 */
function outcomeWord(outcome, stream) {
  return paint(outcome.replace('_', ' ').padEnd(LONGEST_OUTCOME), OUTCOME_STYLES[outcome], stream)
}

/**
 * @param {FeedProgress} feed
 * @param {number} idWidth
 * @param {number} width
 */
function bar({ id, stage, bytes, total }, idWidth, width) {
  const name = id.padEnd(idWidth)
  const state = stage === 'checking' ? 'checking' : amount(bytes, total)
  const left = Math.min(WIDEST_BAR, width - name.length - state.length - 4)
  const share = stage === 'checking' ? 1 : total === null ? 0 : Math.min(1, bytes / Math.max(1, total))
  const filled = Math.round(share * left)
  const drawn = left < NARROWEST_BAR ? '' : `${'█'.repeat(filled)}${'·'.repeat(left - filled)}  `
  return `${name}  ${drawn}${state}`.slice(0, width)
}

/**
 * @param {number} bytes
 * @param {number | null} total
 */
function amount(bytes, total) {
  return total === null ? byteCount(bytes) : `${byteCount(bytes)} of ${byteCount(total)}`
}

exports.ProgressView = ProgressView
exports.outcomeWord = outcomeWord
