// What it takes to ask about a list of addresses.

import { processMs } from '../processors.mjs'
import { median, ratio, roundsOf, shown, startSide, whole } from '../rounds.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, startUpstream } from '../sides/upstream.mjs'

export const title = 'What a list of addresses costs'

export const needs = ['cargo', 'redis-server']

const ROUNDS = roundsOf(3)
const UPSTREAM = { latencyMs: 20, connections: 100 }
const MANY = 1_000_000
/** It would take ten minutes; rates are compared. */
const FEW = 20_000

const SIDES = {
  many: { title: 'ip-risk: `checkMany`, 50,000 at a time', count: MANY },
  stream: { title: 'ip-risk: `checkStream`', count: MANY },
  bulk: { title: 'by hand: `fetch` to the bulk endpoint', count: MANY },
  tutorial: { title: 'tutorial in a loop, 100 at once', count: FEW },
}

export const method = `
A million addresses (${whole(FEW)} for the tutorial), all different, none known; the upstream is the one in Rust: ${UPSTREAM.latencyMs} ms for an answer, about one
address or a list, and ${UPSTREAM.connections} connections.

| side | what it does |
|---|---|
| ${SIDES.many.title} | 20 lists, one after the other; each decision is looked at |
| ${SIDES.stream.title} | one list from a generator; each decision is looked at |
| ${SIDES.bulk.title} | lists of 1,000, four at once, as ip-risk sends them; parses the answers and looks at the score. No cache, no deadline, no retry, no decision |
| ${SIDES.tutorial.title} | the tutorial's function, \`fetch\` and a real Redis; for somebody who knows what the upstream takes |

Each round of a side is a process of its own with an upstream of its own and an empty Redis; ${ROUNDS} rounds, in turns. Calls and credits are those
that the upstream counted. "Upstream busy" is how much of a processor it had: where that is far below 100 %, it is not what is measured.`

async function runOnce(name) {
  const { count } = SIDES[name]
  const [upstream, redis] = await Promise.all([startUpstream(UPSTREAM), startRedis()])
  const side = await startSide('parts/lists/side.mjs', [name, upstream.url, redis.url, count])
  const before = processMs(upstream.pid)
  const round = await side.round()
  const busy = (processMs(upstream.pid) - before) / 1e3 / round.seconds
  const { requests, credits } = await upstream.counts()
  await side.close()
  await Promise.all([upstream.close(), redis.close()])
  if (round.answered !== count) throw new Error(`${name}: only ${round.answered} of ${count} were answered`)
  return { ...round, requests, credits, busy, rate: count / round.seconds, beforeMb: side.facts.rssMb }
}

async function measure() {
  const results = Object.fromEntries(Object.keys(SIDES).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of Object.keys(SIDES)) results[name].push(await runOnce(name))
  }
  return results
}

const pick = (rounds, name) => rounds.map((round) => round[name])

function showSides(results) {
  const rows = Object.entries(SIDES).map(([name, { title, count }]) => {
    const rounds = results[name]
    const middle = (what) => median(pick(rounds, what))
    return [
      title,
      shown(pick(rounds, 'rate')),
      `${whole(middle('beforeMb'))}, ${whole(middle('peakMb'))}`,
      (middle('cpuUs') / count).toFixed(1),
      whole(middle('requests')),
      whole(middle('credits')),
      `${(middle('busy') * 100).toFixed(0)} %`,
    ]
  })
  const columns = [
    'side',
    'addresses per second',
    'RSS before, peak, MB',
    'CPU per address, µs',
    'calls',
    'credits',
    'upstream busy',
  ]
  return { columns, rows }
}

function compare(results, ours, theirs) {
  const side = (name) => ({ side: SIDES[name].title, values: pick(results[name], 'rate'), unit: 'a second' })
  return { what: 'addresses of a list', ours: side(ours), theirs: side(theirs), better: 'higher' }
}

export async function run() {
  buildUpstream()
  const results = await measure()
  const times = ratio(pick(results.stream, 'peakMb'), pick(results.many, 'peakMb')).toFixed(2)
  return {
    tables: [showSides(results)],
    ratios: [
      compare(results, 'many', 'tutorial'),
      compare(results, 'stream', 'tutorial'),
      compare(results, 'stream', 'bulk'),
    ],
    notes: [`\`checkStream\` needs ${times} times the memory of \`checkMany\` at its peak.`],
  }
}
