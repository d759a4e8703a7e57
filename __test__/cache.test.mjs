/** How long answers are kept: fresh for their time to live, and then as stale evidence for when the provider fails. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import {
  CODES,
  COOL_DOWN,
  STATUS,
  TEN_MINUTES,
  TTL,
  assertFailure,
  startWithEvidence,
} from './support/failures.mjs'
import { FAULT_CARDS } from './support/package.mjs'
import { addressOf, publicAddress, startTestChecker } from './support/start.mjs'

const STALE = 86_400_000

describe('the time to live', () => {
  test('is 5 minutes less up to a tenth, not the same for all', async (t) => {
    const { checker, advance } = await startTestChecker(t)
    const ips = Array.from({ length: 101 }, (_, score) => `192.0.2.${score}`)
    const sources = async () => (await checker.checkMany(ips)).map(({ source }) => source)
    const known = () => ips.filter((ip) => checker.peek(ip) !== null).length
    await sources()
    advance(TTL * 0.85)
    assert.equal(known(), 101)
    advance(TTL * 0.1)
    const left = known()
    assert.ok(left > 0 && left < 101, `${left} of 101 are still fresh`)
    advance(TTL * 0.05)
    assert.deepEqual(new Set(await sources()), new Set(['api']))
  })

  test('is what `cache.ttlMs` says', async (t) => {
    const { checker, advance } = await startTestChecker(t, { cache: { ttlMs: 10_000 } })
    await checker.check(addressOf('vpn'))
    advance(8_500)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'memory' })
    advance(1_501)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'api' })
  })

  test('is not prolonged by being asked', async (t) => {
    const { checker, advance } = await startTestChecker(t)
    for (let minute = 0; minute < 4; minute++) {
      await checker.check(addressOf('vpn'))
      advance(60_000)
    }
    assertDecision(await checker.check(addressOf('vpn')), { source: 'memory' })
    advance(60_001)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'api' })
  })

  for (const name of ['404', '423']) {
    test(`of an answer ${name} is 10 minutes, and it is no evidence after that`, async (t) => {
      const { checker, api, advance } = await startTestChecker(t, { cache: { ttlMs: 1_000 } })
      const first = await checker.check(addressOf(name))
      advance(TEN_MINUTES * 0.85)
      assert.deepEqual(await checker.check(addressOf(name)), { ...first, source: 'memory' })
      assert.equal(api.requestCount(), 1)
      advance(TEN_MINUTES * 0.15)
      api.fault({ status: 503 })
      assertFailure(await checker.check(addressOf(name)), 'login', STATUS)
    })
  }

  test('bounds memory together with `cache.maxEntries`', async (t) => {
    const { checker } = await startTestChecker(t, { cache: { maxEntries: 50 } })
    await checker.checkMany(Array.from({ length: 1_000 }, (_, index) => publicAddress(index)))
    assert.ok(checker.stats().cache.entries <= 50)
  })
})

describe('stale evidence', () => {
  test('answers for an open policy when the provider fails', async (t) => {
    const ip = addressOf('score-45')
    const { checker, api, advance } = await startTestChecker(t)
    const first = await checker.check(ip)
    advance(TTL)
    api.fault({ status: 503 })
    assert.deepEqual(await checker.check(ip), {
      ...first,
      source: 'memory',
      stale: true,
      degraded: true,
      failure: STATUS,
      reasons: ['threshold_challenge', 'stale_evidence'],
    })
    assert.equal(checker.stats().cache.staleAnswers, 1)
    assert.equal(checker.peek(ip), null, 'peek gives fresh evidence only')
  })

  test('answers whatever the failure is', async (t) => {
    const ip = addressOf('score-20')
    const { checker, api, advance } = await startWithEvidence(t, ip, TTL, { deadlineMs: 400 })
    for (const [name, code] of Object.entries(CODES)) {
      const { fault, body } = FAULT_CARDS.find((card) => card.name === name)
      if (fault) api.fault(fault)
      else api.fault(null)
      if (!fault) api.answerRaw(ip, { body })
      const decision = await checker.check(ip)
      const expected = {
        score: 20,
        action: 'log',
        stale: true,
        degraded: true,
        source: 'memory',
        failedOpen: false,
      }
      assertDecision(decision, expected, name)
      assert.equal(decision.failure, code, name)
      advance(COOL_DOWN)
    }
  })

  test('never clears a closed policy', async (t) => {
    for (const score of [0, 20, 45, 79]) {
      const ip = `192.0.2.${score}`
      const { checker, api } = await startWithEvidence(t, ip, TTL)
      api.fault({ status: 503 })
      assertFailure(await checker.check(ip, { policy: 'payment' }), 'payment', STATUS)
    }
  })

  test('that blocks stands in a closed policy', async (t) => {
    const ip = addressOf('score-80')
    const { checker, api } = await startWithEvidence(t, ip, TTL)
    api.fault({ status: 503 })
    const decision = await checker.check(ip, { policy: 'payment' })
    const expected = {
      action: 'block',
      score: 80,
      stale: true,
      degraded: true,
      failure: STATUS,
      failedClosed: false,
    }
    assertDecision(decision, { ...expected, reasons: ['threshold_block', 'stale_evidence'] })
  })

  test('that would block does not clear a closed policy whose `maxAction` is lower', async (t) => {
    const ip = addressOf('score-80')
    const policies = { payment: { maxAction: 'challenge' } }
    const { checker, api } = await startWithEvidence(t, ip, TTL, { policies })
    api.fault({ status: 503 })
    assertDecision(await checker.check(ip, { policy: 'payment' }), { action: 'hold', failedClosed: true })
  })

  test('clears a closed policy up to `maxStaleMs`, counted from when the source answered', async (t) => {
    const ip = addressOf('score-0')
    const policies = { payment: { maxStaleMs: 2 * TTL } }
    const { checker, api, advance } = await startWithEvidence(t, ip, 2 * TTL - 10_000, { policies })
    api.fault({ status: 503 })
    assertDecision(await checker.check(ip, { policy: 'payment' }), { action: 'allow', stale: true })
    advance(10_001)
    assertFailure(await checker.check(ip, { policy: 'payment' }), 'payment', STATUS)
  })

  test('answers for an open policy up to `maxStaleMs`; older, it may raise but clears nothing', async (t) => {
    const policies = { login: { maxStaleMs: TTL } }
    const { checker, api, advance } = await startWithEvidence(t, addressOf('score-19'), 0, { policies })
    const raising = { 'score-20': 'log', 'score-45': 'challenge', 'score-80': 'block' }
    for (const name of Object.keys(raising)) await checker.check(addressOf(name))
    advance(TTL + 1_000)
    api.fault({ status: 503 })
    assertFailure(await checker.check(addressOf('score-19')), 'login', STATUS)
    for (const [name, action] of Object.entries(raising)) {
      assertDecision(await checker.check(addressOf(name)), { action, stale: true })
    }
  })

  test('is kept for a day after its time to live, or as long as `cache.staleMs` says', async (t) => {
    const ip = addressOf('score-80')
    for (const [staleMs, cache] of [
      [STALE, {}],
      [60_000, { staleMs: 60_000 }],
      [0, { staleMs: 0 }],
    ]) {
      const { checker, api, advance } = await startWithEvidence(t, ip, TTL * 0.85, { cache })
      api.fault({ status: 503 })
      if (staleMs > 0) {
        advance(TTL * 0.15 + staleMs * 0.4)
        assertDecision(await checker.check(ip), { action: 'block', stale: true })
        advance(staleMs * 0.6)
      } else {
        advance(TTL * 0.15)
      }
      assertFailure(await checker.check(ip), 'login', STATUS, `after ${staleMs} ms`)
    }
  })

  test('is replaced by the next answer', async (t) => {
    const ip = addressOf('score-80')
    const { checker, api } = await startWithEvidence(t, ip, TTL)
    api.fault({ status: 503 }, { times: 2 }) // it is asked for once more
    assertDecision(await checker.check(ip), { stale: true, degraded: true })
    api.answer(ip, { threat_score: 10 })
    assertDecision(await checker.check(ip), { score: 10, source: 'api', stale: false, degraded: false })
    assertDecision(await checker.check(ip), { score: 10, source: 'memory', stale: false })
  })
})
