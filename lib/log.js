'use strict'

const { inspect } = require('node:util')
const { coded, refuseUnknownKeys, shown } = require('./errors.js')
const { networkOf } = require('./native.js')
const { advice, codes } = require('./vocabulary.js')

/**
 * @import { Decision, ErrorCode, Logger, RiskCheckerOptions } from '../index.js'
 */

/** After the first line about failing open, the rest is counted for this long. */
const FAILED_OPEN_INTERVAL = 10_000
/** How long a logger that failed is not used. */
const BROKEN_INTERVAL = 60_000
/** The lines that decisions cause, by what `enforce` answers. */
const LOGGED = new Set(['challenge', 'block', 'hold'])

/** Warnings about the set-up are said once; each worker thread that loads the package says them for itself. */
const warned = new Set()

/** @type {Logger} */
const consoleLogger = {
  info: (details, message) => console.info(line(details, message)),
  warn: (details, message) => console.warn(line(details, message)),
  error: (details, message) => console.error(line(details, message)),
}

/**
 * @param {object} details
 * @param {string} message
 */
function line(details, message) {
  const values = Object.entries(details).map(([key, value]) => `${key}=${plain(value)}`)
  return [`ip-risk: ${message}`, ...values].join(' ')
}

/**
 * A value on one line and in plain characters, so that nothing in it can pass for another line.
 *
 * @param {unknown} value
 */
function plain(value) {
  const text = written(value)
  const escape = (/** @type {string} */ character) =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return /^[!-~]*$/.test(text) ? text : JSON.stringify(text).replaceAll(/[^ -~]/g, escape)
}

/**
 * Of errors only the stack: their other properties may hold requests, with what is secret in them.
 *
 * @param {unknown} value
 */
function written(value) {
  try {
    if (value instanceof Error) return String(value.stack ?? value.message)
    if (Array.isArray(value)) return value.join(',')
    const isObject = typeof value === 'object' && value !== null
    return isObject
      ? inspect(value, { breakLength: Infinity, customInspect: false, depth: 0 })
      : String(value)
  } catch {
    return 'a value that cannot be written'
  }
}

/**
 * @param {ErrorCode} code
 * @returns {string}
 */
function adviceFor(code) {
  return advice[codes.indexOf(code)] ?? ''
}

/**
 * How loud a notice at the start is.
 *
 * @param {ErrorCode | null} code
 */
function levelOf(code) {
  if (code === null) return 'info'
  return code === 'ERR_IP_RISK_NATIVE' ? 'error' : 'warn'
}

/** Writes lines about decisions. Never throws: a logger that does is reported and left alone for a minute. */
class Log {
  #logger
  #writesFullAddresses
  #failedOpen = 0
  /** @type {ErrorCode | null} */
  #lastFailure = null
  /** @type {NodeJS.Timeout | undefined} */
  #timer
  #brokenUntil = 0

  /** @param {RiskCheckerOptions['logger']} option */
  constructor(option) {
    const { logger, addresses } = readOption(option)
    this.#logger = logger
    this.#writesFullAddresses = addresses === 'full'
  }

  /**
   * @param {Decision} decision
   * @param {string | null} entry who answers for the list entry that decided
   */
  decided(decision, entry = null) {
    if (this.#logger === undefined) return
    if (decision.failedOpen) this.#countFailedOpen(decision)
    if (LOGGED.has(decision.wouldBe)) this.#writeDecision(decision, entry)
  }

  /**
   * A mistake in the set-up, once.
   *
   * @param {ErrorCode} code
   */
  warnOnce(code) {
    if (this.#logger === undefined || warned.has(code)) return
    if (this.#write('warn', { code }, adviceFor(code))) warned.add(code)
  }

  /**
   * What is worth a line at the start, each once.
   *
   * @param {{ code: ErrorCode | null, message: string }[]} notices
   */
  noticed(notices) {
    for (const { code, message } of notices) {
      if (this.#logger === undefined || warned.has(message)) continue
      // The process warning has said it on the console.
      if (code === 'ERR_IP_RISK_NATIVE' && this.#logger === consoleLogger && showsWarnings()) continue
      if (this.#write(levelOf(code), code === null ? {} : { code }, message)) warned.add(message)
    }
  }

  /** Whether nothing is ever written. */
  get isSilent() {
    return this.#logger === undefined
  }

  /**
   * That much of a limit of the budget is used.
   *
   * @param {{ period: string, percent: number, used: number, limit: number }} event
   */
  budgetUsed(event) {
    this.#write('warn', event, `${event.percent} % of the look-ups of this ${event.period} are used`)
  }

  /**
   * That the provider or Redis is left alone, and that this is over.
   *
   * @param {{ code: ErrorCode, since: number, isOver: boolean }} notice
   */
  outage({ code, since, isOver }) {
    const details = { code, since: new Date(since).toISOString() }
    const isRedis = code === 'ERR_IP_RISK_REDIS'
    if (isOver) this.#write('info', details, isRedis ? 'redis is used again' : 'calls are made again')
    else if (isRedis) this.#write('warn', details, adviceFor(code))
    else this.#write('warn', details, `calls are stopped: ${adviceFor(code)}`)
  }

  /**
   * What code of the application threw. Loggers like pino write errors as such under `err` alone.
   *
   * @param {string} hook
   * @param {unknown} error
   */
  hookFailed(hook, error) {
    this.#write('error', { code: 'ERR_IP_RISK_HOOK', hook, err: error }, adviceFor('ERR_IP_RISK_HOOK'))
  }

  /** Writes what is still counted, and stops. */
  close() {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writeCount()
  }

  /**
   * @param {Decision} decision
   * @param {string | null} entry
   */
  #writeDecision(decision, entry) {
    const { action, wouldBe, mode, score, reasons, policy, source, failure } = decision
    /** @type {Record<string, unknown>} */
    const details = { address: this.#written(decision.ip), score, reasons, policy, source }
    if (entry !== null) details.entry = entry
    if (failure !== null) details.failure = failure
    const verb = mode === 'log-only' ? `would ${wouldBe}` : action
    this.#write(wouldBe === 'challenge' ? 'info' : 'warn', details, verb)
  }

  /** @param {string | null} address */
  #written(address) {
    if (address === null) return 'none'
    return this.#writesFullAddresses ? address : networkOf(address)
  }

  /** @param {Decision} decision */
  #countFailedOpen(decision) {
    this.#lastFailure = decision.failure
    if (this.#timer !== undefined) {
      this.#failedOpen++
      return
    }
    const { failure, policy } = decision
    this.#write('warn', { failure, policy }, `failed open: ${failure ? adviceFor(failure) : ''}`)
    this.#startTimer()
  }

  #startTimer() {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#writeCount()) this.#startTimer()
    }, FAILED_OPEN_INTERVAL)
    this.#timer.unref()
  }

  #writeCount() {
    const count = this.#failedOpen
    if (count === 0) return false
    if (this.#write('warn', { count, failure: this.#lastFailure }, 'failed open again')) this.#failedOpen = 0
    return true
  }

  /**
   * Whether the logger took the line.
   *
   * @param {'info' | 'warn' | 'error'} level
   * @param {object} details
   * @param {string} message
   */
  #write(level, details, message) {
    if (this.#logger === undefined || performance.now() < this.#brokenUntil) return false
    try {
      const result = /** @type {any} */ (this.#logger[level](details, message))
      if (typeof result?.then === 'function') result.then(undefined, this.#giveUp)
      return true
    } catch (error) {
      this.#giveUp(error)
      return false
    }
  }

  /** A logger that fails is left alone for a while: it may be the one thing that is down. */
  #giveUp = (/** @type {unknown} */ error) => {
    if (performance.now() < this.#brokenUntil) return
    this.#brokenUntil = performance.now() + BROKEN_INTERVAL
    try {
      consoleLogger.error({ error }, 'the logger failed and is not used for a minute')
    } catch {
      // The console itself cannot be written to: nobody is left to tell.
    }
  }
}

/**
 * @param {RiskCheckerOptions['logger']} option
 * @returns {{ logger: Logger | undefined, addresses?: string }}
 */
function readOption(option) {
  if (option === undefined) return { logger: consoleLogger }
  if (option === false) return { logger: undefined }
  const levels = /** @type {const} */ (['info', 'warn', 'error'])
  const object = /** @type {any} */ (option)
  const isObject = typeof object === 'object' && object !== null && !Array.isArray(object)
  const addresses = isObject ? object.addresses : undefined
  if (isObject && levels.every((level) => typeof object[level] === 'function') && isChoice(addresses)) {
    return { logger: object, addresses }
  }
  if (isObject && levels.every((level) => object[level] === undefined)) {
    refuseUnknownKeys(object, ['addresses'], 'logger.')
    if (isChoice(addresses)) return { logger: consoleLogger, addresses }
    throw coded(
      'ERR_IP_RISK_OPTION',
      `\`logger.addresses\` must be 'network' or 'full', not ${shown(addresses)}`,
    )
  }
  const expected = 'a logger with `info`, `warn` and `error`, `{ addresses }`, or false'
  throw coded('ERR_IP_RISK_OPTION', `\`logger\` must be ${expected}, not ${shown(option)}`)
}

/** @param {unknown} addresses */
function isChoice(addresses) {
  return addresses === undefined || addresses === 'network' || addresses === 'full'
}

/** Whether Node.js writes process warnings. */
function showsWarnings() {
  const { env, execArgv } = process
  const words = [...execArgv, ...(env.NODE_OPTIONS ?? '').split(' ')]
  return env.NODE_NO_WARNINGS !== '1' && !words.includes('--no-warnings')
}

exports.Log = Log
exports.adviceFor = adviceFor
exports.consoleLogger = consoleLogger
