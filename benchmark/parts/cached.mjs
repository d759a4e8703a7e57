// What an address costs that is in memory.

import { ROUNDS, closeAll, median, ratio, shown, startSide, takeTurns, whole } from '../rounds.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, startUpstream } from '../sides/upstream.mjs'

export const title = 'What a cached answer costs'

export const needs = ['cargo', 'redis-server']

const CHECK = 'ip-risk: `await check(ip)`'
const GATE = 'ip-risk: middleware call'
const PASTE = '`lru-cache`: get and the same object'
const TUTORIAL = 'tutorial: await its Redis hit'
const SIDES = {
  check: CHECK,
  tutorial: TUTORIAL,
  middleware: GATE,
  paste: PASTE,
  peek: 'ip-risk: `peek(ip)`',
}

const SETS = [1, 10_000, 1_000_000]
/** The set about which the targets are, and in which the tutorial takes part. */
const WANTED_SET = 10_000

export const method = `
| side | what one call is |
|---|---|
| ${CHECK} | the public method on a cached address; the caller reads score, flags, reasons, action |
| ${GATE} | the Express middleware on a cached address behind a trusted proxy: provenance, 100 list entries, the six shipped rules, counters, the decision on the request, \`next()\` |
| ${SIDES.peek} | the synchronous method |
| ${TUTORIAL} | global \`fetch\` and \`ioredis\` with five minutes, as tutorials write it; its Redis hit, with a real \`redis-server\` on this machine; ${whole(WANTED_SET)} addresses only |
| ${PASTE} | \`lru-cache\` with a time to live, one threshold chain, and an object with the same fields on the request |

All sides of a set know the same addresses, and are asked for them in the same random order, by strings that are not those the
cache was filled with, as a request brings its own. Each side is a process of its own. A round is 200,000 calls (20,000 for
Redis), one call after the other, so that waiting for Redis counts, and goes on where the one before has ended; the first warms up and does not count; ${ROUNDS} rounds. Both caches hold
an answer for an hour, so that none ends meanwhile; for a million addresses they may hold two million, and otherwise
100,000, which is ip-risk's default. They are filled from the Rust upstream, which must not be asked once more.`

/** The results of each side for one set. */
async function measureSet(size, redis) {
  const upstream = await startUpstream({ latencyMs: 0, connections: 1_000 })
  const names = Object.keys(SIDES).filter((name) => name !== 'tutorial' || size === WANTED_SET)
  const start = async (name) => [
    name,
    await startSide('parts/cached/side.mjs', [name, size, upstream.url, redis.url]),
  ]
  const sides = Object.fromEntries(await Promise.all(names.map(start)))
  const before = await upstream.counts()
  const results = await takeTurns(sides)
  const after = await upstream.counts()
  await closeAll(sides)
  await upstream.close()
  if (after.addresses !== before.addresses) throw new Error('a cached address was asked about again')
  return results
}

function showCosts(sets) {
  const rows = Object.entries(SIDES).map(([name, side]) => {
    return [side, ...sets.map((results) => (results[name] === undefined ? '' : shown(results[name])))]
  })
  const title = 'Nanoseconds per call, by how many addresses are in use:'
  return { title, columns: ['side', ...SETS.map(whole)], rows }
}

/** A line of the table of ratios. */
function compare(size, name, ours, otherName, theirs, target) {
  return {
    what: `cached, ${whole(size)} address${size === 1 ? '' : 'es'}`,
    ours: { side: name, values: ours, unit: 'ns' },
    theirs: { side: otherName, values: theirs, unit: 'ns' },
    better: 'lower',
    target,
  }
}

function compareSet(size, { check, middleware, paste, tutorial }) {
  const isWanted = size === WANTED_SET
  const withinPaste = { text: 'at most 4', met: ratio(middleware, paste) <= 4 }
  const lines = [compare(size, 'middleware', middleware, PASTE, paste, isWanted ? withinPaste : undefined)]
  if (tutorial === undefined) return lines
  const aFiftieth = { text: 'at most 1/50', met: ratio(check, tutorial) <= 1 / 50 }
  return [compare(size, '`check`', check, 'tutorial, Redis hit', tutorial, aFiftieth), ...lines]
}

/** The times that are wanted whatever another side takes. */
function compareWithLimits({ check, middleware }) {
  const lines = { '`check`': [check, 1_300], middleware: [middleware, 1_000] }
  return Object.entries(lines).map(([side, [values, most]]) => ({
    what: `cached, ${whole(WANTED_SET)} addresses`,
    ours: { side, values, unit: 'ns' },
    target: { text: `at most ${whole(most)} ns`, met: median(values) <= most },
  }))
}

export async function run() {
  buildUpstream()
  const redis = await startRedis()
  const sets = []
  for (const size of SETS) sets.push(await measureSet(size, redis))
  await redis.close()
  const ratios = SETS.flatMap((size, at) => compareSet(size, sets[at]))
  const wanted = sets[SETS.indexOf(WANTED_SET)]
  const notes = [
    'What the paste does not do in its time: parse the address, settle where it came from, walk lists and rules, count.',
  ]
  return { tables: [showCosts(sets)], ratios: [...ratios, ...compareWithLimits(wanted)], notes }
}
