'use strict'

/**
 * The policies of a checker, by name and by number, with the words for their reasons and the numbers of their
 * routes.
 *
 * @typedef {object} Policy
 * @property {string} name
 * @property {Map<string, number>} routes
 * @property {Reasons} reasons
 */

/** How many different lists of reasons are kept ready before all are forgotten. */
const MOST_KEPT = 4096

/** Lists of reasons out of their bits. Equal ones are the same frozen array. */
class Reasons {
  #names
  /** @type {Map<number, Map<number, readonly string[]>>} by the high and then the low half */
  #kept = new Map()
  #count = 0

  /** @param {string[]} names what each bit means, most important first */
  constructor(names) {
    this.#names = names
  }

  /**
   * @param {number} low
   * @param {number} high
   * @returns {readonly string[]}
   */
  read(low, high) {
    return this.#kept.get(high)?.get(low) ?? this.#keep(low, high)
  }

  /**
   * @param {number} low
   * @param {number} high
   */
  #keep(low, high) {
    const isSet = (/** @type {number} */ bit) => ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) === 1
    const list = Object.freeze(this.#names.filter((_, bit) => isSet(bit)))
    if (++this.#count > MOST_KEPT) {
      this.#kept.clear()
      this.#count = 0
    }
    const half = this.#kept.get(high) ?? new Map()
    this.#kept.set(high, half.set(low, list))
    return list
  }
}

class Policies {
  /** @type {Policy[]} */
  #all = []
  /** @type {Map<string, number>} */
  #numbers = new Map()

  /**
   * Adds the policies that are new, and returns how many there are.
   *
   * @param {string} json what the addon's `policies()` returns
   */
  update(json) {
    for (const { name, routes, reasons } of JSON.parse(json).slice(this.#all.length)) {
      this.#numbers.set(name, this.#all.length)
      this.#all.push({
        name,
        routes: new Map(
          routes.map((/** @type {string} */ route, /** @type {number} */ at) => [route, at + 1]),
        ),
        reasons: new Reasons(reasons),
      })
    }
    return this.#all.length
  }

  /** @param {number} number */
  at(number) {
    return this.#all[number]
  }

  /**
   * The number of the policy called `name`.
   *
   * @param {string} name
   */
  find(name) {
    return this.#numbers.get(name)
  }
}

/**
 * A policy and a route as the one number that the addon takes.
 *
 * @param {number} policy
 * @param {number} route
 */
function contextOf(policy, route) {
  return (policy | (route << 16)) >>> 0
}

exports.Policies = Policies
exports.contextOf = contextOf
