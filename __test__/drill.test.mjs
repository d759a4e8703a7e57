/** The drill of `npm run drill` in its short form, and what it asserts. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { SHORT } from '../benchmark/drill/forms.mjs'
import { PROMISES, judge } from '../benchmark/drill/promises.mjs'
import { runDrill } from '../benchmark/drill/run.mjs'

describe('while Redis and the provider fail in every way, and people log in and pay,', () => {
  let judged
  before(async () => {
    judged = judge(await runDrill(SHORT), SHORT)
  })

  for (const promise of PROMISES) {
    test(promise, () => assert.deepEqual(judged.get(promise), []))
  }
})
