// Whether worker threads get in each other's way at one cache.

import { cpus } from 'node:os'
import { ROUNDS, closeAll, ratio, shown, startSide, takeTurns, whole } from '../rounds.mjs'
import { buildUpstream, startUpstream } from '../sides/upstream.mjs'

export const title = 'What worker threads share'

export const needs = ['cargo']

const SIDES = {
  check: 'ip-risk: `await check(ip)`',
  peek: 'ip-risk: `peek(ip)`',
  paste: '`lru-cache` of each worker: get and the same object',
}
const WORKERS = [1, 2, 4]
/** As many as can run at once. */
const PROCESSORS = cpus().length
const WIDEST = Math.max(...WORKERS.filter((count) => count <= Math.max(PROCESSORS, 1)))

export const method = `
A process has 1, 2 or 4 worker threads, each of which asks 500,000 times in a round about the same 10,000 cached addresses; all
begin at once. The checkers of ip-risk share one cache; the paste has a cache in each worker, and fills each of them. "In all" are the
calls of all workers from the first start to the last end. Each side is a process of its own for each number of workers; ${ROUNDS}
rounds after one that warms up. **This machine has ${PROCESSORS} processor${PROCESSORS === 1 ? '' : 's'}**: more workers than that take turns on them, and
cannot do more in all.`

async function measure(upstream) {
  const sides = {}
  const lookedUp = {}
  for (const name of Object.keys(SIDES)) {
    for (const workers of WORKERS) {
      const before = await upstream.counts()
      sides[`${name} ${workers}`] = await startSide('parts/scaling/side.mjs', [name, workers, upstream.url])
      lookedUp[`${name} ${workers}`] = (await upstream.counts()).addresses - before.addresses
    }
  }
  const results = await takeTurns(sides)
  await closeAll(sides)
  return { results, lookedUp }
}

const totals = (results, name, workers) => results[`${name} ${workers}`].map(({ total }) => total)

const millions = (value) => value / 1e6

function showRates({ results, lookedUp }) {
  const rows = Object.entries(SIDES).flatMap(([name, side]) => {
    return WORKERS.map((workers) => {
      const rounds = results[`${name} ${workers}`]
      return [
        side,
        String(workers),
        shown(totals(results, name, workers).map(millions)),
        shown(rounds.flatMap(({ each }) => each).map(millions)),
        ratio(totals(results, name, workers), totals(results, name, 1)).toFixed(2),
        whole(lookedUp[`${name} ${workers}`]),
      ]
    })
  })
  const columns = ['side', 'workers', 'in all', 'each worker', 'of one worker', 'addresses looked up']
  return { title: 'Millions of calls per second:', columns, rows }
}

function compareWidest(results) {
  const ours = (name) => ({
    side: SIDES[name],
    values: totals(results, name, WIDEST).map(millions),
    unit: 'million a second',
  })
  const scaled = (name) => ({
    what: `${WIDEST} workers against 1, ${PROCESSORS} processors`,
    ours: { ...ours(name), side: `${SIDES[name]}, ${WIDEST} workers` },
    theirs: { side: '1 worker', values: totals(results, name, 1).map(millions), unit: 'million a second' },
    better: 'higher',
  })
  const paste = { ...ours('paste') }
  return [
    scaled('check'),
    scaled('peek'),
    { what: `${WIDEST} workers, one cache or one each`, ours: ours('peek'), theirs: paste, better: 'higher' },
  ]
}

function describePaste(results) {
  const times = ratio(totals(results, 'paste', WIDEST), totals(results, 'paste', 1)).toFixed(2)
  return (
    `The paste shares nothing, so that what ${WIDEST} workers do of what one does is what this machine allows: ${times}. ` +
    'It pays for each address once in every worker.'
  )
}

export async function run() {
  buildUpstream()
  const upstream = await startUpstream({ latencyMs: 0, connections: 1_000 })
  const measured = await measure(upstream)
  await upstream.close()
  const { results } = measured
  return { tables: [showRates(measured)], ratios: compareWidest(results), notes: [describePaste(results)] }
}
