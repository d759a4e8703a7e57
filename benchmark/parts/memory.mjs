// How much memory an address takes, and how much the package by itself.

import { median, ratio, roundsOf, shown, startSide, whole } from '../rounds.mjs'
import { buildUpstream, startUpstream } from '../sides/upstream.mjs'
import { runCargo } from './feeds/cargo.mjs'

export const title = 'How much memory it takes'

export const needs = ['cargo']

const FILL_ROUNDS = roundsOf(3)
const IDLE_ROUNDS = roundsOf(5)
const STEP = 50_000
const STEPS = 22
/** Steps that warm up, until everything has been used that is used. */
const WARM_UP = 2
const SPRAY = { step: 100_000, steps: 10 }

const CACHES = {
  ours: 'ip-risk: `checkStream`, `maxEntries` raised',
  paste: '`lru-cache` of parsed objects, with a time to live',
  floor: '`moka` by itself, in Rust',
}
const IDLE = {
  bare: 'Node.js by itself',
  loaded: "`require('ip-risk')`",
  keyless: '`new RiskChecker()` with the feeds of the package',
  keyed: '`new RiskChecker()` with a key',
}

export const method = `
**An address.** A process fills a cache with ${whole(STEP * STEPS)} addresses, ${whole(STEP)} at a time, none of which has to go; the answers come from
the Rust upstream. After each step garbage is collected (\`gc\`, on both sides, so that what was thrown away is not taken for what is
kept) and the process measured (RSS). Bytes per address are the slope of the least squares over the steps after the first ${WARM_UP}. "In
all" is the growth from before the cache was made, divided by the addresses: it holds what a cache sets aside beforehand, and the code.

| side | what it keeps |
|---|---|
| ${CACHES.ours} | evidence, by address |
| ${CACHES.paste} | the \`security\` object of the answer as \`JSON.parse\` gives it, and when it was asked for, by the text of the address; \`max\` raised to the same |
| ${CACHES.floor} | as many bytes as an answer takes in ip-risk's cache, by a key of 16, with a time to live: the least that this cache can take |

Sides take turns, ${FILL_ROUNDS} rounds, a process of its own each.

**By itself.** A fresh process half a second after it has loaded what it loads, ${IDLE_ROUNDS} rounds.

**A spray.** ${whole(SPRAY.step * SPRAY.steps)} new addresses by 1,000 callers of \`check\` at once, with the \`maxEntries\` that it ships with (100,000); one
round. RSS before and after garbage is collected.`

/** What one process says that is started for one round. */
async function runOnce(program, words) {
  const side = await startSide(program, words)
  const result = await side.round()
  await side.close()
  return result
}

const fillers = {
  ours: (url) => runOnce('parts/memory/side.mjs', ['ours', url, STEP, STEPS]),
  paste: (url) => runOnce('parts/memory/side.mjs', ['paste', url, STEP, STEPS]),
  floor: async () => JSON.parse(await runCargo('moka_floor', STEP, STEPS)),
}

/** Bytes per entry: the slope of the least squares. */
function slope(points) {
  const mean = (pick) => points.reduce((sum, point) => sum + pick(point), 0) / points.length
  const [entries, rss] = [mean((point) => point.entries), mean((point) => point.rss)]
  const both = mean((point) => (point.entries - entries) * (point.rss - rss))
  return both / mean((point) => (point.entries - entries) ** 2)
}

function grown(points) {
  const [first, last] = [points[0], points.at(-1)]
  return (last.rss - first.rss) / last.entries
}

async function measureCaches(url) {
  const caches = Object.fromEntries(Object.keys(CACHES).map((name) => [name, { slopes: [], grown: [] }]))
  for (let round = 0; round < FILL_ROUNDS; round++) {
    for (const name of Object.keys(CACHES)) {
      const { points, valueBytes } = await fillers[name](url)
      caches[name].valueBytes = valueBytes
      caches[name].slopes.push(slope(points.slice(1 + WARM_UP)))
      caches[name].grown.push(grown(points))
    }
  }
  return caches
}

async function measureIdle() {
  const sizes = Object.fromEntries(Object.keys(IDLE).map((name) => [name, []]))
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    for (const name of Object.keys(IDLE)) sizes[name].push(await runOnce('parts/memory/idle.mjs', [name]))
  }
  return sizes
}

const megabytes = (bytes) => bytes / 1e6

function showCaches(caches) {
  const rows = Object.entries(CACHES).map(([name, side]) => {
    const { slopes, grown } = caches[name]
    return [side, shown(slopes), shown(grown)]
  })
  return { title: 'Bytes per address:', columns: ['side', 'slope', 'in all'], rows }
}

function showIdle(sizes) {
  const rows = Object.entries(IDLE).map(([name, side]) => {
    const over = sizes[name].map((size, round) => megabytes(size - sizes.bare[round]))
    return [side, shown(sizes[name].map(megabytes)), name === 'bare' ? '' : shown(over)]
  })
  return { title: 'A process by itself, MB:', columns: ['process', 'RSS', 'over Node.js'], rows }
}

function showSpray({ points, peak }) {
  const rows = points.map(({ entries, rssBefore, rss }, step) => [
    whole(step * SPRAY.step),
    whole(entries),
    megabytes(rssBefore).toFixed(0),
    megabytes(rss).toFixed(0),
  ])
  const title = `A spray; at most ${megabytes(peak).toFixed(0)} MB:`
  return { title, columns: ['addresses', 'in the cache', 'RSS, MB', 'after a collection, MB'], rows }
}

function compareCaches({ ours, paste, floor }) {
  const unit = 'bytes per address'
  const against = (name, theirs, target) => ({
    what: 'memory per cached address',
    ours: { side: '`maxEntries` raised', values: ours.slopes, unit },
    theirs: { side: CACHES[name], values: theirs.slopes, unit },
    better: 'lower',
    target,
  })
  return [
    against('paste', paste, { text: 'below it', met: ratio(ours.slopes, paste.slopes) < 1 }),
    against('floor', floor, { text: 'at most 1.15', met: ratio(ours.slopes, floor.slopes) <= 1.15 }),
  ]
}

function tellIdle(sizes) {
  return ['loaded', 'keyed'].map((name) => ({
    what: `memory of ${IDLE[name]}`,
    ours: { side: 'process', values: sizes[name].map(megabytes), unit: 'MB' },
    theirs: { side: IDLE.bare, values: sizes.bare.map(megabytes), unit: 'MB' },
    better: 'lower',
  }))
}

function tellSpray({ points, peak }) {
  const after = median(points.slice(1).map(({ rss }) => rss))
  return {
    what: `memory in a spray of ${whole(SPRAY.step * SPRAY.steps)} addresses`,
    ours: {
      side: `median after a collection, peak ${megabytes(peak).toFixed(0)}`,
      values: [megabytes(after)],
      unit: 'MB',
    },
  }
}

export async function run() {
  buildUpstream()
  const upstream = await startUpstream({ latencyMs: 0, connections: 1_000 })
  const caches = await measureCaches(upstream.url)
  const spray = await runOnce('parts/memory/side.mjs', ['spray', upstream.url, SPRAY.step, SPRAY.steps])
  await upstream.close()
  const idle = await measureIdle()
  return {
    tables: [showCaches(caches), showIdle(idle), showSpray(spray)],
    ratios: [...compareCaches(caches), ...tellIdle(idle), tellSpray(spray)],
    notes: [
      `An answer takes ${caches.floor.valueBytes} bytes in ip-risk's cache, beside what the cache needs for it.`,
    ],
  }
}
