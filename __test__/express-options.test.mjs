/** The options of `riskMiddleware()`: whom it skips, whose address it takes, a policy of its own, and mistakes in them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertBlocked, assertFields, assertHeld } from './support/express-answers.mjs'
import {
  LOW_VPN,
  UNAVAILABLE,
  hookReports,
  onEachExpress,
  recordingLogger,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startGate,
  turns,
} from './support/express-app.mjs'
import { RiskChecker, riskMiddleware } from './support/package.mjs'

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
        reports.map(({ level, details }) => [level, details.hook, details.err]),
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
    'gives a number': '`clientIp` must return text, not 3221226064',
    'gives an array': '`clientIp` must return text, not Array',
    'gives an object that turns into an address': '`clientIp` must return text, not Object',
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
      const reports = hookReports(logger).map(({ details }) => [details.hook, details.err.message])
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

describe('mistakes in the options', () => {
  const mistakes = [
    [{ onBlok() {} }, 'UNKNOWN_OPTION', /`onBlok`.*`onBlock`/],
    [{ headers: {}, socket: {} }, 'ARGUMENT', /given a request.*`riskMiddleware\(\)`/],
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
