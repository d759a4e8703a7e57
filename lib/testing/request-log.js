'use strict'

const { canonicalAddress } = require('./addresses.js')

/**
 * @import { IncomingMessage } from 'node:http'
 * @import { RecordedRequest } from '../testing.js'
 * @import { Question } from './questions.js'
 */

const MOST_REQUESTS = 10_000

/** The last requests, without their keys. */
class RequestLog {
  /** @type {RecordedRequest[]} */
  requests = []
  #total = 0

  /**
   * @param {IncomingMessage} request
   * @param {Question} question
   * @param {boolean} keyAccepted
   */
  add(request, { method, path, ips, key }, keyAccepted) {
    this.#total += 1
    this.requests.push({
      method,
      path,
      ips,
      at: Date.now(),
      protocol: protocolOf(request),
      headers: headersWithoutKey(request, key),
      keyAccepted,
    })
    if (this.requests.length > MOST_REQUESTS) this.requests.shift()
  }

  /** @param {string} [ip] */
  count(ip) {
    if (ip === undefined) return this.#total
    const wanted = spelling(ip)
    return this.requests.filter(({ ips }) => ips.some((asked) => spelling(asked) === wanted)).length
  }

  /** The list stays the same one, for those who hold it. */
  clear() {
    this.requests.length = 0
    this.#total = 0
  }
}

/** @param {string} ip */
function spelling(ip) {
  return canonicalAddress(ip) ?? ip
}

/** @param {IncomingMessage} request */
function protocolOf({ httpVersion }) {
  return httpVersion === '2.0' ? 'h2' : `http/${httpVersion}`
}

/**
 * The pseudo-headers of HTTP/2 go, for `:path` has the key in it; a key elsewhere is a client's mistake, and struck out.
 *
 * @param {IncomingMessage} request
 * @param {string} key
 */
function headersWithoutKey({ headers }, key) {
  const real = Object.entries(headers).filter(([name]) => !name.startsWith(':'))
  if (key === '') return Object.fromEntries(real)
  return Object.fromEntries(real.map(([name, value]) => [name, strikeOut(value, key)]))
}

/**
 * @param {string | string[] | undefined} value
 * @param {string} key
 * @returns {string | string[] | undefined}
 */
function strikeOut(value, key) {
  if (Array.isArray(value)) return value.map((item) => String(strikeOut(item, key)))
  return value?.includes(key) ? value.replaceAll(wholeWord(key), '[key]') : value
}

/**
 * Only whole words, lest a short key mangle the headers around it.
 *
 * @param {string} key
 */
function wholeWord(key) {
  return new RegExp(`(?<![\\w-])${key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w-])`, 'g')
}

module.exports = { RequestLog }
