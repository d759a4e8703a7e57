import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, test } from 'node:test'
import {
  UNAVAILABLE,
  hookReports,
  onEachExpress,
  recordingLogger,
  scoring,
  showRequest,
  startApp,
  startChecker,
  startServer,
  turns,
  until,
} from './support/express-app.mjs'
import express5 from 'express'
import { riskMiddleware } from './support/package.mjs'

/** When each hook is called, and what the client gets when it does not do its work. */
const HOOKS = {
  onBlock: { from: scoring(80), status: 403, body: { error: 'Request blocked' } },
  onChallenge: { from: scoring(50), status: 200, body: { handled: true, requireMfa: true } },
  onHold: { from: UNAVAILABLE, status: 503, body: { error: 'Request held for review' } },
}
const HOOK_ANSWER = { answeredBy: 'hook' }
/** How often handler, next route and error handler were reached. */
const NOBODY = [0, 0, 0]
const HANDLER = [1, 0, 0]
const NEXT_ROUTE = [0, 1, 0]
const ERROR_HANDLER = [0, 0, 1]

const answering = (response) => response.status(418).json(HOOK_ANSWER)

onEachExpress('hooks', (express) => {
  /**
   * An application with a gate, a handler that answers a little later, another route behind it, and an error handler
   * that says what it got. It counts how often each of the three was reached.
   */
  async function start(t, gate) {
    const logger = recordingLogger()
    const { checker } = await startChecker(t, { logger })
    const reached = { handler: 0, nextRoute: 0, errorHandler: 0 }
    const policy = gate.onHold === undefined ? 'login' : 'payment'
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker, policy, ...gate }), async (req, res) => {
        reached.handler++
        await turns(2)
        if (!res.headersSent) res.json({ handled: true, requireMfa: req.requireMfa })
      })
      app.post('/login', (req, res) => {
        reached.nextRoute++
        if (!res.headersSent) res.json({ handledBy: 'next route' })
      })
      app.use((error, req, res, next) => {
        reached.errorHandler++
        if (res.headersSent) return next(error)
        res.status(500).json({ errorHandler: error?.message ?? error })
      })
    })
    return { send, reached, logger, checker }
  }

  for (const [name, { from, status, body }] of Object.entries(HOOKS)) {
    /** Starts an application with that hook, sends the request that it is for, and lets late failures happen. */
    async function answerWith(t, hook) {
      const { send, reached, logger } = await start(t, { [name]: hook })
      const answer = await send({ from })
      await turns()
      const { handler, nextRoute, errorHandler } = reached
      return { ...answer, reached: [handler, nextRoute, errorHandler], reports: hookReports(logger) }
    }

    function assertReportedOnce({ reports }, error) {
      assert.equal(reports.length, 1)
      const [{ level, details, message }] = reports
      assert.deepEqual([level, details.hook, message.includes('the decision stands')], ['error', name, true])
      assert.equal(details.err, error)
    }

    test(`${name} replaces what is usual`, async (t) => {
      const seen = []
      const answer = await answerWith(t, (req, res, next) => {
        seen.push([req.ipRisk.action, req.requireMfa, req.holdForReview, typeof next])
        answering(res)
      })
      assert.deepEqual([answer.status, answer.json, answer.reached], [418, HOOK_ANSWER, NOBODY])
      const action = name.slice(2).toLowerCase()
      assert.deepEqual(seen, [[action, name === 'onChallenge', name === 'onHold', 'function']])
      assert.deepEqual(answer.reports, [])
    })

    test(`${name} may answer later`, async (t) => {
      const answer = await answerWith(t, async (req, res) => {
        await turns(3)
        answering(res)
      })
      assert.deepEqual([answer.status, answer.json, answer.reached], [418, HOOK_ANSWER, NOBODY])
      assert.deepEqual(answer.reports, [])
    })

    test(`${name} may hand the request on, which happens once`, async (t) => {
      for (const hook of [
        (req, res, next) => next(),
        async (req, res, next) => {
          await turns(2)
          next()
        },
        (req, res, next) => {
          next()
          next()
        },
        (req, res, next) => {
          next()
          setImmediate(next, new Error('too late'))
        },
      ]) {
        const answer = await answerWith(t, hook)
        const json = { handled: true, requireMfa: name === 'onChallenge' }
        assert.deepEqual([answer.status, answer.json, answer.reached], [200, json, HANDLER])
        assert.deepEqual(answer.reports, [])
      }
    })

    test(`${name} may hand an error to the application's error handler`, async (t) => {
      for (const hook of [
        (req, res, next) => next(new Error('of the hook')),
        async (req, res, next) => next(new Error('of the hook')),
      ]) {
        const answer = await answerWith(t, hook)
        const expected = [500, { errorHandler: 'of the hook' }, ERROR_HANDLER]
        assert.deepEqual([answer.status, answer.json, answer.reached], expected)
        assert.deepEqual(answer.reports, [])
      }
    })

    test(`${name} may leave the route`, async (t) => {
      const answer = await answerWith(t, (req, res, next) => next('route'))
      assert.deepEqual(
        [answer.status, answer.json, answer.reached],
        [200, { handledBy: 'next route' }, NEXT_ROUTE],
      )
    })

    const error = new Error('hook failed')
    const fail = () => {
      throw error
    }

    for (const [when, hook] of Object.entries({
      'at once': fail,
      'as a promise': async () => fail(),
      later: async () => {
        await turns(3)
        fail()
      },
    })) {
      test(`${name} that fails ${when} leaves what is usual, and is reported once`, async (t) => {
        const answer = await answerWith(t, hook)
        assert.deepEqual([answer.status, answer.json], [status, body])
        assert.deepEqual(answer.reached, name === 'onChallenge' ? HANDLER : NOBODY)
        if (name !== 'onChallenge') assert.equal(answer.headers['cache-control'], 'no-store')
        assertReportedOnce(answer, error)
      })
    }

    for (const [when, hook] of Object.entries({
      'it answered': (req, res) => {
        answering(res)
        fail()
      },
      'it answered, later': async (req, res) => {
        answering(res)
        await turns(2)
        fail()
      },
      'it began to answer': (req, res) => {
        res.status(418).type('json').write(JSON.stringify(HOOK_ANSWER))
        setImmediate(() => res.end())
        fail()
      },
    })) {
      test(`${name} that fails after ${when} answers once, and is reported once`, async (t) => {
        const answer = await answerWith(t, hook)
        assert.deepEqual([answer.status, answer.json, answer.reached], [418, HOOK_ANSWER, NOBODY])
        assertReportedOnce(answer, error)
      })
    }

    test(`${name} that fails after next() hands on once, and is reported once`, async (t) => {
      for (const hook of [
        (req, res, next) => {
          next()
          fail()
        },
        async (req, res, next) => {
          next()
          await turns(2)
          fail()
        },
      ]) {
        const answer = await answerWith(t, hook)
        const json = { handled: true, requireMfa: name === 'onChallenge' }
        assert.deepEqual([answer.status, answer.json, answer.reached], [200, json, HANDLER])
        assertReportedOnce(answer, error)
      }
    })

    test(`${name} that fails with something that is no error is reported too`, async (t) => {
      for (const thrown of ['a text', undefined, null, 0, Symbol('thrown'), Object.create(null)]) {
        for (const hook of [
          () => {
            throw thrown
          },
          () => Promise.reject(thrown),
        ]) {
          const answer = await answerWith(t, hook)
          assert.deepEqual([answer.status, answer.json], [status, body])
          assertReportedOnce(answer, thrown)
        }
      }
    })

    test(`${name} is not called for other actions`, async (t) => {
      const others = Object.entries(HOOKS).filter(([other]) => other !== name)
      const { send } = await start(t, { [name]: (req, res) => answering(res) })
      assert.equal((await send({ from: scoring(0) })).status, 200)
      for (const [other, { from: elsewhere, status: usual }] of others) {
        if (other === 'onHold') continue
        assert.equal((await send({ from: elsewhere })).status, usual)
      }
    })
  }

  test('onDecision sees every decision, before anything else happens, and changes nothing', async (t) => {
    for (const [policy, from, action, status] of [
      ['login', scoring(0), 'allow', 200],
      ['login', scoring(20), 'log', 200],
      ['login', scoring(45), 'challenge', 200],
      ['login', scoring(80), 'block', 403],
      ['payment', UNAVAILABLE, 'hold', 503],
    ]) {
      const seen = []
      const onDecision = (decision, req) => {
        seen.push([decision.action, req.ipRisk === decision, req.requireMfa, req.holdForReview, req.method])
        return 'ignored'
      }
      const { send, logger } = await start(t, { policy, onDecision })
      assert.equal((await send({ from })).status, status)
      assert.deepEqual(seen, [[action, true, undefined, undefined, 'POST']])
      assert.deepEqual(hookReports(logger), [])
    }
  })

  test('onDecision comes before the other hooks', async (t) => {
    const order = []
    const onBlock = (req, res) => {
      order.push('onBlock')
      answering(res)
    }
    const { send } = await start(t, { onBlock, onDecision: () => order.push('onDecision') })
    await send({ from: scoring(80) })
    assert.deepEqual(order, ['onDecision', 'onBlock'])
  })

  for (const [when, onDecision] of Object.entries({
    throws: () => {
      throw new Error('observer failed')
    },
    rejects: async () => {
      throw new Error('observer failed')
    },
  })) {
    test(`the decision stands when onDecision ${when}`, async (t) => {
      for (const gate of [{}, { mode: 'log-only' }]) {
        const { send, logger, reached } = await start(t, { ...gate, onDecision })
        const isWatching = gate.mode === 'log-only'
        assert.equal((await send({ from: scoring(0) })).status, 200)
        assert.equal((await send({ from: scoring(80) })).status, isWatching ? 200 : 403)
        await turns()
        assert.equal(reached.handler, isWatching ? 2 : 1)
        const reports = hookReports(logger)
        assert.deepEqual(
          reports.map(({ level, details }) => [level, details.hook, details.err.message]),
          [0, 80].map(() => ['error', 'onDecision', 'observer failed']),
        )
      }
    })
  }

  test('a promise of onDecision is not waited for', async (t) => {
    const { send } = await start(t, { onDecision: () => new Promise(() => {}) })
    assert.equal((await send({ from: scoring(0) })).status, 200)
    assert.equal((await send({ from: scoring(80) })).status, 403)
  })

  test('a hook that never answers decides so itself', async (t) => {
    const { send, reached } = await start(t, {
      onBlock(req, res) {
        setImmediate(() => res.destroy())
      },
    })
    await assert.rejects(send({ from: scoring(80) }), { code: 'ECONNRESET' })
    assert.equal(reached.handler, 0)
  })

  test('hooks of one gate leave other gates alone', async (t) => {
    const { checker } = await startChecker(t)
    const send = await startApp(t, express, (app) => {
      app.post('/first', riskMiddleware({ checker, onBlock: (req, res) => answering(res) }), showRequest)
      app.post('/second', riskMiddleware({ checker }), showRequest)
    })
    const statusAt = async (path) => (await send({ path, from: scoring(80) })).status
    assert.deepEqual([await statusAt('/first'), await statusAt('/second')], [418, 403])
  })
})

describe('a `next` that throws, without Express to catch it', () => {
  const later = async () => false
  for (const [when, from, gate] of [
    ['after a look-up', scoring(0), {}],
    ['after a `skip` that is a promise', '10.0.0.1', { skip: later }],
    ['after a hook that rejected', scoring(50), { onChallenge: () => Promise.reject(new Error('first')) }],
  ]) {
    test(`${when} is reported and ends nothing`, async (t) => {
      const logger = recordingLogger()
      const { checker } = await startChecker(t, { logger })
      const middleware = riskMiddleware({ checker, clientIp: () => from, ...gate })
      const send = await startServer(t, (request, response) => {
        middleware(request, response, () => {
          response.end('handled')
          throw new Error('of next')
        })
      })
      assert.equal((await send()).text, 'handled')
      await until(() => hookReports(logger).some(({ details }) => details.err.message === 'of next'))
      await turns()
    })
  }
})

onEachExpress('what a hook cannot do', (express) => {
  test('one that fails and calls next later reaches no handler of a blocked request', async (t) => {
    const { checker } = await startChecker(t)
    let reached = 0
    let late
    const onBlock = (request, response, next) => {
      late = next
      throw new Error('of the hook')
    }
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker, onBlock }), (req, res) => {
        reached++
        res.end()
      })
    })
    assert.equal((await send({ from: scoring(80) })).status, 403)
    late()
    await turns(2)
    assert.equal(reached, 0)
  })

  test('one that rejects where nothing can be answered leaves the request to the error handler', async (t) => {
    const { checker } = await startChecker(t)
    const onBlock = async (request, response) => {
      response.setHeader = () => {
        delete response.setHeader
        throw new Error('of the response')
      }
      throw new Error('of the hook')
    }
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker, onBlock }), showRequest)
      app.use((error, req, res, _next) => res.status(500).json({ error: error.message }))
    })
    const { status, json } = await send({ from: scoring(80) })
    assert.deepEqual([status, json], [500, { error: 'of the response' }])
  })

  test('watching does not change what the gate does', async (t) => {
    const { checker } = await startChecker(t)
    const change = (decision) => Object.assign(decision, { action: 'allow', mode: 'log-only' })
    subscribe('ip-risk:decision', change)
    t.after(() => unsubscribe('ip-risk:decision', change))
    const send = await startApp(t, express, (app) => {
      app.post('/login', riskMiddleware({ checker, onDecision: change }), showRequest)
    })
    assert.equal((await send({ from: scoring(80) })).status, 403)
  })

  test('options that are changed or inherited later have no effect', async (t) => {
    const { checker } = await startChecker(t)
    const options = { checker }
    const send = await startApp(t, express, (app) => app.post('/login', riskMiddleware(options), showRequest))
    options.skip = () => true
    Object.defineProperty(Object.prototype, 'skip', { value: () => true, configurable: true })
    t.after(() => delete Object.prototype.skip)
    assert.equal((await send({ from: scoring(80) })).status, 403)
  })
})

test('a gate whose route has no name says once that its routes do not apply', async (t) => {
  const logger = recordingLogger()
  const { checker } = await startChecker(t, { logger })
  const deny = [{ cidr: scoring(0), routes: ['/a'] }]
  const send = await startApp(t, express5, (app) => {
    app.post(['/a', '/b'], riskMiddleware({ checker, deny }), showRequest)
    app.post('/named', riskMiddleware({ checker, deny, route: '/a' }), showRequest)
  })
  for (const path of ['/a', '/b']) assert.equal((await send({ path, from: scoring(0) })).status, 200)
  assert.equal((await send({ path: '/named', from: scoring(0) })).status, 403)
  const codes = logger.lines.filter(({ details }) => details.code === 'ERR_IP_RISK_ROUTE')
  assert.equal(codes.length, 1)
})

test('the line about a deny entry says who answers for it', async (t) => {
  const logger = recordingLogger()
  const deny = [
    { cidr: `${scoring(0)}/24`, owner: 'fraud team', reason: 'case 12', routes: ['/other'] },
    { cidr: scoring(7), owner: 'shop', reason: 'case 13', routes: ['/login'] },
    { cidr: `${scoring(0)}/28`, owner: 'fraud team', reason: 'case 12' },
  ]
  const { checker } = await startChecker(t, { logger, policies: { login: { deny } } })
  await checker.check(scoring(7))
  await checker.check(scoring(7), { route: '/login' })
  await checker.check(scoring(80))
  assert.deepEqual(
    logger.lines.map(({ details }) => details.entry),
    ['fraud team: case 12', 'shop: case 13', undefined],
  )
})

test('a closed checker goes on saying that it opens', async (t) => {
  const logger = recordingLogger()
  const { checker } = await startChecker(t, { logger })
  const send = await startApp(t, express5, (app) =>
    app.post('/login', riskMiddleware({ checker }), showRequest),
  )
  await checker.check(UNAVAILABLE)
  await checker.close()
  await send({ from: scoring(0) })
  const failures = logger.lines.map(({ details }) => details.failure).filter(Boolean)
  assert.deepEqual(failures, ['ERR_IP_RISK_UPSTREAM_STATUS', 'ERR_IP_RISK_CLOSED'])
})
