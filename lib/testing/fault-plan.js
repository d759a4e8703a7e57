'use strict'

const { validateHeaderValue } = require('node:http')
const { canonicalAddress } = require('./addresses.js')
const { checkAddress, checkInteger, checkKeys, checkText, listed, show } = require('./checks.js')
const { FAULT_KINDS } = require('./faults.js')
const { isBulk } = require('./questions.js')

/**
 * @import { Fault, FaultOptions, KindFault, StatusFault } from '../testing.js'
 * @import { Question } from './questions.js'
 */

/** @typedef {{ fault: Fault, left: number }} Armed */

const EVERY_ADDRESS = 'every address'
const EVERY_ENDPOINT = 'every endpoint'
const ENDPOINTS = ['single', 'bulk']

/**
 * Which request suffers what: a script first, then a fault for its address, then one for every address; of two for the
 * same address, the one for its endpoint.
 */
class FaultPlan {
  /** @type {(Fault | null)[]} */
  #script = []
  /** @type {Map<string, Armed>} */
  #armed = new Map()

  /**
   * @param {Fault | null} fault
   * @param {FaultOptions} options
   */
  set(fault, options) {
    checkKeys('fault options', options, ['ip', 'endpoint', 'times'])
    const { ip, endpoint, times = Infinity } = options
    if (times !== Infinity) checkInteger('`times`', times, 1, Number.MAX_SAFE_INTEGER)
    if (endpoint !== undefined) checkEndpoint(endpoint)
    const target = targetOf(ip === undefined ? EVERY_ADDRESS : checkAddress(ip), endpoint)
    if (fault !== null) this.#armed.set(target, { fault: checkedFault(fault), left: times })
    else if (ip === undefined && endpoint === undefined) this.clear()
    else this.#armed.delete(target)
  }

  /** @param {readonly (Fault | null)[]} faults */
  script(faults) {
    if (!Array.isArray(faults)) throw new TypeError(`script is ${show(faults)}: pass a list of faults`)
    this.#script = faults.map((fault) => (fault === null ? null : checkedFault(fault)))
  }

  clear() {
    this.#script = []
    this.#armed.clear()
  }

  /**
   * The fault for this request, used up by asking.
   *
   * @param {Question} question
   * @returns {Fault | null}
   */
  next(question) {
    const scripted = this.#script.shift()
    if (scripted !== undefined) return scripted !== null && concerns(scripted, question) ? scripted : null
    return this.#nextArmed(question)
  }

  /** @param {Question} question */
  #nextArmed(question) {
    if (this.#armed.size === 0) return null
    for (const target of targetsOf(question)) {
      const armed = this.#armed.get(target)
      if (armed && concerns(armed.fault, question)) return this.#use(target, armed)
    }
    return null
  }

  /**
   * @param {string} target
   * @param {Armed} armed
   */
  #use(target, armed) {
    armed.left -= 1
    if (armed.left <= 0) this.#armed.delete(target)
    return armed.fault
  }
}

/**
 * @param {string} address
 * @param {string} [endpoint]
 */
function targetOf(address, endpoint = EVERY_ENDPOINT) {
  return `${address} at ${endpoint}`
}

/**
 * What a fault for this request may have been armed for, the nearest first.
 *
 * @param {Question} question
 */
function targetsOf(question) {
  const own = isBulk(question) ? 'bulk' : 'single'
  const addresses = [...question.ips.map((ip) => canonicalAddress(ip) ?? ''), EVERY_ADDRESS]
  return addresses.flatMap((address) => [targetOf(address, own), targetOf(address)])
}

/**
 * A fault in the shape of a bulk answer cannot strike a single one.
 *
 * @param {Fault} fault
 * @param {Question} question
 */
function concerns(fault, question) {
  return isBulk(question) || !('kind' in fault) || !fault.kind.startsWith('bulk-')
}

/**
 * A copy, so that changing the caller's object later changes nothing.
 *
 * @param {Fault} fault
 * @returns {Fault}
 */
function checkedFault(fault) {
  checkKeys('fault', fault, ['status', 'message', 'retryAfter', 'kind', 'bytesPerSecond', 'location'])
  if ('kind' in fault === 'status' in fault) {
    throw new TypeError(`fault is ${show(fault)}: give it either a \`status\` or a \`kind\``)
  }
  if ('kind' in fault) checkKindFault(fault)
  else checkStatusFault(fault)
  return { ...fault }
}

/** @param {string} endpoint */
function checkEndpoint(endpoint) {
  if (ENDPOINTS.includes(endpoint)) return
  throw new TypeError(`\`endpoint\` is ${show(endpoint)}: use ${listed(ENDPOINTS)}`)
}

/** @param {StatusFault} fault */
function checkStatusFault(fault) {
  checkKeys('status fault', fault, ['status', 'message', 'retryAfter'])
  checkInteger('`status`', fault.status, 200, 599)
  if (fault.message !== undefined) checkText('`message`', fault.message)
  if (fault.retryAfter !== undefined) validateHeaderValue('Retry-After', String(fault.retryAfter))
}

/** @param {KindFault} fault */
function checkKindFault({ kind, ...settings }) {
  if (!FAULT_KINDS.includes(kind)) {
    throw new TypeError(`there is no fault ${show(kind)}: use ${listed(FAULT_KINDS)}`)
  }
  checkKeys(`fault \`${kind}\``, settings, settingsOf(kind))
  if (settings.bytesPerSecond !== undefined) checkRate(settings.bytesPerSecond)
  if (settings.location !== undefined) validateHeaderValue('Location', settings.location)
}

/** @param {string} kind */
function settingsOf(kind) {
  if (kind === 'drip') return ['bytesPerSecond']
  return kind === 'redirect' ? ['location'] : []
}

/** @param {unknown} rate */
function checkRate(rate) {
  if (typeof rate === 'number' && rate > 0 && Number.isFinite(rate)) return
  throw new RangeError(`\`bytesPerSecond\` is ${show(rate)}: pass a number above 0`)
}

module.exports = { FaultPlan }
