'use strict'

const { RiskChecker, judgeOf, toJson } = require('./checker.js')
const { checkedOptions, coded, refuseUnknownKeys, shown } = require('./errors.js')

/**
 * @import { MiddlewareOptions } from '../index.js'
 */

/** Shorthand for a policy of the route's own. */
const POLICY_KEYS = ['mode', 'thresholds', 'rules', 'allow', 'deny', 'onFailure', 'maxAction']
const FUNCTION_KEYS = ['clientIp', 'skip', 'onBlock', 'onChallenge', 'onHold', 'onDecision']
const KNOWN_KEYS = ['checker', 'policy', 'route', 'blockUnverified', ...FUNCTION_KEYS, ...POLICY_KEYS]

/** @type {RiskChecker | undefined} */
let sharedChecker

/**
 * Checks the options, and finds the checker and the policy that they mean. The options are a copy: what is changed or
 * inherited later has no effect.
 *
 * @param {MiddlewareOptions} written
 */
function readOptions(written) {
  if (isRequest(written)) {
    const message =
      '`riskMiddleware` was given a request; call it where the route is made, as `riskMiddleware()`'
    throw coded('ERR_IP_RISK_ARGUMENT', message)
  }
  if (written instanceof RiskChecker) {
    throw coded('ERR_IP_RISK_ARGUMENT', '`options` is a checker; pass it as the option `checker`')
  }
  refuseUnknownKeys(checkedOptions(written), KNOWN_KEYS)
  /** @type {MiddlewareOptions} */
  const options = Object.assign(Object.create(null), written)
  for (const key of FUNCTION_KEYS) mustBe(options, key, 'function')
  mustBe(options, 'policy', 'string')
  mustBe(options, 'route', 'string')
  mustBe(options, 'blockUnverified', 'boolean')
  const judge = judgeOf(checkerOf(options))
  const policy = Object.fromEntries(Object.entries(options).filter(([key]) => POLICY_KEYS.includes(key)))
  const isInline = Object.values(policy).some((value) => value !== undefined)
  const context = isInline
    ? judge.addPolicy(options.policy, toJson(policy))
    : judge.contextOf(options.policy, undefined)
  judge.requireUsable(context)
  return { options, judge, context }
}

/**
 * Whether the middleware itself was put at a route, in place of what it makes.
 *
 * @param {unknown} value
 */
function isRequest(value) {
  return typeof value === 'object' && value !== null && 'headers' in value && 'socket' in value
}

/** @param {MiddlewareOptions} options */
function checkerOf({ checker }) {
  if (checker === undefined) return (sharedChecker ??= new RiskChecker())
  if (checker instanceof RiskChecker) return checker
  throw coded('ERR_IP_RISK_OPTION', `\`checker\` must be a RiskChecker, not ${shown(checker)}`)
}

/**
 * @param {MiddlewareOptions} options
 * @param {string} key
 * @param {string} type
 */
function mustBe(options, key, type) {
  const value = /** @type {Record<string, unknown>} */ (options)[key]
  if (value === undefined || typeof value === type) return
  throw coded('ERR_IP_RISK_OPTION', `\`${key}\` must be a ${type}, not ${shown(value)}`)
}

exports.readOptions = readOptions
