// What the drill asserts. Each function returns what contradicts its promise, as lines.

import { LEAST_FRESH, callsWhileFresh } from './calls.mjs'
import { RUNGS, rungOf } from './rungs.mjs'

const CLEARING = ['memory', 'redis', 'api']
const STATUS = { allow: 200, log: 200, challenge: 200, block: 403, hold: 503 }
const DEADLINES = 3

/**
 * @typedef {import('./run.mjs').PlayedAct} PlayedAct
 * @typedef {import('./request.mjs').Record} Record
 * @typedef {import('./forms.mjs').Form} Form
 */

/** What is promised of each act. */
const OF_EACH = {
  'no request is lost': lost,
  'none takes longer than three deadlines': slow,
  'no payment is cleared without fresh evidence': cleared,
  'every decision says on which rung it stood': mislabelled,
  'what is known of an address is true': untrue,
  'what fails is what is in trouble, and nothing else': unexpected,
  'a spent quota opens no login': opened,
  'one call for each address and process while its evidence is fresh': callsWhileFresh,
  'everything is in use again without a restart': unrecovered,
}

const OF_ALL = { 'every rung of the ladder is stood on': unmet }

/** What each promise says. */
export const PROMISES = [...Object.keys(OF_EACH), ...Object.keys(OF_ALL)]

/**
 * @param {PlayedAct[]} acts
 * @param {Form} form
 * @returns {Map<string, string[]>} what contradicts each promise
 */
export function judge(acts, form) {
  const broken = new Map()
  for (const [promise, find] of Object.entries(OF_EACH)) {
    broken.set(
      promise,
      acts.flatMap((act) => find(act, form)),
    )
  }
  for (const [promise, find] of Object.entries(OF_ALL)) broken.set(promise, find(acts))
  return broken
}

/** Lines about the records of which `isBroken` holds. */
function linesAbout(records, isBroken) {
  return records.filter(isBroken).map(describe)
}

/** @param {Record} record */
function describe({ during, app, path, ip, sentAt, duration, status, error, decision }) {
  const seen = { status, error, ...decision, flags: undefined }
  const at = `${sentAt - during.beganAt} ms into "${during.phase.name}"`
  return `${at}, process ${app}, ${path} from ${ip}, ${Math.round(duration)} ms: ${JSON.stringify(seen)}`
}

function lost({ records }) {
  return linesAbout(
    records,
    ({ status, decision }) => decision === null || status !== STATUS[decision.action],
  )
}

/** @param {PlayedAct} act @param {Form} form */
function slow({ records }, { deadlineMs }) {
  return linesAbout(records, ({ duration }) => duration > DEADLINES * deadlineMs)
}

function cleared({ records }) {
  return linesAbout(
    records,
    ({ path, passed, decision }) => path === '/payment' && passed && !isFresh(decision),
  )
}

function isFresh(decision) {
  return decision !== null && CLEARING.includes(decision.source) && !decision.stale && !decision.degraded
}

/** @param {PlayedAct} act @param {Form} form */
function mislabelled({ records }, { ttlMs }) {
  return linesAbout(records, (record) => record.decision !== null && !isLabelled(record, ttlMs))
}

function isLabelled(record, ttlMs) {
  const { source, stale, degraded, failure, provider } = record.decision
  if (degraded !== (failure !== null)) return false
  if (stale) return ['memory', 'redis'].includes(source) && degraded && isAged(record, ttlMs)
  if (source === 'none') return degraded && isWithoutEvidence(record.decision)
  if (source === 'feeds') return degraded && provider === 'feeds'
  return CLEARING.includes(source) && !degraded && isOfNow(record, ttlMs)
}

function isWithoutEvidence({ action, score, band, checkedAt, failedOpen, failedClosed }) {
  const hasMode =
    (failedOpen && action === 'allow') || (failedClosed && action === 'hold') || action === 'challenge'
  return score === 0 && band === null && checkedAt === null && hasMode
}

function isAged({ answeredAt, decision }, ttlMs) {
  return answeredAt - decision.checkedAt >= LEAST_FRESH * ttlMs
}

/** Fresh evidence is at most as old as it may be; what the provider said just now, it said after it was asked. */
function isOfNow({ sentAt, decision }, ttlMs) {
  const { checkedAt, source } = decision
  return source === 'api' ? checkedAt >= sentAt : sentAt - checkedAt <= ttlMs
}

function untrue({ records, scoreOf }) {
  const isUntrue = ({ ip, decision }) =>
    decision?.provider === 'ipgeolocation' && decision.score !== scoreOf(ip)
  return linesAbout(records, isUntrue)
}

/** A request may be met by the trouble that begins while it waits. */
function unexpected({ records, phases }) {
  const codesOf = ({ phase }) => [...phase.failures, ...phase.others]
  const isUnexpected = ({ during, answeredAt, decision }) => {
    if (decision === null || decision.failure === null) return false
    const next = phases[phases.indexOf(during) + 1]
    const met = next !== undefined && next.beganAt <= answeredAt ? codesOf(next) : []
    return ![...codesOf(during), ...met].includes(decision.failure)
  }
  return [...linesAbout(records, isUnexpected), ...withoutTrouble(phases, records)]
}

/** Phases in which nothing failed that should have: they would show nothing. */
function withoutTrouble(phases, records) {
  const occurs = (played, code) =>
    records.some(({ during, decision }) => during === played && decision?.failure === code)
  return phases.flatMap((played) =>
    played.phase.failures
      .filter((code) => !occurs(played, code))
      .map((code) => `"${played.phase.name}" without a decision that says ${code}`),
  )
}

function opened({ records }) {
  const isOpened = ({ decision }) => decision?.failure === 'ERR_IP_RISK_QUOTA' && decision.failedOpen
  return linesAbout(records, isOpened)
}

function unrecovered({ phases }) {
  return phases
    .filter(({ recoveredAt }) => recoveredAt === null)
    .map(({ phase }) => `"${phase.name}" was not over in time`)
}

/** Rungs on which nobody stood: the drill would show nothing of them. */
function unmet(acts) {
  const met = new Set(
    acts.flatMap(({ records }) => records.map(({ decision }) => decision && rungOf(decision))),
  )
  return RUNGS.filter((rung) => !met.has(rung)).map((rung) => `no decision stood on "${rung}"`)
}
