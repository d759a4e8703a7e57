/** What the client gets from a gate, and what the handler behind it finds on the request. */
import assert from 'node:assert/strict'

/** The whole default answer: neither body nor header says why. */
function assertRefused(answer, status, error) {
  assert.equal(answer.status, status)
  assert.equal(answer.text, JSON.stringify({ error }))
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  const usual = [
    'cache-control',
    'connection',
    'content-length',
    'content-type',
    'date',
    'keep-alive',
    'x-powered-by',
  ]
  assert.deepEqual(
    Object.keys(answer.headers).filter((name) => !usual.includes(name)),
    [],
  )
}

export function assertBlocked(answer) {
  assertRefused(answer, 403, 'Request blocked')
}

export function assertHeld(answer) {
  assertRefused(answer, 503, 'Request held for review')
}

/** What the handler found on the request. */
export function assertFields(answer, { action, requireMfa = false, holdForReview = false }) {
  assert.equal(answer.status, 200)
  assert.equal(answer.json.ipRisk.action, action)
  assert.equal(answer.json.requireMfa, requireMfa)
  assert.equal(answer.json.holdForReview, holdForReview)
}
