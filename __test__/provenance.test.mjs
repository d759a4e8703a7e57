import assert from 'node:assert/strict'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  UNAVAILABLE,
  hookReports,
  onEachExpress,
  recordingLogger,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startGate,
  until,
} from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'

const FORWARDED_HEADERS = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'cf-connecting-ip',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'fastly-client-ip',
  'fly-client-ip',
  'x-azure-clientip',
]
/** What proxies write beside an address. */
const PROXY_HEADERS = ['x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'via']

/** Each way to say "trust everybody". Express refuses `0.0.0.0/0` itself, see below. */
const TRUST_EVERYBODY = {
  true: true,
  'all of IPv4 in halves': ['0.0.0.0/1', '128.0.0.0/1'],
  'all of IPv4 in its mapped form': '::ffff:0.0.0.0/96',
  'all of IPv6 in halves': ['::/1', '8000::/1'],
  'all global IPv6 addresses': '2000::/3',
  'a function that always says true': () => true,
  'a function that says something truthy': () => 'yes',
  'more proxies than anybody has': 1000,
}

const throwingTrust = () => {
  throw new Error('trust failed')
}

/** Peers as the accepted socket reports them; loopback ones are real. */
const PEERS = {
  loopback: {},
  'IPv6 loopback': { host: '::1' },
  private: { peer: '10.0.0.7' },
  'IPv6 private': { peer: 'fd00::7' },
  'IPv4-mapped private': { peer: '::ffff:10.0.0.7' },
  public: { peer: scoring(30) },
  'IPv6 public': { peer: '2001:db8:0:30::1' },
}
const PRIVATE_PEERS = ['loopback', 'IPv6 loopback', 'private', 'IPv6 private', 'IPv4-mapped private']
const PUBLIC_PEERS = ['public', 'IPv6 public']
const CLIENT = scoring(50)

const UNVERIFIED = { trustProxy: true }
/** How long a call takes that others are to join, on a machine that has much to do. */
const LONG_ENOUGH_TO_JOIN = 500

onEachExpress('how the address became known', (express) => {
  /** The decision about a request through that setting and peer. */
  async function decide(t, trustProxy, peer, request = {}) {
    const { ask } = await startGate(t, express, { trustProxy, ...PEERS[peer] })
    return (await ask(request)).decision
  }

  async function assertProvenance(t, trustProxy, peer, request, provenance) {
    const decision = await decide(t, trustProxy, peer, request)
    const what = `trust ${String(trustProxy)}, ${peer} peer, ${JSON.stringify(request)}`
    assert.equal(decision.provenance, provenance, what)
    return decision
  }

  for (const trustProxy of [false, 'loopback', 1, 0, () => false]) {
    test(`socket: nothing is forwarded, trust ${String(trustProxy)}`, async (t) => {
      for (const peer of PRIVATE_PEERS) {
        const decision = await assertProvenance(t, trustProxy, peer, {}, 'socket')
        assert.deepEqual(
          [decision.action, decision.reasons, decision.source, decision.failure],
          ['allow', ['special_use'], 'special', null],
        )
      }
      for (const peer of PUBLIC_PEERS) {
        const { action, score } = await assertProvenance(t, trustProxy, peer, {}, 'socket')
        assert.deepEqual([action, score], ['log', 30])
      }
    })
  }

  test('socket: a public peer that forwards something counts itself', async (t) => {
    for (const trustProxy of [false, 'loopback', () => false]) {
      for (const peer of PUBLIC_PEERS) {
        const { score, ip } = await assertProvenance(t, trustProxy, peer, { from: CLIENT }, 'socket')
        assert.deepEqual([score, ip], [30, PEERS[peer].peer])
      }
    }
  })

  test('trusted-proxy: a trusted peer forwards the address', async (t) => {
    for (const [trustProxy, peers] of [
      ['loopback', ['loopback', 'IPv6 loopback']],
      ['loopback, uniquelocal', PRIVATE_PEERS],
      [1, [...PRIVATE_PEERS, ...PUBLIC_PEERS]],
      [(address) => address === '10.0.0.7', ['private']],
    ]) {
      for (const peer of peers) {
        const request = { from: CLIENT }
        const { ip, score } = await assertProvenance(t, trustProxy, peer, request, 'trusted-proxy')
        assert.deepEqual([ip, score], [CLIENT, 50])
      }
    }
  })

  test('trusted-proxy: only the last of several addresses was written by the proxy', async (t) => {
    const request = { from: `${scoring(0)}, ${scoring(80)}` }
    for (const trustProxy of ['loopback', 1]) {
      const decision = await assertProvenance(t, trustProxy, 'loopback', request, 'trusted-proxy')
      assert.equal(decision.ip, scoring(80))
    }
  })

  test('custom: `clientIp` answers for it, whatever Express trusts', async (t) => {
    for (const trustProxy of [true, false, 'loopback']) {
      const gate = { clientIp: (req) => req.headers['x-real-ip'] }
      const { ask } = await startGate(t, express, { trustProxy, gate })
      const { status, decision } = await ask({ from: CLIENT, headers: { 'x-real-ip': scoring(80) } })
      assert.deepEqual([status, decision.provenance, decision.ip], [403, 'custom', scoring(80)])
    }
  })

  test('unverified: a private peer that is not trusted forwards an address', async (t) => {
    for (const trustProxy of [false, () => false, '192.168.0.0/16']) {
      for (const peer of PRIVATE_PEERS) {
        const decision = await assertProvenance(t, trustProxy, peer, { from: CLIENT }, 'unverified')
        assert.notDeepEqual(decision.reasons, ['special_use'], 'it is no direct request of this machine')
        assert.equal(decision.failure, 'ERR_IP_RISK_SPECIAL_USE')
      }
    }
  })

  test('unverified: every header in which proxies forward an address counts, also one that is empty', async (t) => {
    const { ask } = await startGate(t, express, { trustProxy: false })
    const trusting = await startGate(t, express)
    for (const name of FORWARDED_HEADERS) {
      for (const value of [CLIENT, `for=${CLIENT}`, '']) {
        const headers = { [name]: value }
        assert.equal((await ask({ headers })).decision.provenance, 'unverified', `${name}: ${value}`)
        // A header that Express does not read is not forwarded to anybody, whoever is trusted.
        if (name === 'x-forwarded-for') continue
        assert.equal((await trusting.ask({ headers })).decision.provenance, 'unverified', name)
      }
    }
    for (const name of ['x-request-id', 'user-agent']) {
      assert.equal((await ask({ headers: { [name]: CLIENT } })).decision.provenance, 'socket', name)
    }
  })

  test('unverified: a proxy that forwards no address, unless it is trusted and so speaks for itself', async (t) => {
    const gate = { policy: 'payment', allow: ['127.0.0.0/8'] }
    const untrusted = await startGate(t, express, { trustProxy: false, gate })
    const trusted = await startGate(t, express, { gate })
    for (const name of PROXY_HEADERS) {
      const request = { headers: { [name]: 'https' } }
      const seen = [await untrusted.ask(request), await trusted.ask(request)]
      assert.deepEqual(
        seen.map(({ status, decision }) => [status, decision.provenance]),
        [
          [503, 'unverified'],
          [200, 'socket'],
        ],
        name,
      )
    }
  })

  for (const [what, trustProxy] of Object.entries(TRUST_EVERYBODY)) {
    test(`unverified: trust is ${what}`, async (t) => {
      for (const peer of ['loopback', 'IPv6 loopback', 'private', 'public', 'IPv6 public']) {
        await assertProvenance(t, trustProxy, peer, { from: scoring(100) }, 'unverified')
        await assertProvenance(t, trustProxy, peer, {}, 'unverified')
      }
    })
  }

  test('Express itself refuses to trust a network that is the whole internet', () => {
    for (const network of ['0.0.0.0/0', '::/0']) {
      assert.throws(() => express().set('trust proxy', network), /invalid range/)
    }
  })

  test('unverified: what is forwarded is no address', async (t) => {
    for (const from of ['unknown', '_hidden', '192.0.2.300', '<script>', `${scoring(0)} `.repeat(50)]) {
      const decision = await assertProvenance(t, 'loopback', 'loopback', { from }, 'unverified')
      assert.deepEqual([decision.action, decision.reasons], ['challenge', ['invalid_address']])
    }
  })

  test('unverified: there is no address at all', async (t) => {
    const { checker } = await startChecker(t)
    const seen = []
    const onDecision = (decision) => seen.push(decision)
    const app = express().post('/login', riskMiddleware({ checker, onDecision }), showRequest)
    const socketPath = join(tmpdir(), `ip-risk-${process.pid}-${Math.random()}.sock`)
    const server = http.createServer(app)
    t.after(() => server.close())
    await new Promise((resolve) => server.listen(socketPath, resolve))
    const status = await new Promise((resolve, reject) => {
      const request = http.request({ socketPath, path: '/login', method: 'POST', agent: false })
      request.on('response', (response) => response.resume().on('end', () => resolve(response.statusCode)))
      request.on('error', reject).end()
    })
    assert.equal(status, 200)
    assert.deepEqual([seen[0].provenance, seen[0].action, seen[0].ip], ['unverified', 'challenge', null])
  })

  test('another framework, whose settings cannot be read, is served all the same', async (t) => {
    const { checker } = await startChecker(t)
    const gate = riskMiddleware({ checker })
    const app = {
      get() {
        throw new Error('no such setting')
      },
    }
    const request = { app, headers: {}, socket: { remoteAddress: scoring(0) } }
    await new Promise((resolve) => gate(request, {}, resolve))
    assert.deepEqual([request.ipRisk.provenance, request.ipRisk.action], ['socket', 'allow'])
  })

  test('a trust function that throws leaves the address unverified, and the request is answered', async (t) => {
    await assertProvenance(t, throwingTrust, 'loopback', {}, 'socket')
    for (const skip of [undefined, () => false, async () => false]) {
      const logger = recordingLogger()
      const set = { trustProxy: throwingTrust, gate: { skip }, checker: { logger } }
      const { ask } = await startGate(t, express, set)
      const answer = await ask(CLIENT)
      assert.equal(answer.status, 200, answer.text.slice(0, 200))
      assert.deepEqual([answer.decision.provenance, answer.json.requireMfa], ['unverified', true])
      const reports = hookReports(logger).map(({ details }) => [details.hook, details.err.message])
      assert.deepEqual(reports, [['trust proxy', 'trust failed']])
    }
    const payment = await startGate(t, express, { trustProxy: throwingTrust, gate: { policy: 'payment' } })
    assert.equal((await payment.ask(CLIENT)).status, 503)
  })

  test('a trust function is asked about everybody once, not at every request', async (t) => {
    let calls = 0
    const trustProxy = (address) => {
      calls++
      return address === '127.0.0.1'
    }
    const { ask } = await startGate(t, express, { trustProxy })
    await ask({})
    const forFinding = calls
    for (let count = 0; count < 5; count++) assert.equal((await ask({})).decision.provenance, 'socket')
    assert.equal(calls, forFinding)
  })
})

onEachExpress('special-use addresses', (express) => {
  const SPECIAL = [
    '10.1.2.3',
    '192.168.0.9',
    '100.64.0.1',
    '169.254.1.1',
    '0.0.0.0',
    'fd00::1',
    'fe80::1',
    '::',
  ]

  test('from a trusted proxy they are no evidence, and are never sent', async (t) => {
    for (const policy of ['login', 'payment']) {
      const { ask, api } = await startGate(t, express, { gate: { policy } })
      for (const from of SPECIAL) {
        const { status, decision } = await ask(from)
        const { provenance, failure, source, reasons } = decision
        assert.equal(status, policy === 'login' ? 200 : 503)
        assert.deepEqual(
          { provenance, failure, source, reasons },
          {
            provenance: 'trusted-proxy',
            failure: 'ERR_IP_RISK_SPECIAL_USE',
            source: 'special',
            reasons: [policy === 'login' ? 'failed_open' : 'failed_closed', 'special_use'],
          },
        )
      }
      assert.equal(api.requestCount(), 0)
    }
  })

  test('a client that claims to be this machine is not taken for it', async (t) => {
    for (const from of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '127.0.0.2']) {
      const { ask } = await startGate(t, express, { gate: { policy: 'payment' } })
      const { status, decision } = await ask(from)
      assert.equal(status, 503, from)
      assert.equal(decision.failedClosed, true)
    }
  })

  test('a direct request of this machine is allowed by every policy', async (t) => {
    for (const policy of ['login', 'payment']) {
      for (const host of ['127.0.0.1', '::1']) {
        const { ask } = await startGate(t, express, { host, gate: { policy } })
        const { status, decision } = await ask({})
        assert.deepEqual([status, decision.action, decision.reasons], [200, 'allow', ['special_use']])
        assert.equal(decision.provenance, 'socket')
      }
    }
  })
})

onEachExpress('an unverified address', (express) => {
  const startUnverified = (t, gate, checker) => startGate(t, express, { ...UNVERIFIED, gate, checker })

  test('is never blocked, at most challenged', async (t) => {
    const { ask } = await startUnverified(t)
    const { status, json } = await ask(scoring(100))
    assert.deepEqual([status, json.requireMfa, json.ipRisk.score], [200, true, 100])
    assert.deepEqual(json.ipRisk.reasons, ['threshold_block', 'unverified_address'])
    assert.equal(json.ipRisk.wouldBe, 'challenge')
  })

  test('below that it is judged like any other', async (t) => {
    const { ask } = await startUnverified(t)
    for (const [score, action] of [
      [0, 'allow'],
      [20, 'log'],
      [45, 'challenge'],
    ]) {
      const { decision } = await ask(scoring(score))
      assert.equal(decision.action, action)
      assert.ok(!decision.reasons.includes('unverified_address'))
    }
  })

  test('is blocked with `blockUnverified`', async (t) => {
    const { ask } = await startUnverified(t, { blockUnverified: true })
    const { status, decision } = await ask(scoring(80))
    assert.deepEqual([status, decision.action, decision.provenance], [403, 'block', 'unverified'])
    assert.equal((await ask(scoring(45))).status, 200)
  })

  test('matches no allow entry, but deny entries', async (t) => {
    const { ask } = await startUnverified(t, { allow: ['192.0.2.0/24'], deny: [scoring(0)] })
    const allowed = await ask(scoring(80))
    assert.deepEqual([allowed.decision.action, allowed.decision.source], ['challenge', 'api'])
    const denied = await ask(scoring(0))
    assert.deepEqual([denied.decision.action, denied.decision.source], ['challenge', 'list'])
    assert.deepEqual(denied.decision.reasons, ['deny_list', 'unverified_address'])
    const verified = await startGate(t, express, { gate: { allow: ['192.0.2.0/24'] } })
    assert.equal((await verified.ask(scoring(80))).decision.action, 'allow')
  })

  test('is blocked by a deny entry with `blockUnverified`', async (t) => {
    const { ask } = await startUnverified(t, { deny: [scoring(0)], blockUnverified: true })
    assert.equal((await ask(scoring(0))).status, 403)
  })

  test('never clears a payment', async (t) => {
    const { ask } = await startUnverified(t, { policy: 'payment' })
    for (const score of [0, 20, 45, 80, 100]) {
      const { status, json } = await ask(scoring(score))
      assert.deepEqual([status, json.requireMfa, json.ipRisk.action], [200, true, 'challenge'], `${score}`)
      assert.equal(json.ipRisk.reasons.includes('unverified_address'), score !== 45)
    }
    assert.equal((await ask(UNAVAILABLE)).status, 503)
    assert.equal((await ask('10.0.0.1')).status, 503)
    assert.equal((await ask('unknown')).status, 503)
  })

  test('is still not judged when the application skips it', async (t) => {
    const { ask } = await startUnverified(t, { policy: 'payment', skip: () => true })
    assert.deepEqual((await ask(scoring(0))).json.ipRisk.reasons, ['skipped'])
  })

  test('costs at most 10 look-ups a minute', async (t) => {
    const { ask, api, advance } = await startUnverified(t)
    for (let score = 0; score < 10; score++) assert.equal((await ask(scoring(score))).decision.source, 'api')
    const refused = await ask(scoring(10))
    assert.deepEqual([refused.status, refused.json.requireMfa], [200, true])
    assert.deepEqual(
      [refused.decision.failure, refused.decision.reasons],
      ['ERR_IP_RISK_UNVERIFIED_LIMIT', ['failed_challenge']],
    )
    advance(50_000)
    assert.equal((await ask(scoring(11))).decision.failure, 'ERR_IP_RISK_UNVERIFIED_LIMIT')
    assert.equal(api.requestCount(), 10)
    advance(10_000)
    assert.equal((await ask(scoring(10))).decision.source, 'api')
    assert.equal(api.requestCount(), 11)
  })

  test('then gets what the policy says of exhausted limits', async (t) => {
    for (const [gate, status, action] of [
      [{ policy: 'payment' }, 503, 'hold'],
      [{ onFailure: { exhausted: 'closed' } }, 503, 'hold'],
      [{ onFailure: { exhausted: 'open' } }, 200, 'allow'],
      [{ onFailure: { upstream: 'closed' } }, 200, 'challenge'],
    ]) {
      const { ask } = await startUnverified(t, gate)
      for (let score = 0; score < 10; score++) await ask(scoring(score))
      const answer = await ask(scoring(10))
      assert.deepEqual([answer.status, answer.decision.action], [status, action], JSON.stringify(gate))
      assert.equal(answer.decision.failure, 'ERR_IP_RISK_UNVERIFIED_LIMIT')
    }
  })
})

onEachExpress('verified and unverified requests on one checker', (express) => {
  /** `/known` takes the application's word for the address, `/claimed` anybody's. */
  async function startBoth(t) {
    const started = await startChecker(t)
    const { checker } = started
    const setUp = (app) => {
      app.post('/claimed', riskMiddleware({ checker }), showRequest)
      app.post('/known', riskMiddleware({ checker, clientIp: (req) => req.ip }), showRequest)
    }
    const send = await startApp(t, express, setUp, UNVERIFIED)
    const sourceAt = async (path, from = scoring(50)) => (await send({ path, from })).json.ipRisk.source
    return { ...started, send, sourceAt }
  }

  test('the answer for an unverified address is not kept', async (t) => {
    const { sourceAt, api } = await startBoth(t)
    assert.equal(await sourceAt('/claimed'), 'api')
    assert.equal(await sourceAt('/claimed'), 'api')
    assert.equal(await sourceAt('/known'), 'api')
    assert.equal(await sourceAt('/known'), 'memory')
    assert.equal(await sourceAt('/claimed'), 'memory', 'it may read what others left')
    assert.equal(api.requestCount(), 3)
  })

  test('it is kept when a verified request joined the call', async (t) => {
    const { sourceAt, api, checker } = await startBoth(t)
    api.latencyMs = LONG_ENOUGH_TO_JOIN
    const claimed = sourceAt('/claimed')
    await until(() => api.requestCount() === 1)
    const known = sourceAt('/known')
    assert.deepEqual(await Promise.all([claimed, known]), ['api', 'api'])
    assert.equal(checker.stats().upstream.coalesced, 1)
    assert.equal(await sourceAt('/known'), 'memory')
    assert.equal(api.requestCount(), 1)
  })

  test('the limit is not that of verified requests', async (t) => {
    const { sourceAt, send } = await startBoth(t)
    for (let score = 0; score < 15; score++) assert.equal(await sourceAt('/known', scoring(score)), 'api')
    for (let score = 20; score < 30; score++) assert.equal(await sourceAt('/claimed', scoring(score)), 'api')
    assert.equal(await sourceAt('/claimed', scoring(30)), 'none')
    assert.equal(await sourceAt('/known', scoring(30)), 'api')
    assert.equal((await send({ path: '/claimed', from: scoring(14) })).json.ipRisk.source, 'memory')
  })

  test('joining a call costs no look-up', async (t) => {
    const { send, sourceAt, api } = await startBoth(t)
    api.latencyMs = LONG_ENOUGH_TO_JOIN
    const same = Array.from({ length: 15 }, () => send({ path: '/claimed', from: scoring(50) }))
    for (const { json } of await Promise.all(same)) assert.equal(json.ipRisk.source, 'api')
    assert.equal(api.requestCount(), 1)
    api.latencyMs = 0
    for (let score = 0; score < 9; score++) assert.equal(await sourceAt('/claimed', scoring(score)), 'api')
    assert.equal(await sourceAt('/claimed', scoring(9)), 'none')
  })
})
