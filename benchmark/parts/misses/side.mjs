// One side of `misses`, in a process of its own: `side.mjs NAME API_URL REDIS_URL CALLERS COUNT`. A round asks about `COUNT`
// addresses that have never come.

import { serveRounds } from '../../serve.mjs'
import { makeIpRisk, makePaste, makeTutorial } from '../../sides/askers.mjs'
import { addressOf, measureSpray, range } from '../../sprayer.mjs'

const [name, api, redisUrl, ...numbers] = process.argv.slice(2)
const [callers, count] = numbers.map(Number)

const sides = {
  shipped: () => makeIpRisk(api),
  alone: () => makeIpRisk(api, { batch: false }),
  paste: () => makePaste(api),
  tutorial: () => makeTutorial(api, redisUrl),
}

const call = sides[name]()
let first = 0
serveRounds(async () => {
  const addresses = range(first, count).map(addressOf)
  first += count
  return measureSpray(callers, addresses, call)
})
