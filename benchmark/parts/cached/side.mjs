// One side of `cached`, in a process of its own: `side.mjs NAME ADDRESSES API_URL REDIS_URL`.

import express from 'express'
import { makeChecker, makeGate } from '../../sides/ip-risk.mjs'
import { createPaste } from '../../sides/paste.mjs'
import { createTutorial } from '../../sides/tutorial.mjs'
import { readDecision, serve } from '../../serve.mjs'

const CALLS = 200_000
const CALLS_TO_REDIS = 20_000
/** How many addresses `checkMany` takes at once. */
const LIST = 50_000
/** So that nothing ends while it is measured. */
const HOUR = 3_600_000
/** More than the largest set, for both caches. */
const MOST_ENTRIES = 2_000_000
/** Sets up to this size are measured with the size that both caches have by default. */
const DEFAULT_ENTRIES = 100_000

const [name, count, api, redisUrl] = process.argv.slice(2)
const size = Number(count)
const maxEntries = size > DEFAULT_ENTRIES ? MOST_ENTRIES : DEFAULT_ENTRIES

/** Public addresses, all different, in a random but fixed order. */
function makeAddresses() {
  const all = Array.from({ length: size }, (_, at) => `45.${at >> 16}.${(at >> 8) & 255}.${at & 255}`)
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

const app = express()
app.set('trust proxy', 'loopback')

/** A request as Express hands it on behind a proxy, without a socket of its own: what is measured is the gate. */
function requestOf(ip) {
  const headers = { host: 'localhost', 'x-forwarded-for': ip }
  return { ip, headers, socket: { remoteAddress: '127.0.0.1' }, app, ipRisk: undefined }
}

const response = { statusCode: 200, headersSent: false, setHeader() {}, end() {} }
let sink = 0
const next = () => sink++

async function fillChecker() {
  const checker = makeChecker(api, { cache: { ttlMs: HOUR, maxEntries } })
  const addresses = makeAddresses()
  for (let first = 0; first < size; first += LIST) {
    await checker.checkMany(addresses.slice(first, first + LIST))
  }
  return checker
}

function callGate(gate) {
  return (ip) => {
    const request = requestOf(ip)
    gate(request, response, next)
    sink += readDecision(request.ipRisk)
  }
}

/** Each side fills its cache, and returns how often it is called in a round and the call. */
const sides = {
  async check() {
    const checker = await fillChecker()
    return [CALLS, async (ip) => (sink += readDecision(await checker.check(ip)))]
  },
  async peek() {
    const checker = await fillChecker()
    return [CALLS, (ip) => (sink += readDecision(checker.peek(ip)))]
  },
  async middleware() {
    // The six shipped rules, and a hundred list entries of all lengths on both sides of the addresses that are asked about,
    // with one around them that is for another route.
    const entry = (_, index) => `${2 * index + 4}.${index}.0.0/${16 + (index % 17)}`
    const [allow, deny] = [10, 89].map((length) => Array.from({ length }, entry))
    deny.push({ cidr: '45.0.0.0/8', routes: ['/other'] })
    return [CALLS, callGate(makeGate({ checker: await fillChecker(), allow, deny }))]
  },
  async paste() {
    const paste = createPaste(api, { max: maxEntries, ttl: HOUR })
    await paste.warm(makeAddresses())
    return [CALLS, callGate(paste.gate)]
  },
  async tutorial() {
    const tutorial = createTutorial(api, redisUrl)
    await tutorial.warm(makeAddresses())
    return [CALLS_TO_REDIS, async (ip) => (sink += readTutorial(await tutorial.look(ip)))]
  },
}

const [calls, call] = await sides[name]()
// Asked for with strings that are not those that the cache was filled with, as a request brings its own.
serve(makeAddresses(), calls, call)
