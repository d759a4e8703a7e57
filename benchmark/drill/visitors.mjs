// Who comes to the login: the same in every run.

import { randomFrom } from '../../__test__/support/random.mjs'

const REGULARS = 10
/** Of a hundred visits so many are by one who comes for the first time, and so on; the others are regulars. */
const SHARES = { newcomer: 20, rush: 8, returner: 15, hosted: 7 }
/** How many requests of one address come at the same moment when it is in a rush. */
const RUSH = 3
const PAYMENTS = 30
/** Of four newcomers one has an IPv6 address, with a network of its own. */
const IPV6_EVERY = 4
/** What the provider says of regulars and newcomers, in turn; of the others it says nothing bad. */
const KNOWN = [
  { threat_score: 85, is_known_attacker: true },
  { threat_score: 55, is_proxy: true },
  { threat_score: 25, is_vpn: true },
]
const KNOWN_EVERY = 3

/**
 * @typedef {object} Visit
 * @property {number} app
 * @property {'/login' | '/payment'} path
 * @property {string[]} ips of the requests, which come at the same moment
 */

export class Visitors {
  #random
  #upstream
  #apps
  #count = 0
  #regulars
  /** Who came once, the first that came first. */
  #left = []

  /**
   * @param {import('./upstream.mjs').Upstream} upstream is told about each address before it comes
   * @param {{ seed: number, apps: number, away: number }} settings `away` is after how many milliseconds one who came
   *   once comes again, to another process
   */
  constructor(upstream, { seed, apps, away }) {
    this.#random = randomFrom(seed)
    this.#upstream = upstream
    this.#apps = apps
    this.away = away
    this.#regulars = Array.from({ length: REGULARS }, () => this.newcomer())
  }

  /** An address that nobody has seen. Nothing is sent to it. */
  newcomer() {
    const number = this.#count++
    const [high, low] = [(number >> 8) & 255, number & 255]
    const ip = number % IPV6_EVERY === 3 ? `2a10:${number.toString(16)}::1` : `11.${high}.${low}.17`
    const kind = this.#random.below(KNOWN.length * KNOWN_EVERY)
    if (kind < KNOWN.length) this.#upstream.know(ip, KNOWN[kind])
    return ip
  }

  /** The same in a network of a cloud, which the feeds in the package know. */
  hosted() {
    const number = this.#count++
    return `52.94.${(number >> 8) & 255}.${number & 255}`
  }

  /** @returns {Visit} */
  next() {
    const app = this.#random.below(this.#apps)
    const path = this.#random.below(100) < PAYMENTS ? '/payment' : '/login'
    return { app, path, ips: [this.#random.pick(this.#regulars)], ...this.#visit(app) }
  }

  /** What is special about a visit, if anything is. */
  #visit(app) {
    const kind = this.#kind()
    if (kind === 'newcomer') return { ips: [this.#comesOnce(app)] }
    if (kind === 'rush') return { ips: Array(RUSH).fill(this.newcomer()) }
    if (kind === 'hosted') return { ips: [this.hosted()] }
    return kind === 'returner' ? this.#returns() : {}
  }

  #kind() {
    let drawn = this.#random.below(100)
    for (const [kind, share] of Object.entries(SHARES)) {
      if (drawn < share) return kind
      drawn -= share
    }
    return 'regular'
  }

  #comesOnce(app) {
    const ip = this.newcomer()
    this.#left.push({ ip, app, at: Date.now() })
    return ip
  }

  #returns() {
    const [first] = this.#left
    if (first === undefined || Date.now() - first.at < this.away) return {}
    this.#left.shift()
    return { app: (first.app + 1) % this.#apps, ips: [first.ip] }
  }
}
