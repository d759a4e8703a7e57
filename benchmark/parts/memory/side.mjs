// One cache that is filled, in a process of its own: `side.mjs NAME API_URL STEP STEPS`. A round fills it.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { serveRounds } from '../../serve.mjs'
import { makeChecker } from '../../sides/ip-risk.mjs'
import { createPaste } from '../../sides/paste.mjs'
import { addressOf, range, spray } from '../../sprayer.mjs'

setFlagsFromString('--expose-gc')
/** So that what was thrown away is not taken for what is kept. */
const collect = runInNewContext('gc')

const HOUR = 3_600_000
/** How many ask at once in a spray: as many as ip-risk lets. */
const CALLERS = 1_000

const [name, api, ...numbers] = process.argv.slice(2)
const [step, steps] = numbers.map(Number)
const most = 2 * step * steps

/** Each side makes a cache, and returns what keeps answers about many addresses, and how many are in it. */
const sides = {
  ours() {
    const checker = makeChecker(api, { cache: { maxEntries: most } })
    const fill = async (ips) => {
      for await (const decision of checker.checkStream(ips)) {
        if (decision.source !== 'api') throw new Error(`no answer: ${decision.failure ?? decision.source}`)
      }
    }
    return [fill, () => checker.stats().cache.entries]
  },
  paste() {
    const paste = createPaste(api, { max: most, ttl: HOUR })
    return [paste.warm, () => undefined]
  },
  /** As it ships: most of what comes does not stay. */
  spray() {
    const checker = makeChecker(api)
    const call = async (ip) => (await checker.check(ip)).failure
    return [(ips) => spray(CALLERS, ips, call), () => checker.stats().cache.entries]
  },
}

function point(entries) {
  const rss = process.memoryUsage.rss()
  collect()
  return { entries, rssBefore: rss, rss: process.memoryUsage.rss() }
}

async function fillAll() {
  const points = [point(0)]
  const [fill, count] = sides[name]()
  for (let number = 0; number < steps; number++) {
    await fill(range(number * step, step).map(addressOf))
    points.push(point(count() ?? (number + 1) * step))
  }
  return { points, peak: process.resourceUsage().maxRSS * 1_024 }
}

serveRounds(fillAll)
