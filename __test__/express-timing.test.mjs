/** When a gate answers: at once, after a look-up, at the deadline, and to clients that are gone. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { assertBlocked, assertFields, assertHeld } from './support/express-answers.mjs'
import {
  HANGING,
  UNAVAILABLE,
  hookReports,
  onEachExpress,
  recordingLogger,
  scoring,
  startApp,
  startChecker,
  startGate,
  turns,
  until,
} from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'

onEachExpress('when the answer comes', (express) => {
  test('in the same tick when it is known, later when it must be asked', async (t) => {
    const { checker, api } = await startChecker(t)
    const gate = riskMiddleware({ checker, deny: [scoring(1)], allow: [scoring(2)] })
    const skipping = riskMiddleware({ checker, skip: () => true })
    const isSynchronous = (middleware, req, res) => {
      let isCalled = false
      middleware(req, res, () => (isCalled = true))
      return isCalled || res.headersSent
    }
    const send = await startApp(t, express, (app) => {
      app.post('/login', (req, res) => {
        const isNow = isSynchronous(req.headers['x-skip'] ? skipping : gate, req, res)
        if (!res.headersSent) res.json({ isNow, source: req.ipRisk?.source })
      })
    })
    const known = async (request) => (await send(request)).json
    assert.deepEqual(await known({ from: scoring(0) }), { isNow: false })
    await until(() => checker.peek(scoring(0)) !== null)
    assert.deepEqual(await known({ from: scoring(0) }), { isNow: true, source: 'memory' })
    assert.deepEqual(await known({ from: scoring(2) }), { isNow: true, source: 'list' })
    assert.deepEqual(await known({ from: '10.0.0.1' }), { isNow: true, source: 'special' })
    assert.deepEqual(await known({ from: 'unknown' }), { isNow: true, source: 'none' })
    const headers = { 'x-skip': 'yes' }
    assert.deepEqual(await known({ from: scoring(3), headers }), { isNow: true, source: 'none' })
    assertBlocked(await send({ from: scoring(1) }))
    assert.equal(api.requestCount(), 1)
  })

  test('200 requests of one new address make one call', async (t) => {
    const { ask, api, checker } = await startGate(t, express)
    api.latencyMs = 100
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(scoring(50))))
    for (const answer of answers) assertFields(answer, { action: 'challenge', requireMfa: true })
    assert.equal(api.requestCount(), 1)
    assert.equal(checker.stats().upstream.calls, 1)
    assert.equal(checker.stats().policies.login.action.challenge, 200)
  })

  test('a provider that hangs is waited for no longer than the deadline', async (t) => {
    const checker = { deadlineMs: 200 }
    const login = await startGate(t, express, { checker })
    const payment = await startGate(t, express, { checker, gate: { policy: 'payment' } })
    const began = performance.now()
    const [opened, held] = await Promise.all([login.ask(HANGING), payment.ask(HANGING)])
    // Generous, because a busy machine is slow; without a deadline there would be no answer at all.
    assert.ok(performance.now() - began < 5_000)
    assertFields(opened, { action: 'allow' })
    assert.equal(opened.json.ipRisk.failure, 'ERR_IP_RISK_TIMEOUT')
    assertHeld(held)
  })

  test('a client that goes away during the look-up harms nobody', async (t) => {
    for (const score of [0, 50, 80]) {
      const { ask, api, decisions, send } = await startGate(t, express)
      api.latencyMs = 100
      const { host, port } = send
      const headers = { 'x-forwarded-for': scoring(score) }
      const leaving = http.request({ host, port, method: 'POST', path: '/login', headers, agent: false })
      leaving.on('error', () => {})
      leaving.end()
      await until(() => api.requestCount() === 1)
      leaving.destroy()
      await until(() => decisions.length === 1)
      assert.equal(decisions[0].score, score)
      await turns()
      const next = await ask(scoring(score))
      assert.equal(next.status, score === 80 ? 403 : 200)
      assert.equal(api.requestCount(), 1, 'the answer was kept for the next request')
    }
  })

  test('an answer that a timeout sent meanwhile stands', async (t) => {
    const onBlock = (req, res) => res.status(418).json({})
    for (const [from, gate, reported] of [
      [scoring(80), {}, 0],
      [scoring(50), {}, 0],
      [scoring(0), {}, 0],
      [UNAVAILABLE, { policy: 'payment' }, 0],
      // The application's own hook does not look, which Express makes it regret.
      [scoring(80), { onBlock }, 1],
    ]) {
      const decided = []
      const logger = recordingLogger()
      const { checker } = await startChecker(t, { logger })
      const onDecision = (decision) => decided.push(decision)
      const send = await startApp(t, express, (app) => {
        app.use((req, res, next) => {
          next()
          res.status(504).json({ error: 'timeout' })
        })
        app.post('/login', riskMiddleware({ checker, ...gate, onDecision }), (req, res) => {
          if (!res.headersSent) res.json({})
        })
      })
      const { status, json } = await send({ from })
      assert.deepEqual([status, json], [504, { error: 'timeout' }])
      await until(() => decided.length === 1)
      await turns()
      assert.equal(hookReports(logger).length, reported)
    }
  })
})
