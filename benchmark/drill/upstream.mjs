// The provider that both processes ask: the stand-in of `ip-risk/testing`, with what is known about the calls to it.

import { freePort } from '../../__test__/support/ports.mjs'
import { startMockApi } from '../../__test__/support/package.mjs'

/**
 * Under which name each process knows the provider. It is the same one; the name stands in the `Host` header of every
 * call, and so tells whose it was.
 */
const NAMES = ['127.0.0.1', 'localhost']
/** How long an answer takes when all is well: long enough for others to ask the same meanwhile. */
const LATENCY_MS = 20

/**
 * An address in a call to the provider.
 *
 * @typedef {object} Call
 * @property {number} app the process that made it
 * @property {string} ip
 * @property {number} at in milliseconds since 1970
 * @property {boolean} wasWell whether the provider was well when the call came
 */

export class Upstream {
  #api
  #isWell = true
  #seen = 0
  /** @type {Map<string, object>} */
  #known = new Map()
  /** @type {Call[]} */
  #calls = []

  constructor(api) {
    this.#api = api
    this.#api.latencyMs = LATENCY_MS
  }

  static async start() {
    // On a port that no outgoing connection takes while the provider is away.
    return new Upstream(await startMockApi({ port: await freePort() }))
  }

  /** @param {number} app */
  endpointFor(app) {
    return `http://${NAMES[app]}:${this.#api.port}`
  }

  /**
   * Fixes what is said about an address.
   *
   * @param {string} ip
   * @param {object} security
   */
  know(ip, security) {
    this.#known.set(ip, security)
    this.#api.answer(ip, security)
  }

  /** @param {string} ip */
  scoreOf(ip) {
    return this.#known.get(ip)?.threat_score ?? 0
  }

  /** Every call suffers this from now on. */
  fail(fault) {
    this.#readLog()
    this.#isWell = false
    this.#api.fault(fault)
  }

  mend() {
    this.#readLog()
    this.#isWell = true
    this.#api.fault(null)
  }

  /** Closes every connection, and accepts none. */
  async leave() {
    this.#readLog()
    this.#isWell = false
    await this.#api.close()
    this.#readLog()
  }

  /** Listens on the same port again. */
  async comeBack() {
    this.#api = await startMockApi({ port: this.#api.port })
    this.#api.latencyMs = LATENCY_MS
    for (const [ip, security] of this.#known) this.#api.answer(ip, security)
    this.#seen = 0
    this.#isWell = true
  }

  /** All calls so far, in their order. */
  get calls() {
    this.#readLog()
    return this.#calls
  }

  close() {
    return this.#api.close()
  }

  /** What came since the last time came while the provider was as it is now. */
  #readLog() {
    const { requests } = this.#api
    const fresh = this.#api.requestCount() - this.#seen
    if (fresh > requests.length)
      throw new Error('the stand-in keeps too few requests; read its log more often')
    this.#seen += fresh
    for (const { ips, at, headers } of requests.slice(requests.length - fresh)) {
      const app = NAMES.indexOf(headers.host.split(':')[0])
      for (const ip of ips) this.#calls.push({ app, ip, at, wasWell: this.#isWell })
    }
  }
}
