// Whether a process called the provider about an address although it knew the answer, or was about to.

/** Up to a tenth is taken off the time for which evidence is fresh. */
export const LEAST_FRESH = 0.9

/**
 * Lines about calls that were one too many. A call that failed tells nothing, so that another one may follow.
 *
 * @param {import('./run.mjs').PlayedAct} act
 * @param {import('./forms.mjs').Form} form
 */
export function callsWhileFresh({ calls, records }, { ttlMs }) {
  const freshMs = LEAST_FRESH * ttlMs
  const recordsOf = grouped(records)
  return [...grouped(calls)].flatMap(([key, own]) => {
    const seen = recordsOf.get(key) ?? []
    return own
      .filter(
        (call, place) => wasKnown(call, seen, freshMs) || isRepeated(call, own[place - 1], seen, freshMs),
      )
      .map(
        ({ app, ip, at }) =>
          `process ${app} called about ${ip} at ${new Date(at).toISOString()}: ${timesOf(own)}`,
      )
  })
}

/** By process and address, in their order. */
function grouped(list) {
  const groups = new Map()
  for (const item of list) {
    const key = `${item.app} ${item.ip}`
    if (!groups.has(key)) groups.set(key, [])
    groups.get(key).push(item)
  }
  return groups
}

/** Whether a decision before the call stood on evidence that was still fresh when it was made. */
function wasKnown({ at }, seen, freshMs) {
  const showsIt = ({ answeredAt, decision }) =>
    decision !== null && decision.failure === null && answeredAt < at && at - decision.checkedAt < freshMs
  return seen.some(showsIt)
}

/** Whether the call before had an answer that was still fresh, or was still under way. */
function isRepeated({ at }, before, seen, freshMs) {
  if (before === undefined || !before.wasWell || at - before.at >= freshMs) return false
  // The answer may have come too late for everybody.
  const failedMeanwhile = ({ sentAt, answeredAt, decision }) =>
    decision?.failure !== null && answeredAt >= before.at && sentAt <= at
  return !seen.some(failedMeanwhile)
}

function timesOf(calls) {
  const [first] = calls
  return calls.map(({ at, wasWell }) => `${at - first.at} ms${wasWell ? '' : ' (in trouble)'}`).join(', ')
}
