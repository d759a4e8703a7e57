import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, test } from 'node:test'
import { CODES, COOL_DOWN, KEY_REFUSED, QUOTA, STATUS, TIMEOUT } from './support/failures.mjs'
import { addressOf, startTestChecker, until } from './support/start.mjs'

describe('stats', () => {
  test('count what was decided, by policy', async (t) => {
    const policies = { watch: { mode: 'log-only' } }
    const { checker } = await startTestChecker(t, { policies })
    await checker.checkMany(['192.0.2.0', '192.0.2.20', '192.0.2.45', '192.0.2.80', '192.0.2.80', 'foo'])
    await checker.check('10.0.0.1')
    await checker.checkMany(['192.0.2.80', '192.0.2.45', '192.0.2.0'], { policy: 'watch' })
    await checker.checkMany(['foo', addressOf('503')], { policy: 'payment' })
    const { login, watch, payment, ...others } = checker.stats().policies
    assert.deepEqual(others, {})
    const counts = { allow: 2, log: 1, challenge: 2, block: 2, hold: 0 }
    assert.deepEqual([login.action, login.wouldBe], [counts, counts])
    assert.deepEqual(watch.action, { allow: 3, log: 0, challenge: 0, block: 0, hold: 0 })
    assert.deepEqual(watch.wouldBe, { allow: 1, log: 0, challenge: 1, block: 1, hold: 0 })
    assert.deepEqual(payment.action, { allow: 0, log: 0, challenge: 0, block: 0, hold: 2 })
  })

  test('count by each policy, however many there are', async (t) => {
    const names = Array.from({ length: 1_000 }, (_, number) => `p${number}`)
    const { checker } = await startTestChecker(t, {
      policies: Object.fromEntries(names.map((name) => [name, {}])),
    })
    for (const policy of names) await checker.check('10.0.0.1', { policy })
    const { policies } = checker.stats()
    for (const name of names) assert.equal(policies[name]?.action.allow, 1, name)
  })

  test('have a histogram of real scores only', async (t) => {
    const { checker } = await startTestChecker(t, { policies: { login: { deny: ['192.0.2.7'] } } })
    const without = ['foo', '10.0.0.1', '192.0.2.7', addressOf('400'), addressOf('404')]
    await checker.checkMany(['192.0.2.0', '192.0.2.80', '192.0.2.80', '192.0.2.100', ...without])
    const { histogram } = checker.stats().policies.login
    assert.equal(histogram.length, 101)
    const filled = histogram.flatMap((count, score) => (count === 0 ? [] : [[score, count]]))
    assert.deepEqual(filled, [
      [0, 1],
      [80, 2],
      [100, 1],
    ])
  })

  test('count the cache and the calls', async (t) => {
    const { checker, api, advance } = await startTestChecker(t)
    const before = Date.now()
    await checker.checkMany(['192.0.2.45', '192.0.2.80'])
    await checker.check('192.0.2.45')
    advance(300_001)
    // It is asked for once more, in vain.
    api.fault({ status: 503 }, { times: 2 })
    await checker.check('192.0.2.45')
    const { cache, upstream } = checker.stats()
    assert.deepEqual(cache, { entries: 2, hits: 1, staleAnswers: 1 })
    const { lastFailure, lastSuccessAt, health, latency, ...counts } = upstream
    const failures = { ERR_IP_RISK_UPSTREAM_STATUS: 2 }
    const expected = { calls: 3, batches: 1, retries: 1, coalesced: 0, inFlight: 0, credits: 4, failures }
    assert.deepEqual(counts, expected)
    assert.equal(health.state, 'closed')
    assert.ok(latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 < 60_000)
    assert.equal(lastFailure.code, 'ERR_IP_RISK_UPSTREAM_STATUS')
    assert.ok(lastFailure.advice.length > 0 && lastFailure.at > lastSuccessAt && lastSuccessAt >= before)
  })

  test('begin with nothing', async (t) => {
    const { checker } = await startTestChecker(t)
    const { policies, cache, upstream, rungs, redis, budget } = checker.stats()
    assert.ok(Object.values(rungs).every((count) => count === 0))
    assert.deepEqual([redis, budget], [null, []])
    assert.deepEqual(Object.keys(policies).sort(), ['login', 'payment'])
    assert.ok(policies.login.histogram.every((count) => count === 0))
    assert.deepEqual(cache, { entries: 0, hits: 0, staleAnswers: 0 })
    const none = { calls: 0, batches: 0, retries: 0, coalesced: 0, inFlight: 0, credits: 0, failures: {} }
    const { health, ...counts } = upstream
    assert.deepEqual(counts, { ...none, latency: null, lastFailure: null, lastSuccessAt: null })
    const { since, ...rest } = health
    assert.deepEqual(rest, { state: 'closed', cause: null, nextProbeAt: null })
    assert.ok(since > 0 && since <= Date.now())
  })

  test('show how many calls are under way', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 50
    const checks = Promise.all([checker.check('192.0.2.1'), checker.check('192.0.2.2')])
    await until(() => api.requestCount() === 2)
    assert.equal(checker.stats().upstream.inFlight, 2)
    await checks
    assert.equal(checker.stats().upstream.inFlight, 0)
  })

  test('name every failed call by its code, and say what to do about the last', async (t) => {
    const { checker, advance } = await startTestChecker(t, { deadlineMs: 200 })
    for (const name of ['401', '503', '500', 'hang', '429']) {
      advance(COOL_DOWN)
      await checker.check(addressOf(name))
    }
    const { failures, lastFailure } = checker.stats().upstream
    assert.deepEqual(failures, { [KEY_REFUSED]: 1, [STATUS]: 2, [TIMEOUT]: 1, [QUOTA]: 1 })
    assert.equal(lastFailure.code, QUOTA)
    assert.match(lastFailure.advice, /quota/)
  })

  test('have advice for every code', async (t) => {
    const { checker, advance } = await startTestChecker(t, { deadlineMs: 200 })
    for (const [name, code] of Object.entries(CODES)) {
      advance(COOL_DOWN)
      await checker.check(addressOf(name))
      const { lastFailure } = checker.stats().upstream
      assert.equal(lastFailure.code, code, name)
      assert.ok(lastFailure.advice.length > 20, name)
    }
  })
})

describe('the diagnostics channel `ip-risk:decision`', () => {
  test('carries every decision that is given to somebody', async (t) => {
    const { checker } = await startTestChecker(t)
    const published = []
    const listen = (decision, name) => published.push([name, decision])
    subscribe('ip-risk:decision', listen)
    t.after(() => unsubscribe('ip-risk:decision', listen))
    const given = []
    for (const ip of [addressOf('vpn'), addressOf('vpn'), addressOf('503'), '10.0.0.1', 'foo']) {
      given.push(await checker.check(ip))
    }
    given.push(...(await checker.checkMany(['192.0.2.1', '192.0.2.80'])))
    assert.deepEqual(
      published,
      given.map((decision) => ['ip-risk:decision', decision]),
    )
  })
})
