'use strict'

const { coded, shown } = require('./errors.js')

/**
 * @import { Decision } from '../index.js'
 * @import { AddressSource } from './address-source.js'
 *
 * @typedef {object} Surroundings
 * @property {AddressSource} source
 * @property {(texts: string[], stop: AbortSignal) => Promise<Decision[]>} decide
 * @property {AbortSignal | undefined} signal the caller's
 * @property {AbortSignal} closing aborts when the checker closes
 *
 * @typedef {object} Batch addresses that were handed over together
 * @property {Decision[] | undefined} decisions
 * @property {number} given how many of them the consumer has
 *
 * @typedef {object} Waiter a call of `next`
 * @property {(result: IteratorResult<Decision, undefined>) => void} resolve
 * @property {(reason: unknown) => void} reject
 */

/** How many addresses are handed over together. */
const BATCH = 1_000
/** How many batches are under way at once. */
const MOST_BATCHES = 4
/** How far the source is read ahead of the consumer: what is under way, and what is being collected. */
const MOST_AHEAD = BATCH * (MOST_BATCHES + 1)
/** For how many milliseconds an address of a slow source waits for others. */
const LONGEST_WAIT = 10

/**
 * Decisions about any number of addresses, in their order and in bounded memory. Not a generator, because one that is
 * waiting for its source cannot be ended.
 *
 * @implements {AsyncIterableIterator<Decision>}
 */
class DecisionStream {
  #source
  #decide
  #signal
  #closing
  /** Stops what is under way when nobody wants it any more. */
  #stop = new AbortController()
  /** `drained`: nothing more is read. @type {'new' | 'open' | 'drained' | 'ended'} */
  #state = 'new'
  /** What the consumer gets in place of the end. @type {{ reason: unknown } | undefined} */
  #failure
  /** @type {Waiter[]} */
  #waiters = []
  /** Handed over, in order. @type {Batch[]} */
  #batches = []
  #batchesUnderWay = 0
  /** Read, and not handed over yet. @type {string[]} */
  #texts = []
  /** How many addresses were read, and about how many of these the consumer has no decision yet. */
  #position = 0
  #ahead = 0
  #isReading = false
  /** Whether what was read has waited for others long enough. */
  #isDue = false
  /** @type {NodeJS.Timeout | undefined} */
  #timer

  /** @param {Surroundings} surroundings */
  constructor({ source, decide, signal, closing }) {
    this.#source = source
    this.#decide = decide
    this.#signal = signal
    this.#closing = closing
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** @returns {Promise<IteratorResult<Decision, undefined>>} */
  next() {
    if (this.#state === 'new') this.#start()
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#goOn()
    })
  }

  /** @returns {Promise<IteratorReturnResult<undefined>>} */
  async return() {
    const closed = this.#end(undefined)
    this.#give()
    await closed
    return { done: true, value: undefined }
  }

  #start() {
    this.#state = 'open'
    if (this.#signal?.aborted) this.#abort()
    else this.#signal?.addEventListener('abort', this.#abort)
  }

  #abort = () => {
    this.#end({ reason: this.#signal?.reason }).catch(ignore)
    this.#give()
  }

  /** Does what can be done now: gives decisions, hands addresses over, reads. */
  #goOn = () => {
    if (this.#closing.aborted) this.#giveUp(this.#closing.reason)
    this.#give()
    this.#handOver()
    if (!this.#isReading && this.#mayRead()) void this.#readOn()
  }

  #give() {
    while (this.#waiters.length > 0 && this.#giveTo(this.#waiters[0])) this.#waiters.shift()
  }

  /**
   * @param {Waiter} waiter
   * @returns {boolean} whether there was something to give
   */
  #giveTo({ resolve, reject }) {
    const decision = this.#nextDecision()
    if (decision !== undefined) resolve({ done: false, value: decision })
    else if (!this.#isOver()) return false
    else if (this.#failure === undefined) resolve({ done: true, value: undefined })
    else {
      reject(this.#failure.reason)
      this.#failure = undefined
    }
    return true
  }

  #nextDecision() {
    const [batch] = this.#batches
    if (batch?.decisions === undefined) return undefined
    const decision = batch.decisions[batch.given++]
    if (batch.given === batch.decisions.length) this.#batches.shift()
    this.#ahead--
    return decision
  }

  #isOver() {
    const isAllGiven = this.#batches.length === 0 && this.#texts.length === 0
    if (this.#state === 'drained' && isAllGiven) this.#end(this.#failure).catch(ignore)
    return this.#state === 'ended'
  }

  #handOver() {
    if (this.#texts.length === 0 || this.#batchesUnderWay === MOST_BATCHES) return
    if (this.#texts.length < BATCH && !this.#isDue && this.#state !== 'drained') return
    /** @type {Batch} */
    const batch = { decisions: undefined, given: 0 }
    const decided = this.#decide(this.#texts, this.#stop.signal)
    this.#batches.push(batch)
    this.#batchesUnderWay++
    this.#collectAnew()
    const settle = () => {
      this.#batchesUnderWay--
      this.#goOn()
    }
    decided
      .then(
        (decisions) => void (batch.decisions = decisions),
        (reason) => this.#fail(batch, reason),
      )
      .then(settle)
  }

  #collectAnew() {
    clearTimeout(this.#timer)
    this.#isDue = false
    this.#texts = []
  }

  /** A batch is begun only where all of it may be read: one address at a time behind a slow consumer would cost more. */
  #mayRead() {
    if (this.#state !== 'open') return false
    const { length } = this.#texts
    return length === 0 ? this.#ahead + BATCH <= MOST_AHEAD : length < BATCH && this.#ahead < MOST_AHEAD
  }

  async #readOn() {
    this.#isReading = true
    try {
      while (this.#mayRead()) {
        const step = this.#source.next()
        this.#take(step instanceof Promise ? await this.#whileOpen(step) : step)
      }
    } catch (reason) {
      this.#drain({ reason })
    }
    this.#isReading = false
    this.#goOn()
  }

  /**
   * Waits for the source, which may take for ever, with an ear to the checker. Not for longer: the checker would keep a
   * stream that was forgotten half-way.
   *
   * @template T
   * @param {Promise<T>} step
   */
  async #whileOpen(step) {
    this.#closing.addEventListener('abort', this.#goOn)
    try {
      return await step
    } finally {
      this.#closing.removeEventListener('abort', this.#goOn)
    }
  }

  /** @param {IteratorResult<unknown>} step */
  #take({ done, value }) {
    if (this.#state !== 'open') return
    if (done) return this.#drain()
    if (typeof value !== 'string') return this.#giveUp(notText(value, this.#position))
    this.#texts.push(value)
    this.#position++
    this.#ahead++
    if (this.#source.isAsync && this.#texts.length === 1) this.#waitForOthers()
    this.#handOver()
  }

  #waitForOthers() {
    const send = () => {
      this.#isDue = true
      this.#handOver()
    }
    this.#timer = setTimeout(send, LONGEST_WAIT)
  }

  /**
   * Nothing more is read; what was read is decided first.
   *
   * @param {{ reason: unknown }} [failure]
   */
  #drain(failure) {
    if (this.#state !== 'open') return
    this.#state = 'drained'
    this.#failure = failure
  }

  /** @param {unknown} reason */
  #giveUp(reason) {
    this.#drain({ reason })
    this.#source.close().catch(ignore)
  }

  /**
   * A batch that has no decisions is where the stream ends.
   *
   * @param {Batch} batch
   * @param {unknown} reason
   */
  #fail(batch, reason) {
    const place = this.#batches.indexOf(batch)
    if (place === -1) return
    this.#batches.length = place
    this.#collectAnew()
    this.#giveUp(reason)
    this.#failure = { reason }
  }

  /**
   * Ends at once. Resolves when the source is closed.
   *
   * @param {{ reason: unknown } | undefined} failure
   */
  async #end(failure) {
    this.#failure = failure
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#stop.abort()
    this.#batches = []
    this.#collectAnew()
    await this.#source.close()
  }
}

/**
 * @param {unknown} value
 * @param {number} position
 */
function notText(value, position) {
  const message = `\`ips[${position}]\` must be a string, not ${shown(value)}`
  return coded('ERR_IP_RISK_ARGUMENT', message)
}

/** For what fails when the consumer already has another error, or has left. */
function ignore() {}

exports.DecisionStream = DecisionStream
