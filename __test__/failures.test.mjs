import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runForJson } from './support/children.mjs'
import { assertDecision, NO_EVIDENCE } from './support/decisions.mjs'
import { FAULT_CARDS } from './support/package.mjs'
import { randomFrom } from './support/random.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker, until } from './support/start.mjs'

const TTL = 300_000
const STALE = 86_400_000
const TEN_MINUTES = 600_000
/** Longer than the provider is left alone after any fault of the cards. */
const COOL_DOWN = TEN_MINUTES
/** Leaves no time for a second attempt. */
const SINGLE_ATTEMPT = { deadlineMs: 390 }

const REFUSED = 'ERR_IP_RISK_REQUEST_REFUSED'
const KEY_REFUSED = 'ERR_IP_RISK_KEY_REFUSED'
const KEY_FORBIDDEN = 'ERR_IP_RISK_KEY_FORBIDDEN'
const QUOTA = 'ERR_IP_RISK_QUOTA'
const TIMEOUT = 'ERR_IP_RISK_TIMEOUT'
const STATUS = 'ERR_IP_RISK_UPSTREAM_STATUS'
const ENDPOINT = 'ERR_IP_RISK_ENDPOINT'
const REDIRECT = 'ERR_IP_RISK_REDIRECT'
const CONNECT = 'ERR_IP_RISK_CONNECT'
const TOO_LARGE = 'ERR_IP_RISK_BODY_TOO_LARGE'
const MALFORMED = 'ERR_IP_RISK_MALFORMED'
const OVERLOADED = 'ERR_IP_RISK_OVERLOADED'

/** What each fault card that ends without an answer is called. */
const CODES = {
  400: REFUSED,
  401: KEY_REFUSED,
  403: KEY_FORBIDDEN,
  429: QUOTA,
  '429-retry-after': QUOTA,
  499: TIMEOUT,
  500: STATUS,
  502: STATUS,
  503: STATUS,
  '503-retry-after': STATUS,
  504: TIMEOUT,
  505: STATUS,
  'wrong-endpoint': ENDPOINT,
  redirect: REDIRECT,
  hang: TIMEOUT,
  'close-before-headers': CONNECT,
  reset: CONNECT,
  'reset-mid-body': CONNECT,
  truncated: CONNECT,
  drip: TIMEOUT,
  oversized: TOO_LARGE,
  'gzip-bomb': TOO_LARGE,
  'bad-gzip': MALFORMED,
  html: MALFORMED,
  empty: MALFORMED,
  'not-json': MALFORMED,
  'wrong-types': MALFORMED,
  'security-missing': MALFORMED,
  'security-null': MALFORMED,
  'security-empty': MALFORMED,
  'security-list': MALFORMED,
  'body-null': MALFORMED,
  'body-list': MALFORMED,
  'body-empty': MALFORMED,
  'other-address': MALFORMED,
  'score-missing': MALFORMED,
  'score-null': MALFORMED,
  'score-101': MALFORMED,
  'score-negative': MALFORMED,
  'score-nan': MALFORMED,
  'score-boolean': MALFORMED,
  'score-huge': MALFORMED,
}

/** What each failure mode answers: action, reason, `failedOpen`, `failedClosed`. */
const FAILURE_MODES = {
  open: ['allow', 'failed_open', true, false],
  challenge: ['challenge', 'failed_challenge', false, false],
  closed: ['hold', 'failed_closed', false, true],
}
/** The failure modes of the policies below, when the provider fails and when a limit is used up. */
const MODES_OF = {
  login: ['open', 'challenge'],
  payment: ['closed', 'closed'],
  mfa: ['challenge', 'challenge'],
}
const MFA = { mfa: { onFailure: 'challenge' } }

function assertFailure(decision, policy, failure, message) {
  const isExhausted = failure === QUOTA || failure === OVERLOADED
  const [action, reason, failedOpen, failedClosed] = FAILURE_MODES[MODES_OF[policy][isExhausted ? 1 : 0]]
  const flags = { stale: false, degraded: true, failedOpen, failedClosed }
  const verdict = { action, wouldBe: action, reasons: [reason], failure, source: 'none', policy }
  assertDecision(decision, { ...NO_EVIDENCE, ...flags, ...verdict }, message)
}

/** One check by every policy, all at once. */
async function checkByAll(checker, ip) {
  const policies = Object.keys(MODES_OF)
  const decisions = await Promise.all(policies.map((policy) => checker.check(ip, { policy })))
  return Object.fromEntries(policies.map((policy, index) => [policy, decisions[index]]))
}

/** A checker that knows `ip` and whose evidence is `age` milliseconds old. */
async function startWithEvidence(t, ip, age, options) {
  const world = await startTestChecker(t, options)
  await world.checker.check(ip)
  world.advance(age)
  return world
}

describe('a fault', () => {
  const others = ['404', '423', 'score-fraction', 'score-text']

  test('of every kind has its row below', () => {
    const names = FAULT_CARDS.map(({ name }) => name)
    assert.deepEqual([...Object.keys(CODES), ...others].sort(), names.sort())
  })

  for (const [name, code] of Object.entries(CODES)) {
    test(`\`${name}\` is ${code} and goes to the failure mode`, async (t) => {
      const { checker, api } = await startTestChecker(t, { deadlineMs: 400, policies: MFA })
      const ip = addressOf(name)
      const decision = await checker.check(ip)
      assertFailure(decision, 'login', code)
      assert.equal(decision.ip, ip)
      assert.equal(api.requestCount(), 1)
      assert.deepEqual(checker.stats().upstream.failures, { [code]: 1 })
      const { payment, mfa } = await checkByAll(checker, ip)
      assertFailure(payment, 'payment', code)
      assertFailure(mfa, 'mfa', code)
      assert.equal(checker.peek(ip), null, 'a failure must not be cached')
    })
  }

  test('404 is an answer: nothing is known of the address', async (t) => {
    const { checker } = await startTestChecker(t, { policies: MFA })
    const decisions = await checkByAll(checker, addressOf('404'))
    const actions = { login: 'allow', payment: 'challenge', mfa: 'challenge' }
    for (const [policy, decision] of Object.entries(decisions)) {
      const { checkedAt, ...rest } = NO_EVIDENCE
      const expected = { ...rest, provider: 'ipgeolocation', source: 'api', reasons: ['unknown_address'] }
      assertDecision(decision, { ...expected, action: actions[policy], failure: null, degraded: false })
      assertDecision(decision, { failedOpen: false, failedClosed: false, stale: false })
      assert.notEqual(decision.checkedAt, checkedAt)
    }
  })

  test('423 is an answer: the address is not one of the internet', async (t) => {
    const { checker } = await startTestChecker(t, { policies: MFA })
    const first = await checker.check(addressOf('423'))
    assert.equal(first.source, 'api')
    for (const [policy, decision] of Object.entries(await checkByAll(checker, addressOf('423')))) {
      const [action, reason, failedOpen, failedClosed] = FAILURE_MODES[MODES_OF[policy][0]]
      const expected = {
        score: 0,
        band: null,
        flags: {},
        failedOpen,
        failedClosed,
        degraded: false,
        source: 'memory',
      }
      const failure = 'ERR_IP_RISK_SPECIAL_USE'
      assertDecision(decision, { ...expected, action, reasons: [reason, 'special_use'], failure })
    }
    assert.deepEqual(checker.stats().upstream.failures, {})
  })

  test('of a score that can still be read is none', async (t) => {
    const { checker } = await startTestChecker(t)
    const expected = { action: 'challenge', failure: null, source: 'api' }
    assertDecision(await checker.check(addressOf('score-fraction')), { ...expected, score: 49 })
    assertDecision(await checker.check(addressOf('score-text')), { ...expected, score: 55 })
  })

  test('of one address is not one of the next', async (t) => {
    const { checker, advance } = await startTestChecker(t, { deadlineMs: 400 })
    for (const { address } of FAULT_CARDS) {
      await checker.check(address)
      advance(COOL_DOWN)
      assertDecision(await checker.check(addressOf('score-45')), { score: 45, failure: null })
      await checker.invalidate()
    }
  })

  test('never stops decisions: a few hundred random answers give one each', async (t) => {
    const { checker, api, advance } = await startTestChecker(t, { deadlineMs: 1_000 })
    const random = randomFrom(20_260_101)
    for (let round = 0; round < 400; round++) {
      advance(COOL_DOWN)
      const ip = publicAddress(round)
      const answer = randomAnswer(random, ip)
      api.answerRaw(ip, answer)
      const decision = await checker.check(ip)
      assertSound(decision, `round ${round}: ${JSON.stringify(answer)}`)
    }
    const { action } = checker.stats().policies.login
    assert.equal(action.allow + action.log + action.challenge + action.block + action.hold, 400)
    assert.ok(api.requestCount() >= 400, 'every answer must have been read')
    assert.ok(action.log > 0 && action.challenge > 0 && action.block > 0, 'some answers must be good ones')
  })
})

const VALUES = [
  null,
  true,
  false,
  0,
  -1,
  50,
  99,
  100,
  101,
  1e300,
  0.5,
  '',
  'text',
  '55',
  'true',
  [],
  {},
  [null],
  ['a'],
]

/** An answer that may be anything from good to hostile. */
function randomAnswer(random, ip) {
  const security = {
    threat_score: random.below(101),
    is_vpn: random.below(2) === 1,
    vpn_provider_names: ['A'],
  }
  for (let changes = random.below(3); changes > 0; changes--) {
    security[random.pick([...Object.keys(security), 'bot_type', 'is_tor'])] = random.pick(VALUES)
  }
  const body = random.pick([
    { ip, security },
    { ip, security },
    { security },
    random.pick(VALUES),
    { message: 'no' },
  ])
  const text = mutated(random, JSON.stringify(body))
  const headers = random.pick([{}, {}, {}, { 'content-encoding': 'gzip' }, { 'x-credits-charged': '-1' }])
  return { status: random.pick([200, 200, 200, 200, 200 + random.below(400)]), headers, body: text }
}

/** The text, most often as it is, else cut, repeated or with one other byte. */
function mutated(random, text) {
  const bytes = Buffer.from(text)
  const at = random.below(bytes.length)
  const mutate = random.pick([
    () => bytes,
    () => bytes,
    () => bytes.subarray(0, at),
    () => Buffer.concat([bytes, bytes]),
    () => Buffer.concat([bytes.subarray(0, at), Buffer.from([random.below(256)]), bytes.subarray(at + 1)]),
  ])
  return mutate()
}

/** Asserts what holds for every decision. */
function assertSound(decision, message) {
  const { score, band, action, wouldBe, reasons, source, failure, flags, provider, checkedAt } = decision
  assert.ok(['allow', 'log', 'challenge', 'block', 'hold'].includes(action), message)
  assert.equal(wouldBe, action, message)
  assert.ok(Number.isInteger(score) && score >= 0 && score <= 100, message)
  assert.ok(reasons.length > 0 && reasons.every((reason) => /^[a-z][a-z0-9_]*$/.test(reason)), message)
  assert.ok(failure === null || /^ERR_IP_RISK_[A-Z_]+$/.test(failure), message)
  if (band === null) {
    assert.deepEqual([score, flags], [0, {}], message)
    return
  }
  const expected = { band: bandOf(score), source: 'api', provider: 'ipgeolocation', failure: null }
  assert.deepEqual({ band, source, provider, failure }, expected, message)
  assert.ok(flags.threat_score === score && checkedAt > 0, message)
}

function bandOf(score) {
  if (score < 20) return 'low'
  if (score < 45) return 'guarded'
  return score < 80 ? 'elevated' : 'high'
}

describe('the deadline', () => {
  for (const fault of [{ kind: 'hang' }, { kind: 'drip' }]) {
    test(`ends a look-up that meets \`${fault.kind}\``, async (t) => {
      const { checker, api } = await startTestChecker(t, { deadlineMs: 500 })
      api.fault(fault)
      const began = performance.now()
      assertFailure(await checker.check(addressOf('vpn')), 'login', TIMEOUT)
      const took = performance.now() - began
      assert.ok(took >= 490 && took < 2_000, `${took} ms`)
    })
  }

  test('is that of the call for those who join it', async (t) => {
    const { checker, api } = await startTestChecker(t, { deadlineMs: 500 })
    api.fault({ kind: 'hang' })
    const first = checker.check(addressOf('vpn'))
    await until(() => api.requestCount() === 1)
    const second = checker.check(addressOf('vpn'))
    for (const decision of await Promise.all([first, second])) assertFailure(decision, 'login', TIMEOUT)
    assert.equal(api.requestCount(), 1)
  })

  test('is 1,500 ms unless it is written', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 1_000
    assertDecision(await checker.check(addressOf('score-45')), { score: 45 })
    api.latencyMs = 2_500
    assertFailure(await checker.check(addressOf('score-80')), 'login', TIMEOUT)
  })
})

describe('connecting', () => {
  test('to a port that refuses is a failure at once', async (t) => {
    const { checker, api } = await startTestChecker(t, { policies: MFA })
    await api.close()
    for (const [policy, decision] of Object.entries(await checkByAll(checker, addressOf('vpn')))) {
      assertFailure(decision, policy, CONNECT)
    }
  })

  test('to a name that cannot be resolved is a failure', async (t) => {
    // No resolver is asked about a label this long.
    const checker = makeChecker(t, { url: `https://${'a'.repeat(64)}.example` })
    assertFailure(await checker.check(publicAddress(1)), 'login', CONNECT)
  })

  test('to a server that does not take the connection ends at `connectTimeoutMs`', async (t) => {
    const port = await startDeafServer(t)
    const checker = makeChecker(
      t,
      { url: `http://127.0.0.1:${port}` },
      { connectTimeoutMs: 300, deadlineMs: 9_000 },
    )
    const began = performance.now()
    assertFailure(await checker.check(publicAddress(1)), 'login', CONNECT)
    const took = performance.now() - began
    assert.ok(took >= 290 && took < 3_000, `${took} ms`)
  })

  test('is done once for many checks, one after the other', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (let score = 0; score <= 100; score++) await checker.check(`192.0.2.${score}`)
    assert.deepEqual([api.requestCount(), api.connections], [101, 1])
  })

  test('is done again after the server closed the connection', async (t) => {
    const { checker, api } = await startTestChecker(t, SINGLE_ATTEMPT)
    await checker.check(addressOf('close-before-headers'))
    assertDecision(await checker.check(addressOf('vpn')), { failure: null })
    assert.equal(api.connections, 2)
  })
})

/**
 * The port of a server that listens and never accepts: its process sleeps, so that connections beyond the few that
 * the kernel keeps for it hang.
 */
async function startDeafServer(t) {
  const script = `
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000)
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [text] = await once(child.stdout, 'data')
  const port = Number(text)
  const sockets = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => {}))
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  await once(sockets[0], 'connect')
  return port
}

describe('an answer', () => {
  test('that redirects is not followed', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const elsewhere = await startApi(t)
    for (const location of [`${elsewhere.url}/v3/security?ip=8.8.8.8`, '/v3/security?apiKey=a&ip=8.8.8.8']) {
      api.fault({ kind: 'redirect', location })
      assertFailure(await checker.check(addressOf('vpn')), 'login', REDIRECT)
    }
    assert.deepEqual([api.requestCount(), elsewhere.requestCount()], [2, 0])
  })

  test('with any status of a redirect is none', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const body = { security: { threat_score: 0 } }
    for (const status of [300, 301, 302, 303, 304, 307, 308]) {
      api.answerRaw(publicAddress(1), { status, headers: { location: '/redirected' }, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', REDIRECT)
    }
  })

  test('with another status than 200 is none, even with a good body', async (t) => {
    const { checker, api, advance } = await startTestChecker(t)
    const body = { ip: publicAddress(1), security: { threat_score: 7 } }
    for (const [status, code] of [
      [201, STATUS],
      [202, STATUS],
      [203, STATUS],
      [206, STATUS],
      [405, REFUSED],
      [413, REFUSED],
      [415, REFUSED],
      [418, STATUS],
      [451, STATUS],
      [501, STATUS],
      [599, STATUS],
    ]) {
      api.answerRaw(publicAddress(1), { status, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', code, `status ${status}`)
      advance(COOL_DOWN)
    }
  })

  test('404 and 423 without the message of the api are faults of the endpoint', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const body of [
      '',
      '<html></html>',
      '{}',
      '{"message": 5}',
      '[]',
      '{"message": "No endpoint GET /x."}',
    ]) {
      api.answerRaw(publicAddress(1), { status: 404, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', ENDPOINT, body)
    }
    api.answerRaw(publicAddress(1), { status: 423, body: '<html></html>' })
    assertFailure(await checker.check(publicAddress(1)), 'login', STATUS)
  })

  test('about the IPv4 in another spelling is about that address', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.answerRaw(publicAddress(1), { body: { ip: '::ffff:11.0.0.1', security: { threat_score: 45 } } })
    assertDecision(await checker.check(publicAddress(1)), { score: 45, failure: null })
  })

  test('with values of the wrong type has flags left out, and true or a number as text taken', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const strange = { is_tor: 1, is_bot: null, vpn_confidence_score: 101, bot_last_seen: 'soon', bot_type: 7 }
    const asText = { is_vpn: 'TRUE', is_spam: 'false', proxy_confidence_score: '80', is_proxy: true }
    const names = {
      proxy_provider_names: ['A', '', 5, null, 'B'],
      cloud_provider_name: '',
      unknown_field: true,
    }
    const security = { threat_score: '30', ...strange, ...asText, ...names }
    api.answerRaw(publicAddress(1), { body: { security } })
    const { flags } = await checker.check(publicAddress(1))
    assert.deepEqual(flags, {
      threat_score: 30,
      is_proxy: true,
      proxy_provider_names: ['A', 'B'],
      proxy_confidence_score: 80,
      is_vpn: true,
      is_spam: false,
    })
  })

  test('that is far too large is refused without taking the memory for it', async (t) => {
    const api = await startApi(t)
    for (const [index, kind] of ['oversized', 'gzip-bomb'].entries()) {
      api.fault({ kind }, { ip: publicAddress(index) })
    }
    const { codes, grownKiB } = await runForJson(TAKE_LARGE_ANSWERS, {
      args: [api.url, '11.0.0.0', '11.0.0.1'],
    })
    assert.deepEqual(
      codes,
      Array.from({ length: 20 }, () => TOO_LARGE),
    )
    assert.ok(grownKiB < 24 * 1024, `the process grew by ${grownKiB} KiB`)
  })

  test('of the largest size that is taken is taken', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const text = JSON.stringify({ security: { threat_score: 45 } })
    api.answerRaw(publicAddress(1), { body: text.padEnd(64 * 1024) })
    assertDecision(await checker.check(publicAddress(1)), { score: 45 })
    api.answerRaw(publicAddress(2), { body: text.padEnd(64 * 1024 + 1) })
    assertFailure(await checker.check(publicAddress(2)), 'login', TOO_LARGE)
  })
})

/** Twenty look-ups of answers of 64 MiB each; the peak of the memory shows whether one was held. */
const TAKE_LARGE_ANSWERS = `
  const { RiskChecker } = require('ip-risk')
  const [endpoint, ...ips] = process.argv.slice(1)
  const checker = new RiskChecker({ apiKey: 'test-key', endpoint, logger: false, deadlineMs: 5_000 })
  const peak = () => process.resourceUsage().maxRSS
  let good = 0
  async function main() {
    await checker.check('11.1.1.1')
    const before = peak()
    const codes = []
    for (let round = 0; round < 10; round++) {
      for (const ip of ips) {
        codes.push((await checker.check(ip)).failure)
        // Most answers are good ones, so that the provider is not left alone.
        for (let time = 0; time < 2; time++) await checker.check('11.2.2.' + good++)
      }
    }
    console.log(JSON.stringify({ codes, grownKiB: peak() - before }))
  }
  main()`

describe('the time to live', () => {
  test('is 5 minutes less up to a tenth, not the same for all', async (t) => {
    const { checker, advance } = await startTestChecker(t)
    const ips = Array.from({ length: 101 }, (_, score) => `192.0.2.${score}`)
    const sources = async () => (await checker.checkMany(ips)).map(({ source }) => source)
    const known = () => ips.filter((ip) => checker.peek(ip) !== null).length
    await sources()
    advance(TTL * 0.85)
    assert.equal(known(), 101)
    advance(TTL * 0.1)
    const left = known()
    assert.ok(left > 0 && left < 101, `${left} of 101 are still fresh`)
    advance(TTL * 0.05)
    assert.deepEqual(new Set(await sources()), new Set(['api']))
  })

  test('is what `cache.ttlMs` says', async (t) => {
    const { checker, advance } = await startTestChecker(t, { cache: { ttlMs: 10_000 } })
    await checker.check(addressOf('vpn'))
    advance(8_500)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'memory' })
    advance(1_501)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'api' })
  })

  test('is not prolonged by being asked', async (t) => {
    const { checker, advance } = await startTestChecker(t)
    for (let minute = 0; minute < 4; minute++) {
      await checker.check(addressOf('vpn'))
      advance(60_000)
    }
    assertDecision(await checker.check(addressOf('vpn')), { source: 'memory' })
    advance(60_001)
    assertDecision(await checker.check(addressOf('vpn')), { source: 'api' })
  })

  for (const name of ['404', '423']) {
    test(`of an answer ${name} is 10 minutes, and it is no evidence after that`, async (t) => {
      const { checker, api, advance } = await startTestChecker(t, { cache: { ttlMs: 1_000 } })
      const first = await checker.check(addressOf(name))
      advance(TEN_MINUTES * 0.85)
      assert.deepEqual(await checker.check(addressOf(name)), { ...first, source: 'memory' })
      assert.equal(api.requestCount(), 1)
      advance(TEN_MINUTES * 0.15)
      api.fault({ status: 503 })
      assertFailure(await checker.check(addressOf(name)), 'login', STATUS)
    })
  }

  test('bounds memory together with `cache.maxEntries`', async (t) => {
    const { checker } = await startTestChecker(t, { cache: { maxEntries: 50 } })
    await checker.checkMany(Array.from({ length: 1_000 }, (_, index) => publicAddress(index)))
    assert.ok(checker.stats().cache.entries <= 50)
  })
})

describe('stale evidence', () => {
  test('answers for an open policy when the provider fails', async (t) => {
    const ip = addressOf('score-45')
    const { checker, api, advance } = await startTestChecker(t)
    const first = await checker.check(ip)
    advance(TTL)
    api.fault({ status: 503 })
    assert.deepEqual(await checker.check(ip), {
      ...first,
      source: 'memory',
      stale: true,
      degraded: true,
      failure: STATUS,
      reasons: ['threshold_challenge', 'stale_evidence'],
    })
    assert.equal(checker.stats().cache.staleAnswers, 1)
    assert.equal(checker.peek(ip), null, 'peek gives fresh evidence only')
  })

  test('answers whatever the failure is', async (t) => {
    const ip = addressOf('score-20')
    const { checker, api, advance } = await startWithEvidence(t, ip, TTL, { deadlineMs: 400 })
    for (const [name, code] of Object.entries(CODES)) {
      const { fault, body } = FAULT_CARDS.find((card) => card.name === name)
      if (fault) api.fault(fault)
      else api.fault(null)
      if (!fault) api.answerRaw(ip, { body })
      const decision = await checker.check(ip)
      const expected = {
        score: 20,
        action: 'log',
        stale: true,
        degraded: true,
        source: 'memory',
        failedOpen: false,
      }
      assertDecision(decision, expected, name)
      assert.equal(decision.failure, code, name)
      advance(COOL_DOWN)
    }
  })

  test('never clears a closed policy', async (t) => {
    for (const score of [0, 20, 45, 79]) {
      const ip = `192.0.2.${score}`
      const { checker, api } = await startWithEvidence(t, ip, TTL)
      api.fault({ status: 503 })
      assertFailure(await checker.check(ip, { policy: 'payment' }), 'payment', STATUS)
    }
  })

  test('that blocks stands in a closed policy', async (t) => {
    const ip = addressOf('score-80')
    const { checker, api } = await startWithEvidence(t, ip, TTL)
    api.fault({ status: 503 })
    const decision = await checker.check(ip, { policy: 'payment' })
    const expected = {
      action: 'block',
      score: 80,
      stale: true,
      degraded: true,
      failure: STATUS,
      failedClosed: false,
    }
    assertDecision(decision, { ...expected, reasons: ['threshold_block', 'stale_evidence'] })
  })

  test('that would block does not clear a closed policy whose `maxAction` is lower', async (t) => {
    const ip = addressOf('score-80')
    const policies = { payment: { maxAction: 'challenge' } }
    const { checker, api } = await startWithEvidence(t, ip, TTL, { policies })
    api.fault({ status: 503 })
    assertDecision(await checker.check(ip, { policy: 'payment' }), { action: 'hold', failedClosed: true })
  })

  test('clears a closed policy up to `maxStaleMs`, counted from when the source answered', async (t) => {
    const ip = addressOf('score-0')
    const policies = { payment: { maxStaleMs: 2 * TTL } }
    const { checker, api, advance } = await startWithEvidence(t, ip, 2 * TTL - 10_000, { policies })
    api.fault({ status: 503 })
    assertDecision(await checker.check(ip, { policy: 'payment' }), { action: 'allow', stale: true })
    advance(10_001)
    assertFailure(await checker.check(ip, { policy: 'payment' }), 'payment', STATUS)
  })

  test('answers for an open policy up to `maxStaleMs`; older, it may raise but clears nothing', async (t) => {
    const policies = { login: { maxStaleMs: TTL } }
    const { checker, api, advance } = await startWithEvidence(t, addressOf('score-19'), 0, { policies })
    const raising = { 'score-20': 'log', 'score-45': 'challenge', 'score-80': 'block' }
    for (const name of Object.keys(raising)) await checker.check(addressOf(name))
    advance(TTL + 1_000)
    api.fault({ status: 503 })
    assertFailure(await checker.check(addressOf('score-19')), 'login', STATUS)
    for (const [name, action] of Object.entries(raising)) {
      assertDecision(await checker.check(addressOf(name)), { action, stale: true })
    }
  })

  test('is kept for a day after its time to live, or as long as `cache.staleMs` says', async (t) => {
    const ip = addressOf('score-80')
    for (const [staleMs, cache] of [
      [STALE, {}],
      [60_000, { staleMs: 60_000 }],
      [0, { staleMs: 0 }],
    ]) {
      const { checker, api, advance } = await startWithEvidence(t, ip, TTL * 0.85, { cache })
      api.fault({ status: 503 })
      if (staleMs > 0) {
        advance(TTL * 0.15 + staleMs * 0.4)
        assertDecision(await checker.check(ip), { action: 'block', stale: true })
        advance(staleMs * 0.6)
      } else {
        advance(TTL * 0.15)
      }
      assertFailure(await checker.check(ip), 'login', STATUS, `after ${staleMs} ms`)
    }
  })

  test('is replaced by the next answer', async (t) => {
    const ip = addressOf('score-80')
    const { checker, api } = await startWithEvidence(t, ip, TTL)
    api.fault({ status: 503 }, { times: 2 }) // it is asked for once more
    assertDecision(await checker.check(ip), { stale: true, degraded: true })
    api.answer(ip, { threat_score: 10 })
    assertDecision(await checker.check(ip), { score: 10, source: 'api', stale: false, degraded: false })
    assertDecision(await checker.check(ip), { score: 10, source: 'memory', stale: false })
  })
})

describe('beyond `maxInFlight`', () => {
  test('checks go to the failure mode for what a caller can use up', async (t) => {
    const { checker, api } = await startTestChecker(t, { maxInFlight: 2, policies: MFA })
    api.latencyMs = 300
    const underWay = [checker.check('192.0.2.45'), checker.check('192.0.2.80')]
    await until(() => api.requestCount() === 2)
    for (const [policy, decision] of Object.entries(await checkByAll(checker, '192.0.2.1'))) {
      assertFailure(decision, policy, OVERLOADED)
    }
    const joining = checker.check('192.0.2.45')
    const scores = (await Promise.all([...underWay, joining])).map(({ score }) => score)
    assert.deepEqual(scores, [45, 80, 45])
    assert.equal(api.requestCount(), 2)
    assertDecision(await checker.check('192.0.2.1'), { score: 1, failure: null })
  })

  test('stale evidence answers first', async (t) => {
    const { checker, api } = await startWithEvidence(t, '192.0.2.80', TTL, { maxInFlight: 1 })
    api.latencyMs = 200
    const underWay = checker.check('192.0.2.1')
    await until(() => api.requestCount() === 2)
    const expected = { action: 'block', stale: true, failure: OVERLOADED, degraded: true }
    assertDecision(await checker.check('192.0.2.80'), expected)
    await underWay
  })

  test('there are 1,000 unless it is written', async (t) => {
    const patient = { connectTimeoutMs: 10_000, deadlineMs: 10_000 }
    const { checker, api } = await startTestChecker(t, { ...patient, batch: false })
    api.latencyMs = 1_000
    const checks = Array.from({ length: 1_001 }, (_, index) => checker.check(publicAddress(index)))
    const failures = (await Promise.all(checks))
      .map(({ failure }) => failure)
      .filter((failure) => failure !== null)
    assert.deepEqual(failures, [OVERLOADED])
    assert.equal(api.requestCount(), 1_000)
  })
})

describe('when the provider comes back', () => {
  test('the next check is answered, where the provider was not to be left alone', async (t) => {
    const { checker, api, advance } = await startTestChecker(t, { deadlineMs: 200 })
    for (const [fault, coolDown] of [
      [{ status: 500 }, 0],
      [{ kind: 'reset' }, 0],
      [{ kind: 'hang' }, 0],
      [{ status: 429 }, 5_000],
      [{ status: 401 }, 2_000],
    ]) {
      api.fault(fault)
      for (let time = 0; time < 3; time++)
        assertDecision(await checker.check('192.0.2.45'), { degraded: true })
      api.fault(null)
      advance(coolDown)
      assertDecision(await checker.check('192.0.2.45'), { score: 45, degraded: false, failure: null })
      await checker.invalidate()
    }
  })

  test('on its port after it was away, the next check is answered', async (t) => {
    const first = await startApi(t)
    const checker = makeChecker(t, first)
    assertDecision(await checker.check(publicAddress(1)), { failure: null })
    await first.close()
    assertDecision(await checker.check(publicAddress(2)), { failure: CONNECT })
    await startApi(t, { port: first.port })
    assertDecision(await checker.check(publicAddress(2)), { failure: null, source: 'api' })
  })
})

describe('stats', () => {
  test('name every failed call by its code, and say what to do about the last', async (t) => {
    const { checker, advance } = await startTestChecker(t, { deadlineMs: 200 })
    for (const name of ['401', '503', '500', 'hang', '429']) {
      advance(COOL_DOWN)
      await checker.check(addressOf(name))
    }
    const { failures, lastFailure } = checker.stats().upstream
    assert.deepEqual(failures, { [KEY_REFUSED]: 1, [STATUS]: 2, [TIMEOUT]: 1, [QUOTA]: 1 })
    assert.equal(lastFailure.code, QUOTA)
    assert.match(lastFailure.advice, /quota/)
  })

  test('have advice for every code', async (t) => {
    const { checker, advance } = await startTestChecker(t, { deadlineMs: 200 })
    for (const [name, code] of Object.entries(CODES)) {
      advance(COOL_DOWN)
      await checker.check(addressOf(name))
      const { lastFailure } = checker.stats().upstream
      assert.equal(lastFailure.code, code, name)
      assert.ok(lastFailure.advice.length > 20, name)
    }
  })
})

test('a 404 that is not the API’s own is never an address without a record', async (t) => {
  const { checker, api } = await startTestChecker(t)
  const others = [
    '{"message":"no Route matched with those values"}',
    '{"message":"Not Found"}',
    '{"message":"Cannot GET /v3/security","error":"Not Found","statusCode":404}',
    '{"message":"this address has no record","path":"/v3/security"}',
    '{"message":"No endpoint GET /v3/security for this address."}',
    '{"message":"The requested address http://api/v3/security was not found on this server."}',
    '<html>404</html>',
    '',
  ]
  for (const body of others) {
    // An address that no feed knows, so that nothing but the failure mode is left.
    const address = publicAddress(1)
    api.answerRaw(address, { status: 404, headers: { 'content-type': 'application/json' }, body })
    const { failure, failedOpen } = await checker.check(address)
    assert.deepEqual([failure, failedOpen], [ENDPOINT, true], body)
  }
})

test('a body that is not compressed as it says is malformed, not a broken connection', async (t) => {
  const { checker, api } = await startTestChecker(t)
  const body = gzipSync(JSON.stringify({ security: { threat_score: 5 } }))
  body.fill(0xff, 12, 20) // the header stays as it was
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  api.answerRaw('8.8.8.8', { status: 200, headers, body })
  assert.equal((await checker.check('8.8.8.8')).failure, MALFORMED)
})
