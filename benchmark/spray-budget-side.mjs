// A process that does its part of `spray-budget.mjs`: `spray-budget-side.mjs NAME API_URL REDIS_URL LOOK_UPS PART`, with an
// empty `REDIS_URL` for none, and `PART` to tell the addresses of several processes apart.
//
// Counts are by source, action and failure, as `api allow -` or `none challenge ERR_IP_RISK_BUDGET`.

import { makeChecker } from './sides/ip-risk.mjs'
import { addressOf, range, spray } from './sprayer.mjs'

/** As many as `maxInFlight`, so that nobody is turned away for coming at once. */
const CALLERS = 1_000
const LOGINS = 100_000
const PAYMENTS = 5_000
const SIBLINGS = 65_536
const UNRELATED = 1_000

const [name, endpoint, redis, lookUps, part] = process.argv.slice(2)
const checker = makeChecker(endpoint, {
  redis: redis === '' ? false : redis,
  budget: { perDay: Number(lookUps) },
  policies: { payment: { priority: 'high' } },
})

function check(policy) {
  return async (ip) => {
    const { source, action, failure } = await checker.check(ip, { policy })
    return `${source} ${action} ${failure ?? '-'}`
  }
}

/** Logins of new addresses until the budget is long spent, then payments, which have a share of their own. */
async function spend() {
  const first = Number(part) * (LOGINS + PAYMENTS)
  const logins = await spray(CALLERS, range(first, LOGINS).map(addressOf), check('login'))
  const payments = await spray(CALLERS, range(first + LOGINS, PAYMENTS).map(addressOf), check('payment'))
  return { logins, payments }
}

/** Everybody in one /48, and among them those of other networks. */
async function mix() {
  const siblings = range(0, SIBLINGS).map((number) => ({ ip: `2600:1:2:${number.toString(16)}::1` }))
  const unrelated = range(0, UNRELATED).map((number) => ({ ip: addressOf(number), isUnrelated: true }))
  const all = [...siblings, ...unrelated]
  const places = new Map(all.map((client, index) => [client, Math.imul(index, 0x9e3779b1) >>> 0]))
  all.sort((one, other) => places.get(one) - places.get(other))
  const ask = check('login')
  const counts = { siblings: {}, unrelated: {} }
  await spray(CALLERS, all, async ({ ip, isUnrelated }) => {
    const said = await ask(ip)
    const which = counts[isUnrelated ? 'unrelated' : 'siblings']
    which[said] = (which[said] ?? 0) + 1
    return null
  })
  return counts
}

const parts = { spend, mix }
process.on('message', async (message) => {
  if (message !== 'round') process.exit()
  const counts = await parts[name]()
  process.send({ ...counts, neighbours: checker.stats().rungs.neighbour })
})
process.send({})
