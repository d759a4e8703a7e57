// One side of `cached.mjs`, in a process of its own: `side.mjs NAME API_URL REDIS_URL`.

import { createRequire } from 'node:module'
import { createPaste } from './sides/paste.mjs'
import { createTutorial } from './sides/tutorial.mjs'
import { readDecision, serve } from './serve.mjs'

const require = createRequire(import.meta.url)
const { RiskChecker, riskMiddleware } = require('../lib/index.js')

const ADDRESSES = 10_000
const CALLS = 200_000
const CALLS_TO_REDIS = 20_000

/** Public addresses, all different, in a random but fixed order. */
function makeAddresses() {
  const all = Array.from({ length: ADDRESSES }, (_, index) => `45.${index >> 8}.${index & 255}.17`)
  let seed = 42
  for (let index = all.length - 1; index > 0; index--) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    const other = seed % (index + 1)
    ;[all[index], all[other]] = [all[other], all[index]]
  }
  return all
}

function readTutorial({ score, flags, failedOpen }) {
  return score + (flags.is_vpn ? 1 : 0) + (failedOpen ? 1 : 0)
}

/** A request as Express hands it on behind a proxy, without a socket of its own: what is measured is the gate. */
function requestOf(ip) {
  return { ip, headers: {}, socket: { remoteAddress: '127.0.0.1' }, app: undefined, ipRisk: undefined }
}

const response = { statusCode: 200, headersSent: false, setHeader() {}, end() {} }
const addresses = makeAddresses()
let sink = 0
const next = () => sink++

async function makeChecker(api) {
  const checker = new RiskChecker({ apiKey: 'benchmark', endpoint: api, logger: false })
  await checker.checkMany(addresses)
  return checker
}

/** Each side warms up, and returns how often it is called in a round and the call. */
const sides = {
  async check(api) {
    const checker = await makeChecker(api)
    return [CALLS, async (ip) => (sink += readDecision(await checker.check(ip)))]
  },
  async peek(api) {
    const checker = await makeChecker(api)
    return [CALLS, (ip) => (sink += readDecision(checker.peek(ip)))]
  },
  async middleware(api) {
    // The six shipped rules, and a hundred list entries.
    const deny = Array.from({ length: 100 }, (_, index) => `203.${index}.0.0/16`)
    const gate = riskMiddleware({ checker: await makeChecker(api), deny })
    return [CALLS, callGate(gate)]
  },
  async paste(api) {
    const paste = createPaste(api)
    await paste.warm(addresses)
    return [CALLS, callGate(paste.gate)]
  },
  async tutorial(api, redis) {
    const tutorial = createTutorial(api, redis)
    await tutorial.warm(addresses)
    return [CALLS_TO_REDIS, async (ip) => (sink += readTutorial(await tutorial.look(ip)))]
  },
}

function callGate(gate) {
  return (ip) => {
    const request = requestOf(ip)
    gate(request, response, next)
    sink += readDecision(request.ipRisk)
  }
}

const [name, ...urls] = process.argv.slice(2)
serve(addresses, ...(await sides[name](...urls)))
