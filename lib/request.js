'use strict'

const { facts: FACTS } = require('./vocabulary.js')

/**
 * Reads what a request shows of its client. What follows from it is the core's business.
 *
 * @import { RequestLike } from '../index.js'
 *
 * @typedef {(address: string, hop: number) => boolean} Trust
 */

/** Headers that only proxies write. Their values are never read. */
const FORWARDED_HEADERS = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'cf-connecting-ip',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'fastly-client-ip',
  'fly-client-ip',
  'x-azure-clientip',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'via',
]

/** Addresses all over the internet. A setting that trusts all of one family trusts everybody. */
const PROBES = [
  ['8.8.8.8', '1.0.0.1', '81.2.69.1', '203.0.114.1', '133.1.1.1'],
  ['2606:4700::1', '2a00:1450::1', '2400:cb00::1', '2001:4860::1', '2c0f:f248::1'],
]
/** Farther than any number of proxies that somebody counts. */
const FAR_HOP = 100

/** @type {WeakMap<Trust, boolean>} */
const trustsEveryone = new WeakMap()

/**
 * Whether the framework takes forwarded addresses from anybody. Found by asking its own trust function, once, so
 * that `true`, `0.0.0.0/0` and an old `proxy-addr` are seen alike.
 *
 * @param {unknown} app
 */
function isTrustingEveryone(app) {
  const trust = trustOf(app)
  if (trust === undefined) return false
  const known = trustsEveryone.get(trust)
  if (known !== undefined) return known
  const found = PROBES.some((family) => family.every((address) => isTrusted(trust, address)))
  trustsEveryone.set(trust, found)
  return found
}

/**
 * The trust function of Express; other frameworks may have anything in its place.
 *
 * @param {unknown} app
 * @returns {Trust | undefined}
 */
function trustOf(app) {
  try {
    const trust = /** @type {{ get?: (name: string) => unknown }} */ (app ?? {}).get?.('trust proxy fn')
    return typeof trust === 'function' ? /** @type {Trust} */ (trust) : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {Trust} trust
 * @param {string} address
 */
function isTrusted(trust, address) {
  try {
    return Boolean(trust(address, FAR_HOP))
  } catch {
    return false
  }
}

/** @param {RequestLike['headers'] | undefined} headers */
function hasForwardedHeader(headers) {
  if (headers === undefined) return false
  for (const name of FORWARDED_HEADERS) if (headers[name] !== undefined) return true
  return false
}

/**
 * What the request shows beside the address.
 *
 * @param {RequestLike} request
 * @param {string | undefined} ip
 */
function factsOf(request, ip) {
  let facts = FACTS.framework
  if (isTrustingEveryone(request.app)) facts |= FACTS.trustsEveryone
  const isPeer = ip !== undefined && ip === request.socket?.remoteAddress
  if (isPeer) facts |= FACTS.isPeer
  // A peer behind a Unix socket has no address.
  if ((isPeer || ip === undefined) && hasForwardedHeader(request.headers)) facts |= FACTS.forwardedHeader
  return facts
}

/**
 * The pattern of the matched route, never the raw URL, which the client chooses.
 *
 * @param {RequestLike} request
 * @returns {string | undefined}
 */
function routeOf(request) {
  const path = /** @type {{ path?: unknown } | undefined} */ (request.route)?.path
  return typeof path === 'string' ? path : undefined
}

exports.factsOf = factsOf
exports.routeOf = routeOf
