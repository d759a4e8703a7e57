// Measures what a cached answer costs: `npm run bench`. The method and the figures stand in README.md beside this.
//
// The processes of the sides take turns, round after round, and ratios are those of a round.

import { createRequire } from 'node:module'
import { ROUNDS, closeAll, machine, ratio, shown, startSide, takeTurns } from './rounds.mjs'
import { startRedis } from './sides/redis.mjs'

const require = createRequire(import.meta.url)
const { startMockApi } = require('../lib/testing.js')

const SIDES = {
  check: 'ip-risk: await check(ip)',
  tutorial: 'tutorial: await its Redis hit',
  middleware: 'ip-risk: middleware call',
  paste: 'lru-cache: get and the same object',
  peek: 'ip-risk: peek(ip)',
}

const api = await startMockApi()
const redis = await startRedis()
const sides = {}
for (const name of Object.keys(SIDES)) sides[name] = await startSide('side.mjs', [name, api.url, redis.url])
const results = await takeTurns(sides)

console.log(machine())
console.log(`10,000 addresses, ${ROUNDS} rounds, median (least to most) in ns per call\n`)
for (const [name, values] of Object.entries(results)) {
  console.log(`${SIDES[name].padEnd(36)} ${shown(values)}`)
}
const { check, tutorial, middleware, paste } = results
console.log(`\ncheck: ${ratio(tutorial, check).toFixed(0)} times faster than the tutorial's Redis hit`)
console.log(`middleware: ${ratio(middleware, paste).toFixed(1)} times the time of lru-cache`)

await closeAll(sides)
await redis.close()
await api.close()
