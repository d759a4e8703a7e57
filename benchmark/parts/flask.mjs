// What the gate for Flask costs, beside the tutorial's `requests` code.

import { freePort } from '../../__test__/support/ports.mjs'
import { NO_PYTHON, findPython } from '../../scripts/python.mjs'
import { threadsMs } from '../processors.mjs'
import { closeAll, roundsOf, shown, takeTurns, whole } from '../rounds.mjs'
import { startRedis } from '../sides/redis.mjs'
import { buildUpstream, logIn, startUpstream } from '../sides/upstream.mjs'
import { preparePython, pythonVersions, startPython } from './flask/python.mjs'

export const title = 'What a gate costs in Flask'

export const needs = ['cargo', 'python3', 'redis-server']

const KNOWN = 1_000
/** Requests before the first round, as many as it takes until each of the known addresses has come. */
const WARM_UP = 3_000
/** Of gunicorn's worker. */
const THREADS = 100
const SIDES = { bare: 'no gate', gate: 'ip-risk', tutorial: 'tutorial' }
/** Without a server: how often each is called in a round, as often as takes it about a second. */
const CALLS = {
  gate: { title: 'ip-risk: `checker.check(ip)`', calls: 100_000 },
  tutorial: { title: 'tutorial: its Redis hit', calls: 5_000 },
}
const CALL_ROUNDS = roundsOf(15)
/** How many of a hundred requests come from a new address, and of which sides, which all take part in each round. */
const CACHED = {
  names: ['bare', 'gate', 'tutorial'],
  newPercent: 0,
  connections: 8,
  requests: 1_500,
  rounds: roundsOf(15),
}
const NEW = {
  names: ['gate', 'tutorial'],
  newPercent: 100,
  connections: THREADS,
  requests: 1_500,
  rounds: roundsOf(8),
}
/** How long the provider takes when all addresses are new. */
const LATENCY_MS = 50

export const method = `
Flask behind \`ProxyFix\` in gunicorn with one worker, class \`gthread\`, with ${THREADS} threads, the same for all; \`POST /login\` with a
decorator before a view that reads score, flags and \`require_mfa\`, and answers JSON; each side is a server of its own, without logs.

| side | the decorator |
|---|---|
| ${SIDES.bare} | none: what gunicorn, Flask and the view take by themselves |
| ${SIDES.gate} | \`@check_ip_risk\` of the release wheel, without Redis: what it knows is in its own memory |
| ${SIDES.tutorial}, the only other one: no careful paste takes part here | \`redis\` with \`setex\`, a real \`redis-server\` on this machine, and \`requests.get\` with a timeout for what is not in it |

Both know what they know for an hour. **Without a server**, one call is \`checker.check(ip)\` or the function behind the tutorial's decorator, on
one of ${whole(KNOWN)} known addresses, and its score and flags are read; ${whole(CALLS.gate.calls)} and ${whole(CALLS.tutorial.calls)} calls a round, ${CALL_ROUNDS} rounds.
**With all addresses known**: ${whole(KNOWN)}, from ${whole(WARM_UP)} requests that do not count; ${CACHED.connections} connections, ${whole(CACHED.requests)} requests a round, ${CACHED.rounds}
rounds. **With new addresses alone**: ${NEW.connections} connections, so that every thread can wait for the provider, which takes ${LATENCY_MS} ms;
${whole(NEW.requests)} requests a round, ${NEW.rounds} rounds; more than ${whole(THREADS / (LATENCY_MS / 1e3))} a second no side can answer. ip-risk
asks as it ships, with many waiting in lists. The clients
and the provider are Rust programs. First rounds warm up. CPU is that of gunicorn's worker, all its threads included; what Redis and
the provider take is not in it. A request without evidence of the provider fails the part.`

/** The nanoseconds of each call without a server. */
async function measureCalls(redis) {
  const upstream = await startUpstream({ latencyMs: 0, connections: 1_000 })
  const env = { API_URL: upstream.url, REDIS_URL: redis.url }
  const sides = {}
  for (const [name, { calls }] of Object.entries(CALLS)) {
    sides[name] = await startPython('python', ['calls.py', name, KNOWN, calls], env)
  }
  const rounds = await takeTurns(sides, CALL_ROUNDS)
  await closeAll(sides)
  await upstream.close()
  return rounds
}

/** A server of one side, which knows all addresses that come again. */
async function startServer(name, load, env) {
  const port = await freePort()
  const words = ['--config', 'gunicorn.conf.py', 'app:app']
  const server = await startPython('gunicorn', words, { ...env, SIDE: name, PORT: port, THREADS })
  const { pid } = server.facts
  const ask = (options) => logIn({ connections: load.connections, port, known: KNOWN, ...options })
  const { newPercent, requests } = load
  let first = WARM_UP
  await ask({ newPercent: 0, first: 0, requests: WARM_UP })
  return {
    async round() {
      const before = threadsMs(pid)
      const seen = await ask({ newPercent, first, requests })
      first += requests
      return { ...seen, cpuUs: ((threadsMs(pid) - before) * 1e3) / requests }
    },
    close: server.close,
  }
}

/** The rounds of each side under one load, with a provider that takes so long. */
async function measureLoad(load, latencyMs, redis) {
  const upstream = await startUpstream({ latencyMs, connections: 1_000 })
  const env = { API_URL: upstream.url, REDIS_URL: redis.url }
  const sides = {}
  for (const name of load.names) sides[name] = await startServer(name, load, env)
  const before = await upstream.counts()
  const rounds = await takeTurns(sides, load.rounds)
  const after = await upstream.counts()
  await closeAll(sides)
  await upstream.close()
  const asked = after.addresses - before.addresses
  const wanted = ((load.rounds + 1) * load.names.length * load.requests * load.newPercent) / 100
  if (asked !== wanted) throw new Error(`${asked} addresses were looked up, not ${wanted}`)
  return rounds
}

const valuesOf = (rounds, name, value) => rounds[name].map((round) => round[value])

function showCalls(rounds) {
  const rows = Object.entries(CALLS).map(([name, { title }]) => [title, shown(rounds[name])])
  return { title: 'Nanoseconds per call without a server:', columns: ['side', 'ns'], rows }
}

function showLoad({ names, newPercent, connections }, rounds) {
  const values = ['cpuUs', 'p50Ms', 'p99Ms', 'perSecond']
  const rows = names.map((name) => [
    SIDES[name],
    ...values.map((value) => shown(valuesOf(rounds, name, value))),
  ])
  const columns = ['side', 'CPU per request, µs', 'p50, ms', 'p99, ms', 'requests per second']
  return { title: `${newPercent} % new addresses, ${connections} connections:`, columns, rows }
}

const QUANTITIES = {
  cpuUs: { quantity: 'CPU per request', unit: 'µs', better: 'lower' },
  p50Ms: { quantity: 'p50', unit: 'ms', better: 'lower' },
  p99Ms: { quantity: 'p99', unit: 'ms', better: 'lower' },
  perSecond: { quantity: 'requests per second', unit: 'per second', better: 'higher' },
}

function compare({ newPercent }, rounds, other, value) {
  const { quantity, unit, better } = QUANTITIES[value]
  const side = (name) => ({ side: SIDES[name], values: valuesOf(rounds, name, value), unit })
  const what = `Flask, ${newPercent} % new addresses, ${quantity}`
  return { what, ours: side('gate'), theirs: side(other), better }
}

function compareCalls(rounds) {
  const side = (name) => ({ side: CALLS[name].title, values: rounds[name], unit: 'ns' })
  return { what: 'Python, a known address', ours: side('gate'), theirs: side('tutorial'), better: 'lower' }
}

async function measure() {
  buildUpstream()
  const redis = await startRedis()
  const calls = await measureCalls(redis)
  const cached = await measureLoad(CACHED, 0, redis)
  const all = await measureLoad(NEW, LATENCY_MS, redis)
  await redis.close()
  return {
    tables: [showCalls(calls), showLoad(CACHED, cached), showLoad(NEW, all)],
    ratios: [
      compareCalls(calls),
      compare(CACHED, cached, 'bare', 'cpuUs'),
      ...['cpuUs', 'p50Ms', 'p99Ms'].map((value) => compare(CACHED, cached, 'tutorial', value)),
      ...['cpuUs', 'perSecond'].map((value) => compare(NEW, all, 'tutorial', value)),
    ],
    notes: [
      `${pythonVersions()}.`,
      'Server, clients, Redis and provider share the processors; requests per second depend on all of them, CPU per request only on the server.',
    ],
  }
}

export async function run() {
  const python = findPython()
  if (python === undefined) throw new Error(NO_PYTHON)
  preparePython(python)
  return measure()
}
