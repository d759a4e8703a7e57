'use strict'

const { RiskChecker, TESTING } = require('../checker.js')
const { checkedOptions, coded, shown } = require('../errors.js')
const { addon } = require('../judge.js')
const { MockApi, startMockApi } = require('./mock-api.js')

/**
 * @import { CreateTestCheckerOptions, MockApi as Api, TestChecker } from '../testing.js'
 * @import { NativeChecker } from '../native.js'
 */

/** The stand-in accepts any key that is not empty, unless it was started with one. */
const KEY = 'test-key'

/**
 * @param {CreateTestCheckerOptions} [written]
 * @returns {Promise<TestChecker>}
 */
async function createTestChecker(written = {}) {
  const { api, ...options } = checkedOptions(written)
  refuseRealApi(options)
  if (api !== undefined && !(api instanceof MockApi)) {
    throw coded('ERR_IP_RISK_OPTION', `\`api\` must be what \`startMockApi()\` gives, not ${shown(api)}`)
  }
  const ownApi = api === undefined ? await startMockApi() : undefined
  const usedApi = /** @type {Api} */ (api ?? ownApi)
  try {
    const endpoint = usedApi.url
    const checker = new RiskChecker({ logger: false, ...options, apiKey: KEY, endpoint }, TESTING)
    return describe(checker, usedApi, ownApi)
  } catch (error) {
    await ownApi?.close()
    throw error
  }
}

/**
 * Documentation addresses are scored only by the stand-in, so a test checker cannot have another endpoint.
 *
 * @param {object} options
 */
function refuseRealApi(options) {
  const key = ['endpoint', 'apiKey'].find((name) => name in options)
  if (key === undefined) return
  const message = `\`${key}\` cannot be set: a test checker asks the stand-in only; pass \`api\` to choose which`
  throw coded('ERR_IP_RISK_OPTION', message)
}

/**
 * @param {RiskChecker} checker
 * @param {Api} api
 * @param {Api | undefined} ownApi
 * @returns {TestChecker}
 */
function describe(checker, api, ownApi) {
  const published = /** @type {TestChecker['checker']} */ (/** @type {unknown} */ (checker))
  return {
    checker: published,
    api,
    advance(milliseconds) {
      if (!Number.isSafeInteger(milliseconds) || milliseconds < 0) {
        const message = `\`milliseconds\` must be a whole number from 0, not ${shown(milliseconds)}`
        throw coded('ERR_IP_RISK_ARGUMENT', message)
      }
      addon.advanceClock.call(/** @type {NativeChecker} */ (/** @type {unknown} */ (checker)), milliseconds)
    },
    async close() {
      await checker.close()
      await ownApi?.close()
    },
  }
}

exports.createTestChecker = createTestChecker
