// One side of `spray`, in a process of its own: `side.mjs NAME API_URL REDIS_URL CALLERS COUNT`.
//
// `CALLERS` ask at once, about `COUNT` new addresses together.

import { serveRounds } from '../../serve.mjs'
import { limitFetch, makeIpRisk, makeTutorial } from '../../sides/askers.mjs'
import { addressOf, measureSpray, range, spray } from '../../sprayer.mjs'

/** Asked about before the clock starts, so that no side pays for its first call. */
const MOST_WARM_UP = 2_000
/** What the upstream takes at once. */
const CONNECTIONS = 100

const [name, api, redisUrl, ...numbers] = process.argv.slice(2)
const [callers, count] = numbers.map(Number)

const sides = {
  raised: () => makeIpRisk(api, { maxInFlight: 2_000 }),
  shipped: () => makeIpRisk(api),
  alone: () => makeIpRisk(api, { batch: false }),
  async limited() {
    await limitFetch(CONNECTIONS)
    return makeTutorial(api, redisUrl)
  },
  unlimited: () => makeTutorial(api, redisUrl),
}

const call = await sides[name]()
const warmUp = Math.min(MOST_WARM_UP, count / 4)
await spray(callers, range(0, warmUp).map(addressOf), call)
const addresses = range(warmUp, count).map(addressOf)
serveRounds(() => measureSpray(callers, addresses, call), { rssMb: process.memoryUsage.rss() / 1e6 })
