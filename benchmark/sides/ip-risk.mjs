// ip-risk as the sides of the benchmark make it. It is loaded when it is asked for: the other sides live in the same files.

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/**
 * @param {string} endpoint
 * @param {import('../../index.js').RiskCheckerOptions} [options]
 */
export function makeChecker(endpoint, options) {
  const { RiskChecker } = require('../../lib/index.js')
  return new RiskChecker({ apiKey: 'benchmark', endpoint, logger: false, ...options })
}

/** @param {Parameters<typeof import('../../lib/index.js').riskMiddleware>[0]} options */
export function makeGate(options) {
  return require('../../lib/index.js').riskMiddleware(options)
}
