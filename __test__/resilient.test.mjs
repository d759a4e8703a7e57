/** `ip-risk/resilient`: what an application gets where the addon really cannot be loaded. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runForJson, runScript } from './support/children.mjs'
import { makeConsumer } from './support/consumer.mjs'
import { assertDecision } from './support/decisions.mjs'
import { RiskChecker, riskMiddleware } from './support/package.mjs'

const NATIVE = 'ERR_IP_RISK_NATIVE'
const WITHOUT = { flags: ['--no-addons'] }

/** Every part of a decision about a request that does not depend on the policy. */
const NOTHING_KNOWN = {
  ip: null,
  score: 0,
  band: null,
  flags: {},
  source: 'none',
  provider: null,
  stale: false,
  degraded: true,
  checkedAt: null,
  failure: NATIVE,
  provenance: 'application',
}
const OPENED = {
  action: 'allow',
  wouldBe: 'allow',
  reasons: ['failed_open'],
  failedOpen: true,
  failedClosed: false,
}

/** An application whose routes are behind `gates`; sends each a request, and writes what came of it as JSON. */
const appWith = (gates) => `
  const warnings = []
  process.on('warning', ({ code, message }) => warnings.push({ code, message }))
  const [framework, ...words] = process.argv.slice(1)
  const express = require(framework)
  const { RiskChecker, riskMiddleware } = require('ip-risk/resilient')
  const show = ({ ipRisk, requireMfa, holdForReview }, res) => res.json({ ipRisk, requireMfa, holdForReview })
  const app = express()
  ${gates.map(([path, gate]) => `app.post('${path}', ${gate}, show)`).join('\n')}
  const server = app.listen(0, '127.0.0.1', async () => {
    const answers = {}
    for (const path of ${JSON.stringify(gates.map(([path]) => path))}) {
      const url = 'http://127.0.0.1:' + server.address().port + path
      const response = await fetch(url, { method: 'POST', headers: { connection: 'close' } })
      answers[path] = { status: response.status, json: await response.json() }
    }
    server.close()
    console.log(JSON.stringify({ answers, warnings }))
  })`

async function runApp(framework, gates, options = WITHOUT) {
  const { code, stdout, stderr } = await runScript(appWith(gates), { args: [framework], ...options })
  assert.equal(code, 0, stderr)
  const lines = stderr.split('\n').filter((line) => line.includes('ip-risk: '))
  // Before it stand the lines about challenges, which the console writes there.
  return { ...JSON.parse(stdout.trimEnd().split('\n').at(-1)), lines }
}

const FAULTS = [
  ['with `--no-addons`', WITHOUT, /--no-addons/],
  [
    'with an addon that does not exist',
    { env: { NAPI_RS_NATIVE_LIBRARY_PATH: '/nonexistent/ip-risk.node' } },
    /cannot be loaded/,
  ],
]

for (const framework of ['express', 'express4']) {
  for (const [fault, options, advice] of FAULTS) {
    test(`${framework} ${fault}: \`login\` lets in, \`payment\` holds, and one line says so`, async () => {
      const gates = [
        ['/login', 'riskMiddleware()'],
        ['/again', "riskMiddleware({ checker: new RiskChecker(), policy: 'login' })"],
        ['/pay', "riskMiddleware({ policy: 'payment' })"],
      ]
      const { answers, warnings, lines } = await runApp(framework, gates, options)
      for (const path of ['/login', '/again']) {
        const ipRisk = { ...NOTHING_KNOWN, ...OPENED, mode: 'enforce', policy: 'login' }
        const json = { ipRisk, requireMfa: false, holdForReview: false }
        assert.deepEqual(answers[path], { status: 200, json })
      }
      assert.deepEqual(answers['/pay'], { status: 503, json: { error: 'Request held for review' } })
      assert.deepEqual(
        warnings.map(({ code }) => code),
        [NATIVE],
      )
      assert.match(warnings[0].message, advice)
      assert.match(
        warnings[0].message,
        /policies that open let everybody in, those that close hold everybody/,
      )
      assert.equal(lines.filter((line) => line.includes('until then nothing is judged')).length, 1)
    })
  }
}

test('a package without its addon, as an install on another platform leaves it', async (t) => {
  const consumer = makeConsumer()
  t.after(() => consumer.remove())
  const checkout = fileURLToPath(new URL('..', import.meta.url))
  const installed = join(consumer.directory, 'node_modules/ip-risk')
  rmSync(installed)
  for (const name of ['lib', 'bin', 'index.js', 'index.d.ts', 'package.json', 'seed.feeds']) {
    cpSync(join(checkout, name), join(installed, name), { recursive: true })
  }
  assert.deepEqual(
    readdirSync(installed).filter((name) => name.endsWith('.node')),
    [],
  )
  assert.ok(existsSync(join(installed, 'lib/resilient.js')))
  const program = `
    import { riskMiddleware } from 'ip-risk/resilient'
    const gate = riskMiddleware({ onDecision: ({ action, failure }) => console.log(action, failure) })
    gate({ headers: {}, socket: {} }, {}, (error) => console.log('next', error))
    await import('ip-risk').catch(({ code }) => console.log(code))
  `
  const { code, stdout, stderr } = await consumer.runText('app.mjs', program)
  assert.deepEqual([code, stdout], [0, `allow ${NATIVE}\nnext undefined\n${NATIVE}\n`], stderr)
  assert.match(stderr, /\[ERR_IP_RISK_NATIVE\] Warning: ip-risk: the native part/)
})

test('another package’s addon is not taken for ours', async () => {
  const { resolve } = createRequire(import.meta.url)
  const [name] = readdirSync(new URL('../node_modules/@napi-rs', import.meta.url)).filter((one) =>
    one.startsWith('tar-'),
  )
  const foreign = resolve(`@napi-rs/${name}`)
  const say = `try { require('ip-risk') } catch ({ code, message }) { console.log(code, message) }`
  const { code, stdout } = await runScript(
    `${say}; new (require('ip-risk/resilient').RiskChecker)({ logger: false }).check('9.9.9.9').then(({ action }) => console.log(action))`,
    { env: { NAPI_RS_NATIVE_LIBRARY_PATH: foreign } },
  )
  assert.equal(code, 0)
  assert.match(stdout, /^ERR_IP_RISK_NATIVE .*NAPI_RS_NATIVE_LIBRARY_PATH.*\nallow\n$/)
})

describe('one line says so', () => {
  const MAKE = `
    const warnings = []
    process.on('warning', ({ code }) => warnings.push(code))
    const lines = []
    const at = (level) => (details, message) => lines.push({ level, code: details.code, message })
    const logger = { info: at('info'), warn: at('warn'), error: at('error') }
    const { RiskChecker } = require('ip-risk/resilient')
    require('ip-risk/resilient')
    async function main(options) {
      for (let count = 0; count < 3; count++) {
        const checker = new RiskChecker(options)
        await checker.check('9.9.9.9')
        await checker.close()
      }
      console.log(JSON.stringify({ warnings, lines }))
    }`

  test('to a logger of the application’s own, as an error; then it is told that requests are let in', async () => {
    const { warnings, lines } = await runForJson(`${MAKE}; main({ logger })`, WITHOUT)
    assert.deepEqual(warnings, [NATIVE])
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error').map(({ code }) => code),
      [NATIVE],
    )
    const others = lines.filter(({ level }) => level !== 'error')
    assert.deepEqual([...new Set(others.map(({ level }) => level))], ['warn'])
    for (const { message } of others) assert.match(message, /^failed open: the native part .*--no-addons/)
  })

  test('even where nothing is logged', async () => {
    const { warnings } = await runForJson(`${MAKE}; main({ logger: false })`, WITHOUT)
    assert.deepEqual(warnings, [NATIVE])
  })

  for (const silent of [{ env: { NODE_NO_WARNINGS: '1' } }, { flags: ['--no-warnings'] }]) {
    test(`on the console where Node.js writes no warnings (${JSON.stringify(silent)})`, async () => {
      const make = "new (require('ip-risk/resilient').RiskChecker)()"
      const { env, flags = [] } = silent
      const { code, stderr } = await runScript(make, { env, flags: [...flags, '--no-addons'] })
      assert.deepEqual([code, stderr.match(/the native part/g)?.length], [0, 1], stderr)
    })
  }

  test('when it is loaded, before anything is made', async () => {
    const { code, stdout, stderr } = await runScript("require('ip-risk/resilient')", WITHOUT)
    assert.deepEqual([code, stdout], [0, ''])
    assert.equal(stderr.match(/ip-risk: the native part/g).length, 1)
  })
})

/** Makes checkers with these options and asks each of their policies; null where making one is refused. */
const ASK = `
  async function ask(RiskChecker, all) {
    const answers = []
    for (const { options, asked } of all) {
      const around = { apiKey: 'any', endpoint: 'http://127.0.0.1:1', feeds: false, logger: false, redis: false }
      const checker = new RiskChecker({ ...around, ...options })
      for (const policy of asked) answers.push(await checker.check('9.9.9.9', { policy }))
      await checker.close()
    }
    return answers
  }`
const askWithout = (all, env) =>
  runForJson(
    `${ASK}
    const { RiskChecker } = require('ip-risk/resilient')
    ask(RiskChecker, JSON.parse(process.argv[1])).then((answers) => console.log(JSON.stringify(answers)))`,
    { ...WITHOUT, args: [JSON.stringify(all)], env },
  )
const askWith = new Function(`${ASK}; return ask`)()

describe('the failure mode', () => {
  const READABLE = [
    { options: {}, asked: ['login', 'payment'] },
    {
      options: {
        policies: {
          again: { extends: 'watched', mode: 'enforce' },
          half: { onFailure: { exhausted: 'closed' } },
          mfa: { onFailure: 'challenge' },
          payout: { extends: 'payment', thresholds: { challenge: 30 }, maxStaleMs: 0, priority: 'high' },
          refund: { extends: 'payout', onFailure: { upstream: 'open' } },
          signup: {
            thresholds: { block: 90 },
            allow: ['8.8.8.8'],
            deny: ['8.8.4.4'],
            rules: [],
            maxAction: 'block',
          },
          strict: { extends: 'login', onFailure: 'closed' },
          watched: { extends: 'payment', mode: 'log-only' },
        },
      },
      asked: ['again', 'half', 'mfa', 'payout', 'refund', 'signup', 'strict', 'watched', 'login', 'payment'],
    },
    {
      options: {
        policies: { login: { extends: 'payment' }, payment: { onFailure: 'challenge' }, other: {} },
      },
      asked: ['login', 'payment', 'other'],
    },
    {
      options: { policies: { login: { extends: 'login', onFailure: 'closed' }, other: {} } },
      asked: ['login', 'other'],
    },
  ]
  /** What a look-up that fails and one that cannot be made have in common. */
  const common = (decision) => ({ ...decision, failure: null, ip: null })

  test('is the one that the core takes when the provider cannot be reached', async () => {
    const expected = await askWith(RiskChecker, READABLE)
    assert.deepEqual([...new Set(expected.map(({ failure }) => failure))], ['ERR_IP_RISK_CONNECT'])
    const seen = await askWithout(READABLE)
    assert.deepEqual(seen.map(common), expected.map(common))
    assert.deepEqual([...new Set(seen.map(({ failure, ip }) => `${failure} ${ip}`))], [`${NATIVE} null`])
  })

  const UNREADABLE = [
    { policies: { login: { onFailure: 'opne' } } },
    { policies: { login: { onFailure: null } } },
    { policies: { login: { onFailure: ['open'] } } },
    { policies: { login: { onFailure: { upstream: 'opne' } } } },
    { policies: { login: { onFailure: { upstraem: 'closed' } } } },
    { policies: { login: { onFailur: 'closed' } } },
    { policies: { login: { extends: 'nothing' } } },
    { policies: { login: { extends: 5 } } },
    { policies: { login: { extends: 'a' }, a: { extends: 'login' } } },
    { policies: { login: null } },
    { policies: { login: 'open' } },
    { policies: [] },
    { policies: null },
    { polices: { login: { onFailure: 'closed' } } },
  ]

  test('holds what it cannot read, which is what the core refuses', async () => {
    for (const options of UNREADABLE) {
      const refused = () => new RiskChecker({ apiKey: 'any', logger: false, ...options })
      assert.throws(refused, { code: /OPTION$/ }, JSON.stringify(options))
    }
    const all = UNREADABLE.map((options) => ({ options, asked: ['login'] }))
    const seen = await askWithout(all)
    assert.deepEqual(
      seen.map(({ action }) => action),
      all.map(() => 'hold'),
    )
  })

  test('is read from every policy and option that the core knows', async () => {
    const keysOf = (make) => {
      try {
        make()
      } catch ({ message }) {
        const [, list] = /; known are (.*)$/.exec(message)
        return [...list.matchAll(/`(\w+)`/g)].map(([, key]) => key)
      }
      return assert.fail('nothing was refused')
    }
    const unknown = { ['q'.repeat(40)]: 1 }
    const ofChecker = keysOf(() => new RiskChecker(unknown))
    const ofPolicy = keysOf(() => new RiskChecker({ apiKey: 'any', policies: { login: unknown } }))
    assert.ok(ofChecker.length > 10 && ofPolicy.length > 5)
    const harmless = (key) => !['policies', 'logger', 'onFailure', 'extends'].includes(key)
    const all = [
      ...ofChecker.filter(harmless).map((key) => ({ [key]: 'any' })),
      ...ofPolicy.filter(harmless).map((key) => ({ policies: { login: { [key]: 'any' } } })),
    ]
    const seen = await askWithout(all.map((options) => ({ options, asked: ['login'] })))
    assert.deepEqual(
      seen.map(({ action }) => action),
      all.map(() => 'allow'),
    )
  })

  test('only watches where the environment says so', async () => {
    const env = { IP_RISK_MODE: ' log-only ' }
    const [decision] = await askWithout([{ options: {}, asked: ['payment'] }], env)
    assertDecision(decision, { action: 'allow', wouldBe: 'hold', mode: 'log-only', failedClosed: true })
  })
})

describe('a gate', () => {
  test('has policies of its own', async () => {
    const { answers } = await runApp('express', [
      ['/closed', "riskMiddleware({ onFailure: 'closed' })"],
      ['/open', "riskMiddleware({ policy: 'payment', onFailure: 'open' })"],
      ['/mfa', "riskMiddleware({ policy: 'payment', onFailure: { upstream: 'challenge' } })"],
      ['/watched', "riskMiddleware({ policy: 'payment', mode: 'log-only' })"],
      ['/slip', "riskMiddleware({ onFailure: 'opne' })"],
      ['/lists', "riskMiddleware({ deny: ['0.0.0.0/0'], rules: [], thresholds: { block: 1 } })"],
    ])
    const statuses = Object.fromEntries(Object.entries(answers).map(([path, { status }]) => [path, status]))
    const expected = {
      '/closed': 503,
      '/open': 200,
      '/mfa': 200,
      '/watched': 200,
      '/slip': 503,
      '/lists': 200,
    }
    assert.deepEqual(statuses, expected)
    const { ipRisk, ...fields } = answers['/mfa'].json
    assert.deepEqual([ipRisk.action, ipRisk.reasons], ['challenge', ['failed_challenge']])
    assert.deepEqual([ipRisk.failedOpen, ipRisk.failedClosed], [false, false])
    assert.deepEqual(fields, { requireMfa: true, holdForReview: false })
    const watched = answers['/watched'].json
    assert.deepEqual(Object.keys(watched), ['ipRisk'])
    assert.deepEqual([watched.ipRisk.action, watched.ipRisk.wouldBe], ['allow', 'hold'])
    assert.equal(watched.ipRisk.policy, 'inline-4')
  })

  test('calls hooks, and reports those that throw', async () => {
    const { answers, lines } = await runApp('express', [
      ['/skipped', "riskMiddleware({ policy: 'payment', skip: () => true })"],
      ['/reviewed', "riskMiddleware({ policy: 'payment', onHold: (req, res, next) => next() })"],
      [
        '/answered',
        "riskMiddleware({ onFailure: 'challenge', onChallenge: (req, res) => res.status(401).json(1) })",
      ],
      ['/broken', "riskMiddleware({ onDecision() { throw new Error('broken hook') } })"],
    ])
    const { ipRisk } = answers['/skipped'].json
    assert.deepEqual([ipRisk.action, ipRisk.reasons, ipRisk.failure], ['allow', ['skipped'], null])
    assert.deepEqual([ipRisk.degraded, ipRisk.failedOpen], [false, false])
    assert.deepEqual([answers['/reviewed'].status, answers['/reviewed'].json.holdForReview], [200, true])
    assert.deepEqual(answers['/answered'], { status: 401, json: 1 })
    assert.equal(answers['/broken'].status, 200)
    const reports = lines.filter((line) => line.includes('code=ERR_IP_RISK_HOOK'))
    assert.equal(reports.length, 1)
    assert.match(reports[0], /ip-risk: a hook of the application failed; the decision stands/)
  })

  test('refuses what is wrong in its own options', async () => {
    const script = `
      const { riskMiddleware } = require('ip-risk/resilient')
      const codeOf = (options) => {
        try { riskMiddleware(options) }
        catch ({ code, message }) { return [code, message] }
      }
      const all = [{ onBlok() {} }, { policy: 'paiment' }, { skip: true }, { checker: {} }]
      console.log(JSON.stringify(all.map(codeOf)))`
    const seen = await runForJson(script, WITHOUT)
    const codes = seen.map(([code]) => code.replace('ERR_IP_RISK_', ''))
    assert.deepEqual(codes, ['UNKNOWN_OPTION', 'UNKNOWN_POLICY', 'OPTION', 'OPTION'])
    assert.match(seen[0][1], /`onBlok` is not an option; known are .*`onBlock`/)
    assert.match(seen[1][1], /no policy is called `paiment`; known are `login`, `payment`/)
  })

  test('of a checker that was closed answers as ever', async () => {
    const { answers } = await runApp('express', [
      ['/login', '((checker) => (checker.close(), riskMiddleware({ checker })))(new RiskChecker())'],
    ])
    assert.equal(answers['/login'].status, 200)
    assert.equal(answers['/login'].json.ipRisk.failure, 'ERR_IP_RISK_CLOSED')
  })
})

test('a checker has all that it has with the addon', async () => {
  const script = `
    const { RiskChecker } = require('ip-risk/resilient')
    async function main() {
      const checker = new RiskChecker({ logger: false })
      const many = await checker.checkMany(['9.9.9.9', 'no address'], { policy: 'payment' })
      const streamed = []
      for await (const { action } of checker.checkStream(['9.9.9.9', '8.8.8.8'])) streamed.push(action)
      const { failure } = await checker.check('9.9.9.9')
      await checker.invalidate('9.9.9.9')
      await checker.invalidate()
      const peeked = checker.peek('9.9.9.9', { policy: 'payment' }).action
      const mistake = await checker.check(5).catch(({ code }) => code)
      const unknown = await checker.check('9.9.9.9', { policy: 'none' }).catch(({ code }) => code)
      const stats = checker.stats()
      await checker.close()
      await checker.close()
      const closed = []
      for (const act of ['check', 'checkMany', 'peek', 'invalidate', 'stats']) {
        try { await checker[act](act === 'checkMany' ? [] : '9.9.9.9') }
        catch ({ code }) { closed.push(code) }
      }
      const actions = many.map(({ action }) => action)
      console.log(JSON.stringify({ actions, streamed, failure, peeked, mistake, unknown, stats, closed }))
    }
    main()`
  const { stats, closed, ...seen } = await runForJson(script, WITHOUT)
  assert.deepEqual(seen, {
    actions: ['hold', 'hold'],
    streamed: ['allow', 'allow'],
    failure: NATIVE,
    peeked: 'hold',
    mistake: 'ERR_IP_RISK_ARGUMENT',
    unknown: 'ERR_IP_RISK_UNKNOWN_POLICY',
  })
  assert.deepEqual(
    closed,
    Array.from({ length: 5 }, () => 'ERR_IP_RISK_CLOSED'),
  )

  const checker = new RiskChecker({ apiKey: 'any', logger: false })
  await checker.check('127.0.0.1', { policy: 'payment' })
  await checker.check('127.0.0.1')
  const { upstream, ...real } = checker.stats()
  await checker.close()
  const shape = ({ policies, cache, rungs }) => [policies, cache, rungs].map((part) => keysOf(part))
  assert.deepEqual(shape(stats), shape(real))
  assert.deepEqual(keysOf({ ...stats.upstream, health: 0 }), keysOf({ ...upstream, health: 0 }))
  assert.deepEqual([stats.policies.login.action.allow, stats.policies.payment.action.hold], [3, 2])
  assert.equal(stats.rungs.none, 5)
})

/** The names of everything in a plain object, at any depth. */
function keysOf(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, keysOf(value[key])]),
  )
}

test('worker threads have it too, and each says so', async () => {
  const script = `
    const { Worker } = require('node:worker_threads')
    const text = \`
      const { parentPort } = require('node:worker_threads')
      process.on('warning', ({ code }) => parentPort.postMessage(code))
      const { RiskChecker } = require('ip-risk/resilient')
      new RiskChecker({ logger: false }).check('9.9.9.9').then(({ action }) => parentPort.postMessage(action))\`
    const messages = []
    let running = 2
    for (let count = 0; count < 2; count++) {
      const worker = new Worker(text, { eval: true, stderr: true })
      worker.on('message', (message) => messages.push(message))
      worker.on('exit', () => { if (--running === 0) console.log(JSON.stringify(messages.sort())) })
    }`
  assert.deepEqual(await runForJson(script, WITHOUT), [NATIVE, NATIVE, 'allow', 'allow'])
})

test('what it knows of the core is what the core says', async () => {
  const core = createRequire(import.meta.url)('../lib/vocabulary.js')
  const script = "require('ip-risk/resilient'); console.log(JSON.stringify(require('./lib/vocabulary.js')))"
  const { codes, advice, words, mostAddresses } = await runForJson(script, WITHOUT)
  assert.deepEqual([words, mostAddresses], [core.words, core.mostAddresses])
  for (const [place, code] of codes.entries()) {
    assert.ok(core.codes.includes(code), code)
    if (code !== NATIVE) assert.equal(advice[place], core.advice[core.codes.indexOf(code)])
  }
})

describe('nobody gets it who did not ask', () => {
  test('`ip-risk` itself still throws, whatever was loaded before', async () => {
    const script = `
      const codeOf = (name) => {
        try { require(name) }
        catch ({ code }) { return code }
        return 'loaded'
      }
      console.log(JSON.stringify(['ip-risk', 'ip-risk/resilient', 'ip-risk', 'ip-risk/resilient'].map(codeOf)))`
    assert.deepEqual(await runForJson(script, WITHOUT), [NATIVE, 'loaded', NATIVE, 'loaded'])
    const alone = await runScript("try { require('ip-risk') } catch {}", WITHOUT)
    assert.deepEqual([alone.code, alone.stdout, alone.stderr], [0, '', ''])
  })

  test('a test checker cannot be made, so that no test passes unjudged', async () => {
    const script = `
      require('ip-risk/resilient')
      const { createTestChecker } = require('ip-risk/testing')
      createTestChecker().catch(({ code }) => console.log(JSON.stringify(code)))`
    assert.equal(await runForJson(script, WITHOUT), NATIVE)
  })

  test('with the addon it is the package itself, and says nothing', async () => {
    const script = `
      const resilient = require('ip-risk/resilient')
      const { RiskChecker, riskMiddleware } = require('ip-risk')
      console.log(resilient.RiskChecker === RiskChecker, resilient.riskMiddleware === riskMiddleware)`
    const { code, stdout, stderr } = await runScript(script)
    assert.deepEqual([code, stdout, stderr], [0, 'true true\n', ''])
    const { RiskChecker: Resilient } = createRequire(import.meta.url)('ip-risk/resilient')
    assert.equal(Resilient, RiskChecker)
    assert.equal(typeof riskMiddleware, 'function')
  })
})
