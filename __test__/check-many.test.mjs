import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { addressOf, startTestChecker, until } from './support/start.mjs'

describe('checkMany', () => {
  test('keeps the order, and judges invalid and failing addresses among the others', async (t) => {
    const { checker } = await startTestChecker(t)
    const ips = [addressOf('score-80'), 'foo', addressOf('400'), '10.0.0.1', addressOf('404'), '192.0.2.20']
    const decisions = await checker.checkMany(ips)
    assert.deepEqual(
      decisions.map(({ ip, score, action, failure }) => [ip, score, action, failure]),
      [
        ['192.0.2.80', 80, 'block', null],
        [null, 0, 'challenge', 'ERR_IP_RISK_INVALID_ADDRESS'],
        [addressOf('400'), 0, 'allow', 'ERR_IP_RISK_REQUEST_REFUSED'],
        ['10.0.0.1', 0, 'allow', 'ERR_IP_RISK_SPECIAL_USE'],
        ['203.0.113.4', 0, 'allow', null],
        ['192.0.2.20', 20, 'log', null],
      ],
    )
  })

  test('gives each the decision that check gives', async (t) => {
    const { checker } = await startTestChecker(t)
    const ips = [addressOf('everything'), addressOf('vpn'), '2002:c633:6401::1', '::ffff:192.0.2.45', 'foo']
    await checker.checkMany(ips)
    const options = { policy: 'payment' }
    const one = await Promise.all(ips.map((ip) => checker.check(ip, options)))
    assert.deepEqual(await checker.checkMany(ips, options), one)
  })

  test('pays once for an address however often it stands in the list', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 5
    const ips = Array.from({ length: 500 }, (_, index) => `192.0.2.${index % 10}`)
    const decisions = await checker.checkMany(ips)
    assert.deepEqual(
      decisions.map(({ score }) => score),
      ips.map((_, index) => index % 10),
    )
    assert.equal(api.requests.flatMap(({ ips }) => ips).length, 10)
    assert.equal(api.requestCount(), 1, 'they travel together')
    assert.equal(checker.stats().upstream.credits, 20)
  })

  test('gives a decision for every one of 50,000 addresses, and refuses more', async (t) => {
    const { checker, api } = await startTestChecker(t)
    await checker.check('192.0.2.45')
    const most = Array.from({ length: 50_000 }, () => '192.0.2.45')
    const decisions = await checker.checkMany(most)
    assert.equal(decisions.length, 50_000)
    assert.ok(decisions.every(({ score, source }) => score === 45 && source === 'memory'))
    const refused = checker.checkMany([...most, '192.0.2.46'])
    await assert.rejects(refused, { code: 'ERR_IP_RISK_ARGUMENT', message: /50000.*50001/ })
    assert.equal(api.requestCount(), 1)
  })

  test('answers an empty list with an empty one', async (t) => {
    const { checker } = await startTestChecker(t)
    assert.deepEqual(await checker.checkMany([]), [])
  })

  test('judges by the given policy and route', async (t) => {
    const policies = { api: { deny: [{ cidr: '192.0.2.1', routes: ['/transfer'] }] } }
    const { checker } = await startTestChecker(t, { policies })
    const actions = async (options) => (await checker.checkMany(['192.0.2.1'], options))[0].action
    assert.equal(await actions({ policy: 'api', route: '/transfer' }), 'block')
    assert.equal(await actions({ policy: 'api', route: '/other' }), 'allow')
    assert.equal(await actions({ route: '/transfer' }), 'allow')
  })
})

describe('an abort signal', () => {
  const reason = new Error('the client went away')

  for (const method of ['check', 'checkMany']) {
    const call = (checker, ip, signal) => checker[method](method === 'check' ? ip : [ip], { signal })

    test(`that has aborted before makes ${method} reject without asking anybody`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      await assert.rejects(call(checker, addressOf('vpn'), AbortSignal.abort(reason)), reason)
      assert.equal(api.requestCount(), 0)
    })

    test(`that aborts during ${method} makes it reject, and the look-up still fills the cache`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      api.latencyMs = 100
      const controller = new AbortController()
      const aborted = call(checker, addressOf('vpn'), controller.signal)
      await until(() => api.requestCount() === 1)
      controller.abort(reason)
      await assert.rejects(aborted, reason)
      assert.equal(checker.peek(addressOf('vpn')), null)
      await until(() => checker.stats().upstream.inFlight === 0)
      assertDecision(await checker.check(addressOf('vpn')), { score: 50, source: 'memory' })
      assert.equal(api.requestCount(), 1)
    })
  }

  test('that never aborts changes nothing, also afterwards', async (t) => {
    const { checker } = await startTestChecker(t)
    const controller = new AbortController()
    const { signal } = controller
    assertDecision(await checker.check(addressOf('vpn'), { signal }), { score: 50 })
    assertDecision(await checker.check(addressOf('vpn'), { signal }), { source: 'memory' })
    controller.abort(reason)
  })

  test('ends the waiting of its own check only', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 50
    const controller = new AbortController()
    const aborted = checker.check(addressOf('vpn'), { signal: controller.signal })
    const other = checker.check(addressOf('vpn'))
    controller.abort(reason)
    await assert.rejects(aborted, reason)
    assertDecision(await other, { score: 50 })
  })
})
