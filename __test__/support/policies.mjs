/** What tests of policies share. */
import assert from 'node:assert/strict'
import { createTestChecker } from './package.mjs'
import { addressOf, publicAddress, startTestChecker } from './start.mjs'

export const OPTION = 'ERR_IP_RISK_OPTION'
export const UNKNOWN_OPTION = 'ERR_IP_RISK_UNKNOWN_OPTION'
export const DAY = 86_400_000
/** Every shipped rule; switching them all off leaves the thresholds. */
export const SHIPPED = [
  'residential_proxy',
  'known_attacker',
  'relay',
  'relay_below_block',
  'corporate_gateway',
  'known_good_bot',
]

export const SHIPPED_OFF = SHIPPED.map((id) => ({ id, enabled: false }))

/** A test checker whose policy `login` is this one. */
export function startWithLogin(t, login, options) {
  return startTestChecker(t, { ...options, policies: { login } })
}

/** Action and reasons for the card of that name, or for an address. */
export async function verdict(checker, nameOrAddress, options) {
  const ip = /[.:]/.test(nameOrAddress) ? nameOrAddress : addressOf(nameOrAddress)
  const { action, reasons } = await checker.check(ip, options)
  return [action, ...reasons]
}

export async function assertVerdicts(checker, rows) {
  for (const [name, ...expected] of rows) {
    assert.deepEqual(await verdict(checker, name), expected, name)
  }
}

/** Whether a policy with this one rule raises an address of which the API says `security`. */
export async function applies(t, rule, security, options) {
  const rules = [...SHIPPED_OFF, { id: 'own_rule', atLeast: 'challenge', ...rule }]
  const { checker, api } = await startWithLogin(t, { rules })
  api.answer(publicAddress(1), security)
  const [action, ...reasons] = await verdict(checker, publicAddress(1), options)
  assert.equal(action === 'challenge', reasons.includes('own_rule'))
  return action === 'challenge'
}

export async function assertMistake(login, code, message) {
  const started = createTestChecker({ policies: { login } }).then((world) => world.close())
  await assert.rejects(started, { code, message })
}
