// What the gate costs in a live Express server.

import { processMs } from '../processors.mjs'
import { closeAll, median, ratio, roundsOf, shown, startSide, takeTurns, whole } from '../rounds.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, logIn, startUpstream } from '../sides/upstream.mjs'

export const title = 'What a gate costs in Express'

export const needs = ['cargo', 'redis-server']

const ROUNDS = roundsOf(20)
const KNOWN = 1_000
/** Requests of known addresses before the first round: they fill the caches, and V8 compiles what is used. */
const WARM_UP = 10_000
const SIDES = { bare: 'no gate', gate: 'ip-risk', paste: 'paste', tutorial: 'tutorial' }
/** How many of a hundred requests come from a new address, from how many connections, and how many requests a round has. */
const LOADS = [
  { newPercent: 0, connections: 8, requests: 5_000 },
  { newPercent: 1, connections: 8, requests: 3_000 },
  { newPercent: 10, connections: 8, requests: 3_000 },
  { newPercent: 100, connections: 100, requests: 3_000 },
]

export const method = `
Express 5 with \`app.set('trust proxy', 'loopback')\`, \`POST /login\` with a gate before a handler that reads score, flags and
\`requireMfa\`, and answers JSON; each side is a server in a process of its own.

| side | the gate |
|---|---|
| ${SIDES.bare} | none: what Express and the handler take by themselves, whatever the addresses |
| ${SIDES.gate} | \`riskMiddleware({ checker })\` as it ships, but with \`logger: false\`: no side writes a log |
| ${SIDES.paste} | a careful paste: \`lru-cache\`, an \`undici\` pool of 100 connections for misses, an object with the same fields |
| ${SIDES.tutorial} | global \`fetch\` with \`AbortSignal.timeout\`, \`ioredis\` with a time to live, a real \`redis-server\` on this machine |

The clients are a Rust program with connections that are kept alive, each of which sends a request after the answer to the one
before, with \`X-Forwarded-For\`. Known addresses are ${whole(KNOWN)}, and known to a side from ${whole(WARM_UP)} requests that do not count; new ones have
never come. ${LOADS.map(({ newPercent, connections, requests }) => `With ${newPercent} % new: ${connections} connections, ${whole(requests)} requests a round.`).join(' ')}
Every cache holds an answer for an hour. The provider is the Rust upstream without a latency. The first round warms up and does not
count; ${ROUNDS} rounds. CPU is user and system time of the server's process, all its threads included; what Redis and the
upstream take is not in it. p50 and p99 are those that the clients see when the server is never idle, so mostly waiting in line.`

/** A side under one load: its first rounds make all addresses known that come again. */
async function startServer(name, load, { upstream, redis }) {
  const side = await startSide('parts/express/side.mjs', [name, upstream.url, redis.url])
  const { port } = side.facts
  const newAddresses = (load.requests * load.newPercent) / 100
  await logIn({ ...load, port, known: KNOWN, newPercent: 0, first: 0, requests: WARM_UP })
  let first = WARM_UP
  return {
    async round() {
      const upstreamMs = processMs(upstream.pid)
      const before = await side.round()
      const seen = await logIn({ ...load, port, known: KNOWN, first })
      const after = await side.round()
      first += load.requests
      const cpuUs = after.user + after.system - before.user - before.system
      const upstreamUs = ((processMs(upstream.pid) - upstreamMs) * 1e3) / newAddresses
      return { ...seen, cpuUs: cpuUs / seen.requests, upstreamUs }
    },
    close: side.close,
  }
}

/** The rounds of each side under one load, and how busy the upstream was meanwhile. */
async function measureLoad(load) {
  const [redis, upstream] = await Promise.all([
    startRedis(), // empty, because all loads have the same new addresses
    startUpstream({ latencyMs: 0, connections: 1_000 }),
  ])
  const names = Object.keys(SIDES).filter((name) => name !== 'bare' || load.newPercent === 0)
  const sides = {}
  for (const name of names) sides[name] = await startServer(name, load, { upstream, redis })
  const before = await upstream.counts()
  const rounds = await takeTurns(sides, ROUNDS)
  const after = await upstream.counts()
  await closeAll(sides)
  await Promise.all([redis.close(), upstream.close()])
  const questions = (ROUNDS + 1) * 3 * ((load.requests * load.newPercent) / 100)
  if (after.addresses - before.addresses !== questions) {
    throw new Error(`${after.addresses - before.addresses} addresses were looked up, not ${questions}`)
  }
  return { load, rounds }
}

const valuesOf = (rounds, name, value) => rounds[name].map((round) => round[value])

function showLoad({ load: { newPercent, connections }, rounds }) {
  const rows = Object.keys(rounds).map((name) => {
    const columns = ['cpuUs', 'p50Ms', 'p99Ms', 'perSecond'].map((value) =>
      shown(valuesOf(rounds, name, value)),
    )
    return [SIDES[name], ...columns]
  })
  const columns = ['side', 'CPU per request, µs', 'p50, ms', 'p99, ms', 'requests per second']
  return { title: `${newPercent} % new addresses, ${connections} connections:`, columns, rows }
}

function compare({ load: { newPercent }, rounds }, other, value, unit, target) {
  const [ours, theirs] = ['gate', other].map((name) => valuesOf(rounds, name, value))
  const quantity = value === 'cpuUs' ? 'CPU per request' : 'requests per second'
  return {
    what: `Express, ${newPercent} % new addresses, ${quantity}`,
    ours: { side: 'ip-risk', values: ours, unit },
    theirs: { side: SIDES[other], values: theirs, unit },
    better: value === 'cpuUs' ? 'lower' : 'higher',
    target: target && { text: target.text, met: target.test(ratio(ours, theirs)) },
  }
}

function compareLoads(measured) {
  const [cached] = measured
  const all = measured.at(-1)
  const cpu = (load, other, target) => compare(load, other, 'cpuUs', 'µs', target)
  return [
    cpu(cached, 'bare'),
    cpu(cached, 'paste', { text: 'at most 1.03', test: (times) => times <= 1.03 }),
    cpu(cached, 'tutorial', { text: 'at most 0.90', test: (times) => times <= 0.9 }),
    ...measured.slice(1).flatMap((load) => [cpu(load, 'paste'), cpu(load, 'tutorial')]),
    compare(all, 'paste', 'perSecond', 'per second'),
    compare(all, 'tutorial', 'perSecond', 'per second', { text: 'at least 3', test: (times) => times >= 3 }),
  ]
}

/** What an address of the side that costs the upstream the most costs it. */
function dearest(rounds) {
  return Math.max(...Object.keys(rounds).map((name) => median(valuesOf(rounds, name, 'upstreamUs'))))
}

export async function run() {
  buildUpstream()
  const measured = []
  for (const load of LOADS) measured.push(await measureLoad(load))
  const upstreamUs = dearest(measured.at(-1).rounds)
  const notes = [
    `With new addresses alone, one cost the upstream ${upstreamUs.toFixed(0)} µs of its own thread in the median of the side for which it cost the most, so that it could have answered ${whole(1e6 / upstreamUs)} a second.`,
    'Server, clients, Redis and upstream share the processors; requests per second depend on all of them, CPU per request only on the server.',
  ]
  return { tables: measured.map(showLoad), ratios: compareLoads(measured), notes }
}
