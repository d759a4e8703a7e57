// What an address costs that has to be looked up.

import { processMs } from '../processors.mjs'
import { closeAll, figure, median, ratio, roundsOf, shown, startSide, takeTurns, whole } from '../rounds.mjs'
import { startNginx } from '../sides/nginx.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, loadUpstream, startUpstream } from '../sides/upstream.mjs'

export const title = 'What a miss costs at `check()`'

export const needs = ['cargo', 'nginx', 'redis-server']

const ROUNDS = roundsOf(10)
const CALLERS = 100
/** How many addresses a round has: as many as take each side about a second. */
const SIDES = {
  shipped: { title: 'ip-risk, as it ships', count: 20_000 },
  alone: { title: 'ip-risk, `batch: false`', count: 10_000 },
  paste: { title: 'paste: `undici` and `lru-cache`', count: 5_000 },
  tutorial: { title: 'tutorial: `fetch` and `ioredis`', count: 3_000 },
}
const SINGLE = ['alone', 'paste', 'tutorial']
const LATENCY_NONE = { latencyMs: 0, connections: 1_000 }

export const method = `
${CALLERS} callers at once, each of whom asks about one new address after the other. One call is \`await check(ip)\` of ip-risk, and for the
others the function behind their gate: \`undici\` with a pool of 100 connections and \`lru-cache\`, or global \`fetch\` with
\`AbortSignal.timeout\` and \`ioredis\` on a real \`redis-server\`. Two upstreams without a latency: nginx with one body of all 27 fields
for whatever address, which knows no lists, so that ip-risk asks singly (\`batch: false\`) as the others do; and our Rust upstream,
which answers lists too, for ip-risk as it ships. No side writes a log. A round is
${Object.values(SIDES)
  .map(({ title, count }) => `${whole(count)} addresses (${title})`)
  .join(', ')};
the first warms up and does not count; ${ROUNDS} rounds. CPU is user and system time of the process, all its threads included; "main
thread" is what the thread that runs JavaScript had a processor for. The delay of the event loop includes the millisecond of the timer
that measures it. Everything had evidence of the provider, or the part fails.`

/** What nginx says: what the Rust upstream says of one address. */
async function securityOf(upstream) {
  return (await (await fetch(`${upstream.url}/v3/security?apiKey=benchmark&ip=24.0.0.1`)).json()).security
}

/** A side that says how much of the upstream's time its round took. */
async function startAsker(name, upstream, redis) {
  const { count } = SIDES[name]
  const side = await startSide('parts/misses/side.mjs', [name, upstream.url, redis.url, CALLERS, count])
  return {
    async round() {
      const before = processMs(upstream.pid)
      const round = await side.round()
      const upstreamMs = processMs(upstream.pid) - before
      if (round.lost > 0)
        throw new Error(`no evidence: ${JSON.stringify(round.failures)} (${SIDES[name].title})`)
      return {
        ...round,
        perSecond: count / round.seconds,
        cpuUs: (round.cpuMs * 1e3) / count,
        mainUs: (round.mainMs * 1e3) / count,
        busyPercent: upstreamMs / round.seconds / 10,
      }
    },
    close: side.close,
  }
}

/** All sides have the same addresses, so that Redis must be empty. */
async function measure(names, upstream) {
  const redis = await startRedis()
  const sides = {}
  for (const name of names) sides[name] = await startAsker(name, upstream, redis)
  const rounds = await takeTurns(sides, ROUNDS)
  await closeAll(sides)
  await redis.close()
  return rounds
}

/** The same, when the upstream counts what it was asked: everything must have come to it. */
async function measureCounted(names, upstream) {
  const rounds = await measure(names, upstream)
  const { addresses } = await upstream.counts()
  const wanted = names.reduce((sum, name) => sum + SIDES[name].count * (ROUNDS + 1), 0)
  if (addresses < wanted) throw new Error(`only ${addresses} of ${wanted} addresses were looked up`)
  return rounds
}

const valuesOf = (rounds, name, value) => rounds[name].map((round) => round[value])

function showRounds(upstream, rounds) {
  const columns = {
    'answered per second': 'perSecond',
    'CPU per miss, µs': 'cpuUs',
    'main thread per miss, µs': 'mainUs',
    'event loop p99, ms': 'delayMs',
    'upstream busy, %': 'busyPercent',
  }
  const rows = Object.keys(rounds).map((name) => {
    return [SIDES[name].title, ...Object.values(columns).map((value) => shown(valuesOf(rounds, name, value)))]
  })
  return { title: `${upstream}:`, columns: ['side', ...Object.keys(columns)], rows }
}

const QUANTITIES = {
  perSecond: { name: 'misses answered per second', unit: 'per second', better: 'higher', text: 'at least 5' },
  mainUs: { name: 'main-thread time per miss', unit: 'µs', better: 'lower', text: 'at most 1/8' },
  cpuUs: { name: 'CPU per miss', unit: 'µs', better: 'lower' },
}

function compare(upstream, rounds, [ourName, otherName], value, isMet) {
  const { name, unit, better, text } = QUANTITIES[value]
  const [ours, theirs] = [ourName, otherName].map((side) => valuesOf(rounds, side, value))
  return {
    what: `${name}, ${upstream}`,
    ours: { side: SIDES[ourName].title, values: ours, unit },
    theirs: { side: SIDES[otherName].title, values: theirs, unit },
    better,
    target: isMet && text !== undefined ? { text, met: isMet(ratio(ours, theirs)) } : undefined,
  }
}

/** The wanted figures are about the tutorial, whichever way ip-risk asks. */
function compareWith(upstream, rounds, ours) {
  const tests = { perSecond: (times) => times >= 5, mainUs: (times) => times <= 1 / 8 }
  return Object.keys(QUANTITIES).flatMap((value) => [
    compare(upstream, rounds, [ours, 'tutorial'], value, tests[value]),
    compare(upstream, rounds, [ours, 'paste'], value),
  ])
}

/** How much both upstreams can answer by themselves. */
async function describeUpstreams(nginx, upstream) {
  const ask = (url, bulk) => loadUpstream({ port: new URL(url).port, connections: CALLERS, seconds: 2, bulk })
  const [fixed, single, lists] = [
    await ask(nginx.url, 0),
    await ask(upstream.url, 0),
    await ask(upstream.url, 100),
  ]
  return (
    `Asked by the Rust program \`load\` alone, from ${CALLERS} connections, nginx answers ${whole(fixed.requestsPerSecond)} ` +
    `questions a second, and the Rust upstream ${whole(single.requestsPerSecond)} single ones, or lists about ${whole(lists.addressesPerSecond)} addresses.`
  )
}

function busiest(rounds) {
  return Math.max(...Object.keys(rounds).map((name) => median(valuesOf(rounds, name, 'busyPercent'))))
}

export async function run() {
  buildUpstream()
  const upstream = await startUpstream(LATENCY_NONE)
  const nginx = await startNginx(await securityOf(upstream))
  const capacity = await describeUpstreams(nginx, upstream)
  await upstream.close()
  const single = await measure(SINGLE, nginx)
  const counting = await startUpstream(LATENCY_NONE)
  const lists = await measureCounted(Object.keys(SIDES), counting)
  await Promise.all([counting.close(), nginx.close()])
  return {
    tables: [
      showRounds('nginx, one body for any address', single),
      showRounds('The Rust upstream, lists too', lists),
    ],
    ratios: [...compareWith('nginx', single, 'alone'), ...compareWith('Rust upstream', lists, 'shipped')],
    notes: [
      capacity,
      `While it was asked by the sides, nginx was busy for ${figure(busiest(single))} % of the time in the median of the side that took the most of it, and the Rust upstream for ${figure(busiest(lists))} %.`,
      'Sides, upstream and Redis share the processors; answers per second depend on all of them, CPU per miss and main thread only on the side.',
    ],
  }
}
