'use strict'

const { facts: FACTS } = require('./vocabulary.js')

/**
 * Reads what a request shows of its client. What follows from it is the core's business.
 *
 * @import { RequestLike } from '../index.js'
 *
 * @typedef {(address: string, hop: number) => boolean} Trust
 */

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
  const found = PROBES.some((family) => family.every((address) => isTrusted(trust, address, FAR_HOP)))
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
 * @param {Trust | undefined} trust
 * @param {string} address
 * @param {number} hop
 */
function isTrusted(trust, address, hop) {
  try {
    return Boolean(trust?.(address, hop))
  } catch {
    return false
  }
}

/**
 * Whether there is a header in which proxies forward an address. Its value is never read. Written out, because a loop over
 * names takes twice as long.
 *
 * @param {RequestLike['headers']} headers
 */
function hasAddressHeader(headers) {
  return (
    headers['x-forwarded-for'] !== undefined ||
    headers['forwarded'] !== undefined ||
    headers['x-real-ip'] !== undefined ||
    headers['cf-connecting-ip'] !== undefined ||
    headers['true-client-ip'] !== undefined ||
    headers['x-client-ip'] !== undefined ||
    headers['x-cluster-client-ip'] !== undefined ||
    headers['fastly-client-ip'] !== undefined ||
    headers['fly-client-ip'] !== undefined ||
    headers['x-azure-clientip'] !== undefined
  )
}

/**
 * Whether there is another header that only proxies write.
 *
 * @param {RequestLike['headers']} headers
 */
function hasProxyHeader(headers) {
  return (
    headers['x-forwarded-proto'] !== undefined ||
    headers['x-forwarded-host'] !== undefined ||
    headers['x-forwarded-port'] !== undefined ||
    headers['via'] !== undefined
  )
}

/**
 * Whether a proxy that the framework was not told about sent the request. One that is trusted, and forwards no address,
 * speaks for itself, as in a service mesh.
 *
 * @param {RequestLike} request
 * @param {string | undefined} peer none behind a Unix socket
 */
function isForwarded({ app, headers }, peer) {
  if (headers === undefined) return false
  if (hasAddressHeader(headers)) return true
  return hasProxyHeader(headers) && !(peer !== undefined && isTrusted(trustOf(app), peer, 0))
}

/**
 * Whether the peer has no address. That of a socket that has ended is gone, too.
 *
 * @param {RequestLike['socket']} socket
 */
function isUnix(socket) {
  return socket !== undefined && socket.remoteAddress === undefined && socket.destroyed === false
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
  const { socket } = request
  const isPeer = ip !== undefined && ip === socket?.remoteAddress
  if (isPeer) facts |= FACTS.isPeer
  const isNobody = ip === undefined && isUnix(socket)
  if ((isPeer || isNobody) && isForwarded(request, ip)) facts |= FACTS.forwardedHeader
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
