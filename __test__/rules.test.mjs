/** The rules of a policy: the shipped ones, and when one of one's own holds. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import {
  DAY,
  OPTION,
  SHIPPED,
  SHIPPED_OFF,
  applies,
  assertMistake,
  assertVerdicts,
  startWithLogin,
  verdict,
} from './support/policies.mjs'
import { addressOf, publicAddress, startTestChecker } from './support/start.mjs'

describe('the shipped rules', () => {
  test('act on the cards as published', async (t) => {
    const { checker } = await startTestChecker(t)
    await assertVerdicts(checker, [
      ['vpn', 'challenge', 'threshold_challenge'],
      ['vpn-low', 'allow', 'below_thresholds'],
      ['vpn-proxy-cloud', 'challenge', 'threshold_challenge'],
      ['proxy', 'challenge', 'threshold_challenge'],
      ['tor', 'challenge', 'threshold_challenge'],
      ['cloud-provider', 'allow', 'below_thresholds'],
      ['residential-proxy', 'challenge', 'residential_proxy', 'threshold_challenge'],
      ['residential-proxy-low', 'challenge', 'residential_proxy', 'below_thresholds'],
      ['known-attacker', 'challenge', 'known_attacker', 'threshold_log'],
      ['relay', 'log', 'relay', 'relay_below_block', 'threshold_log'],
      ['relay-high', 'challenge', 'relay', 'threshold_block'],
      ['relay-attacker', 'block', 'known_attacker', 'threshold_block'],
      ['relay-spam', 'block', 'threshold_block'],
      ['corporate-gateway', 'challenge', 'corporate_gateway', 'threshold_challenge'],
      ['corporate-gateway-high', 'challenge', 'corporate_gateway', 'threshold_block'],
      ['corporate-gateway-attacker', 'challenge', 'known_attacker', 'threshold_challenge'],
      ['known-good-bot', 'challenge', 'known_good_bot', 'threshold_challenge'],
      ['known-good-bot-high', 'challenge', 'known_good_bot', 'threshold_block'],
      ['bot', 'log', 'threshold_log'],
      ['spam', 'challenge', 'threshold_challenge'],
      ['everything', 'block', 'residential_proxy', 'known_attacker', 'threshold_block'],
    ])
  })

  test('soften no address about which something worse is said', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const softened = [{ is_relay: true }, { is_corporate_gateway: true }, { is_known_good_bot: true }]
    const worse = [
      { is_known_attacker: true },
      { is_residential_proxy: true },
      { is_spam: true },
      { is_bot: true, is_known_good_bot: false },
      { is_bot: true, is_known_good_bot: undefined },
    ]
    for (const flags of softened) {
      api.answer(publicAddress(1), { threat_score: 95, ...flags })
      await checker.invalidate()
      assert.equal((await verdict(checker, publicAddress(1)))[0], 'challenge', JSON.stringify(flags))
      for (const evidence of worse) {
        if (flags.is_known_good_bot && evidence.is_bot) continue
        api.answer(publicAddress(1), { threat_score: 95, ...flags, ...evidence })
        await checker.invalidate()
        const message = JSON.stringify({ ...flags, ...evidence })
        assert.equal((await verdict(checker, publicAddress(1)))[0], 'block', message)
      }
    }
  })

  test('cap a relay at `log` below the block threshold of its policy', async (t) => {
    const { checker, api } = await startWithLogin(t, { thresholds: { block: 90 } })
    const scored = async (score) => {
      api.answer(publicAddress(score), { threat_score: score, is_relay: true })
      return (await verdict(checker, publicAddress(score)))[0]
    }
    assert.deepEqual([await scored(0), await scored(50), await scored(89)], ['allow', 'log', 'log'])
    assert.deepEqual([await scored(90), await scored(100)], ['challenge', 'challenge'])
  })

  for (const [id, name, before, after] of [
    ['residential_proxy', 'residential-proxy-low', 'challenge', 'allow'],
    ['known_attacker', 'known-attacker', 'challenge', 'log'],
    ['relay', 'relay-high', 'challenge', 'block'],
    ['relay_below_block', 'relay', 'log', 'log'],
    ['corporate_gateway', 'corporate-gateway-high', 'challenge', 'block'],
    ['known_good_bot', 'known-good-bot-high', 'challenge', 'block'],
  ]) {
    test(`can be switched by id: \`${id}\``, async (t) => {
      const { checker } = await startWithLogin(t, { rules: [{ id, enabled: false }] })
      const [action, ...reasons] = await verdict(checker, name)
      assert.equal(action, after)
      assert.ok(!reasons.includes(id))
      assert.equal((await verdict(checker, name, { policy: 'payment' }))[0], before)
    })
  }

  test('are switched on by `enabled: true`, which is what they are', async (t) => {
    const rules = [
      { id: 'relay', enabled: false },
      { id: 'relay', enabled: true },
      { id: 'known_attacker', enabled: true },
    ]
    const { checker } = await startWithLogin(t, { rules })
    await assertVerdicts(checker, [
      ['relay-high', 'challenge', 'relay', 'threshold_block'],
      ['known-attacker', 'challenge', 'known_attacker', 'threshold_log'],
    ])
  })

  test('are replaced by a rule of the same id', async (t) => {
    const rules = [{ id: 'known_attacker', when: { is_known_attacker: true }, atLeast: 'block' }]
    const { checker } = await startWithLogin(t, { rules })
    const expected = ['block', 'known_attacker', 'threshold_log']
    assert.deepEqual(await verdict(checker, 'known-attacker'), expected)
  })

  test('act on nothing when they are all switched off', async (t) => {
    const { checker } = await startWithLogin(t, { rules: SHIPPED_OFF })
    await assertVerdicts(checker, [
      ['residential-proxy-low', 'allow', 'below_thresholds'],
      ['relay-high', 'block', 'threshold_block'],
      ['everything', 'block', 'threshold_block'],
    ])
  })
})

describe('a rule', () => {
  const base = { threat_score: 0 }

  for (const field of [
    'is_tor',
    'is_proxy',
    'is_residential_proxy',
    'is_vpn',
    'is_relay',
    'is_anonymous',
    'is_known_attacker',
    'is_bot',
    'is_known_good_bot',
    'is_spam',
    'is_cloud_provider',
    'is_corporate_gateway',
  ]) {
    test(`holds on \`${field}\` true and false, and on neither when it is absent`, async (t) => {
      for (const wanted of [true, false]) {
        const rule = { when: { [field]: wanted } }
        assert.equal(await applies(t, rule, { ...base, [field]: wanted }), true)
        assert.equal(await applies(t, rule, { ...base, [field]: !wanted }), false)
        assert.equal(await applies(t, rule, { ...base, [field]: undefined }), false)
      }
    })
  }

  test('holds on a number from `min` to `max`', async (t) => {
    const holds = async (range, value) =>
      applies(t, { when: { vpn_confidence_score: range } }, { ...base, vpn_confidence_score: value })
    for (const [range, inside, outside] of [
      [{ min: 80 }, [80, 100], [79, undefined]],
      [{ max: 20 }, [0, 20], [21, undefined]],
      [{ min: 40, max: 60 }, [40, 60], [39, 61]],
      [{ min: 50, max: 50 }, [50], [49, 51]],
    ]) {
      for (const value of inside) assert.equal(await holds(range, value), true, `${value}`)
      for (const value of outside) assert.equal(await holds(range, value), false, `${value}`)
    }
  })

  test('holds on the score', async (t) => {
    const when = { threat_score: { min: 5, max: 10 } }
    assert.equal(await applies(t, { when }, { threat_score: 5 }), true)
    assert.equal(await applies(t, { when }, { threat_score: 4 }), false)
  })

  test('holds on one name or one of several, without regard to case', async (t) => {
    for (const field of [
      'cloud_provider_name',
      'bot_type',
      'relay_provider_name',
      'corporate_gateway_type',
    ]) {
      const holds = (names, value) => applies(t, { when: { [field]: names } }, { ...base, [field]: value })
      assert.equal(await holds('Google LLC', 'google llc'), true)
      assert.equal(await holds(['Amazon', 'GOOGLE LLC'], 'Google LLC'), true)
      assert.equal(await holds('Google', 'Google LLC'), false)
      assert.equal(await holds(['Amazon', 'Google'], ''), false)
      assert.equal(await holds('Google', undefined), false)
    }
  })

  test('holds on a name without regard to case in any script', async (t) => {
    const when = { cloud_provider_name: 'ÜBERCLOUD' }
    assert.equal(await applies(t, { when }, { ...base, cloud_provider_name: 'übercloud' }), true)
  })

  test('holds on one of the names that the api lists', async (t) => {
    for (const field of ['vpn_provider_names', 'proxy_provider_names']) {
      const holds = (names, values) => applies(t, { when: { [field]: names } }, { ...base, [field]: values })
      assert.equal(await holds('nord vpn', ['Browsec VPN', 'Nord VPN']), true)
      assert.equal(await holds(['Other', 'Browsec VPN'], ['Browsec VPN', 'Nord VPN']), true)
      assert.equal(await holds('Nord', ['Browsec VPN', 'Nord VPN']), false)
      assert.equal(await holds('Nord', []), false)
    }
  })

  test('holds on a date within some days', async (t) => {
    const daysAgo = (days) => new Date(Date.now() - days * DAY).toISOString().slice(0, 10)
    for (const subject of ['vpn', 'proxy', 'bot']) {
      const field = `${subject}_last_seen`
      const holds = (days, date) =>
        applies(t, { when: { [field]: { withinDays: days } } }, { ...base, [field]: date })
      assert.equal(await holds(30, daysAgo(29)), true)
      assert.equal(await holds(30, daysAgo(32)), false)
      assert.equal(await holds(0, daysAgo(-1)), true)
      assert.equal(await holds(0, daysAgo(2)), false)
      assert.equal(await holds(30, ''), false)
      assert.equal(await holds(30, undefined), false)
    }
  })

  test('on a date counts to the day of the check, not to the one of the answer', async (t) => {
    const rules = [{ id: 'recent_vpn', when: { vpn_last_seen: { withinDays: 5 } }, atLeast: 'block' }]
    const { checker, advance } = await startWithLogin(t, { rules }, { cache: { ttlMs: 30 * DAY } })
    assert.deepEqual((await verdict(checker, 'vpn'))[0], 'block')
    assert.deepEqual((await verdict(checker, 'vpn-long-ago'))[0], 'challenge')
    advance(7 * DAY)
    const later = await checker.check(addressOf('vpn'))
    assertDecision(later, { action: 'challenge', source: 'memory' })
  })

  test('holds only when all its conditions do', async (t) => {
    const when = { is_vpn: true, is_cloud_provider: true, threat_score: { max: 10 } }
    const all = { threat_score: 10, is_vpn: true, is_cloud_provider: true }
    assert.equal(await applies(t, { when }, all), true)
    assert.equal(await applies(t, { when }, { ...all, threat_score: 11 }), false)
    assert.equal(await applies(t, { when }, { ...all, is_cloud_provider: false }), false)
  })

  test('does not hold when its `unless` does, or one of several', async (t) => {
    const when = { is_vpn: true }
    const [cloud, bot] = [{ is_cloud_provider: true }, { is_bot: true, bot_type: 'scanner' }]
    const security = { ...base, is_vpn: true }
    assert.equal(await applies(t, { when, unless: cloud }, security), true)
    assert.equal(await applies(t, { when, unless: cloud }, { ...security, ...cloud }), false)
    assert.equal(await applies(t, { when, unless: [cloud, bot] }, { ...security, ...bot }), false)
    assert.equal(await applies(t, { when, unless: [cloud, bot] }, { ...security, is_bot: true }), true)
    assert.equal(await applies(t, { when, unless: [] }, security), true)
  })

  test('with routes is for those routes only', async (t) => {
    const rule = { when: { is_vpn: true }, routes: ['/transfer', '/admin/:id'] }
    const security = { ...base, is_vpn: true }
    assert.equal(await applies(t, rule, security, { route: '/transfer' }), true)
    assert.equal(await applies(t, rule, security, { route: '/admin/:id' }), true)
    for (const route of ['/transfer/', '/Transfer', '/admin/5', '', undefined]) {
      assert.equal(await applies(t, rule, security, { route }), false)
    }
  })

  test('raises by the highest `atLeast` and then caps by the lowest `atMost`', async (t) => {
    const vpn = { is_vpn: true }
    const rules = (...limits) => limits.map((limit, index) => ({ id: `rule_${index}`, when: vpn, ...limit }))
    for (const [limits, action] of [
      [[{ atLeast: 'log' }, { atLeast: 'block' }], 'block'],
      [[{ atLeast: 'block' }, { atMost: 'log' }], 'log'],
      [[{ atMost: 'log' }, { atMost: 'allow' }, { atLeast: 'block' }], 'allow'],
      [[{ atLeast: 'log', atMost: 'log' }], 'log'],
      [[{ atLeast: 'allow' }], 'challenge'],
      [[{ atMost: 'block' }], 'challenge'],
    ]) {
      const { checker } = await startWithLogin(t, { rules: rules(...limits) })
      const reasons = limits.map((_, index) => `rule_${index}`)
      const expected = [action, ...reasons, 'threshold_challenge']
      assert.deepEqual(await verdict(checker, 'vpn'), expected, JSON.stringify(limits))
    }
  })

  test('that trusts a cloud never beats what is said of an attacker', async (t) => {
    const trusted = {
      id: 'trusted_cloud',
      when: { cloud_provider_name: 'Google LLC' },
      atMost: 'log',
      routes: ['/health'],
    }
    const rules = [trusted, { ...trusted, id: 'trusting_all', atMost: 'allow' }]
    const { checker } = await startWithLogin(t, { rules })
    const on = (route) => ({ route })
    const capped = ['allow', 'trusted_cloud', 'trusting_all', 'threshold_challenge']
    assert.deepEqual(await verdict(checker, 'google-cloud', on('/health')), capped)
    assert.deepEqual(await verdict(checker, 'google-cloud', on('/login')), [
      'challenge',
      'threshold_challenge',
    ])
    const attacker = ['challenge', 'known_attacker', 'threshold_challenge']
    assert.deepEqual(await verdict(checker, 'google-cloud-attacker', on('/health')), attacker)
  })

  test('that trusts a cloud does not beat an attacker when the shipped rule is off either', async (t) => {
    const trusted = { id: 'trusted_cloud', when: { cloud_provider_name: 'Google LLC' }, atMost: 'log' }
    const { checker } = await startWithLogin(t, {
      rules: [trusted, { id: 'known_attacker', enabled: false }],
    })
    assert.deepEqual(await verdict(checker, 'google-cloud-attacker'), ['challenge', 'threshold_challenge'])
  })

  test('is one of at most 44, with the shipped ones', async (t) => {
    const own = (count) =>
      Array.from({ length: count }, (_, index) => ({
        id: `rule_${index}`,
        when: { is_vpn: true },
        atMost: 'log',
      }))
    const { checker } = await startWithLogin(t, { rules: own(44 - SHIPPED.length) })
    const ids = own(44 - SHIPPED.length).map(({ id }) => id)
    assert.deepEqual(await verdict(checker, 'vpn'), ['log', ...ids, 'threshold_challenge'])
    const most = /`policies\.login\.rules`: a policy may have at most 44 rules/
    await assertMistake({ rules: own(45 - SHIPPED.length) }, OPTION, most)
  })
})
