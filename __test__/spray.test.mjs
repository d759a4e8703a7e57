import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startTestChecker } from './support/start.mjs'

/** How many ask at once. */
const CALLERS = 500
/** Nothing in here is about time. */
const PATIENT = { deadlineMs: 60_000, connectTimeoutMs: 60_000 }

/** The client number `number`, in a /24 of its own. */
function clientOf(number) {
  return `11.${number >> 8}.${number & 255}.17`
}

/** The client of a /64 of its own, all of them in one /48. */
function siblingOf(number) {
  return `2600:1:2:${number.toString(16)}::1`
}

function manyOf(count, clientOf) {
  return Array.from({ length: count }, (_, number) => clientOf(number))
}

/** Checks all, some at once, in their order; the decisions are in that order too. */
async function checkAll(checker, ips, options) {
  const decisions = []
  let next = 0
  async function ask() {
    while (next < ips.length) {
      const place = next++
      decisions[place] = await checker.check(ips[place], options)
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, ask))
  return decisions
}

describe('in a spray of new addresses', () => {
  test('no more is spent than the budget allows, and those who come after it are challenged', async (t) => {
    const options = { budget: { perDay: 500, reserved: 20 }, ...PATIENT }
    const { checker, api } = await startTestChecker(t, options)
    const decisions = await checkAll(checker, manyOf(3_000, clientOf))
    const [answered, others] = [true, false].map((isApi) =>
      decisions.filter(({ source }) => (source === 'api') === isApi),
    )
    assert.equal(answered.length, 400, 'a fifth is reserved')
    assert.equal(api.credits, 800)
    const said = others.map(({ action, failure, failedOpen }) => `${action} ${failure} ${failedOpen}`)
    assert.deepEqual([...new Set(said)], ['challenge ERR_IP_RISK_BUDGET false'])
  })

  test('what is reserved is still there for a policy of high priority, and then it closes', async (t) => {
    const options = { budget: { perDay: 500, reserved: 20 }, ...PATIENT }
    const { checker, api } = await startTestChecker(t, options)
    await checkAll(checker, manyOf(1_000, clientOf))
    const others = manyOf(1_000, (number) => clientOf(number + 1_000))
    const decisions = await checkAll(checker, others, { policy: 'payment' })
    assert.equal(decisions.filter(({ source }) => source === 'api').length, 100)
    const held = decisions.filter(({ action }) => action === 'hold')
    assert.equal(held.length, 900)
    assert.ok(held.every(({ failure }) => failure === 'ERR_IP_RISK_BUDGET'))
    assert.equal(api.credits, 1_000)
  })

  test('whoever is known is let in when the budget is spent', async (t) => {
    const { checker } = await startTestChecker(t, { budget: { perDay: 500 }, ...PATIENT })
    const known = manyOf(100, clientOf)
    await checkAll(checker, known)
    const others = manyOf(1_000, (number) => clientOf(number + 1_000))
    const refused = (await checkAll(checker, others)).filter(
      ({ failure }) => failure === 'ERR_IP_RISK_BUDGET',
    )
    assert.equal(refused.length, 700, 'it is spent')
    const decisions = await checkAll(checker, known)
    assert.ok(decisions.every(({ source, action }) => source === 'memory' && action === 'allow'))
  })

  test('a /48 that comes with all its /64s leaves the others their look-ups', async (t) => {
    const { checker, api } = await startTestChecker(t, { budget: { perDay: 600 }, ...PATIENT })
    const unrelated = manyOf(200, clientOf)
    // One of them after every twenty siblings.
    const all = manyOf(4_000, siblingOf)
    unrelated.forEach((ip, number) => all.splice(21 * number + 20, 0, ip))
    const decisions = await checkAll(checker, all)
    const sources = new Map(all.map((ip, place) => [ip, decisions[place].source]))
    const lookedUp = unrelated.filter((ip) => sources.get(ip) === 'api')
    assert.equal(lookedUp.length, unrelated.length)
    assert.ok(api.requestCount() > 0 && api.credits <= 2 * (200 + 100), `${api.credits} credits`)
    const siblings = decisions.filter(({ ip, source }) => ip.startsWith('2600:') && source !== 'api')
    assert.ok(siblings.length > 3_900, `${siblings.length} siblings were not looked up`)
    const isJudged = ({ reasons, failure }) =>
      reasons.includes('neighbour_evidence') || failure === 'ERR_IP_RISK_BUDGET'
    assert.ok(siblings.every(isJudged))
    assert.ok(siblings.some(({ reasons }) => reasons.includes('neighbour_evidence')))
  })
})
