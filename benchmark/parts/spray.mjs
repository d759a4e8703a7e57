// What a spray of new addresses costs, each of them a look-up.
//
// In each round a side has a process of its own, an upstream of its own and an empty Redis, so that nothing of one reaches the
// next.

import { cpus } from 'node:os'
import { machineMs, occupy, processMs, quiet } from '../processors.mjs'
import { median, ratio, roundsOf, shown, startSide, whole } from '../rounds.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, startUpstream } from '../sides/upstream.mjs'

export const title = 'What a spray of new addresses costs'

export const needs = ['cargo', 'redis-server']

const ROUNDS = roundsOf(3)
const CONNECTIONS = 100
const LATENCIES = [5, 50, 200]
/** The latency about which the targets are. */
const USUAL = 50

const RAISED = 'ip-risk, `maxInFlight: 2000`'
const ALONE = 'ip-risk, `batch: false`'
const LIMITED = 'tutorial, `fetch` with 100 connections'
/** Something else may have that much of one processor during a round, which is otherwise made again, so often. */
const MOST_DISTURBED = 0.1
const MOST_REPEATS = 2

/** Batching on and off; fewer addresses where they would take long. */
const BATCHING = LATENCIES.flatMap((latencyMs) => [
  { side: 'raised', title: RAISED, latencyMs, callers: 2_000, count: latencyMs > USUAL ? 30_000 : 60_000 },
  {
    side: 'alone',
    title: ALONE,
    latencyMs,
    callers: CONNECTIONS,
    count: Math.min(20_000, 400_000 / latencyMs),
  },
])

/** Everything else at the usual latency. `busy` is how many processes compute meanwhile. */
const OTHERS = [
  { side: 'shipped', title: 'ip-risk, as it ships', callers: 1_000, count: 40_000 },
  { side: 'shipped', title: 'ip-risk, as it ships', callers: 2_000, count: 40_000 },
  { side: 'limited', title: LIMITED, callers: 2_000, count: 8_000 },
  { side: 'unlimited', title: 'tutorial, as it is written', callers: 2_000, count: 8_000 },
  // More than twice as long as a single one, which switches bulk calls off.
  { side: 'raised', title: `${RAISED}, bulk 110 ms`, callers: 2_000, count: 8_000, bulkLatencyMs: 110 },
  { side: 'raised', title: `${RAISED}, processors busy`, callers: 2_000, count: 40_000, busy: cpus().length },
  {
    side: 'limited',
    title: `${LIMITED}, processors busy`,
    callers: 2_000,
    count: 6_000,
    busy: cpus().length,
  },
].map((side) => ({ latencyMs: USUAL, ...side }))

const SIDES = [...BATCHING, ...OTHERS]
/** Once at the end: five times as many addresses as fit into the cache. */
const LONG = { side: 'raised', title: RAISED, latencyMs: USUAL, callers: 2_000, count: 500_000 }

export const method = `
A burst in which every address is new, so that each is a look-up. The upstream is the stand-in of the Security API in Rust: ${LATENCIES.join(', ')} ms for
an answer, about one address or about a list, and ${CONNECTIONS} connections at once over HTTP/1.1 with keep-alive; others wait in the accept
queue. It answers with all 27 fields, 643 bytes an address, not compressed; three in sixteen addresses are a VPN, a residential proxy or a
cloud. "At once" is how many callers ask, each about one address after the other.

| side | what one call is |
|---|---|
| ip-risk, as it ships | \`await check(ip)\` with a key, an endpoint and \`logger: false\`, no other option; at most 1,000 look-ups are under way (\`maxInFlight\`) |
| ${RAISED} | the same, for 2,000 callers |
| ${ALONE} | the same with single calls only; as many callers as the upstream has connections |
| tutorial, as it is written | global \`fetch\` with \`AbortSignal.timeout(3000)\`, \`ioredis\` with five minutes on a real \`redis-server\` |
| ${LIMITED} | the same for somebody who knows what the upstream takes: \`setGlobalDispatcher(new Agent({ connections: 100 }))\` |

A round of a side is a process of its own with an upstream of its own and an empty Redis, after addresses that do not count; ${ROUNDS} rounds. A round in which
anything else had more than a tenth of a processor is made again, at most twice. "Answered" is what had evidence of the provider. Calls
and credits are those that the upstream counted. RSS is that of the process, before and after the burst and at most. The delay of the event
loop includes the millisecond of the timer that measures it. "Bulk 110 ms": lists take more than twice as long as single questions, which
switches them off for a minute. "Processors busy": as many other processes compute as there are processors.`

const middle = (rounds, name) => median(rounds.map((round) => round[name]))
const share = (part) => `${(part * 100).toFixed(1)} %`
const perThousand = (count, of) => ((count * 1e3) / of).toFixed(0)

const COLUMNS = {
  side: ({ title }) => title,
  'upstream, ms': ({ latencyMs }) => String(latencyMs),
  'at once': ({ callers }) => whole(callers),
  addresses: ({ count }) => whole(count),
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
async function runOnce({ side: name, callers, count, latencyMs, bulkLatencyMs = latencyMs, busy = 0 }) {
  const limits = { latencyMs, bulkLatencyMs, connections: CONNECTIONS }
  const [upstream, redis] = await Promise.all([startUpstream(limits), startRedis()])
  const side = await startSide('parts/spray/side.mjs', [name, upstream.url, redis.url, callers, count])
  const load = occupy(busy)
  const round = await around({ upstream, redis, load }, () => side.round())
  load.close()
  await side.close()
  await Promise.all([upstream.close(), redis.close()])
  return { ...round, rate: (count - round.lost) / round.seconds, beforeMb: side.facts.rssMb }
}

function isDisturbed({ machineMs, cpuMs, upstreamMs, redisMs, loadMs, seconds }) {
  return (machineMs - cpuMs - upstreamMs - redisMs - loadMs) / 1e3 > MOST_DISTURBED * seconds
}

/** A round during which nothing else had the processors, if there is one. */
async function runRound(side) {
  for (let repeats = 0; ; repeats++) {
    const isQuiet = await quiet()
    const round = await runOnce(side)
    const disturbed = isDisturbed(round)
    if (!disturbed || !isQuiet || repeats === MOST_REPEATS) return { ...round, repeats, disturbed }
  }
}

function tableOf(sides, title) {
  const rows = sides.map((side) => Object.values(COLUMNS).map((show) => show(side)))
  return { title, columns: Object.keys(COLUMNS), rows }
}

/** Why there was no evidence, with how many of all addresses. */
function noteReasons({ title, callers, latencyMs, rounds, count }) {
  const sums = {}
  for (const { failures } of rounds) {
    for (const [code, number] of Object.entries(failures)) sums[code] = (sums[code] ?? 0) + number
  }
  const reasons = Object.entries(sums).map(
    ([code, number]) => `\`${code}\` ${share(number / count / rounds.length)}`,
  )
  if (reasons.length === 0) return []
  return [`Without evidence: ${title}, ${whole(callers)} at once, ${latencyMs} ms: ${reasons.join(', ')}.`]
}

/** The upstream must not be what is measured, nor anything else. */
function noteSurroundings(sides) {
  const rounds = sides.flatMap((side) => side.rounds)
  const busiest = Math.max(...rounds.map(({ upstreamMs, seconds }) => upstreamMs / seconds / 1e3))
  const repeats = rounds.reduce((sum, round) => sum + round.repeats, 0)
  const disturbed = rounds.filter((round) => round.disturbed).length
  return [
    `The upstream was busy for at most ${share(busiest)} of the time.`,
    `${repeats} rounds were made again because something else ran; of the ${rounds.length} that count ${disturbed} were disturbed.`,
  ]
}

function compare(ours, theirs, least) {
  const [one, other] = [ours, theirs].map(({ title, callers, rounds }) => ({
    side: `${title}, ${whole(callers)} at once`,
    values: rounds.map(({ rate }) => rate),
    unit: 'per second',
  }))
  const target = { text: `at least ${least}`, met: ratio(one.values, other.values) >= least }
  return {
    what: `spray answered, upstream ${ours.latencyMs} ms`,
    ours: one,
    theirs: other,
    better: 'higher',
    target: least === undefined ? undefined : target,
  }
}

function compareSides(sides) {
  const find = (title, latencyMs, callers = undefined) =>
    sides.find((side) => {
      return (
        side.title === title && side.latencyMs === latencyMs && (callers ?? side.callers) === side.callers
      )
    })
  const limited = find(LIMITED, USUAL)
  return [
    ...LATENCIES.map((latencyMs) => compare(find(RAISED, latencyMs), find(ALONE, latencyMs))),
    compare(find('ip-risk, as it ships', USUAL, 1_000), limited, 10),
    compare(find(RAISED, USUAL), limited),
    compare(find(`${RAISED}, processors busy`, USUAL), find(`${LIMITED}, processors busy`, USUAL)),
  ]
}

export async function run() {
  buildUpstream()
  const sides = SIDES.map((side) => ({ ...side, rounds: [] }))
  for (let round = 0; round < ROUNDS; round++) {
    for (const side of sides) side.rounds.push(await runRound(side))
  }
  const long = { ...LONG, rounds: [await runRound(LONG)] }
  return {
    tables: [
      tableOf(sides, `${ROUNDS} rounds:`),
      tableOf([long], 'Once, five times as many as fit into the cache:'),
    ],
    ratios: compareSides(sides),
    notes: [...noteSurroundings([...sides, long]), ...[...sides, long].flatMap(noteReasons)],
  }
}
