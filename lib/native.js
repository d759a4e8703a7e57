'use strict'

const { isOutdated, readManifest, toLoadFailure } = require('./load-failure.js')

/**
 * Loads the addon, and says what to do when it cannot be loaded.
 *
 * @typedef {[words: number[] | Uint32Array, addresses: string[], names: Record<string, string>]} Outcome
 * @typedef {(text: string, context: number, facts: number) => number} Evaluate
 *
 * @typedef {object} NativeChecker what `src/checker.rs` exports, before `lib/checker.js` completes it
 * @property {(text: string, context: number, facts: number) => Promise<Outcome>} check
 * @property {(texts: string[], context: number, number: number) => Promise<Outcome>} checkMany
 * @property {(number: number) => void} stopMany
 * @property {(text: string, context: number) => string | null} describeEntry
 * @property {(ip?: string) => Promise<string | null>} invalidate
 * @property {() => import('../index.js').Stats} stats
 * @property {() => void} close
 * @property {() => Promise<void>} end
 * @property {(words: Uint32Array) => Evaluate} evaluator
 * @property {() => string | null} lastNames
 * @property {(text: string, context: number) => Outcome} skipped
 * @property {(context: number) => Outcome} fallbacks
 * @property {() => string} policies
 * @property {(base: string, written: string) => number} addPolicy
 * @property {(name: string) => never} unknownPolicy
 * @property {(context: number) => void} requireUsable
 * @property {() => string} notices
 * @property {(withOutage: boolean) => string | null} takeNews
 * @property {(ip: string) => Promise<string>} diagnose
 * @property {(ip: string) => Promise<string | null>} diagnoseRedis
 * @property {(milliseconds: number) => void} advanceClock
 *
 * @typedef {object} Native
 * @property {unknown} __napiBindingTarget
 * @property {Error} [loadFailure] why this is not the addon but `lib/without-addon.js`
 * @property {new (setup: string) => NativeChecker} RiskChecker
 * @property {() => string} addonVersion
 * @property {() => string} vocabulary
 * @property {(path: string, key: string, known: string[]) => never} refuseOption
 * @property {(text: string) => string} canonicalAddress
 * @property {(text: string) => string} networkOf
 * @property {(options: string) => [ended: Promise<string>, progress: () => string]} updateFeeds
 * @property {(directory: string, catalogue?: string) => string} feedStatus
 * @property {(setup: string, ips: string[]) => string} explainFeeds
 */

/** @returns {Native} */
function load() {
  if (isOutdated()) throw toLoadFailure()
  try {
    const addon = /** @type {Native} */ (/** @type {any} */ (require('../index.js')))
    checkVersion(addon)
    return addon
  } catch (cause) {
    throw toLoadFailure(cause)
  }
}

/**
 * A variable can name any file for the addon, and it may have been copied by hand: one of another version, or package, must
 * not have its decisions read by the rules of this one.
 *
 * @param {Partial<Native>} addon
 */
function checkVersion({ addonVersion }) {
  const { version } = readManifest()
  const found = addonVersion?.()
  if (found === version) return
  const other = found === undefined ? 'of another package' : `of version ${found}`
  throw new Error(`the native part is ${other}, not of ip-risk ${version}`)
}

function loadOrStandIn() {
  try {
    return load()
  } catch (error) {
    // Only then: hardly anybody needs it, and everybody starts.
    return require('./without-addon.js').standInFor(error)
  }
}

/** @type {Native} */
const native = loadOrStandIn()

module.exports = native
