'use strict'

const { canonicalAddress, isBogon, isHostName } = require('./addresses.js')
const { builtInSecurity, faultCardFor, securityOf } = require('./answers.js')
const { defaultMessage } = require('./replies.js')

/**
 * @import { Fault, FaultCard, PartialSecurity } from '../testing.js'
 * @import { Reply } from './replies.js'
 */

/**
 * What is known of one address.
 *
 * @typedef {object} Entry
 * @property {number} status
 * @property {unknown} body
 * @property {Reply} [raw] sent instead, byte for byte
 * @property {Fault} [fault] suffered by the whole request
 */

/** Statuses that concern one address, not the request: in a bulk answer they are entries. */
const ADDRESS_STATUSES = [400, 404, 423]

/** The answers to every address: the user's own, and the built-in ones below them. */
class AnswerBook {
  /** @type {Map<string, { security: PartialSecurity | null } | { raw: Reply }>} */
  #own = new Map()

  /**
   * @param {string} address canonical
   * @param {PartialSecurity | null} security
   */
  set(address, security) {
    this.#own.set(address, { security })
  }

  /**
   * @param {string} address canonical
   * @param {Reply} raw
   */
  setRaw(address, raw) {
    this.#own.set(address, { raw })
  }

  clear() {
    this.#own.clear()
  }

  /**
   * @param {string} ip as the client wrote it
   * @returns {Entry}
   */
  find(ip) {
    const address = canonicalAddress(ip)
    if (address === null) return notAnAddress(ip)
    const own = this.#own.get(address)
    if (own === undefined) return builtInEntry(ip, address)
    if ('raw' in own) return rawEntry(own.raw)
    return own.security === null ? failedEntry(404) : scoredEntry(ip, own.security)
  }
}

/**
 * @param {string} ip
 * @param {string} address
 */
function builtInEntry(ip, address) {
  const security = builtInSecurity(address)
  if (security) return scoredEntry(ip, security)
  const card = faultCardFor(address)
  if (card) return faultCardEntry(ip, card)
  return isBogon(address) ? failedEntry(423, `\`${ip}\` is a bogon address`) : scoredEntry(ip, {})
}

/**
 * @param {string} ip
 * @param {PartialSecurity} security
 * @returns {Entry}
 */
function scoredEntry(ip, security) {
  return { status: 200, body: { ip, security: securityOf(security) } }
}

/**
 * @param {number} status
 * @param {string} [message]
 * @returns {Entry}
 */
function failedEntry(status, message = defaultMessage(status)) {
  return { status, body: { message } }
}

/** @param {string} ip */
function notAnAddress(ip) {
  if (isHostName(ip)) return failedEntry(401, `\`${ip}\` is a host name: send an IPv4 or IPv6 address`)
  return failedEntry(400, `\`${ip}\` is not a valid IPv4 or IPv6 address`)
}

/**
 * @param {string} ip
 * @param {FaultCard} card
 * @returns {Entry}
 */
function faultCardEntry(ip, { fault, body }) {
  if (fault === undefined) return { status: 200, body }
  if ('status' in fault && ADDRESS_STATUSES.includes(fault.status)) return failedEntry(fault.status)
  return { ...scoredEntry(ip, {}), fault }
}

/**
 * @param {Reply} raw
 * @returns {Entry}
 */
function rawEntry(raw) {
  const text = Buffer.from(raw.body).toString()
  try {
    return { status: raw.status, body: JSON.parse(text), raw }
  } catch {
    return { status: raw.status, body: { message: text }, raw }
  }
}

module.exports = { AnswerBook }
