'use strict'

const { channel } = require('node:diagnostics_channel')
const { DecisionReader, provenanceOf, warningOf, writeFailure } = require('./decision.js')
const { coded } = require('./errors.js')
const native = require('./native.js')
const { Policies, contextOf } = require('./policies.js')
const { codes, facts: FACTS, words: WORDS } = require('./vocabulary.js')

/**
 * @import { Decision, ErrorCode, RequestDecision } from '../index.js'
 * @import { Log } from './log.js'
 * @import { NativeChecker, Outcome } from './native.js'
 */

/** Every decision that is given to somebody, for tracing. */
const decisions = channel('ip-risk:decision')
/** Where it is told that 50, 80 or 95 % of a limit of the budget are used. */
const budgets = channel('ip-risk:budget')

/** Methods of the addon's class that users must not reach: what they take is not checked. */
const INTERNAL = /** @type {const} */ ([
  'evaluator',
  'lastNames',
  'skipped',
  'fallbacks',
  'policies',
  'addPolicy',
  'unknownPolicy',
  'requireUsable',
  'notices',
  'takeNews',
  'end',
  'describeEntry',
  'stopMany',
  'diagnose',
  'diagnoseRedis',
  'advanceClock',
])
/** Where they are kept; on the addon itself, because this file may be loaded again beside the same addon. */
const KEPT = Symbol.for('ip-risk.addon')

/**
 * The addon's methods, to be called on a checker, whose class has others of the same names for users.
 *
 * @returns {NativeChecker}
 */
function takeMethods() {
  const { prototype } = native.RiskChecker
  const holder = /** @type {any} */ (native)
  holder[KEPT] ??= Object.fromEntries(
    Object.getOwnPropertyNames(prototype).map((name) => [name, prototype[/** @type {'check'} */ (name)]]),
  )
  for (const name of INTERNAL) delete (/** @type {any} */ (prototype)[name])
  return holder[KEPT]
}

const addon = takeMethods()

/** What `evaluate` returns; `src/checker.rs` has the same numbers. */
const PENDING = 1
const CLOSED = 2
/** The bit beside the facts that says "count this decision". */
const RECORD = 1 << 30

/** Asks the addon, and hands every decision to the log and to whoever listens. */
class Judge {
  #native
  #evaluate
  #words = new Uint32Array(WORDS)
  #policies = new Policies()
  #reader = new DecisionReader(this.#policies)
  /** @type {Set<Promise<unknown>>} */
  #underWay = new Set()
  /** @type {Outcome[]} by policy: what it answers when judging itself fails, and when it is skipped */
  #fallbacks = []
  #lastMany = 0
  #lastNames = () => addon.lastNames.call(this.#native)

  /**
   * @param {NativeChecker} checker
   * @param {Log} log
   */
  constructor(checker, log) {
    this.#native = checker
    this.#evaluate = addon.evaluator.call(checker, this.#words)
    this.log = log
    this.#readPolicies()
    log.noticed(this.notices())
  }

  /**
   * What is worth a line at the start.
   *
   * @returns {{ code: ErrorCode | null, message: string }[]}
   */
  notices() {
    return JSON.parse(addon.notices.call(this.#native))
  }

  /**
   * The number for a policy and a route, which all other methods take.
   *
   * @param {string | undefined} policy
   * @param {string | undefined} route
   */
  contextOf(policy = 'login', route = undefined) {
    const number = this.#policies.find(policy)
    if (number === undefined) return addon.unknownPolicy.call(this.#native, String(policy))
    return contextOf(number, route === undefined ? 0 : (this.routesOf(number).get(route) ?? 0))
  }

  /**
   * Throws for a policy that a gate cannot use, such as one that closes where there is no provider to ask.
   *
   * @param {number} context
   */
  requireUsable(context) {
    addon.requireUsable.call(this.#native, context)
  }

  /**
   * The numbers of the routes that a policy names.
   *
   * @param {number} context
   */
  routesOf(context) {
    return this.#policies.at(context & 0xffff).routes
  }

  /**
   * Adds a policy that is written at one route.
   *
   * @param {string | undefined} base
   * @param {string} written JSON
   */
  addPolicy(base = 'login', written) {
    const number = addon.addPolicy.call(this.#native, base, written)
    this.#readPolicies()
    return contextOf(number, 0)
  }

  #readPolicies() {
    const count = this.#policies.update(addon.policies.call(this.#native))
    while (this.#fallbacks.length < count) {
      this.#fallbacks.push(addon.fallbacks.call(this.#native, this.#fallbacks.length))
    }
  }

  /**
   * The decision, when nobody needs to be asked. Throws when the checker is closed.
   *
   * @param {string} text
   * @param {number} context
   * @param {number} facts
   * @returns {Decision | undefined}
   */
  decideNow(text, context, facts) {
    const status = this.#evaluate(text, context, facts | RECORD)
    if (status === PENDING) return undefined
    if (status === CLOSED) throw closed()
    return this.#deliver(this.#words, 0, text, this.#lastNames, context, facts)
  }

  /**
   * The decision, after a look-up where one is needed. Never rejects.
   *
   * @param {string} text
   * @param {number} context
   * @param {number} facts
   * @returns {Promise<Decision>}
   */
  async decideLater(text, context, facts) {
    try {
      const outcome = this.#track(addon.check.call(this.#native, text, context, facts))
      const [words, addresses, names] = await outcome
      return this.#deliver(words, 0, addresses[0], (id) => names[id], context, facts)
    } catch (error) {
      return this.failed(context, facts, error)
    }
  }

  /**
   * Decisions in the order of the texts. When the signal aborts, no further address is asked about.
   *
   * @param {string[]} texts
   * @param {number} context
   * @param {AbortSignal} [signal]
   * @returns {Promise<Decision[]>}
   */
  async decideMany(texts, context, signal) {
    const number = this.#lastMany++ >>> 0
    const stop = () => addon.stopMany.call(this.#native, number)
    /** @type {Promise<Outcome>} */
    const outcome = this.#track(addon.checkMany.call(this.#native, texts, context, number))
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const [words, addresses, names] = await outcome
      // Nobody waits any more, and most were not asked about: there is nothing to say of them.
      signal?.throwIfAborted()
      const namesOf = (/** @type {number} */ id) => names[id]
      return addresses.map((address, index) =>
        this.#deliver(words, index * WORDS, address, namesOf, context, 0),
      )
    } finally {
      signal?.removeEventListener('abort', stop)
      stop()
    }
  }

  /**
   * The decision about a request that the application lets through unjudged.
   *
   * @param {string} text
   * @param {number} context
   */
  skipped(text, context) {
    try {
      const [words, addresses, names] = addon.skipped.call(this.#native, text, context)
      return this.#deliver(words, 0, addresses[0], (id) => names[id], context, FACTS.framework)
    } catch {
      const [words] = this.#fallbacks[context & 0xffff]
      return this.#deliver(words, WORDS, '', () => null, context, FACTS.framework)
    }
  }

  /**
   * The policy's failure mode, when judging itself failed. Needs nothing that could fail again.
   *
   * @param {number} context
   * @param {number} facts
   * @param {unknown} error
   */
  failed(context, facts, error) {
    const words = this.#fallbacks[context & 0xffff][0].slice(0, WORDS)
    const code = codes.indexOf(/** @type {{ code?: any } | undefined} */ (error)?.code)
    if (code !== -1) writeFailure(words, code)
    return this.#deliver(words, 0, '', () => null, context, facts)
  }

  /**
   * The decision from what is known here, without counting, logging or telling anybody.
   *
   * @param {string} text
   * @param {number} context
   */
  peek(text, context) {
    const status = this.#evaluate(text, context, 0)
    if (status === PENDING) return null
    if (status === CLOSED) throw closed()
    return this.#reader.read(this.#words, 0, text, this.#lastNames)
  }

  /**
   * @param {number[] | Uint32Array} words
   * @param {number} at
   * @param {string} text
   * @param {(id: number) => string | null | undefined} namesOf
   * @param {number} context
   * @param {number} facts
   */
  #deliver(words, at, text, namesOf, context, facts) {
    const decision = this.#reader.read(words, at, text, namesOf)
    if (facts !== 0) this.#addRequest(/** @type {RequestDecision} */ (decision), words, at)
    if (decision.wouldBe !== 'allow' || decision.failedOpen) this.#write(decision, text, context)
    if (decision.degraded || decision.source === 'api') this.#tellNews()
    // A copy, because whoever watches must not change what the gate does.
    if (decisions.hasSubscribers) decisions.publish({ ...decision })
    return decision
  }

  /**
   * @param {Decision} decision
   * @param {string} text
   * @param {number} context
   */
  #write(decision, text, context) {
    const isDenied = decision.source === 'list' && decision.wouldBe !== 'allow'
    const entry = isDenied ? addon.describeEntry.call(this.#native, text, context) : null
    this.log.decided(decision, entry)
  }

  /**
   * What is worth telling after a call to the provider, or without one: that an outage begins, lasts or is over, and how
   * much of the budget is used. Whoever asks first has it, so one who would not tell must not ask: others may share the
   * engine.
   */
  #tellNews() {
    const { isSilent } = this.log
    if (isSilent && !budgets.hasSubscribers) return
    const news = addon.takeNews.call(this.#native, !isSilent)
    if (news === null) return
    const { outage, budget } = JSON.parse(news)
    if (outage !== null) this.log.outage(outage)
    for (const event of budget) {
      this.log.budgetUsed(event)
      budgets.publish(event)
    }
  }

  /**
   * What only decisions about requests have.
   *
   * @param {RequestDecision} decision
   * @param {number[] | Uint32Array} words
   * @param {number} at
   */
  #addRequest(decision, words, at) {
    decision.provenance = provenanceOf(words, at)
    const warning = warningOf(words, at)
    if (warning !== undefined) this.log.warnOnce(warning)
  }

  /**
   * Keeps a promise until it settles, so that `settled()` can wait for it.
   *
   * @template T
   * @param {Promise<T>} promise
   */
  #track(promise) {
    this.#underWay.add(promise)
    const forget = () => this.#underWay.delete(promise)
    promise.then(forget, forget)
    return promise
  }

  /** Resolves when nothing is under way any more. */
  async settled() {
    await Promise.allSettled(this.#underWay)
  }
}

function closed() {
  return coded('ERR_IP_RISK_CLOSED', 'the checker is closed; make a new one')
}

exports.Judge = Judge
exports.addon = addon
exports.closed = closed
