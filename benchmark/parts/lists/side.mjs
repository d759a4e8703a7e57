// One side of `lists`, in a process of its own: `side.mjs NAME API_URL REDIS_URL COUNT`. A round asks about all, once.

import { serveRounds } from '../../serve.mjs'
import { makeChecker } from '../../sides/ip-risk.mjs'
import { createTutorial } from '../../sides/tutorial.mjs'
import { addressOf, range, spray } from '../../sprayer.mjs'

/** As many as `checkMany` takes. */
const LIST = 50_000
/** What somebody who reads the documentation of the API sends at once, and how many of these calls are under way. */
const BULK = 1_000
const BULK_CALLS = 4
/** As many as the upstream takes at once. */
const CALLERS = 100

const [name, api, redis, count] = process.argv.slice(2)

function* addresses() {
  for (let number = 0; number < Number(count); number++) yield addressOf(number)
}

function lists(length) {
  const firsts = range(0, Math.ceil(Number(count) / length)).map((number) => number * length)
  return firsts.map((first) => range(first, Math.min(length, count - first)).map(addressOf))
}

/** Made before anything is measured, as an application has its list already; a stream has a generator. */
const LISTS = {
  tutorial: () => [...addresses()],
  bulk: () => lists(BULK),
  many: () => lists(LIST),
  stream: addresses,
}
const asked = LISTS[name]()

const isAnswered = ({ source }) => source === 'api'

/** What people write who have a list: the handler's function in a loop, some at once. */
async function askTutorial() {
  const { look } = createTutorial(api, redis)
  let answered = 0
  await spray(CALLERS, asked, async (ip) => {
    if (!(await look(ip)).failedOpen) answered++
    return null
  })
  return answered
}

/** Lists to the bulk endpoint by hand, without a cache. */
async function askBulk() {
  let answered = 0
  await spray(BULK_CALLS, asked, async (ips) => {
    const headers = { 'content-type': 'application/json' }
    const question = { method: 'POST', headers, body: JSON.stringify({ ips }) }
    const response = await fetch(`${api}/v3/security-bulk?apiKey=benchmark`, question)
    for (const { security } of await response.json()) {
      if (security?.threat_score !== undefined) answered++
    }
    return null
  })
  return answered
}

/** Each asks about all, and tells how many were answered by the API. */
const sides = {
  async many() {
    const checker = makeChecker(api)
    let answered = 0
    for (const list of asked) answered += (await checker.checkMany(list)).filter(isAnswered).length
    return answered
  },
  async stream() {
    let answered = 0
    for await (const decision of makeChecker(api).checkStream(asked)) {
      if (isAnswered(decision)) answered++
    }
    return answered
  },
  tutorial: askTutorial,
  bulk: askBulk,
}

async function round() {
  const before = process.cpuUsage()
  const start = process.hrtime.bigint()
  const answered = await sides[name]()
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  const { user, system } = process.cpuUsage(before)
  return { answered, seconds, cpuUs: user + system, peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6 }
}

serveRounds(round, { rssMb: process.memoryUsage.rss() / 1e6 })
