/** What tests say about decisions. */
import assert from 'node:assert/strict'

/** What a decision without evidence shows of it. */
export const NO_EVIDENCE = { score: 0, band: null, flags: {}, provider: null, checkedAt: null }

/** Asserts the parts of `decision` that `expected` has. */
export function assertDecision(decision, expected, message) {
  const seen = Object.fromEntries(Object.keys(expected).map((key) => [key, decision[key]]))
  assert.deepEqual(seen, expected, message)
}
