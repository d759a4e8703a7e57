/** What each fault of the provider becomes: its code, the failure mode, and the next check when the provider is back. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { NO_EVIDENCE, assertDecision } from './support/decisions.mjs'
import {
  CODES,
  CONNECT,
  COOL_DOWN,
  FAILURE_MODES,
  MFA,
  MODES_OF,
  assertFailure,
  checkByAll,
} from './support/failures.mjs'
import { FAULT_CARDS } from './support/package.mjs'
import { randomFrom } from './support/random.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker } from './support/start.mjs'

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
