/** What processes share through Redis, and what they do without it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import express from 'express'
import { createTutorial } from '../benchmark/sides/tutorial.mjs'
import { runScript } from './support/children.mjs'
import { NO_EVIDENCE, assertDecision } from './support/decisions.mjs'
import { recordingLogger, showRequest, startApp } from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'
import { startRedis } from './support/redis.mjs'
import { startInProcess, startInThread } from './support/remote-checkers.mjs'
import { makeChecker, publicAddress, startApi, startTestChecker, withEnvironment } from './support/start.mjs'
import { waitUntil } from './support/waiting.mjs'

const REDIS = 'ERR_IP_RISK_REDIS'
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const [IP, OTHER] = [publicAddress(1), publicAddress(2)]
/** Much of what is asserted happens in the background, but soon. */
const SOON = { patienceMs: 5_000 }

/** A provider, and a Redis beside it. */
async function startBoth(t) {
  const [api, redis] = await Promise.all([startApi(t), startRedis()])
  t.after(() => redis.close())
  return { api, redis, options: optionsFor(api, redis) }
}

/** Those of a checker in another process or thread, which has nothing else to go by. */
function optionsFor(api, redis) {
  return { apiKey: 'test-key', endpoint: api.url, logger: false, redis: redis.options }
}

/** Resolves when Redis has what was learnt of an address or network: it is written in the background. */
async function written(redis, name) {
  const isThere = async () => (await redis.command('EXISTS', `ip-risk-stale:${name}`)) === 1
  await waitUntil(`Redis knows ${name}`, isThere, SOON)
}

describe('what one process looked up', () => {
  test('another has from Redis, with one call in all', async (t) => {
    const { api, redis, options } = await startBoth(t)
    api.answer(IP, { threat_score: 55, is_vpn: true, vpn_provider_names: ['Example VPN'] })
    const [one, other] = await Promise.all([startInProcess(t, options), startInProcess(t, options)])
    const { score, flags, checkedAt, source } = await one.check(IP)
    assert.deepEqual([source, score], ['api', 55])
    await written(redis, IP)
    const known = { score, flags, checkedAt, provider: 'ipgeolocation', stale: false, degraded: false }
    assertDecision(await other.check(IP), { ...known, source: 'redis', failure: null })
    assertDecision(await other.check(IP), { ...known, source: 'memory' })
    assert.equal(api.requestCount(), 1)
  })

  test('is known of a whole IPv6 network, whichever of its addresses comes next', async (t) => {
    const { api, redis, options } = await startBoth(t)
    const other = await startInProcess(t, options)
    await makeChecker(t, api, { redis: redis.url }).check('2a10:1::1')
    await written(redis, '2a10:1::/64')
    assertDecision(await other.check('2a10:1::2'), { source: 'redis' })
    assert.equal(api.requestCount(), 1)
  })

  test('is fresh also where the provider fails and only the copy for later is left', async (t) => {
    const { api, redis, options } = await startBoth(t)
    await (await startInProcess(t, options)).check(IP)
    await written(redis, IP)
    await redis.command('DEL', `ip-risk:${IP}`)
    api.fault({ status: 400 })
    const checker = makeChecker(t, api, { redis: redis.url })
    const fresh = { source: 'redis', stale: false, degraded: false, failure: null, action: 'allow' }
    for (const policy of ['login', 'payment']) assertDecision(await checker.check(IP, { policy }), fresh)
  })

  test('helps one that never saw the address when the provider fails later', async (t) => {
    const { api, redis, options } = await startBoth(t)
    api.answer(IP, { threat_score: 55 })
    const { checkedAt } = await (await startInProcess(t, options)).check(IP)
    await written(redis, IP)
    const { checker, advance } = await startTestChecker(t, { api, redis: redis.url })
    advance(6 * MINUTE)
    api.fault({ status: 503 })
    const stale = { source: 'redis', stale: true, degraded: true, failure: 'ERR_IP_RISK_UPSTREAM_STATUS' }
    assertDecision(await checker.check(IP), { ...stale, score: 55, action: 'challenge', checkedAt })
    assertDecision(await checker.check(IP, { policy: 'payment' }), { action: 'hold', failedClosed: true })
    assertDecision(await checker.check(OTHER), { ...NO_EVIDENCE, source: 'none', failedOpen: true })
  })
})

describe('the entries of the tutorial', () => {
  const ATTACKER = { threat_score: 90, is_known_attacker: true }

  test('are read, in both spellings, and decide at the gate', async (t) => {
    const { api, redis } = await startBoth(t)
    const checker = makeChecker(t, api, { redis: redis.url })
    const decisions = []
    const onDecision = (decision) => void decisions.push(decision)
    const setUp = (app) => app.post('/login', riskMiddleware({ checker, onDecision }), showRequest)
    const send = await startApp(t, express, setUp)
    for (const [ip, key] of [
      [IP, `ip-risk:${IP}`],
      [OTHER, `ip-risk:::ffff:${OTHER}`],
    ]) {
      await redis.command('SET', key, JSON.stringify(ATTACKER), 'EX', 300)
      assert.equal((await send({ from: ip })).status, 403)
      const expected = { source: 'redis', score: 90, flags: ATTACKER, action: 'block', stale: false }
      assertDecision(decisions.at(-1), expected)
    }
    assert.equal(api.requestCount(), 0)
  })

  test('are as old as the time says that is left of their five minutes', async (t) => {
    const { api, redis } = await startBoth(t)
    await redis.command('SET', `ip-risk:${IP}`, JSON.stringify(ATTACKER), 'EX', 100)
    const { checkedAt } = await makeChecker(t, api, { redis: redis.url }).check(IP)
    const age = Date.now() - checkedAt
    assert.ok(age > 199_000 && age < 210_000, `${age} ms`)
  })

  test('and ours serve the tutorial, which then makes no call', async (t) => {
    const { api, redis } = await startBoth(t)
    const seen = { is_vpn: true, is_proxy: false, is_residential_proxy: true, is_tor: false }
    api.answer(IP, { threat_score: 65, ...seen })
    await makeChecker(t, api, { redis: redis.url }).check(IP)
    await written(redis, IP)
    const tutorial = createTutorial(api.url, redis.url)
    t.after(() => tutorial.close())
    assert.deepEqual(await tutorial.look(IP), { score: 65, flags: seen, failedOpen: false })
    assert.equal(api.requestCount(), 1)
    await tutorial.look(OTHER)
    assertDecision(await makeChecker(t, api, { redis: redis.url }).check(OTHER), { source: 'redis' })
    assert.equal(api.requestCount(), 2)
  })
})

describe('what is wrong in Redis decides nothing:', () => {
  const entry = (more) => JSON.stringify({ threat_score: 0, fetched_at: Date.now(), ...more })
  const deep = '['.repeat(10_000) + ']'.repeat(10_000)
  const POISONED = {
    'the score alone': ['SET', '0'],
    'the score alone, as a text': ['SET', '"0"'],
    'a score of 101': ['SET', entry({ threat_score: 101 })],
    'a score below 0': ['SET', entry({ threat_score: -1 })],
    'a score that is none': ['SET', entry({ threat_score: 'clean' })],
    'an object without a score': ['SET', JSON.stringify({ is_vpn: false, fetched_at: Date.now() })],
    'an answer of the provider around the object': ['SET', JSON.stringify({ security: { threat_score: 0 } })],
    'a list of objects': ['SET', `[${entry()}]`],
    'lists in lists in lists': ['SET', `{"threat_score":0,"fetched_at":${Date.now()},"more":${deep}}`],
    'a megabyte': ['SET', entry({ more: 'x'.repeat(2 ** 20) })],
    'what is no JSON': ['SET', '\u0000\u001f{"threat_score":0'],
    'nothing at all': ['SET', ''],
    'what another source says': ['SET', entry({ provider: 'feeds' })],
    'what will be said in an hour': ['SET', entry({ fetched_at: Date.now() + 60 * MINUTE })],
    'what was said an hour ago': ['SET', entry({ fetched_at: Date.now() - 60 * MINUTE })],
    'a list': ['RPUSH', entry()],
    'a hash': ['HSET', 'threat_score', '0'],
  }

  const isAnswered = { source: 'api', score: 90, action: 'block', failure: null }

  /** Puts it under both keys of an address, and gives the address. */
  async function poison(redis, number, [command, ...value]) {
    const ip = publicAddress(number)
    for (const key of [`ip-risk:${ip}`, `ip-risk-stale:${ip}`]) {
      await redis.command(command, key, ...value)
      await redis.command('EXPIRE', key, 300)
    }
    return ip
  }

  async function holds(redis, ip, text) {
    const key = `ip-risk:${ip}`
    const isText = (await redis.command('TYPE', key)) === 'string'
    return isText && (await redis.command('GET', key)).includes(text)
  }

  test('the provider is asked, and its answer takes the place', async (t) => {
    const { api, redis } = await startBoth(t)
    const one = makeChecker(t, api, { redis: redis.url })
    // Not the same memory.
    const other = makeChecker(t, api, { redis: redis.url, deadlineMs: 2_000 })
    for (const [number, [what, value]] of Object.entries(POISONED).entries()) {
      await t.test(what, async () => {
        const ip = await poison(redis, number, value)
        api.answer(ip, { threat_score: 90 })
        assertDecision(await one.check(ip), isAnswered)
        await waitUntil('the next process has it', () => holds(redis, ip, '"threat_score":90'), SOON)
        assertDecision(await other.check(ip), { ...isAnswered, source: 'redis' })
      })
    }
  })

  test('nor when the provider fails', async (t) => {
    const { api, redis } = await startBoth(t)
    api.fault({ status: 400 })
    const checker = makeChecker(t, api, { redis: redis.url })
    // An hour ago is not too long ago for this.
    const { 'what was said an hour ago': _, ...poisoned } = POISONED
    for (const [number, [what, value]] of Object.entries(poisoned).entries()) {
      await t.test(what, async () => {
        const ip = await poison(redis, number, value)
        assertDecision(await checker.check(ip), { ...NO_EVIDENCE, source: 'none', failedOpen: true })
      })
    }
    assert.equal(checker.stats().redis.staleHits, 0)
  })
})

/** The lines about Redis that a logger of `recordingLogger()` has. */
function linesAboutRedis({ lines }) {
  return lines.filter(({ details }) => details.code === REDIS).map(({ level, message }) => [level, message])
}

/** Checks addresses that nobody knows. Nothing is wrong with them but Redis. */
async function checkSome(checker, first) {
  for (let number = first; number < first + 5; number++) {
    const expected = { source: 'api', stale: false, degraded: false, failure: null }
    assertDecision(await checker.check(publicAddress(number)), expected)
  }
}

async function isConnected(checker) {
  const connected = async () => (await checker.stats()).redis.state === 'connected'
  await waitUntil('there is a connection', connected, SOON)
}

describe('without Redis all goes on, with one line when it is away and one when it is back:', () => {
  test('it is down at the start', async (t) => {
    const { api, redis } = await startBoth(t)
    await redis.kill()
    const logger = recordingLogger()
    await endures(t, { api, redis, logger, options: redis.url, mend: () => redis.start() })
    assert.deepEqual(logger.lines.length, 2)
  })

  test('it hangs', async (t) => {
    const { api, redis } = await startBoth(t)
    redis.pause()
    const logger = recordingLogger()
    await endures(t, { api, redis, logger, options: redis.url, mend: () => redis.resume() })
  })

  test('the password is wrong', async (t) => {
    const { api, redis } = await startBoth(t)
    await redis.command('ACL', 'SETUSER', 'shop', 'on', '>right', '~*', '&*', '+@all')
    const logger = recordingLogger()
    const options = { url: redis.url, username: 'shop', password: 'wrong' }
    const mend = () => redis.command('ACL', 'SETUSER', 'shop', '>wrong')
    await endures(t, { api, redis, logger, options, mend })
    assert.ok(!JSON.stringify(logger.lines).includes('wrong'))
  })

  test('it goes away later', async (t) => {
    const { api, redis } = await startBoth(t)
    const checker = makeChecker(t, api, { redis: redis.url })
    await checkSome(checker, 100)
    await redis.kill()
    const logger = recordingLogger()
    await endures(t, { api, redis, logger, options: redis.url, mend: () => redis.start() })
  })

  /** Asserts that a checker endures what is wrong, and uses Redis when that is mended. */
  async function endures(t, { api, redis, logger, options, mend }) {
    const checker = makeChecker(t, api, { redis: options, logger })
    await checkSome(checker, 0)
    const [[level, message]] = linesAboutRedis(logger)
    assert.equal(level, 'warn')
    assert.equal(linesAboutRedis(logger).length, 1, message)
    await mend()
    await isConnected(checker)
    await checkSome(checker, 10)
    await written(redis, publicAddress(14))
    assert.deepEqual(linesAboutRedis(logger).slice(1), [['info', 'redis is used again']])
  }
})

describe('invalidate', () => {
  /** Two processes that both remember both addresses. */
  async function startTwoWhoKnow(t) {
    const { api, redis, options } = await startBoth(t)
    const [one, other] = await Promise.all([startInProcess(t, options), startInProcess(t, options)])
    for (const ip of [IP, OTHER]) {
      await one.check(ip)
      await written(redis, ip)
      await other.check(ip)
    }
    assert.equal(api.requestCount(), 2)
    return { api, redis, options, one, other }
  }

  const forgotten = (checker, ip) =>
    waitUntil(`${ip} is forgotten`, async () => (await checker.peek(ip)) === null, SOON)

  test('of one address reaches what the other process remembers, and Redis', async (t) => {
    const { api, redis, one, other } = await startTwoWhoKnow(t)
    await one.invalidate(IP)
    assert.equal(await redis.command('EXISTS', `ip-risk:${IP}`, `ip-risk-stale:${IP}`), 0)
    await forgotten(other, IP)
    api.answer(IP, { threat_score: 90 })
    assertDecision(await other.check(IP), { source: 'api', score: 90, action: 'block' })
    for (const checker of [one, other]) assertDecision(await checker.check(OTHER), { source: 'memory' })
  })

  test('of all reaches what the other process remembers, and Redis', async (t) => {
    const { api, options, one, other } = await startTwoWhoKnow(t)
    await one.invalidate()
    await Promise.all([forgotten(other, IP), forgotten(other, OTHER)])
    const later = await startInProcess(t, options)
    assertDecision(await later.check(IP), { source: 'api' })
    assertDecision(await other.check(OTHER), { source: 'api' })
    assert.equal(api.requestCount(), 4)
    api.fault({ status: 400 })
    await later.invalidate()
    await forgotten(one, OTHER)
    assertDecision(await one.check(OTHER), { ...NO_EVIDENCE, source: 'none', stale: false })
  })

  test('rejects while Redis is away, and has forgotten here all the same', async (t) => {
    const { redis, one, other } = await startTwoWhoKnow(t)
    await redis.kill()
    await assert.rejects(one.invalidate(IP), { code: REDIS })
    assert.equal(await one.peek(IP), null)
    assertDecision(await one.peek(OTHER), { source: 'memory' })
    await assert.rejects(one.invalidate(), { code: REDIS })
    assert.equal(await one.peek(OTHER), null)
    assertDecision(await other.peek(IP), { source: 'memory' })
    await redis.start()
    await Promise.all([isConnected(one), isConnected(other)])
    await one.invalidate(IP)
    await forgotten(other, IP)
  })
})

describe('where Redis is', () => {
  test('stands in `REDIS_URL`, unless an option says where, or that there is none', async (t) => {
    const [{ api, redis }, another] = await Promise.all([startBoth(t), startRedis()])
    t.after(() => another.close())
    const make = (options) => withEnvironment({ REDIS_URL: redis.url }, () => makeChecker(t, api, options))
    await make({}).check(publicAddress(1))
    await written(redis, publicAddress(1))
    await make({ redis: another.url }).check(publicAddress(2))
    await written(another, publicAddress(2))
    const without = make({ redis: false })
    await without.check(publicAddress(3))
    assert.equal(without.stats().redis, null)
    // Each address has a fresh copy and one that outlives it.
    assert.equal(await redis.command('DBSIZE'), 2)
  })

  test('is refused when it is none, and not shown', async (t) => {
    const api = await startApi(t)
    const make = () => makeChecker(t, api)
    const REDIS_URL = 'redis://:hidden@[nowhere'
    assert.throws(
      () => withEnvironment({ REDIS_URL }, make),
      ({ code, message }) =>
        code === 'ERR_IP_RISK_OPTION' && message.includes('`REDIS_URL`') && !message.includes('hidden'),
    )
    assert.equal(withEnvironment({ REDIS_URL: '' }, make).stats().redis, null)
  })
})

describe('at the end nothing is left:', () => {
  /** How many connections the server has, without the one that asks. */
  async function connectionsTo(redis) {
    return (await redis.command('CLIENT', 'LIST')).trim().split('\n').length - 1
  }

  async function nobodyIsConnected(redis) {
    const isAlone = async () => (await connectionsTo(redis)) === 0
    await waitUntil('the last connection is closed', isAlone, SOON)
  }

  test('no connection after close(), in a process that goes on', async (t) => {
    const { api, redis } = await startBoth(t)
    const checkers = [1, 2].map(() => makeChecker(t, api, { redis: redis.url }))
    for (const checker of checkers) await checker.check(IP)
    assert.equal(await connectionsTo(redis), 1, 'checkers with equal options share one')
    await checkers[0].close()
    await checkers[1].check(OTHER)
    await written(redis, OTHER)
    await checkers[1].close()
    await nobodyIsConnected(redis)
  })

  test('none after worker threads closed theirs, or were ended', async (t) => {
    const { redis, options } = await startBoth(t)
    const start = () => startInThread(t, options)
    const threads = await Promise.all([start(), start(), start()])
    for (const [number, checker] of threads.entries()) await checker.check(publicAddress(number))
    assert.equal(await connectionsTo(redis), 1, 'threads share one')
    const [closed, ended, last] = threads
    await closed.close()
    await ended.terminate()
    await last.check(IP)
    await written(redis, IP)
    await last.close()
    await nobodyIsConnected(redis)
  })

  const closeAndTell = 'await checker.close(); console.log(process.getActiveResourcesInfo().join())'
  for (const [how, end, begin] of [
    ['after close()', closeAndTell],
    ['after close() while Redis hangs', closeAndTell, (redis) => redis.pause()],
    ['with a checker that nobody closed', ''],
    ['with a checker that nobody closed while Redis hangs', '', (redis) => redis.pause()],
  ]) {
    test(`a process ends by itself ${how}`, async (t) => {
      const { api, redis } = await startBoth(t)
      begin?.(redis)
      const script = `
        const { RiskChecker } = require('ip-risk')
        const [endpoint, redis] = process.argv.slice(1)
        const checker = new RiskChecker({ apiKey: 'test-key', endpoint, redis, logger: false })
        checker.check('11.0.0.1').then(async ({ source }) => { console.log(source); ${end} })`
      const options = { args: [api.url, redis.url], timeoutMs: 5_000 }
      const { code, signal, stdout, stderr } = await runScript(script, options)
      assert.deepEqual([code, signal, stderr], [0, null, ''])
      // Nothing is left but the output itself.
      assert.match(stdout, /^api\n(PipeWrap|,|\n)*$/)
    })
  }
})

describe('a budget that processes share', () => {
  const PER_DAY = 40
  const CREDITS = 2

  test('is used up and never exceeded by all of them together, also when Redis forgets it', async (t) => {
    const began = Date.now()
    const { api, redis, options } = await startBoth(t)
    const shared = { ...options, budget: { perDay: PER_DAY, reserved: 0 } }
    const checkers = await Promise.all([startInProcess(t, shared), startInProcess(t, shared)])
    const decisions = await checkAt(checkers, 0)
    // A process may keep a chunk that it does not need, which is one look-up here.
    assert.ok(api.credits >= (PER_DAY - checkers.length) * CREDITS, `only ${api.credits} were charged`)
    const refused = { source: 'none', degraded: true, failure: 'ERR_IP_RISK_BUDGET', action: 'challenge' }
    const others = decisions.filter(({ source }) => source !== 'api')
    for (const decision of others) assertDecision(decision, refused)
    await redis.restart()
    await Promise.all(checkers.map(isConnected))
    await checkAt(checkers, 100)
    // The day may end meanwhile.
    const days = 1 + Math.floor(Date.now() / DAY) - Math.floor(began / DAY)
    assert.ok(api.credits <= days * PER_DAY * CREDITS, `${api.credits} were charged`)
  })

  /** Has each checker check 50 addresses at once, each of them in a network of its own. */
  function checkAt(checkers, first) {
    const checks = checkers.flatMap((checker, place) =>
      Array.from({ length: 50 }, (_, number) => checker.check(`11.${first + place}.${number}.1`)),
    )
    return Promise.all(checks)
  }
})
