import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'
import {
  UNAVAILABLE,
  onEachExpress,
  recordingLogger,
  scoring,
  startChecker,
  startGate,
} from './support/express-app.mjs'

const FAILED_OPEN_INTERVAL = 10_000

let consumer
before(() => (consumer = makeConsumer()))
after(() => consumer.remove())

/**
 * Runs an application in a process of its own, whose console is what a user sees: a checker with `options`, a gate at
 * `/login` with `gate` and one at `/pay` for payments, then `script`, which has `ask(address, path)`, `checker` and
 * `api`. Addresses are public ones, 8.8.4.N and 2606:4700:10:N::1 score N, and 8.8.5.0 fails.
 */
async function runApplication({ options = '{}', gate = '{}', trustProxy = "'loopback'", script }) {
  const source = `
    const { once } = require('node:events')
    const http = require('node:http')
    const express = require('express')
    const { RiskChecker, riskMiddleware } = require('ip-risk')
    const { startMockApi } = require('ip-risk/testing')

    async function main() {
      const api = await startMockApi()
      for (const score of [0, 20, 45, 80]) {
        api.answer('8.8.4.' + score, { threat_score: score })
        api.answer('2606:4700:10:' + score + '::1', { threat_score: score })
      }
      api.fault({ status: 503 }, { ip: '8.8.5.0' })
      const checker = new RiskChecker({ apiKey: 'any', endpoint: api.url, ...${options} })
      const app = express()
      app.set('trust proxy', ${trustProxy})
      app.post('/login', riskMiddleware({ checker, ...${gate} }), (req, res) => res.end())
      app.post('/pay', riskMiddleware({ checker, policy: 'payment', ...${gate} }), (req, res) => res.end())
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const send = (path, headers) =>
        new Promise((resolve, reject) => {
          const { port } = server.address()
          const wanted = { host: '127.0.0.1', port, path, method: 'POST', headers, agent: false }
          const request = http.request(wanted, (response) => {
            response.resume().on('end', () => resolve(response.statusCode))
          })
          request.on('error', reject).end()
        })
      const ask = (from, path = '/login', headers = {}) => send(path, { 'x-forwarded-for': from, ...headers })
      ${script}
      await checker.close()
      await api.close()
      server.close()
      server.closeAllConnections()
    }
    main()
  `
  const { code, stdout, stderr } = await consumer.runText('app.cjs', source)
  assert.equal(code, 0, stderr)
  return { stdout: linesOf(stdout), stderr: linesOf(stderr) }
}

function linesOf(text) {
  return text.split('\n').filter((line) => line !== '')
}

describe('the console', () => {
  test('has one line for each block, challenge and hold, and none for the rest', async () => {
    const script = `
      for (const score of [0, 20, 45, 80]) {
        await ask('8.8.4.' + score)
        await ask('2606:4700:10:' + score + '::1')
      }
      await ask('::ffff:8.8.4.80')
      await ask('8.8.5.0', '/pay')
      await ask('unknown')
    `
    const { stdout, stderr } = await runApplication({ script })
    assert.deepEqual(stdout, [
      'ip-risk: challenge address=8.8.4.0/24 score=45 reasons=threshold_challenge policy=login source=api',
      'ip-risk: challenge address=2606:4700:10::/48 score=45 reasons=threshold_challenge policy=login source=api',
      'ip-risk: challenge address=none score=0 reasons=invalid_address policy=login source=none failure=ERR_IP_RISK_INVALID_ADDRESS',
    ])
    assert.deepEqual(stderr, [
      'ip-risk: block address=8.8.4.0/24 score=80 reasons=threshold_block policy=login source=api',
      'ip-risk: block address=2606:4700:10::/48 score=80 reasons=threshold_block policy=login source=api',
      'ip-risk: block address=8.8.4.0/24 score=80 reasons=threshold_block policy=login source=memory',
      'ip-risk: hold address=8.8.5.0/24 score=0 reasons=failed_closed policy=payment source=none failure=ERR_IP_RISK_UPSTREAM_STATUS',
    ])
  })

  test('has whole addresses when they are asked for', async () => {
    const script = `
      await ask('8.8.4.80')
      await ask('2606:4700:10:50:0:0:0:1')
    `
    const { stderr, stdout } = await runApplication({ options: "{ logger: { addresses: 'full' } }", script })
    assert.match(stderr[0], / address=8\.8\.4\.80 /)
    assert.deepEqual([stderr.length, stdout.length], [1, 0])
    const shortened = await runApplication({ options: "{ logger: { addresses: 'network' } }", script })
    assert.match(shortened.stderr[0], / address=8\.8\.4\.0\/24 /)
  })

  test('has a line for `check` and `checkMany` too, none for `peek`', async () => {
    const script = `
      await checker.check('8.8.4.80')
      await checker.checkMany(['8.8.4.80', '8.8.4.0'])
      checker.peek('8.8.4.80')
    `
    const { stderr, stdout } = await runApplication({ script })
    assert.deepEqual([stderr.length, stdout.length], [2, 0])
    for (const line of stderr) assert.match(line, /^ip-risk: block address=8\.8\.4\.0\/24 /)
  })

  test('says of log-only what would have happened', async () => {
    const script = `
      for (const score of [0, 20, 45, 80]) await ask('8.8.4.' + score)
      await ask('8.8.5.0', '/pay')
    `
    const { stdout, stderr } = await runApplication({ gate: "{ mode: 'log-only' }", script })
    const said = [...stdout, ...stderr].map((line) => /^ip-risk: (.*) address=8\.8\./.exec(line)?.[1] ?? line)
    assert.deepEqual(said.sort(), ['would block', 'would challenge', 'would hold'])
  })

  test('is silent with `logger: false`, whatever happens', async () => {
    const options = '{ logger: false }'
    const gate = "{ onBlock() { throw new Error('of the hook') } }"
    const script = `
      await ask('8.8.4.80')
      await ask('8.8.4.45')
      await ask('8.8.5.0')
      await ask('8.8.5.0', '/pay')
    `
    const output = await runApplication({ options, gate, script, trustProxy: 'true' })
    assert.deepEqual(output, { stdout: [], stderr: [] })
  })

  test('says the first of failing open at once and how many followed at the end', async () => {
    const script = `for (let count = 0; count < 4; count++) await ask('8.8.5.0')`
    const { stdout, stderr } = await runApplication({ script })
    assert.deepEqual(stdout, [])
    assert.equal(stderr.length, 2)
    assert.match(stderr[0], /^ip-risk: failed open: .+ failure=ERR_IP_RISK_UPSTREAM_STATUS policy=login$/)
    assert.match(stderr[1], /^ip-risk: failed open again count=3 failure=ERR_IP_RISK_UPSTREAM_STATUS$/)
  })

  test('is not what a process waits for', async () => {
    const script = `
      await ask('8.8.5.0')
      await ask('8.8.5.0')
      server.close()
      server.closeAllConnections()
      process.on('exit', () => console.log('waited', Math.round(performance.now() - began)))
      const began = performance.now()
      return
    `
    const { stdout } = await runApplication({ script })
    const waited = Number(/^waited (\d+)$/.exec(stdout.at(-1))?.[1])
    assert.ok(waited < FAILED_OPEN_INTERVAL / 2, stdout.at(-1))
  })
})

describe('hostile text', () => {
  const FORGERIES = [
    'forged',
    '8.8.4.80 forged',
    '8.8.4.80\tforged',
    '8.8.4.80%0d%0aip-risk: forged',
    '8.8.4.80\\r\\nip-risk: forged',
    '8.8.4.80, forged',
    '8.8.4.80;forged',
    '[8.8.4.80]forged',
    'fe80::1%forged',
    '[fe80::1%forged]:80',
    '\u00e9\u00ffforged',
    'for=forged',
    `${'8.8.4.80 '.repeat(800)}forged`,
  ]
  /** What no header can carry, but an application can make out of one. */
  const DECODED = [
    '8.8.4.80\nip-risk: forged',
    '8.8.4.80\r\nip-risk: forged',
    '8.8.4.80\0forged',
    '8.8.4.80\u001b[2Jforged',
    '8.8.4.80\u2028forged',
    'fe80::1%forged\nforged',
    `forged${'\n'.repeat(5_000)}forged`,
  ]

  /** Every line is one of ours, and short; there is one for each request. */
  function assertClean({ stdout, stderr }, count) {
    const lines = [...stdout, ...stderr]
    for (const line of lines) {
      assert.match(line, /^ip-risk: [ -~]+$/)
      assert.ok(line.length < 300, line)
      assert.doesNotMatch(line, /forged/)
    }
    assert.equal(lines.length, count)
  }

  test('of a forwarded address never reaches a line', async () => {
    const script = `for (const from of ${JSON.stringify(FORGERIES)}) await ask(from, '/pay')`
    // The two link-local addresses are also warned about, once.
    assertClean(await runApplication({ script }), FORGERIES.length + 1)
  })

  test('of an address that the application made never reaches a line', async () => {
    const clients = DECODED.map(encodeURIComponent)
    const gate = "{ clientIp: (req) => decodeURIComponent(req.headers['x-client']) }"
    const script = `
      for (const client of ${JSON.stringify(clients)}) await ask('8.8.4.0', '/pay', { 'x-client': client })
    `
    assertClean(await runApplication({ gate, script }), DECODED.length)
  })

  test('of other headers and of the URL never reaches a line', async () => {
    const script = `
      const headers = { 'user-agent': 'forged', cookie: 'forged=1', referer: 'http://forged/', 'x-real-ip': 'forged' }
      await ask('8.8.4.80', '/login?forged=%0aforged', { ...headers, host: 'forged' })
      await ask('8.8.4.45', '/login?forged', headers)
      await ask('8.8.5.0', '/pay?forged', headers)
    `
    assertClean(await runApplication({ script }), 3)
  })

  test('of a provider never reaches a line', async () => {
    const script = `
      const name = 'forged\\nip-risk: forged'
      api.answer('8.8.6.1', { threat_score: 90, is_vpn: true, vpn_provider_names: [name], cloud_provider_name: name })
      api.fault({ status: 503, message: name }, { ip: '8.8.6.2' })
      await ask('8.8.6.1')
      await ask('8.8.6.2', '/pay')
    `
    assertClean(await runApplication({ script }), 2)
  })

  /** The lines when `onBlock` throws each of these, which are JavaScript, and then nothing. */
  async function linesWhenThrowing(...thrown) {
    const gate = `{
      onBlock(req, res) {
        const thrown = [${thrown.map((text) => `() => { throw ${text} }`)}]
        thrown[req.headers['x-number']]?.()
        res.end()
      },
    }`
    const script = `
      for (let number = 0; number <= ${thrown.length}; number++) {
        await ask('8.8.4.80', '/login', { 'x-number': number })
      }
    `
    return (await runApplication({ gate, script })).stderr
  }

  /** Each request has its line, and each failure one that says so. */
  function assertReported(lines, count) {
    for (const line of lines) assert.match(line, /^ip-risk: (block|a hook of the application failed)[ -~]*$/)
    const reports = lines.filter((line) => line.includes('code=ERR_IP_RISK_HOOK hook=onBlock'))
    assert.deepEqual([reports.length, lines.length], [count, 2 * count + 1])
  }

  test('that a hook throws stays on one line', async () => {
    const text = "'first\\nip-risk: second'"
    assertReported(await linesWhenThrowing(`new Error(${text})`, text, `Symbol(${text})`, `[${text}]`), 4)
  })

  test('is not needed to confuse the console: a hook may throw anything', async () => {
    const thrown = [
      'undefined',
      'Object.create(null)',
      "{ toString() { throw new Error('of toString') } }",
      "Object.assign(new Error('message'), { stack: undefined, message: undefined })",
    ]
    assertReported(await linesWhenThrowing(...thrown), thrown.length)
  })
})

describe('a logger that fails', () => {
  const failing = (level) => `
    const counts = { info: 0, warn: 0, error: 0 }
    const fail = (name) => ${level}
    const logger = { info: fail('info'), warn: fail('warn'), error: fail('error') }
  `
  const throwing = failing(`() => { counts[name]++; throw new Error('of the logger') }`)
  const rejecting = failing(`async () => { counts[name]++; throw new Error('of the logger') }`)

  /** Runs an application with a logger of its own that prints statuses and how often the logger was called. */
  const run = (logger) =>
    runApplication({
      options: `(() => { ${logger}; globalThis.counts = counts; return { logger } })()`,
      script: `
        const statuses = []
        for (const from of ['8.8.4.80', '8.8.4.45', '8.8.4.0', '8.8.5.0', '8.8.4.80']) statuses.push(await ask(from))
        statuses.push(await ask('8.8.5.0', '/pay'))
        console.log(JSON.stringify({ statuses, counts }))
      `,
    })
  const statuses = [403, 200, 200, 200, 403, 503]

  test('by throwing is reported once and left alone, and decisions stand', async () => {
    const { stdout, stderr } = await run(throwing)
    assert.equal(stderr.length, 1)
    assert.match(stderr[0], /^ip-risk: the logger failed and is not used for a minute .*of the logger/)
    assert.deepEqual(
      stdout.map((line) => JSON.parse(line)),
      [{ statuses, counts: { info: 0, warn: 1, error: 0 } }],
    )
  })

  test('by rejecting ends no process, and decisions stand', async () => {
    const { stdout, stderr } = await run(rejecting)
    assert.deepEqual(JSON.parse(stdout.at(-1)).statuses, statuses)
    assert.equal(stderr.filter((line) => line.startsWith('ip-risk: the logger failed')).length, 1)
  })
})

describe('a logger of the application', () => {
  test('gets details and a message, as pino does', async (t) => {
    const logger = recordingLogger()
    const { checker } = await startChecker(t, { logger })
    for (const score of [0, 20, 45, 80]) await checker.check(scoring(score))
    await checker.check(UNAVAILABLE, { policy: 'payment' })
    const common = { address: '192.0.2.0/24', policy: 'login', source: 'api' }
    assert.deepEqual(logger.lines, [
      {
        level: 'info',
        details: { ...common, score: 45, reasons: ['threshold_challenge'] },
        message: 'challenge',
      },
      { level: 'warn', details: { ...common, score: 80, reasons: ['threshold_block'] }, message: 'block' },
      {
        level: 'warn',
        details: {
          address: '203.0.113.0/24',
          policy: 'payment',
          source: 'none',
          score: 0,
          reasons: ['failed_closed'],
          failure: 'ERR_IP_RISK_UPSTREAM_STATUS',
        },
        message: 'hold',
      },
    ])
  })

  test('is called as its own method, and may ask for whole addresses', async (t) => {
    class Logger {
      addresses = 'full'
      #seen = []
      info(details) {
        this.#seen.push(details.address)
      }
      warn(details) {
        this.info(details)
      }
      error() {}
      get seen() {
        return this.#seen
      }
    }
    const logger = new Logger()
    const { checker } = await startChecker(t, { logger })
    await checker.check('2001:DB8:0:80::0001')
    await checker.check(scoring(45))
    assert.deepEqual(logger.seen, ['2001:db8:0:80::1', scoring(45)])
  })

  test('is that of the checker, not of the others', async (t) => {
    const [first, second] = [recordingLogger(), recordingLogger()]
    const one = await startChecker(t, { logger: first })
    await startChecker(t, { logger: second })
    await one.checker.check(scoring(80))
    assert.deepEqual([first.lines.length, second.lines.length], [1, 0])
  })

  test('may be slow: nobody waits for what it returns', async (t) => {
    const endless = () => new Promise(() => {})
    const { checker } = await startChecker(t, { logger: { info: endless, warn: endless, error: endless } })
    assert.equal((await checker.check(scoring(80))).action, 'block')
  })
})

describe('failing open', () => {
  /** A checker whose look-ups fail as `fail()` says, under a clock that `tick` moves. */
  async function start(t) {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const logger = recordingLogger()
    const { checker } = await startChecker(t, { logger })
    return {
      checker,
      logger,
      tick: () => t.mock.timers.tick(FAILED_OPEN_INTERVAL),
      async fail(times, options) {
        for (let count = 0; count < times; count++) await checker.check(UNAVAILABLE, options)
      },
      messages: () => logger.lines.map(({ message, details }) => [message.replace(/:.*/, ''), details.count]),
    }
  }
  const FIRST = ['failed open', undefined]
  const again = (count) => ['failed open again', count]

  test('is said once, then counted every 10 seconds', async (t) => {
    const { fail, tick, messages, logger } = await start(t)
    await fail(1)
    assert.deepEqual(messages(), [FIRST])
    assert.equal(logger.lines[0].level, 'warn')
    assert.deepEqual(logger.lines[0].details, { failure: 'ERR_IP_RISK_UPSTREAM_STATUS', policy: 'login' })
    await fail(3)
    assert.deepEqual(messages(), [FIRST])
    t.mock.timers.tick(FAILED_OPEN_INTERVAL - 1)
    assert.deepEqual(messages(), [FIRST])
    t.mock.timers.tick(1)
    assert.deepEqual(messages(), [FIRST, again(3)])
    await fail(2)
    assert.deepEqual(messages(), [FIRST, again(3)])
    tick()
    assert.deepEqual(messages(), [FIRST, again(3), again(2)])
  })

  test('is said anew after 10 seconds without it', async (t) => {
    const { fail, tick, messages } = await start(t)
    await fail(1)
    tick()
    tick()
    assert.deepEqual(messages(), [FIRST])
    await fail(1)
    assert.deepEqual(messages(), [FIRST, FIRST])
  })

  test('is counted to the end by `close()`', async (t) => {
    const { fail, tick, messages, checker } = await start(t)
    await fail(3)
    await checker.close()
    assert.deepEqual(messages(), [FIRST, again(2)])
    tick()
    assert.deepEqual(messages(), [FIRST, again(2)])
  })

  test('names the newest failure in the count', async (t) => {
    const { fail, tick, checker, logger } = await start(t)
    await fail(2)
    await checker.check('203.0.113.3')
    tick()
    const { details } = logger.lines.at(-1)
    assert.deepEqual(details, { count: 2, failure: 'ERR_IP_RISK_KEY_FORBIDDEN' })
  })

  test('is not said of policies that hold or challenge: those have a line each', async (t) => {
    const { fail, messages } = await start(t)
    await fail(2, { policy: 'payment' })
    assert.deepEqual(messages(), [
      ['hold', undefined],
      ['hold', undefined],
    ])
  })
})

describe('an outage of the provider', () => {
  /** A checker with a clock that can be moved, and the lines about outages. */
  async function start(t) {
    const logger = recordingLogger()
    const world = await startChecker(t, { logger })
    const isAboutOutage = ({ message }) => message.startsWith('calls are ')
    return { ...world, outages: () => logger.lines.filter(isAboutOutage) }
  }
  const MINUTE = 60_000

  test('has one loud line with what to do, and one when it is over', async (t) => {
    const { checker, api, advance, outages } = await start(t)
    api.fault({ status: 401 })
    for (let last = 0; last < 20; last++) await checker.check(scoring(last))
    assert.equal(api.requestCount(), 1)
    assert.equal(outages().length, 1)
    const [{ level, details, message }] = outages()
    assert.deepEqual([level, details.code], ['warn', 'ERR_IP_RISK_KEY_REFUSED'])
    assert.match(message, /^calls are stopped: the key was refused.*IPGEO_API_KEY/)
    const { health } = checker.stats().upstream
    assert.equal(details.since, new Date(health.since).toISOString())
    assert.deepEqual([health.state, health.cause], ['open', 'ERR_IP_RISK_KEY_REFUSED'])
    assert.ok(health.nextProbeAt > health.since && health.nextProbeAt <= health.since + 2_000)

    api.fault(null)
    advance(MINUTE)
    for (let last = 0; last < 20; last++) await checker.check(scoring(last))
    const [, over, ...more] = outages()
    assert.deepEqual(over, { level: 'info', details, message: 'calls are made again' })
    assert.deepEqual(more, [])
    assert.equal(checker.stats().upstream.health.state, 'closed')
  })

  test('is said again every 10 minutes that it lasts', async (t) => {
    const { checker, api, advance, outages } = await start(t)
    api.fault({ status: 429 })
    for (let minute = 0; minute < 25; minute++) {
      await checker.check(scoring(0))
      advance(MINUTE)
    }
    assert.deepEqual(
      outages().map(({ details }) => details.code),
      Array.from({ length: 3 }, () => 'ERR_IP_RISK_QUOTA'),
    )
  })

  test('of many failures is told as such', async (t) => {
    const { checker, api, advance, outages } = await start(t)
    api.fault({ kind: 'not-json' })
    for (let last = 0; last < 5; last++) {
      advance(1_000)
      await checker.check(scoring(last))
    }
    const decision = await checker.check(scoring(5))
    assert.deepEqual([decision.failure, decision.failedOpen], ['ERR_IP_RISK_BREAKER', true])
    assert.equal(api.requestCount(), 5)
    assert.deepEqual(
      outages().map(({ details }) => details.code),
      ['ERR_IP_RISK_BREAKER'],
    )
  })

  test('is not taken by a checker without a logger, which shares the provider', async () => {
    const script = `
      const silent = new RiskChecker({ apiKey: 'any', endpoint: api.url, logger: false })
      api.fault({ status: 401 })
      await silent.check('8.8.4.0')
      await silent.check('8.8.4.0')
      await checker.check('8.8.4.0')
      await silent.close()
    `
    const { stderr } = await runApplication({ script })
    assert.equal(stderr.filter((line) => line.includes('calls are stopped')).length, 1)
  })
})

onEachExpress('a closed checker', (express) => {
  test('is named in the lines about it', async (t) => {
    for (const [gate, said] of [
      [{}, 'failed open'],
      [{ policy: 'payment' }, 'hold'],
    ]) {
      const logger = recordingLogger()
      const { ask, checker } = await startGate(t, express, { gate, checker: { logger } })
      await checker.close()
      await ask(scoring(0))
      assert.equal(logger.lines.length, 1)
      const [{ message, details }] = logger.lines
      assert.ok(message.startsWith(said))
      assert.equal(details.failure, 'ERR_IP_RISK_CLOSED')
    }
  })
})
