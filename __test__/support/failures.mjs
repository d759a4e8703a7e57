/** What failures are called, what policies answer to them, and evidence that is too old by then. */
import { NO_EVIDENCE, assertDecision } from './decisions.mjs'
import { startTestChecker } from './start.mjs'

/** How long an answer is fresh, unless that is written. */
export const TTL = 300_000
/** How long an answer is kept that says nothing of the address. */
export const TEN_MINUTES = 600_000
/** Longer than the provider is left alone after any fault of the cards. */
export const COOL_DOWN = TEN_MINUTES

export const REFUSED = 'ERR_IP_RISK_REQUEST_REFUSED'
export const KEY_REFUSED = 'ERR_IP_RISK_KEY_REFUSED'
export const KEY_FORBIDDEN = 'ERR_IP_RISK_KEY_FORBIDDEN'
export const QUOTA = 'ERR_IP_RISK_QUOTA'
export const TIMEOUT = 'ERR_IP_RISK_TIMEOUT'
export const STATUS = 'ERR_IP_RISK_UPSTREAM_STATUS'
export const ENDPOINT = 'ERR_IP_RISK_ENDPOINT'
export const REDIRECT = 'ERR_IP_RISK_REDIRECT'
export const CONNECT = 'ERR_IP_RISK_CONNECT'
export const TOO_LARGE = 'ERR_IP_RISK_BODY_TOO_LARGE'
export const MALFORMED = 'ERR_IP_RISK_MALFORMED'
export const OVERLOADED = 'ERR_IP_RISK_OVERLOADED'

/** What each fault card that ends without an answer is called. */
export const CODES = {
  400: REFUSED,
  401: KEY_REFUSED,
  403: KEY_FORBIDDEN,
  429: QUOTA,
  '429-retry-after': QUOTA,
  499: TIMEOUT,
  500: STATUS,
  502: STATUS,
  503: STATUS,
  '503-retry-after': STATUS,
  504: TIMEOUT,
  505: STATUS,
  'wrong-endpoint': ENDPOINT,
  redirect: REDIRECT,
  hang: TIMEOUT,
  'close-before-headers': CONNECT,
  reset: CONNECT,
  'reset-mid-body': CONNECT,
  truncated: CONNECT,
  drip: TIMEOUT,
  oversized: TOO_LARGE,
  'gzip-bomb': TOO_LARGE,
  'bad-gzip': MALFORMED,
  html: MALFORMED,
  empty: MALFORMED,
  'not-json': MALFORMED,
  'wrong-types': MALFORMED,
  'security-missing': MALFORMED,
  'security-null': MALFORMED,
  'security-empty': MALFORMED,
  'security-list': MALFORMED,
  'body-null': MALFORMED,
  'body-list': MALFORMED,
  'body-empty': MALFORMED,
  'other-address': MALFORMED,
  'score-missing': MALFORMED,
  'score-null': MALFORMED,
  'score-101': MALFORMED,
  'score-negative': MALFORMED,
  'score-nan': MALFORMED,
  'score-boolean': MALFORMED,
  'score-huge': MALFORMED,
}

/** What each failure mode answers: action, reason, `failedOpen`, `failedClosed`. */
export const FAILURE_MODES = {
  open: ['allow', 'failed_open', true, false],
  challenge: ['challenge', 'failed_challenge', false, false],
  closed: ['hold', 'failed_closed', false, true],
}
/** The failure modes of the policies below, when the provider fails and when a limit is used up. */
export const MODES_OF = {
  login: ['open', 'challenge'],
  payment: ['closed', 'closed'],
  mfa: ['challenge', 'challenge'],
}
export const MFA = { mfa: { onFailure: 'challenge' } }

/** Asserts that `policy` had nothing but its failure mode left, because of `failure`. */
export function assertFailure(decision, policy, failure, message) {
  const isExhausted = failure === QUOTA || failure === OVERLOADED
  const [action, reason, failedOpen, failedClosed] = FAILURE_MODES[MODES_OF[policy][isExhausted ? 1 : 0]]
  const flags = { stale: false, degraded: true, failedOpen, failedClosed }
  const verdict = { action, wouldBe: action, reasons: [reason], failure, source: 'none', policy }
  assertDecision(decision, { ...NO_EVIDENCE, ...flags, ...verdict }, message)
}

/** One check by every policy, all at once. */
export async function checkByAll(checker, ip) {
  const policies = Object.keys(MODES_OF)
  const decisions = await Promise.all(policies.map((policy) => checker.check(ip, { policy })))
  return Object.fromEntries(policies.map((policy, index) => [policy, decisions[index]]))
}

/** A checker that knows `ip` and whose evidence is `age` milliseconds old. */
export async function startWithEvidence(t, ip, age, options) {
  const world = await startTestChecker(t, options)
  await world.checker.check(ip)
  world.advance(age)
  return world
}
