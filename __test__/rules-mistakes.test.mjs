/** Mistakes in the rules of a policy, each of which stops the start. */
import { describe, test } from 'node:test'
import { literal } from './support/literal.mjs'
import { OPTION, UNKNOWN_OPTION, assertMistake } from './support/policies.mjs'

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
