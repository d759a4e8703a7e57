'use strict'

const { setMaxListeners } = require('node:events')
const { checkedOptions, coded, refuseUnknownKeys, shown } = require('./errors.js')
const { Judge, addon, closed } = require('./judge.js')
const { Log } = require('./log.js')
const native = require('./native.js')
const { readSurroundings } = require('./surroundings.js')
const { mostAddresses } = require('./vocabulary.js')

/**
 * @import { CheckManyOptions, CheckOptions, Decision, RiskCheckerOptions, Stats } from '../index.js'
 * @import { NativeChecker } from './native.js'
 */

/** Lifts the documentation addresses out of special-use space. Not exported by the package. */
const TESTING = Symbol('testing')

/** What stands before a value that JSON cannot hold; the core then refuses it as what it was. */
const FOREIGN = '\0'

/** What one check may be told. */
const CALL_OPTIONS = ['policy', 'route', 'signal']

/** The addon's class; its methods are called through `addon`, because those here have the same names. */
const Base = /** @type {new (setup: string) => object} */ (native.RiskChecker)

/**
 * The judge inside a checker, for the rest of the package.
 *
 * @type {(checker: RiskChecker) => Judge}
 */
let judgeOf

/** Completes the addon's class with what needs JavaScript: arguments, signals, logs, events. */
class RiskChecker extends Base {
  #judge
  /** Aborts when the checker closes, for streams that wait. */
  #closing = new AbortController()

  static {
    judgeOf = (checker) => checker.#judge
  }

  /**
   * @param {RiskCheckerOptions} [options]
   * @param {unknown} [purpose] `TESTING`, which only `ip-risk/testing` has
   */
  constructor(options = {}, purpose = undefined) {
    const { logger, ...rest } = checkedOptions(options)
    const log = new Log(logger)
    super(toJson({ options: rest, surroundings: readSurroundings(), testing: purpose === TESTING }))
    this.#judge = new Judge(this.#native, log)
    setMaxListeners(0, this.#closing.signal)
  }

  get #native() {
    return /** @type {NativeChecker} */ (/** @type {unknown} */ (this))
  }

  /**
   * @param {string} ip
   * @param {CheckOptions} [options]
   * @returns {Promise<Decision>}
   */
  check(ip, options) {
    try {
      checkText(ip)
      const context = this.#contextOf(options)
      const signal = checkedSignal(options)
      const decision = this.#judge.decideNow(ip, context, 0)
      if (decision !== undefined) return Promise.resolve(decision)
      const later = this.#judge.decideLater(ip, context, 0)
      return signal === undefined ? later : abortable(later, signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * @param {string} ip
   * @param {Pick<CheckOptions, 'policy' | 'route'>} [options]
   * @returns {Decision | null}
   */
  peek(ip, options) {
    checkText(ip)
    return this.#judge.peek(ip, this.#contextOf(options))
  }

  /**
   * @param {string[]} ips
   * @param {CheckManyOptions} [options]
   * @returns {Promise<Decision[]>}
   */
  async checkMany(ips, options) {
    const texts = checkedTexts(ips)
    const context = this.#contextOf(options)
    const signal = checkedSignal(options)
    const later = this.#judge.decideMany(texts, context, signal)
    return signal === undefined ? later : abortable(later, signal)
  }

  /**
   * @param {Iterable<string> | AsyncIterable<string>} ips
   * @param {CheckOptions} [options]
   * @returns {AsyncIterable<Decision>}
   */
  checkStream(ips, options) {
    // Most applications never stream, and every one of them starts.
    const { AddressSource } = require('./address-source.js')
    const { DecisionStream } = require('./stream.js')
    const source = new AddressSource(ips)
    const context = this.#contextOf(options)
    const signal = signalOf(options)
    this.#closing.signal.throwIfAborted()
    /** @type {(texts: string[], stop: AbortSignal) => Promise<Decision[]>} */
    const decide = (texts, stop) => this.#judge.decideMany(texts, context, stop)
    return new DecisionStream({ source, decide, signal, closing: this.#closing.signal })
  }

  /**
   * @param {string} [ip]
   * @returns {Promise<void>}
   */
  async invalidate(ip) {
    if (ip !== undefined) checkText(ip)
    const failure = await addon.invalidate.call(this.#native, ip)
    if (failure !== null) throw Object.assign(new Error(failure), { code: 'ERR_IP_RISK_REDIS' })
  }

  /** @returns {Promise<void>} */
  async close() {
    addon.close.call(this.#native)
    this.#closing.abort(closed())
    await this.#judge.settled()
    await addon.end.call(this.#native)
    this.#judge.log.close()
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }

  /** @param {{ policy?: string, route?: string } | undefined} options */
  #contextOf(options) {
    if (options === undefined) return 0
    const { policy, route } = checkedOptions(options)
    refuseUnknownKeys(options, CALL_OPTIONS)
    if (route !== undefined && typeof route !== 'string') {
      throw coded('ERR_IP_RISK_ARGUMENT', `\`route\` must be a string, not ${shown(route)}`)
    }
    return this.#judge.contextOf(policy, route)
  }
}

/** @param {string} ip */
function checkText(ip) {
  if (typeof ip === 'string') return
  throw coded('ERR_IP_RISK_ARGUMENT', `\`ip\` must be a string, not ${shown(ip)}`)
}

/** @param {string[]} ips */
function checkedTexts(ips) {
  // `every` would pass over holes.
  const wrong = Array.isArray(ips) ? Array.from(ips).findIndex((ip) => typeof ip !== 'string') : undefined
  if (wrong === undefined) {
    const advice = 'write `[...ips]`, or use `checkStream`'
    throw coded('ERR_IP_RISK_ARGUMENT', `\`ips\` must be an array of strings, not ${shown(ips)}; ${advice}`)
  }
  if (wrong !== -1) {
    throw coded('ERR_IP_RISK_ARGUMENT', `\`ips[${wrong}]\` must be a string, not ${shown(ips[wrong])}`)
  }
  if (ips.length <= mostAddresses) return ips
  const message = `\`checkMany\` takes at most ${mostAddresses} addresses, not ${ips.length}; use \`checkStream\``
  throw coded('ERR_IP_RISK_ARGUMENT', message)
}

/**
 * The signal, which throws its reason when it has already aborted.
 *
 * @param {{ signal?: AbortSignal } | undefined} options
 */
function checkedSignal(options) {
  const signal = signalOf(options)
  signal?.throwIfAborted()
  return signal
}

/** @param {{ signal?: AbortSignal } | undefined} options */
function signalOf(options) {
  const signal = options?.signal
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw coded('ERR_IP_RISK_ARGUMENT', `\`signal\` must be an AbortSignal, not ${shown(signal)}`)
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function abortable(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const stop = () => signal.removeEventListener('abort', abort)
    promise.then(resolve, reject).finally(stop)
  })
}

/**
 * Options as JSON. What JSON would drop or blur is written out, so that the core refuses it by its path.
 *
 * @param {object} value
 */
function toJson(value) {
  try {
    return JSON.stringify(value, (_, item) => (isLost(item) ? FOREIGN + shown(item) : item))
  } catch {
    throw coded('ERR_IP_RISK_OPTION', 'the options must be plain data without circles')
  }
}

/** @param {unknown} item */
function isLost(item) {
  return (
    ['function', 'symbol', 'bigint'].includes(typeof item) ||
    (typeof item === 'number' && !Number.isFinite(item)) ||
    item instanceof Map ||
    item instanceof Set
  )
}

exports.TESTING = TESTING
exports.RiskChecker = RiskChecker
exports.judgeOf = judgeOf
exports.toJson = toJson
