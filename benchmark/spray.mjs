// Measures what a spray of new addresses costs, each of them a look-up: `npm run bench:spray`. The method and the figures
// stand in README.md beside this.
//
// The sides take turns, round after round. In each round a side has a process of its own, an upstream of its own and an
// empty Redis, so that nothing of one reaches the next.

import { cpus } from 'node:os'
import { machine, median, ratio, shown, startSide, whole } from './rounds.mjs'
import { machineMs, occupy, processMs, quiet } from './processors.mjs'
import { startRedis } from './sides/redis.mjs'
import { buildUpstream, startUpstream } from './sides/upstream.mjs'

const ROUNDS = Number(process.env.ROUNDS ?? 5)
const UPSTREAM = { latencyMs: 50, connections: 100 }
/** More than twice as long as a single one, which switches bulk calls off. */
const SLOW_BULK = { ...UPSTREAM, bulkLatencyMs: 110 }
const RAISED = 'ip-risk, `maxInFlight: 2000`'
const LIMITED = 'tutorial, `fetch` with 100 connections'

/**
 * How many ask at once, and about how many addresses in all: fewer where it would take long. `busy` is how many processes
 * compute meanwhile.
 */
const SIDES = {
  raised: { title: RAISED, callers: 2_000, count: 100_000 },
  shipped: { title: 'ip-risk, as it ships', callers: 1_000, count: 100_000 },
  overrun: { title: 'ip-risk, as it ships', callers: 2_000, count: 100_000 },
  alone: { title: 'ip-risk, `batch: false`', callers: 1_000, count: 20_000 },
  fitting: { title: 'ip-risk, `batch: false`', callers: 100, count: 20_000 },
  limited: { title: LIMITED, callers: 2_000, count: 20_000 },
  unlimited: { title: 'tutorial, as it is written', callers: 2_000, count: 20_000 },
  slow: { title: `${RAISED}, bulk 110 ms`, callers: 2_000, count: 20_000, upstream: SLOW_BULK },
  busy: { title: `${RAISED}, processors busy`, callers: 2_000, count: 50_000, busy: cpus().length },
  busyLimited: { title: `${LIMITED}, processors busy`, callers: 2_000, count: 10_000, busy: cpus().length },
}
/** Once at the end: five times as many addresses as fit into the cache. */
const LONG = { name: 'raised', ...SIDES.raised, count: 500_000 }
/** Something else may have that much of one processor during a round. */
const MOST_DISTURBED = 0.1
let disturbed = 0

const COLUMNS = {
  side: ({ title }) => title,
  'at once': ({ callers }) => whole(callers),
  'answered per second': ({ rounds }) => shown(rounds.map(({ rate }) => rate)),
  'without evidence': ({ rounds, count }) => share(middle(rounds, 'lost') / count),
  'calls per 1,000 addresses': ({ rounds, count }) => perThousand(middle(rounds, 'requests'), count),
  'credits per 1,000 answers': ({ rounds, count }) =>
    perThousand(middle(rounds, 'credits'), count - middle(rounds, 'lost')),
  'RSS before, after, peak, MB': ({ rounds }) =>
    ['beforeMb', 'rssMb', 'peakMb'].map((name) => whole(middle(rounds, name))).join(', '),
  'event loop p99, ms': ({ rounds }) => whole(middle(rounds, 'delayMs')),
  'CPU per address, µs': ({ rounds, count }) => whole((middle(rounds, 'cpuMs') * 1e3) / count),
  'main thread, µs': ({ rounds, count }) => whole((middle(rounds, 'mainMs') * 1e3) / count),
}

function middle(rounds, name) {
  return median(rounds.map((round) => round[name]))
}

function share(part) {
  return `${(part * 100).toFixed(1)} %`
}

function perThousand(count, of) {
  return ((count * 1e3) / of).toFixed(0)
}

/** What `act` gives, with what the upstream counted and how much processor time went where meanwhile. */
async function around({ upstream, redis, load }, act) {
  const read = async () => ({
    ...(await upstream.counts()),
    upstreamMs: processMs(upstream.pid),
    redisMs: processMs(redis.pid),
    loadMs: load.ms(),
    machineMs: machineMs(),
  })
  const before = await read()
  const result = await act()
  const after = await read()
  for (const name of Object.keys(after)) after[name] -= before[name]
  return { ...result, ...after }
}

/** One round of one side, from nothing to nothing. */
async function runOnce({ name, callers, count, upstream: limits = UPSTREAM, busy = 0 }) {
  const [upstream, redis] = await Promise.all([startUpstream(limits), startRedis()])
  const side = await startSide('spray-side.mjs', [name, upstream.url, redis.url, callers, count])
  const load = occupy(busy)
  const round = await around({ upstream, redis, load }, () => side.round())
  load.close()
  await side.close()
  await Promise.all([upstream.close(), redis.close()])
  const lost = Object.values(round.failures).reduce((sum, number) => sum + number, 0)
  return { ...round, lost, rate: (count - lost) / round.seconds, beforeMb: side.facts.rssMb }
}

/** A round during which nothing else had the processors; one that was disturbed is made again. */
async function runRound(side) {
  for (;;) {
    await quiet()
    const round = await runOnce(side)
    const known = round.cpuMs + round.upstreamMs + round.redisMs + round.loadMs
    if ((round.machineMs - known) / 1e3 < MOST_DISTURBED * round.seconds) return round
    disturbed++
  }
}

/** The reasons why there was no evidence, with how many of all addresses had them. */
function reasonsOf({ rounds, count }) {
  const sums = {}
  for (const { failures } of rounds) {
    for (const [code, number] of Object.entries(failures)) sums[code] = (sums[code] ?? 0) + number
  }
  return Object.entries(sums).map(([code, number]) => `${code} ${share(number / count / rounds.length)}`)
}

function printTable(sides) {
  const names = Object.keys(COLUMNS)
  console.log(`| ${names.join(' | ')} |\n|${'---|'.repeat(names.length)}`)
  for (const side of sides) {
    console.log(`| ${names.map((name) => COLUMNS[name](side)).join(' | ')} |`)
  }
  console.log()
  for (const side of sides) {
    const reasons = reasonsOf(side)
    if (reasons.length > 0)
      console.log(`${side.title}, ${whole(side.callers)} at once: ${reasons.join(', ')}`)
  }
}

/** The upstream must not be what is measured, nor anything else. */
function printSurroundings(sides) {
  const rounds = sides.flatMap((side) => side.rounds)
  const busiest = Math.max(...rounds.map(({ upstreamMs, seconds }) => upstreamMs / seconds / 1e3))
  console.log(`\nthe upstream was busy for at most ${share(busiest)} of the time`)
  console.log(`rounds that were made again because something else ran: ${disturbed}`)
}

buildUpstream()
const sides = Object.entries(SIDES).map(([name, side]) => ({ name, ...side, rounds: [] }))
for (let round = 0; round < ROUNDS; round++) {
  for (const side of sides) side.rounds.push(await runRound(side))
}
const long = { ...LONG, rounds: [await runRound(LONG)] }

console.log(machine())
console.log(
  `upstream: ${UPSTREAM.latencyMs} ms, ${UPSTREAM.connections} connections; ${ROUNDS} rounds, medians\n`,
)
printTable(sides)
console.log(`\n${whole(long.count)} addresses, one round:\n`)
printTable([long])
printSurroundings(sides)
const rates = Object.fromEntries(sides.map(({ name, rounds }) => [name, rounds.map(({ rate }) => rate)]))
for (const name of ['raised', 'shipped', 'fitting', 'slow', 'busy']) {
  const { title, callers, busy } = SIDES[name]
  const times = ratio(rates[name], busy === undefined ? rates.limited : rates.busyLimited)
  console.log(`${title}, ${whole(callers)} at once: ${times.toFixed(1)} times the tutorial's limited rate`)
}
