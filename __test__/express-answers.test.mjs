/** What a request gets from a gate: its decision, and what comes of it, which under `log-only` is nothing. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { assertBlocked, assertFields, assertHeld } from './support/express-answers.mjs'
import {
  LOW_VPN,
  UNAVAILABLE,
  onEachExpress,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startGate,
} from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'

const VPN = '198.51.100.1'

/** What each score leads to, at every edge of a band. */
const EDGES = [
  { score: 0, band: 'low', action: 'allow', reason: 'below_thresholds' },
  { score: 19, band: 'low', action: 'allow', reason: 'below_thresholds' },
  { score: 20, band: 'guarded', action: 'log', reason: 'threshold_log' },
  { score: 44, band: 'guarded', action: 'log', reason: 'threshold_log' },
  { score: 45, band: 'elevated', action: 'challenge', reason: 'threshold_challenge' },
  { score: 79, band: 'elevated', action: 'challenge', reason: 'threshold_challenge' },
  { score: 80, band: 'high', action: 'block', reason: 'threshold_block' },
  { score: 100, band: 'high', action: 'block', reason: 'threshold_block' },
]

onEachExpress('what a request gets', (express) => {
  test("the tutorial's handler works unchanged", async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker }), (req, res) => {
        const { score, flags, failedOpen } = req.ipRisk
        if (failedOpen) return res.json({ failedOpen })
        if (req.requireMfa) return res.status(401).json({ mfa: true, score, vpn: flags.is_vpn })
        res.json({ score, vpn: flags.is_vpn, proxy: flags.is_proxy, tor: flags.is_tor })
      })
    })
    const answers = [VPN, LOW_VPN, UNAVAILABLE, scoring(80)].map(async (from) => {
      const { status, json } = await send({ from })
      return { status, json }
    })
    assert.deepEqual(await Promise.all(answers), [
      { status: 401, json: { mfa: true, score: 50, vpn: true } },
      { status: 200, json: { score: 10, vpn: true, proxy: false, tor: false } },
      { status: 200, json: { failedOpen: true } },
      { status: 403, json: { error: 'Request blocked' } },
    ])
  })

  for (const [family, host, addressOf] of [
    ['IPv4', '127.0.0.1', scoring],
    ['IPv6', '::1', (score) => `2001:db8:0:${score}::1`],
  ]) {
    test(`every score has its band and action, over ${family}`, async (t) => {
      const { ask } = await startGate(t, express, { host })
      for (const { score, band, action, reason } of EDGES) {
        const answer = await ask(addressOf(score))
        const { decision } = answer
        assert.deepEqual(
          { score: decision.score, band: decision.band, action: decision.action, reasons: decision.reasons },
          { score, band, action, reasons: [reason] },
        )
        assert.equal(decision.provenance, 'trusted-proxy')
        if (action === 'block') assertBlocked(answer)
        else assertFields(answer, { action, requireMfa: action === 'challenge' })
      }
    })
  }

  test('the decision on the request is whole', async (t) => {
    const { ask } = await startGate(t, express)
    const before = Date.now()
    const { json } = await ask(LOW_VPN)
    const { flags, checkedAt, ...rest } = json.ipRisk
    assert.ok(checkedAt >= before && checkedAt <= Date.now())
    assert.deepEqual(flags.vpn_provider_names, ['Example VPN'])
    assert.deepEqual(rest, {
      ip: LOW_VPN,
      score: 10,
      band: 'low',
      action: 'allow',
      wouldBe: 'allow',
      reasons: ['below_thresholds'],
      source: 'api',
      provider: 'ipgeolocation',
      stale: false,
      degraded: false,
      failedOpen: false,
      failedClosed: false,
      failure: null,
      mode: 'enforce',
      policy: 'login',
      provenance: 'trusted-proxy',
    })
  })

  test('without evidence login opens and payment holds', async (t) => {
    const login = await startGate(t, express)
    const opened = await login.ask(UNAVAILABLE)
    assertFields(opened, { action: 'allow' })
    const { score, band, flags, failedOpen, failure } = opened.json.ipRisk
    assert.deepEqual(
      { score, band, flags, failedOpen, failure },
      { score: 0, band: null, flags: {}, failedOpen: true, failure: 'ERR_IP_RISK_UPSTREAM_STATUS' },
    )

    const payment = await startGate(t, express, { gate: { policy: 'payment' } })
    const held = await payment.ask(UNAVAILABLE)
    assertHeld(held)
    assert.equal(held.decision.failedClosed, true)
    assert.deepEqual(held.decision.reasons, ['failed_closed'])
    assertFields(await payment.ask(scoring(0)), { action: 'allow' })
    assertBlocked(await payment.ask(scoring(80)))
  })

  test('`onHold: next` hands the request on for a review', async (t) => {
    const gate = { policy: 'payment', onHold: (req, res, next) => next() }
    const { ask } = await startGate(t, express, { gate })
    assertFields(await ask(UNAVAILABLE), { action: 'hold', holdForReview: true })
    assertFields(await ask(scoring(0)), { action: 'allow' })
  })

  test('a stale answer still challenges, and never clears a payment', async (t) => {
    const login = await startGate(t, express)
    const payment = await startGate(t, express, { gate: { policy: 'payment' } })
    for (const { ask, api, advance } of [login, payment]) {
      await ask(scoring(50))
      advance(10 * 60_000)
      api.fault({ status: 503 })
    }
    const answer = await login.ask(scoring(50))
    assertFields(answer, { action: 'challenge', requireMfa: true })
    assert.equal(answer.json.ipRisk.stale, true)
    assertHeld(await payment.ask(scoring(50)))
  })

  test('text that is no address is challenged, and held by payment', async (t) => {
    for (const from of ['unknown', '192.0.2', '0300.0.2.1', '192.0.2.0, _hidden', 'x'.repeat(4000)]) {
      const { ask, api } = await startGate(t, express)
      const answer = await ask(from)
      assertFields(answer, { action: 'challenge', requireMfa: true })
      assert.equal(answer.json.ipRisk.ip, null)
      assert.deepEqual(answer.json.ipRisk.reasons, ['invalid_address'])
      assert.equal(api.requestCount(), 0)
    }
    const { ask } = await startGate(t, express, { gate: { policy: 'payment' } })
    assertHeld(await ask('unknown'))
  })

  test('HEAD gets the status without a body', async (t) => {
    const { ask } = await startGate(t, express)
    const allowed = await ask({ method: 'HEAD', from: scoring(0) })
    const blocked = await ask({ method: 'HEAD', from: scoring(80) })
    assert.deepEqual([allowed.status, allowed.text], [200, ''])
    assert.deepEqual([blocked.status, blocked.text], [403, ''])
    const { headers: whole } = await ask({ method: 'GET', from: scoring(80) })
    for (const name of ['cache-control', 'content-type', 'content-length']) {
      assert.equal(blocked.headers[name], whole[name], name)
    }
  })

  /** How many connections requests with these methods and scores take, one after the other. */
  async function connectionsFor(t, requests) {
    const { send } = await startGate(t, express)
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    let connections = 0
    send.server.on('connection', () => connections++)
    for (const { score, status, ...request } of requests) {
      assert.equal((await send({ agent, from: scoring(score), ...request })).status, status)
    }
    return connections
  }

  test('a kept-alive connection serves on after a refusal, whether its body was read or not', async (t) => {
    const body = 'x'.repeat(64 * 1024)
    const upload = (score, status) => ({ score, status, body, headers: { 'content-length': body.length } })
    const requests = [upload(80, 403), upload(0, 200), upload(80, 403), { score: 45, status: 200 }]
    assert.equal(await connectionsFor(t, requests), 1)
  })

  test('so it does after a refused HEAD', async (t) => {
    const head = { score: 80, status: 403, method: 'HEAD' }
    assert.equal(await connectionsFor(t, [head, head, { score: 0, status: 200 }]), 1)
  })
})

onEachExpress('log-only', (express) => {
  test('lets everything through and says what it would have done', async (t) => {
    const called = []
    const hook = (name) => (req, res, next) => {
      called.push(name)
      next()
    }
    const hooks = { onBlock: hook('onBlock'), onChallenge: hook('onChallenge'), onHold: hook('onHold') }
    for (const [policy, from, wouldBe] of [
      ['login', scoring(0), 'allow'],
      ['login', scoring(20), 'log'],
      ['login', scoring(45), 'challenge'],
      ['login', scoring(80), 'block'],
      ['payment', UNAVAILABLE, 'hold'],
    ]) {
      const seen = []
      const onDecision = (decision) => seen.push(decision.wouldBe)
      const gate = { policy, mode: 'log-only', ...hooks, onDecision }
      const { ask } = await startGate(t, express, { gate })
      const { status, json } = await ask(from)
      assert.equal(status, 200)
      assert.deepEqual(
        [json.ipRisk.action, json.ipRisk.wouldBe, json.ipRisk.mode],
        ['allow', wouldBe, 'log-only'],
      )
      assert.deepEqual(Object.keys(json), ['ipRisk'], 'neither `requireMfa` nor `holdForReview` is touched')
      assert.deepEqual(seen, [wouldBe])
    }
    assert.deepEqual(called, [])
  })

  test('it keeps the failure', async (t) => {
    const { ask } = await startGate(t, express, { gate: { mode: 'log-only', policy: 'payment' } })
    assert.equal((await ask(UNAVAILABLE)).json.ipRisk.failure, 'ERR_IP_RISK_UPSTREAM_STATUS')
  })

  test('a named policy can be log-only while others act', async (t) => {
    const { checker } = await startChecker(t, { policies: { payment: { mode: 'log-only' } } })
    const send = await startApp(t, express, (app) => {
      app.post('/pay', riskMiddleware({ checker, policy: 'payment' }), showRequest)
      app.post('/login', riskMiddleware({ checker }), showRequest)
    })
    assert.equal((await send({ path: '/pay', from: scoring(80) })).status, 200)
    assertBlocked(await send({ from: scoring(80) }))
  })
})
