'use strict'

const { refusePositionals } = require('./arguments.js')
const { describeInUse, feedsInUse } = require('./feeds-directory.js')
const { ownPackage } = require('./package.js')
const { paint, printable } = require('./terminal.js')
const { isOld, proxyAddrVersion } = require('../proxy-addr.js')

/**
 * `ip-risk doctor`: checks the set-up and says what to do next.
 *
 * @import { RiskChecker } from '../checker.js'
 * @import { ErrorCode } from '../../index.js'
 * @import { NativeChecker } from '../native.js'
 * @import { Arguments, Options } from './arguments.js'
 * @import { Style } from './terminal.js'
 *
 * @typedef {'ok' | 'warn' | 'fail' | 'skip'} Status
 * @typedef {[status: Status, subject: string, text: string]} Finding
 *
 * @typedef {object} Diagnosis what `describe` in `src/checker.rs` writes
 * @property {ErrorCode | null} failure
 * @property {string | null} advice
 * @property {number | null} status
 * @property {string | null} version
 * @property {number} elapsedMs
 * @property {number | null} credits
 * @property {string | null} date
 * @property {{ bundled: number, system: number, extra: number }} roots
 */

const HELP = `Usage: ip-risk doctor [options]

Checks the set-up and prints a line for each part: \`ok\`, \`warn\`, \`fail\`, or \`skip\` for what was not checked.
Run it where the application runs: in its directory, with its environment. With a key, it makes one real call for
2 credits.

Options:
      --offline      make no call; spends no credits
      --policy NAME  the policy to look at: \`login\` (default) or \`payment\`
      --endpoint URL where the Security API is, such as the address that \`ip-risk mock-api\` prints
  -h, --help         show this help

Exit codes:
  0  nothing failed
  1  something failed
  2  a mistake in the usage
`

/** @type {Options} */
const OPTIONS = {
  offline: { type: 'boolean' },
  policy: { type: 'string' },
  endpoint: { type: 'string' },
}

/** @type {Record<Status, Style>} */
const STATUS_STYLES = { ok: 'green', warn: 'yellow', fail: 'red', skip: 'dim' }

/** Everybody may ask about it: a public resolver, of which the provider's own examples speak. */
const PROBE = '8.8.8.8'
const MOST_CLOCK_SKEW = 30_000
/** The failures that the key causes, not the way to the provider. */
const KEY_FAILURES = new Set(['ERR_IP_RISK_KEY_REFUSED', 'ERR_IP_RISK_KEY_FORBIDDEN', 'ERR_IP_RISK_QUOTA'])

/** @param {Arguments} found */
async function run(found) {
  refusePositionals(found, 'doctor')
  let hasFailed = false
  for await (const [status, subject, text] of findings(found)) {
    hasFailed ||= status === 'fail'
    const line = `${paint(status.padEnd(4), STATUS_STYLES[status])}  ${subject.padEnd(11)}  ${printable(text)}`
    process.stdout.write(`${line}\n`)
  }
  return hasFailed ? 1 : 0
}

/**
 * @param {Arguments} found
 * @returns {AsyncGenerator<Finding>}
 */
async function* findings(found) {
  yield nodeFinding()
  const addon = addonFinding()
  yield addon
  if (addon[0] === 'ok') yield* checkerFindings(found)
  else yield ['skip', 'the rest', 'needs the addon']
  yield proxyFinding()
  yield expressFinding()
}

/** @returns {Finding} */
function nodeFinding() {
  const { node } = process.versions
  const least = ownPackage().engines.node.replace('>=', '')
  if (isAtLeast(node, least)) return ['ok', 'Node.js', `version ${node}`]
  return ['fail', 'Node.js', `version ${node} is too old; install ${least} or newer`]
}

/**
 * @param {string} version
 * @param {string} least
 */
function isAtLeast(version, least) {
  return version.localeCompare(least, 'en', { numeric: true }) >= 0
}

/** @returns {Finding} */
function addonFinding() {
  try {
    require('../native.js')
    return ['ok', 'addon', `version ${ownPackage().version} for ${process.platform} ${process.arch}`]
  } catch (error) {
    return ['fail', 'addon', /** @type {Error} */ (error).message]
  }
}

/**
 * What needs a checker: the configuration, and how a call goes.
 *
 * @param {Arguments} found
 * @returns {AsyncGenerator<Finding>}
 */
async function* checkerFindings({ flags, texts }) {
  const { RiskChecker } = require('../checker.js')
  let checker
  try {
    checker = new RiskChecker({ endpoint: texts.get('endpoint'), logger: false })
  } catch (error) {
    yield configurationFinding(error)
    yield ['skip', 'provider', 'needs a configuration without mistakes']
    return
  }
  try {
    const hasKey = Boolean(process.env.IPGEO_API_KEY?.trim())
    yield hasKey ? ['ok', 'key', '`IPGEO_API_KEY` is set'] : noKeyFinding(checker)
    yield policyFinding(checker, texts.get('policy'))
    yield feedsFinding(checker)
    if (hasKey && !flags.has('offline')) yield await redisFinding(checker)
    if (!hasKey) yield ['skip', 'provider', 'needs a key: endpoint, plan, trusted roots and clock']
    else if (flags.has('offline'))
      yield ['skip', 'provider', 'left out by `--offline`, with trusted roots and clock']
    else yield* callFindings(await diagnose(checker))
  } finally {
    await checker.close()
  }
}

/**
 * What scores then come from, and what that can and cannot see.
 *
 * @param {RiskChecker} checker
 * @returns {Finding}
 */
function noKeyFinding(checker) {
  const { judgeOf } = require('../checker.js')
  const [sight] = judgeOf(checker).notices()
  return ['warn', 'key', sight.message]
}

/**
 * @param {RiskChecker} checker
 * @returns {Finding}
 */
function feedsFinding(checker) {
  const feeds = feedsInUse(checker)
  if (feeds === null) return ['skip', 'feeds', 'there are none']
  const status = feeds.failure === null ? 'ok' : 'warn'
  return [status, 'feeds', `in use are ${describeInUse(feeds)}`]
}

/**
 * @param {unknown} error
 * @returns {Finding}
 */
function configurationFinding(error) {
  const { code, message } = /** @type {Error & { code?: string }} */ (error)
  return ['fail', code === 'ERR_IP_RISK_NO_SOURCE' ? 'key' : 'options', message]
}

/**
 * @param {RiskChecker} checker
 * @param {string | undefined} name
 * @returns {Finding}
 */
function policyFinding(checker, name) {
  const { judgeOf } = require('../checker.js')
  const judge = judgeOf(checker)
  try {
    judge.requireUsable(judge.contextOf(name, undefined))
  } catch (error) {
    // One that does not exist is a mistake in the usage.
    const { code, message } = /** @type {Error & { code: string }} */ (error)
    if (code === 'ERR_IP_RISK_UNKNOWN_POLICY') throw error
    return ['fail', 'policy', message]
  }
  // A special-use address is judged on this machine, and every decision says how its policy acts.
  const { policy, mode } = checker.peek('127.0.0.1', { policy: name }) ?? {}
  if (mode === 'enforce') return ['ok', 'policy', `\`${policy}\` acts`]
  const why = '`IP_RISK_MODE=log-only` lets every request through'
  return ['warn', 'policy', `\`${policy}\` only watches: ${why}; unset it to act again`]
}

/**
 * @param {RiskChecker} checker
 * @returns {Promise<Diagnosis>}
 */
async function diagnose(checker) {
  const { addon } = require('../judge.js')
  const native = /** @type {NativeChecker} */ (/** @type {unknown} */ (checker))
  return JSON.parse(await addon.diagnose.call(native, PROBE))
}

/** What is wrong with Redis, and what to do. @type {Record<string, string>} */
const REDIS_FAULTS = {
  unreachable: 'no connection; check the URL, and that the server runs',
  slow: 'no answer in time; check the network, and what else the server does',
  refused: 'the password is wrong, or the user may not do this; the README has the rules it needs',
  tls: 'the certificate is not trusted; use `rediss://`, or name its authority in `redis.tls.ca`',
  loading: 'the server still reads its data; wait',
  full: 'the server takes no new entries; raise its `maxmemory`, or set a policy that evicts',
  replica: 'the server takes no writes; name the primary, or use sentinels',
  cluster: 'the server belongs to a cluster, which `redis.cluster` has to say, or the cluster is down',
  outdated: 'the server is older than Redis 6',
}

/**
 * Whether the cache that processes share can be used.
 *
 * @param {RiskChecker} checker
 * @returns {Promise<Finding>}
 */
async function redisFinding(checker) {
  const { addon } = require('../judge.js')
  const native = /** @type {NativeChecker} */ (/** @type {unknown} */ (checker))
  const diagnosis = await addon.diagnoseRedis.call(native, PROBE)
  if (diagnosis === null) return ['skip', 'redis', '`REDIS_URL` is not set; processes share nothing']
  const { state, cause } = JSON.parse(diagnosis)
  if (state === 'connected') return ['ok', 'redis', 'answers in time']
  const why = REDIS_FAULTS[cause] ?? 'it does not answer as it should'
  return ['warn', 'redis', `${why} (${cause ?? state}); decisions go on without it`]
}

/**
 * @param {Diagnosis} diagnosis
 * @returns {Generator<Finding>}
 */
function* callFindings(diagnosis) {
  const now = Date.now()
  yield endpointFinding(diagnosis)
  yield planFinding(diagnosis)
  yield rootsFinding(diagnosis)
  yield clockFinding(diagnosis, now)
}

/**
 * @param {Diagnosis} diagnosis
 * @returns {Finding}
 */
function endpointFinding({ failure, advice, status, version, elapsedMs }) {
  const how = status === null ? '' : `answered with status ${status} over ${version} in ${elapsedMs} ms`
  if (failure === null || KEY_FAILURES.has(failure)) return ['ok', 'endpoint', how]
  const what = status === null ? `no answer after ${elapsedMs} ms` : how
  return ['fail', 'endpoint', `${what}: ${advice} (${failure})`]
}

/**
 * @param {Diagnosis} diagnosis
 * @returns {Finding}
 */
function planFinding({ failure, advice, credits }) {
  if (failure === null) {
    const costs = credits === null ? 'it does not say what the call cost' : `the call cost ${credits} credits`
    return ['ok', 'plan', `the key is accepted and may use the Security API; ${costs}`]
  }
  if (KEY_FAILURES.has(failure)) return ['fail', 'plan', `${advice} (${failure})`]
  return ['skip', 'plan', 'not known, because the call failed before the key was looked at']
}

/**
 * @param {Diagnosis} diagnosis
 * @returns {Finding}
 */
function rootsFinding({ roots: { bundled, system, extra } }) {
  const counts = `${bundled} bundled, ${system} of the system, ${extra} of \`NODE_EXTRA_CA_CERTS\``
  if (process.env.NODE_EXTRA_CA_CERTS && extra === 0) {
    return ['warn', 'TLS roots', `${counts}, although it is set; correct the path to a PEM file`]
  }
  if (system > 0) return ['ok', 'TLS roots', counts]
  const advice = "install `ca-certificates`, or name a company's authority in `NODE_EXTRA_CA_CERTS`"
  return ['warn', 'TLS roots', `${counts}; if calls fail with ERR_IP_RISK_TLS, ${advice}`]
}

/**
 * @param {Diagnosis} diagnosis
 * @param {number} now
 * @returns {Finding}
 */
function clockFinding({ date }, now) {
  const theirs = date === null ? NaN : Date.parse(date)
  if (Number.isNaN(theirs)) return ['skip', 'clock', 'no answer with a `Date` header to compare with']
  const skew = now - theirs
  const seconds = Math.round(Math.abs(skew) / 1000)
  if (Math.abs(skew) <= MOST_CLOCK_SKEW)
    return ['ok', 'clock', `within ${MOST_CLOCK_SKEW / 1000} s of the provider's`]
  const direction = skew > 0 ? 'ahead of' : 'behind'
  return ['warn', 'clock', `${seconds} s ${direction} the provider's; synchronise this machine's clock`]
}

/**
 * Whether calls go through a proxy. Its address is not shown, because it may hold a password.
 *
 * @returns {Finding}
 */
function proxyFinding() {
  const isSet = (/** @type {string} */ name) => Boolean(process.env[name] || process.env[name.toLowerCase()])
  if (isSet('HTTPS_PROXY')) {
    const exceptions = isSet('NO_PROXY') ? ', except for what `NO_PROXY` names' : ''
    return ['ok', 'proxy', `calls over https go through \`HTTPS_PROXY\`${exceptions}`]
  }
  const ignored = ['ALL_PROXY', 'HTTP_PROXY'].filter(isSet)
  if (ignored.length === 0) return ['ok', 'proxy', 'none is set']
  const names = ignored.map((name) => `\`${name}\``).join(' and ')
  return [
    'warn',
    'proxy',
    `only \`HTTPS_PROXY\` is read, not ${names}; set it if calls have to go through a proxy`,
  ]
}

/** @returns {Finding} */
function expressFinding() {
  const version = proxyAddrVersion(process.cwd())
  if (version === undefined)
    return ['ok', 'proxy-addr', 'there is no Express in this directory, so nothing to check']
  if (!isOld(version)) return ['ok', 'proxy-addr', `version ${version} of the Express in this directory`]
  const { adviceFor } = require('../log.js')
  return ['warn', 'proxy-addr', `version ${version}: ${adviceFor('ERR_IP_RISK_PROXY_ADDR')}`]
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
