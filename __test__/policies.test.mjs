/** What a policy says: thresholds, another policy that it extends, its failure modes, its highest action, its mode. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { createTestChecker } from './support/package.mjs'
import { OPTION, assertMistake, assertVerdicts, startWithLogin, verdict } from './support/policies.mjs'
import { addressOf, startTestChecker } from './support/start.mjs'

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
