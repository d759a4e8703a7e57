'use strict'

/**
 * Stands in for the addon where it cannot be loaded and the application came in through `ip-risk/resilient`: every policy
 * answers its failure mode, whatever the address is. Of the options it reads only what that takes, and what it cannot read
 * it holds.
 *
 * @import { ErrorCode, Stats } from '../index.js'
 * @import { Evaluate, Native, Outcome } from './native.js'
 *
 * @typedef {object} Policy
 * @property {number} failureMode its place in `FAILURE_MODES`
 * @property {boolean} isLogOnly
 *
 * @typedef {Policy & { name: string, number: number }} NamedPolicy
 */

/** Failure modes, what each does, and the reason for it, at the same places. */
const FAILURE_MODES = ['open', 'challenge', 'closed']
const ACTIONS = /** @type {const} */ (['allow', 'challenge', 'hold'])
const REASONS = ['failed_open', 'failed_challenge', 'failed_closed', 'skipped']
const OPEN = 0
const CLOSED = 2
const SKIPPED = 3

/** @type {ReadonlyMap<unknown, Policy>} */
const SHIPPED = new Map([
  ['login', { failureMode: OPEN, isLogOnly: false }],
  ['payment', { failureMode: CLOSED, isLogOnly: false }],
])
/** What stands in for a policy that cannot be read. */
const HOLDING = { failureMode: CLOSED, isLogOnly: false }

/** The options that exist. The core refuses others; here whoever wrote one may have meant a policy that closes. */
const CHECKER_KEYS = [
  'apiKey',
  'endpoint',
  'deadlineMs',
  'connectTimeoutMs',
  'batch',
  'budget',
  'cache',
  'feeds',
  'maxInFlight',
  'policies',
  'redis',
]
const POLICY_KEYS = [
  'extends',
  'mode',
  'thresholds',
  'rules',
  'allow',
  'deny',
  'onFailure',
  'maxAction',
  'maxStaleMs',
  'priority',
]

/** How many words one decision takes; `src/words.rs` says what stands where. */
const WORDS = 12
const LOG_ONLY = 1 << 19
const DEGRADED = 1 << 24
const NO_ADDRESS = 1 << 28
/** What a decision says of how it failed, at the places of the failure modes: `failedOpen`, neither, `failedClosed`. */
const HOW_FAILED = [DEGRADED | (1 << 25), DEGRADED, DEGRADED | (1 << 26)]

/** What `evaluate` returns; `lib/judge.js` has the same numbers. */
const DECIDED = 0
const CHECKER_CLOSED = 2
/** The bit beside the facts that says "count this decision". */
const RECORD = 1 << 30
const MOST_ADDRESSES = 50_000

/** Set where a load failure is not to be thrown. */
let isTolerated = false
/** @type {Error} */
let loadFailure

/** Lets a load failure pass from now on. */
function tolerate() {
  isTolerated = true
}

/**
 * What stands in for the addon where that was asked for.
 *
 * @param {unknown} error why the addon cannot be loaded; thrown where nobody asked
 * @returns {Native}
 */
function standInFor(error) {
  if (!isTolerated) throw error
  loadFailure = /** @type {Error} */ (error)
  process.emitWarning(`ip-risk: ${notice()}`, { code: 'ERR_IP_RISK_NATIVE' })
  return /** @type {any} */ (Object.assign(STAND_IN, { loadFailure }))
}

function notice() {
  const meanwhile = 'policies that open let everybody in, those that close hold everybody'
  return `${loadFailure.message}; until then nothing is judged: ${meanwhile}`
}

/**
 * @param {ErrorCode} code
 * @param {string} message
 * @returns {never}
 */
function refuse(code, message) {
  throw Object.assign(new Error(message), { code })
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * @param {object} written
 * @param {string[]} known
 */
function hasOnly(written, known) {
  return Object.keys(written).every((key) => known.includes(key))
}

/**
 * The policies by name, those that are shipped first.
 *
 * @param {Record<string, unknown>} options
 * @returns {Map<string, Policy>}
 */
function readPolicies(options) {
  const { policies = {} } = options
  const written = new Map(Object.entries(isObject(policies) ? policies : {}))
  const isReadable = isObject(policies) && hasOnly(options, CHECKER_KEYS)
  const names = /** @type {string[]} */ ([...SHIPPED.keys(), ...written.keys()])
  return new Map(names.map((name) => [name, isReadable ? readPolicy(name, written) : HOLDING]))
}

/**
 * @param {unknown} name
 * @param {Map<unknown, unknown>} written
 * @param {unknown[]} above the policies that extend this one
 * @returns {Policy}
 */
function readPolicy(name, written, above = []) {
  const policy = written.get(name)
  const shipped = SHIPPED.get(name)
  if (policy === undefined) return shipped ?? HOLDING
  if (!isObject(policy) || above.includes(name)) return HOLDING
  const { extends: base = shipped === undefined ? 'login' : name } = policy
  const isItself = base === name
  return derive((isItself ? shipped : readPolicy(base, written, [...above, name])) ?? HOLDING, policy)
}

/**
 * @param {Policy} base
 * @param {Record<string, unknown>} written
 * @returns {Policy}
 */
function derive(base, written) {
  if (!hasOnly(written, POLICY_KEYS)) return HOLDING
  const { mode, onFailure } = written
  return {
    failureMode: onFailure === undefined ? base.failureMode : readFailureMode(onFailure, base.failureMode),
    isLogOnly: mode === undefined ? base.isLogOnly : mode === 'log-only',
  }
}

/**
 * @param {unknown} written
 * @param {number} base
 */
function readFailureMode(written, base) {
  const isPair = isObject(written) && hasOnly(written, ['upstream', 'exhausted'])
  const mode = isPair ? written.upstream : written
  if (isPair && mode === undefined) return base
  const place = FAILURE_MODES.indexOf(/** @type {string} */ (mode))
  return place === -1 ? CLOSED : place
}

/**
 * A decision in the words that `lib/decision.js` reads.
 *
 * @param {NamedPolicy} policy
 * @param {boolean} [isSkipped] whether the application lets the request through unjudged
 */
function decide({ failureMode, isLogOnly, number }, isSkipped = false) {
  const wouldBe = isSkipped ? OPEN : failureMode
  const action = isLogOnly ? OPEN : wouldBe
  const words = Array.from({ length: WORDS }, () => 0)
  words[0] =
    action |
    (wouldBe << 3) |
    (isLogOnly ? LOG_ONLY : 0) |
    (isSkipped ? 0 : HOW_FAILED[failureMode]) |
    NO_ADDRESS
  // The first of the codes below, counted from 1.
  words[1] = isSkipped ? 0 : 1
  words[2] = number
  words[3] = 1 << (isSkipped ? SKIPPED : failureMode)
  return words
}

/** What the glue needs of the checker that `src/checker.rs` exports, where nothing can be judged. */
class RiskChecker {
  #isClosed = false
  /** @type {NamedPolicy[]} */
  #policies = []
  #watchesOnly
  #stats = emptyStats()

  /** @param {string} setup */
  constructor(setup) {
    const { options, surroundings, testing } = JSON.parse(setup)
    // Tests that pass because nothing is judged prove nothing.
    if (testing) throw loadFailure
    this.#watchesOnly = surroundings.mode?.trim() === 'log-only'
    for (const [name, policy] of readPolicies(options)) this.#add(name, policy)
  }

  /**
   * @param {string} name
   * @param {Policy} policy
   */
  #add(name, policy) {
    const number = this.#policies.length
    this.#policies.push({ ...policy, isLogOnly: policy.isLogOnly || this.#watchesOnly, name, number })
    this.#stats.policies[name] = {
      histogram: Array.from({ length: 101 }, () => 0),
      action: noActions(),
      wouldBe: noActions(),
    }
    return number
  }

  /** @param {number} context */
  #policyOf(context) {
    return this.#policies[context & 0xffff]
  }

  #requireOpen() {
    if (this.#isClosed) refuse('ERR_IP_RISK_CLOSED', 'the checker is closed; make a new one')
  }

  /**
   * @param {NamedPolicy} policy
   * @param {boolean} [isSkipped]
   */
  #decideAndCount(policy, isSkipped) {
    const words = decide(policy, isSkipped)
    const { action, wouldBe } = this.#stats.policies[policy.name]
    action[ACTIONS[words[0] & 7]]++
    wouldBe[ACTIONS[(words[0] >> 3) & 7]]++
    this.#stats.rungs.none++
    return words
  }

  /**
   * @param {Uint32Array} words
   * @returns {Evaluate}
   */
  evaluator(words) {
    return (_text, context, facts) => {
      if (this.#isClosed) return CHECKER_CLOSED
      const policy = this.#policyOf(context)
      words.set(facts & RECORD ? this.#decideAndCount(policy) : decide(policy))
      return DECIDED
    }
  }

  /**
   * @param {string[]} texts
   * @param {number} context
   * @returns {Promise<Outcome>}
   */
  async checkMany(texts, context) {
    this.#requireOpen()
    return [texts.flatMap(() => this.#decideAndCount(this.#policyOf(context))), texts, {}]
  }

  /**
   * @param {string} text
   * @param {number} context
   * @returns {Outcome}
   */
  skipped(text, context) {
    this.#requireOpen()
    return [this.#decideAndCount(this.#policyOf(context), true), [text], {}]
  }

  /**
   * @param {number} context
   * @returns {Outcome}
   */
  fallbacks(context) {
    const policy = this.#policyOf(context)
    return [[...decide(policy), ...decide(policy, true)], ['', ''], {}]
  }

  policies() {
    return JSON.stringify(this.#policies.map(({ name }) => ({ name, routes: [], reasons: REASONS })))
  }

  /**
   * @param {string} base
   * @param {string} written JSON
   */
  addPolicy(base, written) {
    const policy = this.#policies.find(({ name }) => name === base)
    if (policy === undefined) return this.#refusePolicy(base)
    const isTaken = (/** @type {string} */ name) => this.#policies.some((other) => other.name === name)
    let number = 1
    while (isTaken(`inline-${number}`)) number++
    return this.#add(`inline-${number}`, derive(policy, JSON.parse(written)))
  }

  /** @param {string} name */
  unknownPolicy(name) {
    return this.#refusePolicy(name)
  }

  /**
   * @param {string} wanted
   * @returns {never}
   */
  #refusePolicy(wanted) {
    const names = this.#policies.map(({ name }) => `\`${name}\``).join(', ')
    refuse('ERR_IP_RISK_UNKNOWN_POLICY', `no policy is called \`${wanted}\`; known are ${names}`)
  }

  notices() {
    return JSON.stringify([{ code: 'ERR_IP_RISK_NATIVE', message: notice() }])
  }

  stats() {
    this.#requireOpen()
    return structuredClone(this.#stats)
  }

  async invalidate() {
    this.#requireOpen()
    return null
  }

  close() {
    this.#isClosed = true
  }

  async end() {}
  stopMany() {}
  requireUsable() {}
  lastNames() {
    return null
  }
  describeEntry() {
    return null
  }
  takeNews() {
    return null
  }
}

function noActions() {
  return { allow: 0, log: 0, challenge: 0, block: 0, hold: 0 }
}

/** @returns {Stats} */
function emptyStats() {
  const rungs = { memory: 0, redis: 0, api: 0, staleMemory: 0, staleRedis: 0 }
  const calls = { calls: 0, batches: 0, retries: 0, coalesced: 0, inFlight: 0, credits: 0 }
  const newest = { latency: null, lastFailure: null, lastSuccessAt: null, health: null }
  return {
    policies: {},
    cache: { entries: 0, hits: 0, staleAnswers: 0 },
    upstream: { ...calls, failures: {}, ...newest },
    rungs: { ...rungs, feeds: 0, neighbour: 0, list: 0, special: 0, none: 0 },
    redis: null,
    budget: [],
    feeds: null,
  }
}

function vocabulary() {
  const advice = {
    ERR_IP_RISK_NATIVE: loadFailure.message,
    ERR_IP_RISK_CLOSED: 'the checker is closed; close it after the server',
    ERR_IP_RISK_HOOK: 'a hook of the application failed; the decision stands',
    ERR_IP_RISK_PROXY_ADDR:
      'the installed `proxy-addr` is older than 2.0.8 and can trust the whole internet (CVE-2026-90711); update it',
  }
  return JSON.stringify({
    words: WORDS,
    mostAddresses: MOST_ADDRESSES,
    actions: ACTIONS,
    bands: [],
    sources: ['none'],
    modes: ['enforce', 'log-only'],
    provenances: ['application'],
    providers: [],
    codes: Object.keys(advice),
    advice: Object.values(advice),
    fields: [],
    // What a request shows of its client changes nothing; only that it is a request matters.
    facts: { framework: 1, custom: 0, trustsEveryone: 0, forwardedHeader: 0, isPeer: 0, blockUnverified: 0 },
  })
}

/**
 * @param {string} path
 * @param {string} _key
 * @param {string[]} known
 */
function refuseOption(path, _key, known) {
  const names = known.map((name) => `\`${name}\``).join(', ')
  return refuse('ERR_IP_RISK_UNKNOWN_OPTION', `\`${path}\` is not an option; known are ${names}`)
}

/** No decision names an address, so none is ever spelled. */
const noAddress = () => ''

const STAND_IN = { RiskChecker, vocabulary, refuseOption, canonicalAddress: noAddress, networkOf: noAddress }

exports.standInFor = standInFor
exports.tolerate = tolerate
