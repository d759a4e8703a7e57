// One worker thread of `side.mjs`.

import { parentPort, workerData } from 'node:worker_threads'
import { readDecision } from '../../serve.mjs'
import { makeChecker } from '../../sides/ip-risk.mjs'
import { createPaste } from '../../sides/paste.mjs'
import { addressOf, range } from '../../sprayer.mjs'

const ADDRESSES = 10_000
/** Long enough that all workers are at it together nearly all the time. */
const CALLS = 500_000
/** So that nothing ends while it is measured. */
const HOUR = 3_600_000

const { name, api } = workerData
const addresses = range(0, ADDRESSES).map(addressOf)
let sink = 0

async function fillChecker() {
  const checker = makeChecker(api, { cache: { ttlMs: HOUR } })
  await checker.checkMany(addresses)
  return checker
}

/** Each side fills its cache, and returns the call. */
const sides = {
  async check() {
    const checker = await fillChecker()
    return async (ip) => (sink += readDecision(await checker.check(ip)))
  },
  async peek() {
    const checker = await fillChecker()
    return (ip) => (sink += readDecision(checker.peek(ip)))
  },
  async paste() {
    const paste = createPaste(api, { ttl: HOUR })
    await paste.warm(addresses)
    return (ip) => (sink += readDecision(paste.peek(ip)))
  },
}

const now = () => Number(process.hrtime.bigint())

async function round(call) {
  const start = now()
  if (call.constructor.name === 'AsyncFunction') {
    for (let at = 0; at < CALLS; at++) await call(addresses[at % ADDRESSES])
  } else {
    for (let at = 0; at < CALLS; at++) call(addresses[at % ADDRESSES])
  }
  return { calls: CALLS, start, end: now() }
}

const call = await sides[name]()
parentPort.on('message', async () => parentPort.postMessage(await round(call)))
parentPort.postMessage('ready')
