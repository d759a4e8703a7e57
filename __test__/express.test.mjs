import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFileSync } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'
import {
  HANGING,
  UNAVAILABLE,
  hookReports,
  onEachExpress,
  recordingLogger,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startGate,
  startServer,
  turns,
  until,
} from './support/express-app.mjs'
import { RiskChecker, riskMiddleware } from './support/package.mjs'

const VPN = '198.51.100.1'
const LOW_VPN = '198.51.100.15'
const GOOGLE_CLOUD = '198.51.100.22'
const ATTACKER_IN_GOOGLE_CLOUD = '198.51.100.23'

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

function assertBlocked(answer) {
  assertRefused(answer, 403, 'Request blocked')
}

function assertHeld(answer) {
  assertRefused(answer, 503, 'Request held for review')
}

/** What the handler found on the request. */
function assertFields(answer, { action, requireMfa = false, holdForReview = false }) {
  assert.equal(answer.status, 200)
  assert.equal(answer.json.ipRisk.action, action)
  assert.equal(answer.json.requireMfa, requireMfa)
  assert.equal(answer.json.holdForReview, holdForReview)
}

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

onEachExpress('several gates', (express) => {
  /** A gate for the whole application, then one for the route. */
  async function startTwo(t, first, second) {
    const { checker } = await startChecker(t)
    return startApp(t, express, (app) => {
      app.use(riskMiddleware({ checker, ...first }))
      app.post('/login', riskMiddleware({ checker, ...second }), showRequest)
    })
  }

  test('a second gate never clears `requireMfa`', async (t) => {
    const lenient = [
      { maxAction: 'allow' },
      { allow: ['192.0.2.0/24'] },
      { skip: () => true },
      { mode: 'log-only' },
      { thresholds: { challenge: 70 } },
    ]
    for (const second of lenient) {
      const send = await startTwo(t, {}, second)
      const answer = await send({ from: scoring(50) })
      assert.equal(answer.status, 200)
      assert.notEqual(answer.json.ipRisk.action, 'challenge', 'the newest decision stands on the request')
      assert.equal(answer.json.requireMfa, true, JSON.stringify(second))
    }
  })

  test('a second gate never clears `holdForReview`', async (t) => {
    const send = await startTwo(t, { policy: 'payment', onHold: (req, res, next) => next() }, {})
    const answer = await send({ from: UNAVAILABLE })
    assertFields(answer, { action: 'allow', holdForReview: true })
  })

  test('a second gate may be stricter', async (t) => {
    const send = await startTwo(t, {}, { policy: 'payment', thresholds: { block: 45 } })
    assertBlocked(await send({ from: scoring(50) }))
    assertHeld(await send({ from: UNAVAILABLE }))
  })

  test('what the application itself set stays', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      app.use((req, res, next) => {
        req.requireMfa = true
        next()
      })
      app.post('/login', riskMiddleware({ checker }), showRequest)
    })
    assertFields(await send({ from: scoring(0) }), { action: 'allow', requireMfa: true })
  })

  test('routes have policies of their own on one checker', async (t) => {
    const policies = {
      admin: { extends: 'payment', thresholds: { log: 0, challenge: 10, block: 20 } },
      login: { thresholds: { block: 90 } },
    }
    const { checker, api } = await startChecker(t, { policies })
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker }), showRequest)
      app.post('/admin', riskMiddleware({ checker, policy: 'admin' }), showRequest)
      app.post('/payment', riskMiddleware({ checker, policy: 'payment' }), showRequest)
    })
    const seen = async (path, score) => (await send({ path, from: scoring(score) })).status
    assert.deepEqual(
      [await seen('/login', 85), await seen('/admin', 85), await seen('/payment', 85)],
      [200, 403, 403],
    )
    assert.deepEqual(
      [await seen('/login', 20), await seen('/admin', 20), await seen('/payment', 20)],
      [200, 403, 200],
    )
    assertFields(await send({ path: '/admin', from: scoring(19) }), { action: 'challenge', requireMfa: true })
    assertHeld(await send({ path: '/admin', from: UNAVAILABLE }))
    assert.equal(api.requestCount(scoring(85)), 1, 'what is known is shared, whatever the policy')
    const { policies: counted } = checker.stats()
    assert.equal(counted.login.action.challenge, 1)
    assert.equal(counted.admin.action.block, 2)
  })
})

onEachExpress('skip', (express) => {
  const isSkippedBy = async (t, skip, gate = {}) => {
    const logger = recordingLogger()
    const { ask, api } = await startGate(t, express, { gate: { ...gate, skip }, checker: { logger } })
    const answer = await ask(scoring(80))
    const isSkipped = answer.status === 200
    assert.equal(api.requestCount(), isSkipped ? 0 : 1)
    if (isSkipped) {
      assertFields(answer, { action: 'allow' })
      const { reasons, source, score, band, ip } = answer.json.ipRisk
      assert.deepEqual(
        { reasons, source, score, band, ip },
        { reasons: ['skipped'], source: 'none', score: 0, band: null, ip: scoring(80) },
      )
    } else {
      assertBlocked(answer)
    }
    return { isSkipped, reports: hookReports(logger) }
  }

  test('true skips, at once or later, under every policy', async (t) => {
    for (const skip of [() => true, async () => true]) {
      assert.equal((await isSkippedBy(t, skip)).isSkipped, true)
      assert.equal((await isSkippedBy(t, skip, { policy: 'payment' })).isSkipped, true)
      assert.equal((await isSkippedBy(t, skip, { deny: ['0.0.0.0/0'] })).isSkipped, true)
    }
  })

  test('anything but true is judged', async (t) => {
    for (const value of [false, undefined, null, 0, 1, 'true', {}, []]) {
      assert.equal((await isSkippedBy(t, () => value)).isSkipped, false, String(value))
      assert.equal((await isSkippedBy(t, async () => value)).isSkipped, false, `later ${String(value)}`)
    }
  })

  test('a skip that fails is judged and reported', async (t) => {
    const error = new Error('skip failed')
    const throwing = () => {
      throw error
    }
    for (const skip of [throwing, async () => throwing()]) {
      const { isSkipped, reports } = await isSkippedBy(t, skip)
      assert.equal(isSkipped, false)
      assert.deepEqual(
        reports.map(({ level, details }) => [level, details.hook, details.error]),
        [['error', 'skip', error]],
      )
    }
  })

  test('a thenable that is no promise will do, whatever its `then` does', async (t) => {
    const throwing = () => {
      throw new Error('then failed')
    }
    // oxlint-disable-next-line unicorn/no-thenable -- it is what is tested
    const [bare, broken] = [(resolve) => void resolve(true), throwing].map((then) => ({ then }))
    assert.equal((await isSkippedBy(t, () => bare)).isSkipped, true)
    const { isSkipped, reports } = await isSkippedBy(t, () => broken)
    assert.deepEqual([isSkipped, reports.length], [false, 1])
  })

  test('it is asked about the request', async (t) => {
    const skip = (req) => req.headers['x-health-check'] === 'yes'
    const { ask } = await startGate(t, express, { gate: { skip } })
    const headers = { 'x-health-check': 'yes' }
    assert.equal((await ask({ from: scoring(80), headers })).status, 200)
    assert.equal((await ask({ from: scoring(80) })).status, 403)
  })
})

onEachExpress('clientIp', (express) => {
  test('it finds the address instead of Express', async (t) => {
    const clientIp = (req) => req.headers['x-client']
    const { ask } = await startGate(t, express, { gate: { clientIp } })
    for (const [client, ip, action] of [
      [scoring(50), scoring(50), 'challenge'],
      [`${scoring(20)}:50123`, scoring(20), 'log'],
      ['[2001:db8:0:50::1]:443', '2001:db8:0:50::1', 'challenge'],
      ['2001:DB8:0:020::0001', '2001:db8:0:20::1', 'log'],
      [`::ffff:${scoring(50)}`, scoring(50), 'challenge'],
    ]) {
      const answer = await ask({ from: scoring(80), headers: { 'x-client': client } })
      assertFields(answer, { action, requireMfa: action === 'challenge' })
      assert.equal(answer.json.ipRisk.ip, ip)
      assert.equal(answer.json.ipRisk.provenance, 'custom')
    }
    assertBlocked(await ask({ from: scoring(0), headers: { 'x-client': scoring(80) } }))
  })

  const error = new Error('clientIp failed')
  const withoutAddress = {
    throws: () => {
      throw error
    },
    'gives undefined': () => undefined,
    'gives null': () => null,
    'gives a number': () => 3221226064,
    'gives an array': () => [scoring(0)],
    'gives an object that turns into an address': () => ({ toString: () => scoring(0) }),
    'gives a promise': async () => scoring(0),
    'gives a promise that rejects': async () => {
      throw error
    },
  }
  const promised = '`clientIp` must return text, not a promise'
  const mistakes = {
    throws: error.message,
    'gives a promise': promised,
    'gives a promise that rejects': promised,
  }
  for (const [what, clientIp] of Object.entries(withoutAddress)) {
    test(`one that ${what} leaves the address unverified`, async (t) => {
      const logger = recordingLogger()
      const login = await startGate(t, express, { gate: { clientIp }, checker: { logger } })
      const answer = await login.ask(scoring(0))
      assertFields(answer, { action: 'challenge', requireMfa: true })
      const { ip, provenance, reasons } = answer.json.ipRisk
      assert.deepEqual(
        { ip, provenance, reasons },
        { ip: null, provenance: 'unverified', reasons: ['invalid_address'] },
      )
      const reports = hookReports(logger).map(({ details }) => [details.hook, details.error.message])
      assert.deepEqual(reports, what in mistakes ? [['clientIp', mistakes[what]]] : [])
      const payment = await startGate(t, express, { gate: { clientIp, policy: 'payment' } })
      assertHeld(await payment.ask(scoring(0)))
      await turns()
    })
  }
})

onEachExpress('a policy written at the route', (express) => {
  const actionFor = async (t, gate, from, checker) => {
    const { ask } = await startGate(t, express, { gate, checker })
    return (await ask(from)).decision
  }

  test('each option of a policy is understood', async (t) => {
    const rule = { id: 'any_vpn', when: { is_vpn: true }, atLeast: 'block' }
    for (const [gate, from, action, reason] of [
      [{ thresholds: { block: 50 } }, scoring(50), 'block', 'threshold_block'],
      [{ thresholds: { log: 0 } }, scoring(0), 'log', 'threshold_log'],
      [{ rules: [rule] }, LOW_VPN, 'block', 'any_vpn'],
      [
        { rules: [{ id: 'residential_proxy', enabled: false }] },
        '198.51.100.14',
        'allow',
        'below_thresholds',
      ],
      [{ allow: ['192.0.2.0/24'] }, scoring(80), 'allow', 'allow_list'],
      [
        { allow: [{ cidr: scoring(80), owner: 'ops', reason: 'monitor' }] },
        scoring(80),
        'allow',
        'allow_list',
      ],
      [{ deny: [scoring(0)] }, scoring(0), 'block', 'deny_list'],
      [{ allow: [scoring(0)], deny: [scoring(0)] }, scoring(0), 'allow', 'allow_list'],
      [{ onFailure: 'closed' }, UNAVAILABLE, 'hold', 'failed_closed'],
      [{ onFailure: { upstream: 'challenge' } }, UNAVAILABLE, 'challenge', 'failed_challenge'],
      [{ maxAction: 'challenge' }, scoring(100), 'challenge', 'max_action'],
    ]) {
      const decision = await actionFor(t, gate, from)
      assert.equal(decision.action, action, JSON.stringify(gate))
      assert.ok(decision.reasons.includes(reason), JSON.stringify(gate))
    }
  })

  test('it extends `login`, or the policy that is named', async (t) => {
    const gate = { thresholds: { log: 10 } }
    const policies = { strict: { thresholds: { challenge: 20, block: 60 }, onFailure: 'challenge' } }
    assert.equal((await actionFor(t, gate, UNAVAILABLE)).action, 'allow')
    assert.equal((await actionFor(t, { ...gate, policy: 'payment' }, UNAVAILABLE)).action, 'hold')
    const strict = { ...gate, policy: 'strict' }
    assert.equal((await actionFor(t, strict, UNAVAILABLE, { policies })).action, 'challenge')
    assert.equal((await actionFor(t, strict, scoring(60), { policies })).action, 'block')
    assert.equal((await actionFor(t, strict, scoring(10), { policies })).action, 'log')
  })

  test('an option that is undefined is as one that is not written', async (t) => {
    const unwritten = {
      mode: undefined,
      thresholds: undefined,
      allow: undefined,
      route: undefined,
      skip: undefined,
    }
    assert.equal((await actionFor(t, unwritten, scoring(80))).policy, 'login')
  })

  test('it leaves other routes alone, and counts by a name of its own', async (t) => {
    const { checker } = await startChecker(t, { policies: { admin: {} } })
    const send = await startApp(t, express, (app) => {
      app.post('/first', riskMiddleware({ checker, deny: ['192.0.2.0/24'] }), showRequest)
      app.post('/second', riskMiddleware({ checker, maxAction: 'log' }), showRequest)
      app.post('/login', riskMiddleware({ checker }), showRequest)
    })
    const statusAt = async (path) => (await send({ path, from: scoring(45) })).status
    assert.deepEqual(
      [await statusAt('/first'), await statusAt('/second'), await statusAt('/login')],
      [403, 200, 200],
    )
    const { policies } = checker.stats()
    assert.deepEqual(Object.keys(policies).sort(), ['admin', 'inline-1', 'inline-2', 'login', 'payment'])
    assert.equal(policies['inline-1'].action.block, 1)
    assert.equal(policies['inline-2'].action.log, 1)
    assert.equal(policies.login.action.challenge, 1)
  })

  test('entries expire', async (t) => {
    const expires = new Date(Date.now() + 60 * 60_000)
    const { ask, advance } = await startGate(t, express, {
      gate: { allow: [{ cidr: scoring(80), expires }] },
    })
    assert.equal((await ask(scoring(80))).status, 200)
    advance(60 * 60_000)
    assertBlocked(await ask(scoring(80)))
  })
})

onEachExpress('routes', (express) => {
  const denied = (...routes) => ({ deny: [{ cidr: '192.0.2.0/24', routes }] })

  /** The status that a clean address gets at each path, behind a gate for `pattern`. */
  async function statuses(t, gate, pattern, paths) {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      app.all(pattern, riskMiddleware({ checker, ...gate }), showRequest)
    })
    const found = []
    for (const path of paths) found.push((await send({ path, from: scoring(0) })).status)
    return found
  }

  test('an entry is for the pattern of the route, however the URL is spelled', async (t) => {
    const pattern = '/users/:id/login'
    const paths = [
      '/users/7/login',
      '/users/8/login',
      '/users/7/login/',
      '/USERS/7/LogIn',
      '/users/7/login?to=/health',
      '/users/%2fhealth/login',
    ]
    assert.deepEqual(
      await statuses(t, denied(pattern), pattern, paths),
      paths.map(() => 403),
    )
  })

  test('the raw URL matches nothing, so that no client chooses its route', async (t) => {
    const pattern = '/users/:id/login'
    const gate = denied('/users/7/login', '/users/7/login?a=1', '/health')
    const allowing = {
      thresholds: { log: 0, challenge: 0, block: 0 },
      allow: [{ cidr: '192.0.2.0/24', routes: ['/health'] }],
    }
    assert.deepEqual(await statuses(t, gate, pattern, ['/users/7/login', '/users/7/login?a=1']), [200, 200])
    assert.deepEqual(
      await statuses(t, allowing, '/users/:id', ['/users/health', '/users/health?/health']),
      [403, 403],
    )
  })

  test('a rule is for its routes', async (t) => {
    const rules = [
      {
        id: 'trusted_cloud',
        when: { cloud_provider_name: 'Google LLC' },
        atMost: 'log',
        routes: ['/health'],
      },
    ]
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      const gate = riskMiddleware({ checker, rules })
      app.all('/login', gate, showRequest)
      app.all('/health', gate, showRequest)
    })
    assertFields(await send({ path: '/health', from: GOOGLE_CLOUD }), { action: 'log' })
    const elsewhere = await send({ path: '/login', from: GOOGLE_CLOUD })
    assertFields(elsewhere, { action: 'challenge', requireMfa: true })
    const attacker = await send({ path: '/health', from: ATTACKER_IN_GOOGLE_CLOUD })
    assertFields(attacker, { action: 'challenge', requireMfa: true })
  })

  test('the rules of a named policy know the routes too', async (t) => {
    const { checker } = await startChecker(t, { policies: { login: denied('/login', '/other') } })
    const send = await startApp(t, express, (app) => {
      for (const path of ['/login', '/other', '/free'])
        app.post(path, riskMiddleware({ checker }), showRequest)
    })
    const statusAt = async (path) => (await send({ path, from: scoring(0) })).status
    assert.deepEqual(
      [await statusAt('/login'), await statusAt('/other'), await statusAt('/free')],
      [403, 403, 200],
    )
  })

  test('the option `route` wins over the pattern', async (t) => {
    const gate = { ...denied('sign-in'), route: 'sign-in' }
    assert.deepEqual(await statuses(t, gate, '/users/:id/login', ['/users/7/login']), [403])
    const other = { ...denied('/login'), route: 'sign-in' }
    assert.deepEqual(await statuses(t, other, '/login', ['/login']), [200])
  })

  test('a gate on the whole application has no route', async (t) => {
    const { checker } = await startChecker(t)
    const gates = [
      denied('/login', '/'),
      { deny: [scoring(45)] },
      { ...denied('everywhere'), route: 'everywhere' },
    ].map((gate) => riskMiddleware({ checker, ...gate }))
    const found = []
    for (const gate of gates) {
      const send = await startApp(t, express, (app) => {
        app.use(gate)
        app.post('/login', showRequest)
      })
      found.push((await send({ from: scoring(0) })).status, (await send({ from: scoring(45) })).status)
    }
    assert.deepEqual(found, [200, 200, 200, 403, 403, 403])
  })

  test('in a mounted router the pattern is the one in the router', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      const router = express.Router()
      router.post('/login', riskMiddleware({ checker, ...denied('/login') }), showRequest)
      router.post('/:action', riskMiddleware({ checker, ...denied('/acme/reset', '/reset') }), showRequest)
      app.use('/:tenant', router)
    })
    assert.equal((await send({ path: '/acme/login', from: scoring(0) })).status, 403)
    assert.equal((await send({ path: '/acme/reset', from: scoring(0) })).status, 200)
  })
})

onEachExpress('where a gate can stand', (express) => {
  test('a router and a sub-application have the settings of the application', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      const router = express.Router()
      router.use(riskMiddleware({ checker }))
      router.post('/login', showRequest)
      const inner = express()
      inner.post('/login', riskMiddleware({ checker }), showRequest)
      const outer = express()
      outer.use('/inner', inner)
      app.use('/router', router)
      app.use('/outer', outer)
    })
    for (const path of ['/router/login', '/outer/inner/login']) {
      const answer = await send({ path, from: scoring(50) })
      assertFields(answer, { action: 'challenge', requireMfa: true })
      assert.equal(answer.json.ipRisk.ip, scoring(50))
      assert.equal(answer.json.ipRisk.provenance, 'trusted-proxy')
      assertBlocked(await send({ path, from: scoring(80) }))
    }
  })

  test('a sub-application with a trust setting of its own is judged by that', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      const inner = express()
      inner.set('trust proxy', true)
      inner.post('/login', riskMiddleware({ checker }), showRequest)
      app.use('/inner', inner)
      app.post('/login', riskMiddleware({ checker }), showRequest)
    })
    const inner = await send({ path: '/inner/login', from: scoring(80) })
    assertFields(inner, { action: 'challenge', requireMfa: true })
    assert.equal(inner.json.ipRisk.provenance, 'unverified')
    assertBlocked(await send({ from: scoring(80) }))
  })

  test('errors of the handler after a look-up reach the error handler', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker }), () => {
        throw new Error('of the handler')
      })
      app.use((error, req, res, next) => {
        assert.equal(typeof next, 'function')
        res.status(500).json({ error: error.message })
      })
    })
    for (const state of ['asked', 'known']) {
      const { status, json } = await send({ from: scoring(0) })
      assert.deepEqual([state, status, json], [state, 500, { error: 'of the handler' }])
    }
  })

  test("the request's asynchronous context lasts through a look-up", async (t) => {
    const { checker } = await startChecker(t)
    const storage = new AsyncLocalStorage()
    const send = await startApp(t, express, (app) => {
      app.use((req, res, next) => storage.run(req.headers['x-id'], next))
      app.post('/login', riskMiddleware({ checker }), (req, res) => res.json({ id: storage.getStore() }))
    })
    const ids = ['one', 'two', 'three', 'four']
    const answers = ids.map((id) => send({ from: scoring(7), headers: { 'x-id': id } }))
    assert.deepEqual(
      (await Promise.all(answers)).map(({ json }) => json.id),
      ids,
    )
  })

  test('`ip-risk:decision` carries every decision, with its provenance', async (t) => {
    const { ask } = await startGate(t, express)
    const published = []
    const listen = (decision) => published.push(decision)
    const decisions = channel('ip-risk:decision')
    decisions.subscribe(listen)
    t.after(() => decisions.unsubscribe(listen))
    const { decision: asked } = await ask(scoring(80))
    const { decision: known } = await ask(scoring(80))
    assert.deepEqual(published, [asked, known])
    assert.deepEqual(
      published.map(({ provenance, source }) => [provenance, source]),
      [
        ['trusted-proxy', 'api'],
        ['trusted-proxy', 'memory'],
      ],
    )
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

onEachExpress('a closed checker', (express) => {
  test('keeps the application up', async (t) => {
    for (const [gate, status, requireMfa] of [
      [{}, 200, false],
      [{ policy: 'payment' }, 503],
      [{ onFailure: 'challenge' }, 200, true],
      [{ onFailure: 'closed' }, 503],
    ]) {
      const { ask, checker } = await startGate(t, express, { gate })
      assert.equal((await ask(scoring(0))).status, 200)
      await checker.close()
      const answer = await ask(scoring(0))
      assert.equal(answer.status, status)
      assert.equal(answer.json.requireMfa, requireMfa)
      assert.equal(answer.decision.failure, 'ERR_IP_RISK_CLOSED')
      assert.equal(answer.decision.failedClosed, status === 503)
      if (status === 503) assertHeld(answer)
    }
  })

  test('only watches where the policy only watches', async (t) => {
    const { ask, checker } = await startGate(t, express, { gate: { policy: 'payment', mode: 'log-only' } })
    await checker.close()
    const { status, json } = await ask(scoring(0))
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(json), ['ipRisk'])
    assert.deepEqual([json.ipRisk.action, json.ipRisk.wouldBe], ['allow', 'hold'])
  })

  test('lets through what is skipped', async (t) => {
    const gate = { policy: 'payment', skip: () => true }
    const { ask, checker } = await startGate(t, express, { gate })
    await checker.close()
    const answer = await ask(scoring(0))
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(answer.json.ipRisk.reasons, ['skipped'])
  })

  test('still answers what was under way', async (t) => {
    const { ask, api, checker, decisions } = await startGate(t, express)
    api.latencyMs = 100
    const asked = ask(scoring(80))
    await until(() => api.requestCount() === 1)
    await checker.close()
    await turns(1)
    assert.deepEqual(
      decisions.map(({ action }) => action),
      ['block'],
      '`close()` waits for it',
    )
    assertBlocked(await asked)
  })
})

describe('without Express', () => {
  test('the middleware works on a plain server, called by hand', async (t) => {
    const { checker, api } = await startChecker(t)
    const clientIp = (request) => request.headers['x-client']
    const gates = {
      '/login': riskMiddleware({ checker, clientIp }),
      '/pay': riskMiddleware({ checker, clientIp, policy: 'payment' }),
      '/direct': riskMiddleware({ checker }),
    }
    const send = await startServer(t, (request, response) => {
      gates[request.url](request, response, (error) => {
        assert.equal(error, undefined)
        const { ipRisk, requireMfa, holdForReview } = request
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ ipRisk, requireMfa, holdForReview }))
      })
    })
    const from = (path, client) => send({ path, headers: { 'x-client': client } })
    assertFields(await from('/login', scoring(0)), { action: 'allow' })
    assertFields(await from('/login', scoring(50)), { action: 'challenge', requireMfa: true })
    assertBlocked(await from('/login', scoring(80)))
    assertHeld(await from('/pay', UNAVAILABLE))
    const direct = await send({ path: '/direct' })
    assertFields(direct, { action: 'allow' })
    assert.deepEqual(direct.json.ipRisk.reasons, ['special_use'])
    assert.equal(direct.json.ipRisk.provenance, 'socket')
    // The one that is unavailable is asked for once more.
    assert.equal(api.requestCount(), 5)
  })
})

describe('mistakes in the options', () => {
  const mistakes = [
    [{ onBlok() {} }, 'UNKNOWN_OPTION', /`onBlok`.*`onBlock`/],
    [{ polcy: 'login' }, 'UNKNOWN_OPTION', /`polcy`.*`policy`/],
    [{ treshold: {} }, 'UNKNOWN_OPTION', /`treshold`.*`thresholds`/],
    [{ blockUnverifed: true }, 'UNKNOWN_OPTION', /`blockUnverifed`.*`blockUnverified`/],
    [{ apiKey: 'k' }, 'UNKNOWN_OPTION', /`apiKey`.*`checker`/],
    [{ policy: 'paymint' }, 'UNKNOWN_POLICY', /`paymint`.*login.*payment/],
    [{ policy: 'paymint', mode: 'log-only' }, 'UNKNOWN_POLICY', /`paymint`/],
    [{ policy: {} }, 'OPTION', /`policy`.*string/],
    [{ route: /login/ }, 'OPTION', /`route`.*string/],
    [{ blockUnverified: 'yes' }, 'OPTION', /`blockUnverified`.*boolean/],
    [{ clientIp: 'x-real-ip' }, 'OPTION', /`clientIp`.*function/],
    [{ skip: true }, 'OPTION', /`skip`.*function/],
    [{ onBlock: 403 }, 'OPTION', /`onBlock`.*function/],
    [{ onChallenge: null }, 'OPTION', /`onChallenge`.*function/],
    [{ onHold: {} }, 'OPTION', /`onHold`.*function/],
    [{ onDecision: [] }, 'OPTION', /`onDecision`.*function/],
    [{ mode: 'watch' }, 'OPTION', /`mode`.*`enforce`.*`log-only`/],
    [{ thresholds: { block: 101 } }, 'OPTION', /`thresholds\.block`.*100.*`101`/],
    [{ thresholds: { log: 50 } }, 'OPTION', /`thresholds`.*fall/],
    [{ thresholds: { blok: 90 } }, 'UNKNOWN_OPTION', /`thresholds\.blok`.*`block`/],
    [{ thresholds: () => 90 }, 'OPTION', /`thresholds`/],
    [{ maxAction: 'hold' }, 'OPTION', /`maxAction`/],
    [{ onFailure: 'close' }, 'OPTION', /`onFailure`.*`closed`/],
    [{ onFailure: { upstrem: 'open' } }, 'UNKNOWN_OPTION', /`onFailure\.upstrem`.*`upstream`/],
    [{ allow: ['0.0.0.0/0'] }, 'OPTION', /`allow\[0\]`/],
    [{ allow: '192.0.2.1' }, 'OPTION', /`allow`.*array/],
    [{ deny: ['192.0.2.1/24'] }, 'OPTION', /`deny\[0\]`.*`192\.0\.2\.0\/24`/],
    [{ deny: [{ cidr: '192.0.2.1', routes: [] }] }, 'OPTION', /`deny\[0\]\.routes`/],
    [{ rules: [{ id: 'x', when: { is_vpm: true }, atLeast: 'log' }] }, 'UNKNOWN_OPTION', /is_vpm`.*`is_vpn`/],
    [{ rules: [{ id: 'x', when: { is_vpn: true } }] }, 'OPTION', /`rules\[0\]`.*`atLeast`/],
    [{ checker: {} }, 'OPTION', /`checker`.*RiskChecker/],
    [{ checker: RiskChecker }, 'OPTION', /`checker`.*RiskChecker/],
  ]

  /** A mistake is an error with a code and a message of one line that starts in lower case. */
  function assertMistake(call, code, pattern) {
    assert.throws(call, (error) => {
      assert.equal(error.code, `ERR_IP_RISK_${code}`, error.stack)
      assert.match(error.message, pattern)
      assert.match(error.message, /^[`a-z].*[^.\n]$/)
      return error instanceof Error
    })
  }

  test('stop the deploy with a code and a message that names them', async (t) => {
    const { checker } = await startChecker(t)
    for (const [options, code, pattern] of mistakes) {
      assertMistake(() => riskMiddleware({ checker, ...options }), code, pattern)
    }
    assert.deepEqual(Object.keys(checker.stats().policies).sort(), ['login', 'payment'])
  })

  for (const [what, options] of Object.entries({
    null: null,
    'a text': 'login',
    'a function': () => {},
    'an array': [],
  })) {
    test(`${what} in place of the options is one`, () => {
      assertMistake(() => riskMiddleware(options), 'ARGUMENT', /`options`.*object/)
    })
  }

  test('a checker in place of the options is one', async (t) => {
    const { checker } = await startChecker(t)
    assertMistake(() => riskMiddleware(checker), 'ARGUMENT', /`checker`/)
  })

  test('a policy of its own on a closed checker is one', async (t) => {
    const { checker } = await startChecker(t)
    await checker.close()
    assertMistake(() => riskMiddleware({ checker, mode: 'log-only' }), 'CLOSED', /closed/)
  })
})

describe('the checker that the process shares', () => {
  let consumer
  before(() => {
    consumer = makeConsumer()
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(consumer.directory, name))
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
    const names = ['-subj', '/CN=api.ipgeolocation.io', '-addext', 'subjectAltName=DNS:api.ipgeolocation.io']
    // Not the certificate of an authority: that may not stand for a server.
    const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE']
    const args = ['req', '-x509', ...curve, ...names, ...leaf, '-keyout', key, '-out', cert]
    execFileSync('openssl', args, { stdio: 'pipe' })
  })
  after(() => consumer.remove())

  /** Starts, in a process of its own, the provider under its real name behind a proxy; then an application. */
  const application = `
    const { readFileSync } = require('node:fs')
    const http = require('node:http')
    const net = require('node:net')
    const { once } = require('node:events')
    const express = require('express')
    const { startMockApi } = require('ip-risk/testing')

    async function main() {
      const tls = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }
      const api = await startMockApi({ tls, key: 'key-of-the-environment' })
      const proxy = http.createServer().on('connect', (request, socket) => {
        if (request.url !== 'api.ipgeolocation.io:443') return socket.destroy()
        const upstream = net.connect(api.port, '127.0.0.1', () => {
          socket.write('HTTP/1.1 200 OK\\r\\n\\r\\n')
          upstream.pipe(socket).pipe(upstream)
        })
        for (const end of [socket, upstream]) end.on('error', () => {})
      })
      proxy.listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      process.env.HTTPS_PROXY = 'http://127.0.0.1:' + proxy.address().port

      const { riskMiddleware } = require('ip-risk')
      const app = express()
      app.set('trust proxy', 'loopback')
      app.post('/login', riskMiddleware(), (req, res) => res.json({ mfa: req.requireMfa }))
      app.post('/signup', riskMiddleware(), (req, res) => res.json({}))
      app.post('/pay', riskMiddleware({ policy: 'payment', mode: 'enforce' }), (req, res) => res.json({}))
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const statusOf = async (path, from) => {
        const url = 'http://127.0.0.1:' + server.address().port + path
        return (await fetch(url, { method: 'POST', headers: { 'x-forwarded-for': from } })).status
      }
      const statuses = []
      for (const path of ['/login', '/pay']) {
        for (const from of ['2.56.188.34', '1.1.1.1']) statuses.push(await statusOf(path, from))
      }
      console.log(JSON.stringify({ statuses, keys: api.requests.map((request) => request.keyAccepted) }))
      api.fault({ status: 503 })
      for (const path of ['/login', '/signup']) await statusOf(path, '9.9.9.9')
      process.exit()
    }
    main()
  `
  const env = (directory) => ({
    IPGEO_API_KEY: 'key-of-the-environment',
    NODE_EXTRA_CA_CERTS: join(directory, 'cert.pem'),
  })

  test('is made from the environment, once', async () => {
    const { code, stdout, stderr } = await consumer.runText('app.cjs', application, {
      env: env(consumer.directory),
    })
    assert.equal(code, 0, stderr)
    const found = { statuses: [403, 200, 403, 200], keys: [true, true] }
    assert.deepEqual(
      JSON.parse(stdout),
      found,
      'each address costs one call, with the key of the environment',
    )
    assert.equal(stderr.match(/failed open/g)?.length, 1, 'one checker says it for both routes')
  })

  test('only watches under `IP_RISK_MODE=log-only`, whatever the code says', async () => {
    const watching = { ...env(consumer.directory), IP_RISK_MODE: 'log-only' }
    const { code, stdout, stderr } = await consumer.runText('app.cjs', application, { env: watching })
    assert.equal(code, 0, stderr)
    assert.deepEqual(JSON.parse(stdout).statuses, [200, 200, 200, 200])
  })

  test('needs no key for a policy that opens, and `riskMiddleware()` refuses one that closes', async () => {
    const source = `
      const { riskMiddleware } = require('ip-risk')
      for (const options of [{}, { policy: 'payment' }, { onFailure: 'closed' }, { mode: 'log-only' }]) {
        try { console.log(typeof riskMiddleware(options)) }
        catch (error) { console.log(error.code, error.message) }
      }
    `
    const { code, stdout, stderr } = await consumer.runText('keyless.cjs', source)
    assert.equal(code, 0, stderr)
    const [said, login, payment, inline, watching] = stdout.trim().split('\n')
    assert.match(said, /^ip-risk: no key: scores come from offline feeds, which see clouds and hosting/)
    assert.deepEqual([login, watching], ['function', 'function'])
    for (const line of [payment, inline]) {
      assert.match(line, /^ERR_IP_RISK_NO_SOURCE .*`IPGEO_API_KEY`.*`feeds: \{ primary: true \}`/)
    }
  })

  test('is not needed where a checker is given', async () => {
    const source = `
      const { riskMiddleware } = require('ip-risk')
      const { createTestChecker } = require('ip-risk/testing')
      createTestChecker().then(async ({ checker, close }) => {
        console.log(typeof riskMiddleware({ checker }))
        await close()
      })
    `
    const { stdout, stderr } = await consumer.runText('given.cjs', source)
    assert.equal(stdout, 'function\n', stderr)
  })
})
