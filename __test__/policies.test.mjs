import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { createTestChecker } from './support/package.mjs'
import { literal } from './support/literal.mjs'
import {
  DAY,
  OPTION,
  SHIPPED,
  SHIPPED_OFF,
  UNKNOWN_OPTION,
  applies,
  assertMistake,
  assertVerdicts,
  startWithLogin,
  verdict,
} from './support/policies.mjs'
import { addressOf, publicAddress, startTestChecker } from './support/start.mjs'

describe('thresholds', () => {
  test('are those of the policy, lower edge inclusive', async (t) => {
    const thresholds = { log: 10, challenge: 30, block: 60 }
    const { checker } = await startWithLogin(t, { thresholds })
    await assertVerdicts(checker, [
      ['192.0.2.9', 'allow', 'below_thresholds'],
      ['192.0.2.10', 'log', 'threshold_log'],
      ['192.0.2.29', 'log', 'threshold_log'],
      ['192.0.2.30', 'challenge', 'threshold_challenge'],
      ['192.0.2.59', 'challenge', 'threshold_challenge'],
      ['192.0.2.60', 'block', 'threshold_block'],
    ])
    const decision = await checker.check('192.0.2.60')
    assert.equal(decision.band, 'elevated', 'bands are fixed')
    assert.deepEqual(await verdict(checker, '192.0.2.60', { policy: 'payment' }), [
      'challenge',
      'threshold_challenge',
    ])
  })

  test('that are not written stay as they are', async (t) => {
    const { checker } = await startWithLogin(t, { thresholds: { block: 90 } })
    await assertVerdicts(checker, [
      ['192.0.2.19', 'allow', 'below_thresholds'],
      ['192.0.2.89', 'challenge', 'threshold_challenge'],
      ['192.0.2.90', 'block', 'threshold_block'],
    ])
  })

  test('may be equal, and the strictest action wins', async (t) => {
    const { checker } = await startWithLogin(t, { thresholds: { log: 0, challenge: 0, block: 0 } })
    assert.deepEqual(await verdict(checker, '192.0.2.0'), ['block', 'threshold_block'])
  })

  test('must not fall', async () => {
    for (const thresholds of [
      { log: 50 },
      { challenge: 81 },
      { block: 44 },
      { log: 3, challenge: 2, block: 1 },
    ]) {
      await assertMistake({ thresholds }, OPTION, /`policies\.login\.thresholds`: thresholds must not fall/)
    }
  })
})

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

describe('extends', () => {
  test('starts from `login` unless it is written', async (t) => {
    const policies = {
      login: { thresholds: { block: 60 } },
      plain: {},
      strict: { extends: 'payment' },
      stricter: { extends: 'strict', thresholds: { challenge: 10, log: 5 } },
    }
    const { checker } = await startTestChecker(t, { policies })
    const under = async (policy, ip) => (await checker.check(ip, { policy })).action
    assert.equal(await under('plain', '192.0.2.60'), 'block')
    assert.equal(await under('strict', '192.0.2.60'), 'challenge')
    assert.equal(await under('stricter', '192.0.2.10'), 'challenge')
    const failing = addressOf('503')
    assert.deepEqual(
      [await under('plain', failing), await under('strict', failing), await under('stricter', failing)],
      ['allow', 'hold', 'hold'],
    )
    assertDecision(await checker.check(failing, { policy: 'stricter' }), { policy: 'stricter' })
  })

  test('takes rules, lists, routes and modes along, and adds to them', async (t) => {
    const rule = { id: 'cloud', when: { is_cloud_provider: true }, atLeast: 'block', routes: ['/transfer'] }
    const policies = {
      child: {
        extends: 'base',
        allow: ['192.0.2.81'],
        rules: [{ id: 'any_vpn', when: { is_vpn: true }, atLeast: 'block' }],
      },
      base: {
        allow: ['192.0.2.80'],
        rules: [rule, { id: 'known_attacker', enabled: false }],
        maxAction: 'block',
      },
      grandchild: { extends: 'child', mode: 'log-only', rules: [{ id: 'cloud', enabled: false }] },
    }
    const { checker } = await startTestChecker(t, { policies })
    const child = { policy: 'child', route: '/transfer' }
    assert.equal((await verdict(checker, '192.0.2.80', child))[0], 'allow')
    assert.equal((await verdict(checker, '192.0.2.81', child))[0], 'allow')
    assert.equal((await verdict(checker, 'cloud-provider', child))[0], 'block')
    assert.equal((await verdict(checker, 'vpn-low', child))[0], 'block')
    assert.equal((await verdict(checker, 'known-attacker', child))[0], 'log')
    assert.equal((await verdict(checker, '192.0.2.81', { policy: 'base' }))[0], 'block')
    assert.equal((await verdict(checker, 'vpn-low', { policy: 'base' }))[0], 'allow')
    const grandchild = { policy: 'grandchild', route: '/transfer' }
    const cloud = await checker.check(addressOf('cloud-provider'), grandchild)
    assertDecision(cloud, { action: 'allow', wouldBe: 'allow', mode: 'log-only' })
    assertDecision(await checker.check(addressOf('vpn-low'), grandchild), {
      action: 'allow',
      wouldBe: 'block',
    })
  })

  test('a shipped policy changes it for those that extend it, whatever the order', async (t) => {
    const policies = {
      a: { extends: 'payment' },
      payment: { thresholds: { block: 50 } },
      z: { extends: 'payment' },
    }
    const { checker } = await startTestChecker(t, { policies })
    for (const policy of ['a', 'payment', 'z']) {
      assert.equal((await checker.check('192.0.2.50', { policy })).action, 'block')
    }
  })

  test('may turn one shipped policy into the other', async (t) => {
    const { checker } = await startTestChecker(t, { policies: { login: { extends: 'payment' } } })
    assert.equal((await checker.check(addressOf('503'))).action, 'hold')
  })

  test('of a policy that does not exist, or in a circle, is refused', async () => {
    const construct = (policies) => createTestChecker({ policies }).then((world) => world.close())
    for (const policies of [
      { api: { extends: 'apy' } },
      { api: { extends: 'api' } },
      { api: { extends: 'web' }, web: { extends: 'api' } },
    ]) {
      await assert.rejects(construct(policies), { code: OPTION, message: /`policies\.(api|web)\.extends`/ })
    }
    await assert.rejects(construct({ api: { extends: 5 } }), {
      code: OPTION,
      message: /`policies\.api\.extends` must/,
    })
  })

  test('of itself is what a shipped policy does anyway', async (t) => {
    const { checker } = await startWithLogin(t, { extends: 'login', thresholds: { block: 60 } })
    assert.deepEqual(await verdict(checker, '192.0.2.60'), ['block', 'threshold_block'])
  })

  test('of two shipped policies by one another is refused', async () => {
    const policies = { login: { extends: 'payment' }, payment: { extends: 'login' } }
    const started = createTestChecker({ policies }).then((world) => world.close())
    await assert.rejects(started, { code: OPTION, message: /circle/ })
  })
})

describe('onFailure', () => {
  const ACTIONS = { open: 'allow', challenge: 'challenge', closed: 'hold' }

  async function answers(t, policy) {
    const { checker } = await startWithLogin(t, policy)
    const upstream = await checker.check(addressOf('503'))
    const exhausted = await checker.check(addressOf('429'))
    return [upstream.action, exhausted.action]
  }

  for (const [mode, action] of Object.entries(ACTIONS)) {
    test(`\`${mode}\` is for both kinds of failure`, async (t) => {
      assert.deepEqual(await answers(t, { onFailure: mode }), [action, action])
    })

    test(`\`${mode}\` may be for one kind, and the other stays`, async (t) => {
      assert.deepEqual(await answers(t, { onFailure: { upstream: mode } }), [action, 'challenge'])
      assert.deepEqual(await answers(t, { onFailure: { exhausted: mode } }), ['allow', action])
    })
  }

  test('may be empty, which changes nothing', async (t) => {
    assert.deepEqual(await answers(t, { onFailure: {} }), ['allow', 'challenge'])
  })

  test('decides what refused text, special-use space and unknown addresses get', async (t) => {
    for (const [mode, invalid, special, unknown] of [
      ['open', 'challenge', 'allow', 'allow'],
      ['challenge', 'challenge', 'challenge', 'challenge'],
      ['closed', 'hold', 'hold', 'challenge'],
    ]) {
      const { checker } = await startWithLogin(t, { onFailure: mode })
      const decisions = await checker.checkMany(['foo', '10.0.0.1', addressOf('404')])
      assert.deepEqual(
        decisions.map(({ action }) => action),
        [invalid, special, unknown],
      )
    }
  })

  test('of another value is refused', async () => {
    const expected = /`policies\.login\.onFailure` must be one of `open`, `challenge`, `closed`, not/
    for (const onFailure of ['Open', 'close', '', true, null, 5, []]) {
      await assertMistake({ onFailure }, OPTION, expected)
    }
    const inside = /`policies\.login\.onFailure\.upstream` must be one of `open`, `challenge`, `closed`, not/
    await assertMistake({ onFailure: { upstream: 'opened' } }, OPTION, inside)
  })
})

describe('maxAction', () => {
  test('caps the action and says so, but never caps a hold', async (t) => {
    const { checker } = await startWithLogin(t, { maxAction: 'log', deny: ['192.0.2.99'] })
    await assertVerdicts(checker, [
      ['192.0.2.0', 'allow', 'below_thresholds'],
      ['192.0.2.20', 'log', 'threshold_log'],
      ['192.0.2.45', 'log', 'threshold_challenge', 'max_action'],
      ['192.0.2.80', 'log', 'threshold_block', 'max_action'],
      ['192.0.2.99', 'log', 'deny_list', 'max_action'],
      ['429', 'log', 'failed_challenge', 'max_action'],
    ])
    const closed = await startWithLogin(t, { maxAction: 'allow', onFailure: 'closed' })
    assert.deepEqual(await verdict(closed.checker, '503'), ['hold', 'failed_closed'])
    assert.deepEqual(await verdict(closed.checker, 'score-80'), ['allow', 'threshold_block', 'max_action'])
  })

  test('comes after the rules', async (t) => {
    const rules = [{ id: 'any_vpn', when: { is_vpn: true }, atLeast: 'block' }]
    const { checker } = await startWithLogin(t, { rules, maxAction: 'challenge' })
    const expected = ['challenge', 'any_vpn', 'below_thresholds', 'max_action']
    assert.deepEqual(await verdict(checker, 'vpn-low'), expected)
  })

  test('of another value is refused', async () => {
    const expected = /`policies\.login\.maxAction` must be one of `allow`, `log`, `challenge`, `block`, not/
    for (const maxAction of ['hold', 'Block', null, 1]) await assertMistake({ maxAction }, OPTION, expected)
  })
})

describe('log-only', () => {
  test('allows, and says what `enforce` would have answered', async (t) => {
    const { checker } = await startTestChecker(t, {
      policies: { enforcing: { deny: ['192.0.2.99'] }, watching: { extends: 'enforcing', mode: 'log-only' } },
    })
    const names = ['score-0', 'score-20', 'score-45', 'score-80', '503', '429', '404', 'relay-high', 'vpn']
    for (const ip of [...names.map(addressOf), '192.0.2.99', 'foo', '10.0.0.1']) {
      const enforced = await checker.check(ip, { policy: 'enforcing' })
      const watched = await checker.check(ip, { policy: 'watching' })
      // The first of the two checks may have filled the cache.
      const differing = { source: watched.source, checkedAt: watched.checkedAt }
      const expected = { ...enforced, ...differing, policy: 'watching', mode: 'log-only', action: 'allow' }
      assert.deepEqual(watched, expected)
      assert.equal(watched.wouldBe, enforced.action)
    }
  })

  test('of a closed policy would hold', async (t) => {
    const { checker } = await startTestChecker(t, { policies: { payment: { mode: 'log-only' } } })
    const decision = await checker.check(addressOf('503'), { policy: 'payment' })
    assertDecision(decision, { action: 'allow', wouldBe: 'hold', failedClosed: true, failedOpen: false })
    assertDecision(decision, { failure: 'ERR_IP_RISK_UPSTREAM_STATUS', reasons: ['failed_closed'] })
  })

  test('of a policy leaves the others enforcing', async (t) => {
    const { checker } = await startTestChecker(t, { policies: { login: { mode: 'log-only' } } })
    assert.equal((await checker.check('192.0.2.80')).action, 'allow')
    assertDecision(await checker.check('192.0.2.80', { policy: 'payment' }), {
      action: 'block',
      mode: 'enforce',
    })
  })

  test('is one of two modes', async () => {
    const expected = /`policies\.login\.mode` must be one of `enforce`, `log-only`, not/
    for (const mode of ['logonly', 'dry-run', '', null, true]) await assertMistake({ mode }, OPTION, expected)
  })
})

describe('a mistake in a rule names its path', () => {
  const vpn = { id: 'own_rule', when: { is_vpn: true }, atLeast: 'log' }
  const { when: _when, ...withoutWhen } = vpn
  const { id: _id, ...withoutId } = vpn

  for (const [rule, code, text] of [
    [
      { ...vpn, when: { is_vpnn: true } },
      UNKNOWN_OPTION,
      '.when.is_vpnn` is not an option; did you mean `is_vpn`?',
    ],
    [
      { ...vpn, when: { isVpn: true } },
      UNKNOWN_OPTION,
      '.when.isVpn` is not an option; did you mean `is_vpn`?',
    ],
    [{ ...vpn, when: { is_vpn: 1 } }, OPTION, '.when.is_vpn` must be true or false, not `1`'],
    [{ ...vpn, when: { is_vpn: 'true' } }, OPTION, '.when.is_vpn` must be true or false, not `"true"`'],
    [{ ...vpn, when: { is_vpn: null } }, OPTION, '.when.is_vpn` must be true or false, not `null`'],
    [{ ...vpn, when: {} }, OPTION, '.when` must be an object with at least one flag'],
    [{ ...vpn, when: [] }, OPTION, '.when` must be an object'],
    [{ ...vpn, when: { threat_score: 50 } }, OPTION, '.when.threat_score` must be an object'],
    [
      { ...vpn, when: { threat_score: {} } },
      OPTION,
      '.when.threat_score` must be an object with `min`, `max` or both',
    ],
    [
      { ...vpn, when: { threat_score: { min: 101 } } },
      OPTION,
      '.when.threat_score.min` must be a whole number from 0',
    ],
    [
      { ...vpn, when: { threat_score: { min: 9, max: 8 } } },
      OPTION,
      '.when.threat_score`: `min` is above `max`',
    ],
    [
      { ...vpn, when: { threat_score: { least: 9 } } },
      UNKNOWN_OPTION,
      '.when.threat_score.least` is not an option',
    ],
    [{ ...vpn, when: { vpn_last_seen: 30 } }, OPTION, '.when.vpn_last_seen` must be an object'],
    [{ ...vpn, when: { vpn_last_seen: {} } }, OPTION, '.when.vpn_last_seen.withinDays` is missing'],
    [
      { ...vpn, when: { vpn_last_seen: { withinDays: -1 } } },
      OPTION,
      '.when.vpn_last_seen.withinDays` must be a whole',
    ],
    [
      { ...vpn, when: { vpn_last_seen: { days: 1 } } },
      UNKNOWN_OPTION,
      '.when.vpn_last_seen.days` is not an option',
    ],
    [{ ...vpn, when: { bot_type: 5 } }, OPTION, '.when.bot_type` must be a text'],
    [{ ...vpn, when: { bot_type: [] } }, OPTION, '.when.bot_type` must be a name or an array of names'],
    [{ ...vpn, when: { bot_type: ['a', ''] } }, OPTION, '.when.bot_type[1]` must be a text'],
    [{ ...vpn, when: { vpn_provider_names: true } }, OPTION, '.when.vpn_provider_names` must be a text'],
    [{ ...vpn, unless: { is_vpnn: true } }, UNKNOWN_OPTION, '.unless.is_vpnn` is not an option'],
    [
      { ...vpn, unless: [{ is_tor: true }, {}] },
      OPTION,
      '.unless[1]` must be an object with at least one flag',
    ],
    [
      { ...vpn, atLeast: 'hold' },
      OPTION,
      '.atLeast` must be one of `allow`, `log`, `challenge`, `block`, not `"hold"`',
    ],
    [
      { ...vpn, atMost: 'deny' },
      OPTION,
      '.atMost` must be one of `allow`, `log`, `challenge`, `block`, not `"deny"`',
    ],
    [{ ...vpn, atLeast: 'block', atMost: 'log' }, OPTION, '`: `atLeast` is above `atMost`'],
    [{ ...vpn, atLeast: undefined }, OPTION, '`: a rule needs `atLeast` or `atMost`'],
    [{ ...vpn, routes: [] }, OPTION, '.routes` must be an array of at least one route'],
    [{ ...vpn, action: 'block' }, UNKNOWN_OPTION, '.action` is not an option'],
    [{ ...vpn, atleast: 'block' }, UNKNOWN_OPTION, '.atleast` is not an option; did you mean `atLeast`?'],
    [{ ...vpn, id: 'OwnRule' }, OPTION, '.id` must be a lower_snake code'],
    [{ ...vpn, id: 'own-rule' }, OPTION, '.id` must be a lower_snake code'],
    [{ ...vpn, id: '1_rule' }, OPTION, '.id` must be a lower_snake code'],
    [{ ...vpn, id: '' }, OPTION, '.id` must be a lower_snake code'],
    [{ ...vpn, id: 'a'.repeat(65) }, OPTION, '.id` must be a lower_snake code'],
    [{ ...vpn, id: 'threshold_block' }, OPTION, '`: `threshold_block` is a reason of its own'],
    [{ ...vpn, id: 'allow_list' }, OPTION, '`: `allow_list` is a reason of its own'],
    [withoutId, OPTION, '.id` is missing'],
    [withoutWhen, OPTION, '.when` is missing'],
    [{ id: 'relay', enabled: 'no' }, OPTION, '.enabled` must be true or false, not `"no"`'],
    [{ id: 'relay', enabled: false, when: { is_vpn: true } }, UNKNOWN_OPTION, '.when` is not an option'],
    [{ enabled: false }, OPTION, '.id` is missing'],
    [null, OPTION, '` must be an object, not `null`'],
    ['relay', OPTION, '` must be an object, not `"relay"`'],
  ]) {
    test(JSON.stringify(rule).slice(0, 90), () =>
      assertMistake({ rules: [rule] }, code, literal(`\`policies.login.rules[0]${text}`)),
    )
  }

  test('in the id of a rule to be switched names the nearest', async () => {
    const rules = [{ id: 'known_atacker', enabled: false }]
    await assertMistake({ rules }, UNKNOWN_OPTION, /policies\.login\.rules\[0\].*`known_attacker`/)
  })

  test('in a list that is none', async () => {
    for (const rules of [null, {}, 'relay', 5]) {
      await assertMistake({ rules }, OPTION, /`policies\.login\.rules` must be an array/)
    }
  })
})
