'use strict'

const { coded, shown } = require('./errors.js')

/** Where the addresses of a stream come from: an iterable of either kind, which is opened when it is first asked. */
class AddressSource {
  #ips
  /** @type {Iterator<unknown> | AsyncIterator<unknown> | undefined} */
  #iterator
  /** @type {'idle' | 'busy' | 'over'} */
  #state = 'idle'

  /** @param {Iterable<string> | AsyncIterable<string>} ips */
  constructor(ips) {
    this.#ips = checkedIterable(ips)
    this.isAsync = isIterable(ips, Symbol.asyncIterator)
  }

  /**
   * The next item; of an asynchronous source a promise of it. To be asked for one at a time.
   *
   * @returns {IteratorResult<unknown> | Promise<IteratorResult<unknown>>}
   */
  next() {
    // One that throws is over, and stays as it is: it cannot be ended.
    return this.isAsync ? this.#nextLater() : this.#received(/** @type {any} */ (this.#ask()))
  }

  async #nextLater() {
    try {
      return this.#received(await this.#ask())
    } catch (error) {
      this.#state = 'over'
      throw error
    }
  }

  #ask() {
    this.#state = 'busy'
    const iterator = this.#iterator ?? this.#open()
    this.#iterator = iterator
    return iterator.next()
  }

  /** @returns {Iterator<unknown> | AsyncIterator<unknown>} */
  #open() {
    const kind = this.isAsync ? Symbol.asyncIterator : Symbol.iterator
    return /** @type {any} */ (this.#ips)[kind]()
  }

  /** @param {IteratorResult<unknown>} step */
  #received(step) {
    if (step.done) this.#state = 'over'
    else if (this.#state === 'busy') this.#state = 'idle'
    // It was closed by what it did itself, when it was running and could not be ended.
    else if (!this.isAsync) this.#iterator?.return?.()
    return step
  }

  /**
   * Closes the source, once. Resolves when it has ended; at once where an item is awaited, because a generator gives that
   * first, and it may never come.
   */
  async close() {
    const state = this.#state
    this.#state = 'over'
    if (state === 'idle') await this.#iterator?.return?.()
    if (state !== 'busy' || !this.isAsync) return
    Promise.resolve(this.#iterator?.return?.()).catch(() => {})
    // A stream of Node.js then needs to be told itself.
    const { destroy } = /** @type {{ destroy?: unknown }} */ (this.#ips)
    if (typeof destroy === 'function') destroy.call(this.#ips)
  }
}

/**
 * @template T
 * @param {T} ips
 */
function checkedIterable(ips) {
  if (typeof ips === 'string') {
    const message = '`ips` must give addresses one by one, and not be one text; write `[ip]`, or use `check`'
    throw coded('ERR_IP_RISK_ARGUMENT', message)
  }
  if (isIterable(ips, Symbol.asyncIterator) || isIterable(ips, Symbol.iterator)) return ips
  const message = `\`ips\` must be an array or another iterable of strings, not ${shown(ips)}`
  throw coded('ERR_IP_RISK_ARGUMENT', message)
}

/**
 * @param {any} value
 * @param {symbol} kind
 */
function isIterable(value, kind) {
  return typeof value?.[kind] === 'function'
}

exports.AddressSource = AddressSource
