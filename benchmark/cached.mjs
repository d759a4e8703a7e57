// Measures what a cached answer costs: `npm run bench`. The method and the figures stand in README.md beside this.
//
// All sides run in one process, in turn, round after round, on the same 10,000 addresses in the same random order.

import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { createTutorial } from './sides/tutorial.mjs'
import { createPaste } from './sides/paste.mjs'
import { startRedis } from './sides/redis.mjs'

const require = createRequire(import.meta.url)
const { RiskChecker, riskMiddleware } = require('../lib/index.js')
const { startMockApi } = require('../lib/testing.js')

const ADDRESSES = 10_000
const ROUNDS = Number(process.env.ROUNDS ?? 15)
const CALLS = { fast: 200_000, redis: 20_000 }

/** Public addresses, all different, in a random but fixed order. */
function addresses() {
  const all = Array.from({ length: ADDRESSES }, (_, index) => `45.${index >> 8}.${index & 255}.17`)
  let seed = 42
  for (let index = all.length - 1; index > 0; index--) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    const other = seed % (index + 1)
    ;[all[index], all[other]] = [all[other], all[index]]
  }
  return all
}

/** Reads what a login handler reads, so that no side can leave it undone. */
function readDecision({ score, flags, reasons, action, failedOpen }) {
  return score + reasons.length + action.length + (flags.is_vpn ? 1 : 0) + (failedOpen ? 1 : 0)
}

function readTutorial({ score, flags, failedOpen }) {
  return score + (flags.is_vpn ? 1 : 0) + (failedOpen ? 1 : 0)
}

/** A request as Express hands it on, without a socket of its own: what is measured is the gate. */
function requestOf(ip) {
  return { ip, headers: {}, socket: { remoteAddress: ip }, app: undefined, ipRisk: undefined }
}

const response = { statusCode: 200, headersSent: false, setHeader() {}, end() {} }

function listOf(count) {
  return Array.from({ length: count }, (_, index) => `203.${index}.0.0/16`)
}

async function timed(calls, call) {
  const start = process.hrtime.bigint()
  await call(calls)
  return Number(process.hrtime.bigint() - start) / calls
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

const api = await startMockApi()
const redis = await startRedis()
const checker = new RiskChecker({ apiKey: 'benchmark', endpoint: api.url, logger: false })
const all = addresses()
for (const [index, ip] of all.entries()) api.answer(ip, { threat_score: index % 20 })
await checker.checkMany(all)
const gate = riskMiddleware({ checker, deny: listOf(100) })
const paste = createPaste(api.url)
const tutorial = createTutorial(api.url, redis.url)
await paste.warm(all)
await tutorial.warm(all)

let sink = 0
let passed = 0
const next = () => passed++
const sides = {
  'ip-risk: await check(ip)': [
    CALLS.fast,
    async (calls) => {
      for (let at = 0; at < calls; at++) sink += readDecision(await checker.check(all[at % ADDRESSES]))
    },
  ],
  'tutorial: await its Redis hit': [
    CALLS.redis,
    async (calls) => {
      for (let at = 0; at < calls; at++) sink += readTutorial(await tutorial.look(all[at % ADDRESSES]))
    },
  ],
  'ip-risk: middleware call': [
    CALLS.fast,
    async (calls) => {
      for (let at = 0; at < calls; at++) {
        const request = requestOf(all[at % ADDRESSES])
        gate(request, response, next)
        sink += readDecision(request.ipRisk)
      }
    },
  ],
  'lru-cache: get and the same object': [
    CALLS.fast,
    async (calls) => {
      for (let at = 0; at < calls; at++) {
        const request = requestOf(all[at % ADDRESSES])
        paste.gate(request, response, next)
        sink += readDecision(request.ipRisk)
      }
    },
  ],
  'ip-risk: peek(ip)': [
    CALLS.fast,
    async (calls) => {
      for (let at = 0; at < calls; at++) sink += readDecision(checker.peek(all[at % ADDRESSES]))
    },
  ],
}

const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]))
for (let round = -1; round < ROUNDS; round++) {
  for (const [name, [calls, call]] of Object.entries(sides)) {
    const nanoseconds = await timed(calls, call)
    if (round >= 0) results[name].push(nanoseconds) // the first round warms up
  }
}

console.log(
  `Node.js ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} processors, ${cpus()[0].model}`,
)
console.log(`${ADDRESSES} addresses, ${ROUNDS} rounds, median (least to most) in ns per call\n`)
for (const [name, values] of Object.entries(results)) {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  console.log(
    `${name.padEnd(38)} ${median(values).toFixed(0).padStart(8)}  (${least.toFixed(0)} to ${most.toFixed(0)})`,
  )
}
const ratio = (one, other) => {
  const pairs = results[one].map((value, round) => value / results[other][round])
  return median(pairs)
}
console.log('')
console.log(
  `check against the tutorial's Redis hit: ${(1 / ratio('ip-risk: await check(ip)', 'tutorial: await its Redis hit')).toFixed(0)} times faster`,
)
console.log(
  `middleware against lru-cache: ${ratio('ip-risk: middleware call', 'lru-cache: get and the same object').toFixed(2)} times its time`,
)
if (sink === 0 || passed === 0) throw new Error('nothing was measured')

await tutorial.close()
await redis.close()
await checker.close()
await api.close()
