import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, test } from 'node:test'
import { randomFrom } from './support/random.mjs'
import { assertDecision, NO_EVIDENCE } from './support/decisions.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker } from './support/start.mjs'

describe('a decision', () => {
  test('has every field, first from the api and then from memory', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const before = Date.now()
    const first = await checker.check(addressOf('vpn'))
    const after = Date.now()
    const { checkedAt, ...rest } = first
    assert.ok(checkedAt >= before && checkedAt <= after)
    assert.deepEqual(rest, {
      ip: '198.51.100.1',
      score: 50,
      band: 'elevated',
      flags: {
        threat_score: 50,
        is_tor: false,
        is_proxy: false,
        proxy_confidence_score: 0,
        is_residential_proxy: false,
        is_vpn: true,
        vpn_provider_names: ['Example VPN'],
        vpn_confidence_score: 99,
        vpn_last_seen: new Date(Date.now() - 86_400_000).toISOString().slice(0, 10),
        is_relay: false,
        is_anonymous: true,
        is_known_attacker: false,
        is_bot: false,
        bot_confidence_score: 0,
        is_known_good_bot: false,
        is_spam: false,
        is_cloud_provider: false,
        is_corporate_gateway: false,
      },
      action: 'challenge',
      wouldBe: 'challenge',
      reasons: ['threshold_challenge'],
      source: 'api',
      provider: 'ipgeolocation',
      stale: false,
      degraded: false,
      failedOpen: false,
      failedClosed: false,
      failure: null,
      mode: 'enforce',
      policy: 'login',
    })
    assert.deepEqual(await checker.check('198.51.100.1'), { ...first, source: 'memory' })
    assert.equal(api.requestCount(), 1)
  })

  test('carries all 27 flags when the api says all 27', async (t) => {
    const { checker } = await startTestChecker(t)
    const { flags } = await checker.check(addressOf('everything'))
    assert.equal(Object.keys(flags).length, 27)
    assert.deepEqual(
      [flags.relay_provider_name, flags.bot_type, flags.corporate_gateway_type, flags.proxy_provider_names],
      ['Example Relay', 'SEARCH_ENGINE', 'secure_web_gateway', ['Example Proxy']],
    )
  })

  test('leaves out what the api did not say', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.answer(publicAddress(1), { threat_score: 3, is_vpn: undefined, is_bot: undefined })
    const { flags } = await checker.check(publicAddress(1))
    assert.ok(!('is_vpn' in flags) && !('is_bot' in flags) && flags.is_tor === false)
  })

  test('has the flags of its own address, however many others there are', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const random = randomFrom(7)
    const answers = Array.from({ length: 1_500 }, () => ({
      threat_score: random.below(101),
      is_vpn: random.pick([true, false, undefined]),
      is_spam: random.pick([true, false, undefined]),
      bot_confidence_score: random.pick([0, 99, 100, undefined]),
      vpn_last_seen: random.pick(['2000-01-02', '2026-02-28', '2100-12-31', '']),
      cloud_provider_name: random.pick(['', 'Example Cloud', 'Überwolke', `cloud ${random.below(500)}`]),
      vpn_provider_names: random.pick([[], ['Example VPN'], ['Example VPN', `vpn ${random.below(500)}`]]),
    }))
    answers.forEach((answer, index) => api.answer(publicAddress(index), answer))
    const fields = Object.keys(answers[0])
    const isSaid = (value) => value !== undefined && value.length !== 0
    const said = (values) =>
      Object.fromEntries(fields.map((field) => [field, values[field]]).filter(([, value]) => isSaid(value)))
    for (const source of ['api', 'memory']) {
      const decisions = await checker.checkMany(answers.map((_, index) => publicAddress(index)))
      assert.ok(decisions.every((decision) => decision.source === source))
      assert.deepEqual(
        decisions.map(({ flags }) => said(flags)),
        answers.map(said),
      )
    }
    for (const [index, answer] of answers.entries()) {
      assert.deepEqual(said((await checker.check(publicAddress(index))).flags), said(answer))
    }
  })

  test('is plain data that can be logged, cloned and sent', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const text of [addressOf('everything'), addressOf('503'), '10.0.0.1', 'foo']) {
      const decision = await checker.check(text)
      assert.deepEqual(structuredClone(decision), decision)
      assert.deepEqual(JSON.parse(JSON.stringify(decision)), decision)
    }
  })

  test('cannot be used to change another one', async (t) => {
    const { checker } = await startTestChecker(t)
    const decision = await checker.check(addressOf('vpn'))
    assert.throws(() => (decision.flags.is_vpn = false), TypeError)
    assert.throws(() => decision.flags.vpn_provider_names.push('Another VPN'), TypeError)
    assert.throws(() => decision.reasons.push('another_reason'), TypeError)
    decision.action = 'allow'
    assert.equal((await checker.check(addressOf('vpn'))).action, 'challenge')
  })

  test('follows the edges of the bands and thresholds', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const [score, band, action, reason] of [
      [0, 'low', 'allow', 'below_thresholds'],
      [19, 'low', 'allow', 'below_thresholds'],
      [20, 'guarded', 'log', 'threshold_log'],
      [44, 'guarded', 'log', 'threshold_log'],
      [45, 'elevated', 'challenge', 'threshold_challenge'],
      [79, 'elevated', 'challenge', 'threshold_challenge'],
      [80, 'high', 'block', 'threshold_block'],
      [100, 'high', 'block', 'threshold_block'],
    ]) {
      for (const name of [`score-${score}`, `ipv6-score-${score}`]) {
        const decision = await checker.check(addressOf(name))
        const expected = { score, band, action, wouldBe: action, reasons: [reason] }
        assertDecision(decision, { ip: addressOf(name), ...expected })
      }
    }
  })
})

describe('the address', () => {
  for (const [what, text, ip, asked] of [
    ['IPv4-mapped', '::ffff:198.51.100.1', '198.51.100.1', '198.51.100.1'],
    ['IPv4-mapped in hexadecimal', '::FFFF:C633:6401', '198.51.100.1', '198.51.100.1'],
    ['upper case and zeros', '2001:DB8:0:0045:0:0:0:1', '2001:db8:0:45::1', '2001:db8:0:45::1'],
    ['6to4', '2002:c633:6401::1', '2002:c633:6401::1', '198.51.100.1'],
    ['Teredo', '2001::8000:63bf:39cc:9bfe', '2001::8000:63bf:39cc:9bfe', '198.51.100.1'],
    ['NAT64', '64:ff9b::198.51.100.1', '64:ff9b::c633:6401', '198.51.100.1'],
  ]) {
    test(`${what} is shown canonically and judged by what it stands for`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      const decision = await checker.check(text)
      assertDecision(decision, { ip, source: 'api' })
      assert.deepEqual(api.requests[0].ips, [asked])
      const again = await checker.check(asked)
      assertDecision(again, { ip: asked, source: 'memory', score: decision.score })
      assertDecision(await checker.check(text), { ip, source: 'memory' })
      assert.ok(decision.score > 0)
    })
  }

  test('of IPv6 shares what is known of its /64, but is asked about in full', async (t) => {
    const { checker, api } = await startTestChecker(t)
    assertDecision(await checker.check('2001:db8:0:45::1'), { source: 'api', score: 45 })
    const neighbour = await checker.check('2001:db8:0:45:ffff::2')
    assertDecision(neighbour, { ip: '2001:db8:0:45:ffff::2', source: 'memory', score: 45 })
    assertDecision(await checker.check('2001:db8:0:46:ffff::2'), { source: 'api', score: 46 })
    const asked = api.requests.flatMap(({ ips }) => ips)
    assert.deepEqual(asked, ['2001:db8:0:45::1', '2001:db8:0:46:ffff::2'])
  })

  test('of IPv6 shares as many bits as `cache.ipv6Prefix` says', async (t) => {
    const alone = await startTestChecker(t, { cache: { ipv6Prefix: 128 } })
    await alone.checker.checkMany(['2001:db8:0:45::1', '2001:db8:0:45::2'])
    assert.equal(alone.api.requests.flatMap(({ ips }) => ips).length, 2)
    const together = await startTestChecker(t, { cache: { ipv6Prefix: 32 } })
    await together.checker.check('2001:db8:0:45::1')
    assertDecision(await together.checker.check('2001:db8:0:46::1'), { source: 'memory', score: 45 })
  })

  test('is refused unless the text is a plain one', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const text of [
      '',
      ' ',
      'foo',
      'localhost',
      '0177.0.0.1',
      '0x7f.0.0.1',
      '1.1',
      '1.1.1',
      '1.1.1.1.1',
      '16843009',
      '01.1.1.1',
      '1.1.1.256',
      '1.1.1.-1',
      '1.1.1.1 ',
      ' 1.1.1.1',
      '\t1.1.1.1',
      '1.1.1.1\n',
      '1.1.1.1/32',
      '1.1.1.1:80',
      '1.1.1.1, 2.2.2.2',
      '[::1]',
      '[2606:4700::1]:443',
      'fe80::1%eth0',
      '2606:4700::1%1',
      ':::',
      '1::2::3',
      '2606:4700::12345',
      '::ffff:1.1.1.01',
      '1:2:3:4:5:6:7:8:9',
      '1.1.1.1\0',
      '1.1.1.1\0.example',
      '\0',
      // Each ends in the byte of a digit, which a reader of low bytes would take for it.
      '\u0131.1.1.1',
      '1.1.1.\u0331',
      // Digits of other scripts, full-width ones among them.
      '\uff11.\uff11.\uff11.\uff11',
      '\u0661.1.1.1',
      '1\u30021\u30021\u30021',
      '1.1.1.1\u200b',
      '\ud800',
      '1.1.1.1\udc00',
      '\ud800.1.1.1',
      '1'.repeat(100),
      '1.1.1.1'.padEnd(1_000_000, ' '),
      '1.1.1.1'.padStart(98, '0'),
      'é'.repeat(49),
      '💥'.repeat(24) + 'a',
    ]) {
      const expected = { ip: null, ...NO_EVIDENCE, source: 'none', failure: 'ERR_IP_RISK_INVALID_ADDRESS' }
      const reasons = ['invalid_address']
      const login = await checker.check(text)
      assertDecision(login, { ...expected, reasons, action: 'challenge', degraded: false, failedOpen: false })
      const payment = await checker.check(text, { policy: 'payment' })
      assertDecision(payment, { ...expected, reasons, action: 'hold', failedClosed: true })
      const [many] = await checker.checkMany([text])
      assertDecision(many, { ...expected, reasons, action: 'challenge' })
    }
    assert.equal(api.requestCount(), 0)
  })

  test('in special-use space is answered here and never sent', async (t) => {
    const api = await startApi(t)
    const checker = makeChecker(t, api, { policies: { mfa: { onFailure: 'challenge' } } })
    for (const ip of [
      '0.0.0.0',
      '10.1.2.3',
      '100.64.0.1',
      '127.0.0.1',
      '169.254.1.1',
      '172.16.0.1',
      '192.0.2.80',
      '192.168.1.1',
      '198.18.0.1',
      '198.51.100.4',
      '203.0.113.11',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      '2001:db8:0:80::1',
      'fc00::1',
      'fe80::1',
      'ff02::1',
      // Private IPv4 inside 6to4 and NAT64.
      '2002:a01:203::1',
      '64:ff9b::a01:203',
    ]) {
      const expected = { ip, ...NO_EVIDENCE, source: 'special', failure: 'ERR_IP_RISK_SPECIAL_USE' }
      const login = await checker.check(ip)
      assertDecision(login, { ...expected, action: 'allow', reasons: ['failed_open', 'special_use'] })
      assertDecision(login, { degraded: false, failedOpen: true, failedClosed: false })
      const payment = await checker.check(ip, { policy: 'payment' })
      assertDecision(payment, { ...expected, action: 'hold', reasons: ['failed_closed', 'special_use'] })
      const mfa = await checker.check(ip, { policy: 'mfa' })
      assertDecision(mfa, { ...expected, action: 'challenge', reasons: ['failed_challenge', 'special_use'] })
    }
    assert.equal(api.requestCount(), 0)
  })
})

describe('peek', () => {
  test('answers from lists, special-use space and memory, and else with null', async (t) => {
    const deny = ['198.51.100.7']
    const { checker, api, advance } = await startTestChecker(t, { policies: { login: { deny } } })
    assert.equal(checker.peek(addressOf('vpn')), null)
    assertDecision(checker.peek('198.51.100.7'), { action: 'block', source: 'list', reasons: ['deny_list'] })
    assertDecision(checker.peek('10.0.0.1'), { source: 'special' })
    assertDecision(checker.peek('foo'), { ip: null, reasons: ['invalid_address'] })
    const checked = await checker.check(addressOf('vpn'))
    assert.deepEqual(checker.peek(addressOf('vpn')), { ...checked, source: 'memory' })
    assertDecision(checker.peek(addressOf('vpn'), { policy: 'payment' }), { policy: 'payment' })
    assert.equal(api.requestCount(), 1)
    advance(300_001)
    assert.equal(checker.peek(addressOf('vpn')), null)
  })

  test('counts nothing, tells nobody and writes nothing', async (t) => {
    const lines = []
    const write = (_details, message) => lines.push(message)
    const logger = { info: write, warn: write, error: write }
    const { checker } = await startTestChecker(t, { logger })
    await checker.check(addressOf('score-80'))
    assert.deepEqual(lines, ['block'])
    const before = checker.stats()
    const published = []
    const listen = (decision) => published.push(decision)
    subscribe('ip-risk:decision', listen)
    for (const ip of [addressOf('score-80'), '10.0.0.1', 'foo']) checker.peek(ip)
    unsubscribe('ip-risk:decision', listen)
    assert.deepEqual(checker.stats(), before)
    assert.deepEqual([published, lines], [[], ['block']])
  })
})

describe('invalidate', () => {
  test('forgets one address in any spelling', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const [ip, other] = [addressOf('vpn'), addressOf('tor')]
    await checker.checkMany([ip, other])
    for (const spelling of [ip, '::ffff:198.51.100.1', '2002:c633:6401::1']) {
      assert.equal(await checker.invalidate(spelling), undefined)
      assertDecision(await checker.check(ip), { source: 'api' })
      assertDecision(await checker.check(other), { source: 'memory' })
    }
    assert.equal(api.requestCount(ip), 4)
  })

  test('forgets everything without an address, and ignores text that is none', async (t) => {
    const { checker } = await startTestChecker(t)
    const ips = [addressOf('vpn'), addressOf('tor')]
    await checker.checkMany(ips)
    await checker.invalidate('foo')
    for (const ip of ips) assertDecision(await checker.check(ip), { source: 'memory' })
    await checker.invalidate()
    for (const ip of ips) assertDecision(await checker.check(ip), { source: 'api' })
  })

  test('leaves no stale evidence behind', async (t) => {
    const { checker, api } = await startTestChecker(t)
    await checker.check(addressOf('score-80'))
    await checker.invalidate(addressOf('score-80'))
    api.fault({ status: 503 })
    assertDecision(await checker.check(addressOf('score-80')), { source: 'none', failedOpen: true })
  })

  test('holds for all checkers that share the cache', async (t) => {
    const api = await startApi(t)
    const [one, other] = [makeChecker(t, api), makeChecker(t, api)]
    await one.check(publicAddress(1))
    assertDecision(await other.check(publicAddress(1)), { source: 'memory' })
    await other.invalidate(publicAddress(1))
    assertDecision(await one.check(publicAddress(1)), { source: 'api' })
  })
})
