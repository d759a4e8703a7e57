// Loads something in a fresh process, and prints what that took as JSON: `probe.cjs NAME`.

'use strict'

const { readFileSync, readdirSync } = require('node:fs')

/** Until threads that were only needed for a moment have ended. */
const IDLE_MS = 500

const KEYED = { apiKey: 'benchmark', endpoint: 'http://127.0.0.1:1', logger: false }

/** The milliseconds that `work` takes, and what it gives. */
function timed(work) {
  const start = process.hrtime.bigint()
  const result = work()
  return [Number(process.hrtime.bigint() - start) / 1e6, result]
}

/** The names of all threads of this process, by their number. */
function threads() {
  const ids = readdirSync('/proc/self/task')
  return new Map(ids.map((id) => [id, readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim()]))
}

function load() {
  const [requireMs, { RiskChecker }] = timed(() => require('../../../lib/index.js'))
  return { requireMs, RiskChecker }
}

/** Two checkers that have nothing in common, and one that shares with the second. */
function makeCheckers(options) {
  const { requireMs, RiskChecker } = load()
  const [firstMs, first] = timed(() => new RiskChecker(options))
  const [secondMs, second] = timed(() => new RiskChecker({ ...options, cache: { maxEntries: 1 } }))
  const [sharingMs, sharing] = timed(() => new RiskChecker({ ...options, cache: { maxEntries: 1 } }))
  kept = [first, second, sharing]
  return { requireMs, firstMs, secondMs, sharingMs }
}

/** They stay as an application keeps them. */
let kept

const probes = {
  loaded() {
    const { requireMs } = load()
    return { requireMs }
  },
  keyless: () => makeCheckers({ logger: false }),
  keyed: () => makeCheckers(KEYED),
  ioredis: () => ({ requireMs: timed(() => require('ioredis'))[0] }),
  paste: () => ({ requireMs: timed(() => [require('undici'), require('lru-cache')])[0] }),
  express: () => ({ requireMs: timed(() => require('express'))[0] }),
}

const before = threads()
const times = probes[process.argv[2]]()
setTimeout(() => {
  const own = [...threads()].filter(([id]) => !before.has(id)).map(([, name]) => name)
  process.stdout.write(JSON.stringify({ ...times, threads: own, kept: kept?.length ?? 0 }))
  process.exit()
}, IDLE_MS)
