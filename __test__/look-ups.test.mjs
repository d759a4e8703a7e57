import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import {
  MFA,
  OVERLOADED,
  TIMEOUT,
  TTL,
  assertFailure,
  checkByAll,
  startWithEvidence,
} from './support/failures.mjs'
import { startInThread } from './support/remote-checkers.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker, until } from './support/start.mjs'

describe('one call is made', () => {
  test('for 1,000 simultaneous checks of one new address', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 50
    const checks = Array.from({ length: 1_000 }, () => checker.check(addressOf('vpn')))
    const decisions = await Promise.all(checks)
    assert.ok(decisions.every(({ score }) => score === 50))
    assert.equal(api.requestCount(), 1)
    assert.equal(checker.stats().upstream.coalesced, 999)
    assert.equal(checker.stats().policies.login.histogram[50], 1_000)
  })

  test('for simultaneous checks that fail together, and another for the next check', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 50
    api.fault({ status: 400 }, { times: 1 }) // such a call is not made once more
    const checks = Array.from({ length: 100 }, () => checker.check(addressOf('vpn')))
    const decisions = await Promise.all(checks)
    assert.ok(decisions.every(({ failure }) => failure === 'ERR_IP_RISK_REQUEST_REFUSED'))
    assert.equal(api.requestCount(), 1)
    assertDecision(await checker.check(addressOf('vpn')), { score: 50 })
  })

  test('for different policies that ask at once', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 20
    const ip = addressOf('400')
    const checks = [checker.check(ip), checker.check(ip, { policy: 'payment' })]
    const actions = (await Promise.all(checks)).map(({ action }) => action)
    assert.deepEqual(actions, ['allow', 'hold'])
    assert.equal(api.requestCount(), 1)
  })

  test('for checkers with equal options, whatever their policies', async (t) => {
    const api = await startApi(t)
    const one = makeChecker(t, api)
    const other = makeChecker(t, api, { policies: { login: { mode: 'log-only' } } })
    const apart = makeChecker(t, api, { cache: { ttlMs: 1_000 } })
    await one.check(publicAddress(1))
    assertDecision(await other.check(publicAddress(1)), { source: 'memory', mode: 'log-only' })
    assert.equal(api.requestCount(), 1)
    assertDecision(await apart.check(publicAddress(1)), { source: 'api' })
  })

  test('for checks in several worker threads, which also share the cache', async (t) => {
    const api = await startApi(t)
    api.latencyMs = 300
    const options = { apiKey: 'test-key', endpoint: api.url, logger: false }
    const threads = await Promise.all(Array.from({ length: 4 }, () => startInThread(t, options)))
    const checkAll = () => Promise.all(threads.map((checker) => checker.check(publicAddress(1))))
    const first = await checkAll()
    assert.deepEqual(
      first.map(({ source, failure }) => [source, failure]),
      threads.map(() => ['api', null]),
    )
    assert.equal(api.requestCount(), 1)
    const second = await checkAll()
    assert.ok(second.every(({ source }) => source === 'memory'))
    const here = makeChecker(t, api)
    assertDecision(await here.check(publicAddress(1)), { source: 'memory' })
    assert.equal(here.stats().upstream.coalesced, 3)
    assert.equal(api.requestCount(), 1)
  })
})

describe('beyond `maxInFlight`', () => {
  test('checks go to the failure mode for what a caller can use up', async (t) => {
    const { checker, api } = await startTestChecker(t, { maxInFlight: 2, policies: MFA })
    api.latencyMs = 300
    const underWay = [checker.check('192.0.2.45'), checker.check('192.0.2.80')]
    await until(() => api.requestCount() === 2)
    for (const [policy, decision] of Object.entries(await checkByAll(checker, '192.0.2.1'))) {
      assertFailure(decision, policy, OVERLOADED)
    }
    const joining = checker.check('192.0.2.45')
    const scores = (await Promise.all([...underWay, joining])).map(({ score }) => score)
    assert.deepEqual(scores, [45, 80, 45])
    assert.equal(api.requestCount(), 2)
    assertDecision(await checker.check('192.0.2.1'), { score: 1, failure: null })
  })

  test('stale evidence answers first', async (t) => {
    const { checker, api } = await startWithEvidence(t, '192.0.2.80', TTL, { maxInFlight: 1 })
    api.latencyMs = 200
    const underWay = checker.check('192.0.2.1')
    await until(() => api.requestCount() === 2)
    const expected = { action: 'block', stale: true, failure: OVERLOADED, degraded: true }
    assertDecision(await checker.check('192.0.2.80'), expected)
    await underWay
  })

  test('there are 1,000 unless it is written', async (t) => {
    const patient = { connectTimeoutMs: 10_000, deadlineMs: 10_000 }
    const { checker, api } = await startTestChecker(t, { ...patient, batch: false })
    api.latencyMs = 1_000
    const checks = Array.from({ length: 1_001 }, (_, index) => checker.check(publicAddress(index)))
    const failures = (await Promise.all(checks))
      .map(({ failure }) => failure)
      .filter((failure) => failure !== null)
    assert.deepEqual(failures, [OVERLOADED])
    assert.equal(api.requestCount(), 1_000)
  })
})

describe('the deadline', () => {
  for (const fault of [{ kind: 'hang' }, { kind: 'drip' }]) {
    test(`ends a look-up that meets \`${fault.kind}\``, async (t) => {
      const { checker, api } = await startTestChecker(t, { deadlineMs: 500 })
      api.fault(fault)
      const began = performance.now()
      assertFailure(await checker.check(addressOf('vpn')), 'login', TIMEOUT)
      const took = performance.now() - began
      assert.ok(took >= 490 && took < 2_000, `${took} ms`)
    })
  }

  test('is that of the call for those who join it', async (t) => {
    const { checker, api } = await startTestChecker(t, { deadlineMs: 500 })
    api.fault({ kind: 'hang' })
    const first = checker.check(addressOf('vpn'))
    await until(() => api.requestCount() === 1)
    const second = checker.check(addressOf('vpn'))
    for (const decision of await Promise.all([first, second])) assertFailure(decision, 'login', TIMEOUT)
    assert.equal(api.requestCount(), 1)
  })

  test('is 1,500 ms unless it is written', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 1_000
    assertDecision(await checker.check(addressOf('score-45')), { score: 45 })
    api.latencyMs = 2_500
    assertFailure(await checker.check(addressOf('score-80')), 'login', TIMEOUT)
  })
})

describe('what ends early', () => {
  const many = (count) => Array.from({ length: count }, (_, number) => publicAddress(number))

  test('a checkMany that is given up asks about no address that still waits', async (t) => {
    const lines = []
    const add = (details, message) => lines.push(message)
    const { checker, api } = await startTestChecker(t, { logger: { info: add, warn: add, error: add } })
    api.latencyMs = 20
    const controller = new AbortController()
    const answer = checker.checkMany(many(20_000), { signal: controller.signal })
    const asked = () => api.requests.flatMap(({ ips }) => ips).length
    await until(() => asked() > 0)
    const before = asked()
    controller.abort(new Error('enough'))
    await assert.rejects(answer, /enough/)
    await checker.close()
    assert.ok(asked() <= before + 4_000, `${asked() - before} more addresses were asked about`)
    assert.deepEqual(lines, [], 'nothing is said of what nobody waits for')
  })

  test('close ends a checkMany within the deadline; what waits gets the failure mode', async (t) => {
    const { checker, api } = await startTestChecker(t, { deadlineMs: 200 })
    api.fault({ kind: 'hang' })
    const answer = checker.checkMany(many(500), { policy: 'payment' })
    await until(() => api.requestCount() >= 1)
    const began = performance.now()
    await checker.close()
    assert.ok(performance.now() - began < 2_000)
    const decisions = await answer
    assert.equal(decisions.length, 500)
    assert.ok(decisions.every(({ action }) => action === 'hold'))
    assert.deepEqual(
      decisions.map(({ ip }) => ip),
      many(500),
    )
    assert.equal(decisions.at(-1).failure, 'ERR_IP_RISK_CLOSED')
  })

  test('what is invalidated while it is looked up is not cached when it ends', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const ip of ['8.8.8.8', undefined]) {
      api.latencyMs = 50
      const seen = api.requestCount()
      const answer = checker.check('8.8.8.8')
      await until(() => api.requestCount() > seen)
      await checker.invalidate(ip)
      assert.equal((await answer).source, 'api')
      assert.equal(checker.peek('8.8.8.8'), null)
    }
  })
})
