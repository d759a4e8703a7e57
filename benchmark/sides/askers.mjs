// The sides of those parts in which every address is new: what asks about one, and says why that brought no evidence, or null.

import { makeChecker } from './ip-risk.mjs'
import { createPaste } from './paste.mjs'
import { createTutorial } from './tutorial.mjs'

/**
 * @param {string} endpoint
 * @param {import('../../index.js').RiskCheckerOptions} [options]
 */
export function makeIpRisk(endpoint, options) {
  const checker = makeChecker(endpoint, options)
  return async (ip) => {
    const { source, failure } = await checker.check(ip)
    return source === 'api' ? null : (failure ?? source)
  }
}

/** @param {{ look: (ip: string) => Promise<{ failedOpen: boolean }> }} side */
function asker({ look }) {
  return async (ip) => ((await look(ip)).failedOpen ? 'failed open' : null)
}

export function makeTutorial(endpoint, redisUrl) {
  return asker(createTutorial(endpoint, redisUrl))
}

/** @param {string} endpoint */
export function makePaste(endpoint) {
  return asker(createPaste(endpoint))
}

/**
 * What a user who knows the upstream's limit writes with the package undici, by the undici that is inside Node.js:
 * `setGlobalDispatcher(new Agent({ connections }))`.
 */
export async function limitFetch(connections) {
  await fetch('data:,') // loads it
  const name = Symbol.for('undici.globalDispatcher.1')
  globalThis[name] = new globalThis[name].constructor({ connections })
}
