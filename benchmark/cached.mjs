// Measures what a cached answer costs: `npm run bench`. The method and the figures stand in README.md beside this.
//
// Each side runs in a process of its own, as an application has only one of them, so that no side pays for what
// another leaves on the heap. The processes take turns, round after round, and ratios are those of a round.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { startRedis } from './sides/redis.mjs'

const require = createRequire(import.meta.url)
const { startMockApi } = require('../lib/testing.js')

const ROUNDS = Number(process.env.ROUNDS ?? 15)
const SIDES = {
  check: 'ip-risk: await check(ip)',
  tutorial: 'tutorial: await its Redis hit',
  middleware: 'ip-risk: middleware call',
  paste: 'lru-cache: get and the same object',
  peek: 'ip-risk: peek(ip)',
}
const PROGRAM = fileURLToPath(new URL('./side.mjs', import.meta.url))

async function startSide(name, ...urls) {
  const child = fork(PROGRAM, [name, ...urls])
  await once(child, 'message')
  return {
    async round() {
      child.send('round')
      const [nanoseconds] = await once(child, 'message')
      return nanoseconds
    },
    async close() {
      child.send('end')
      await once(child, 'exit')
    },
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

function ratio(one, other) {
  return median(one.map((value, round) => value / other[round]))
}

const api = await startMockApi()
const redis = await startRedis()
const sides = {}
for (const name of Object.keys(SIDES)) sides[name] = await startSide(name, api.url, redis.url)

const results = Object.fromEntries(Object.keys(SIDES).map((name) => [name, []]))
for (let round = -1; round < ROUNDS; round++) {
  for (const [name, side] of Object.entries(sides)) {
    const nanoseconds = await side.round()
    if (round >= 0) results[name].push(nanoseconds) // the first round warms up
  }
}

const { version, platform, arch } = process
console.log(`Node.js ${version}, ${platform} ${arch}, ${cpus().length} processors, ${cpus()[0].model}`)
console.log(`10,000 addresses, ${ROUNDS} rounds, median (least to most) in ns per call\n`)
for (const [name, values] of Object.entries(results)) {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const spread = `(${least.toFixed(0)} to ${most.toFixed(0)})`
  console.log(`${SIDES[name].padEnd(36)} ${median(values).toFixed(0).padStart(8)}  ${spread}`)
}
const { check, tutorial, middleware, paste } = results
console.log(`\ncheck: ${ratio(tutorial, check).toFixed(0)} times faster than the tutorial's Redis hit`)
console.log(`middleware: ${ratio(middleware, paste).toFixed(1)} times the time of lru-cache`)

for (const side of Object.values(sides)) await side.close()
await redis.close()
await api.close()
