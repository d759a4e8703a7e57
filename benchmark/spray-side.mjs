// One side of `spray.mjs`, in a process of its own: `spray-side.mjs NAME API_URL REDIS_URL CALLERS COUNT`.
//
// `CALLERS` ask at once, about `COUNT` new addresses together.

import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { mainThreadMs, threadMs } from './processors.mjs'
import { createTutorial } from './sides/tutorial.mjs'
import { addressOf, range, spray } from './sprayer.mjs'

const require = createRequire(import.meta.url)

/** Asked about before the clock starts, so that no side pays for its first call. */
const WARM_UP = 2_000
/** What the upstream takes at once. */
const CONNECTIONS = 100

const [name, api, redis, ...numbers] = process.argv.slice(2)
const [callers, count] = numbers.map(Number)

/**
 * What a user who knows the upstream's limit writes with the package undici, by the undici that is inside Node.js:
 * `setGlobalDispatcher(new Agent({ connections }))`.
 */
async function limitFetch(connections) {
  await fetch('data:,') // loads it
  const name = Symbol.for('undici.globalDispatcher.1')
  globalThis[name] = new globalThis[name].constructor({ connections })
}

/** What says why one call brought no evidence, or null. */
function makeChecker(options) {
  const { RiskChecker } = require('../lib/index.js')
  const checker = new RiskChecker({ apiKey: 'benchmark', endpoint: api, logger: false, ...options })
  return async (ip) => {
    const { source, failure } = await checker.check(ip)
    return source === 'api' ? null : (failure ?? source)
  }
}

function makeTutorial() {
  const tutorial = createTutorial(api, redis)
  return async (ip) => ((await tutorial.look(ip)).failedOpen ? 'failed open' : null)
}

const raised = () => makeChecker({ maxInFlight: 2_000 })
const shipped = () => makeChecker({})
const alone = () => makeChecker({ batch: false })
async function limited() {
  await limitFetch(CONNECTIONS)
  return makeTutorial()
}

const sides = {
  raised,
  slow: raised,
  busy: raised,
  shipped,
  overrun: shipped,
  alone,
  fitting: alone,
  limited,
  busyLimited: limited,
  unlimited: makeTutorial,
}

async function measure(call) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const before = { cpu: process.cpuUsage(), main: mainThreadMs(), core: threadMs('ip-risk') }
  delay.enable()
  const start = process.hrtime.bigint()
  const failures = await spray(callers, addresses, call)
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  delay.disable()
  const { user, system } = process.cpuUsage(before.cpu)
  return {
    seconds,
    failures,
    delayMs: delay.percentile(99) / 1e6,
    cpuMs: (user + system) / 1e3,
    mainMs: mainThreadMs() - before.main,
    coreMs: threadMs('ip-risk') - before.core,
    rssMb: process.memoryUsage.rss() / 1e6,
    peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6,
  }
}

const call = await sides[name]()
await spray(callers, range(0, WARM_UP).map(addressOf), call)
const addresses = range(WARM_UP, count).map(addressOf)
process.on('message', async (message) => {
  if (message === 'round') process.send(await measure(call))
  else process.exit()
})
process.send({ rssMb: process.memoryUsage.rss() / 1e6 })
