/** Gates in an application: several in a row, on routes, in routers, and without Express. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import { describe, test } from 'node:test'
import { assertBlocked, assertFields, assertHeld } from './support/express-answers.mjs'
import {
  UNAVAILABLE,
  onEachExpress,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startGate,
  startServer,
} from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'

const GOOGLE_CLOUD = '198.51.100.22'
const ATTACKER_IN_GOOGLE_CLOUD = '198.51.100.23'

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
