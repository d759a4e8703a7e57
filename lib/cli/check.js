'use strict'

const { createInterface } = require('node:readline')
const { usageError } = require('./arguments.js')
const { actionCell, printable, table, write } = require('./terminal.js')

/**
 * `ip-risk check`: scores addresses.
 *
 * @import { RiskChecker } from '../checker.js'
 * @import { Decision, ErrorCode } from '../../index.js'
 * @import { Arguments, Options } from './arguments.js'
 * @import { Cell } from './terminal.js'
 */

const CREDITS = 2
/** Above this many look-ups the costs have to be accepted. */
const MOST_UNASKED = 1000
/** How many addresses are answered before their lines are written. */
const BATCH = 1000
/** Longer than any address. */
const LONGEST_SHOWN = 60

const HELP = `Usage: ip-risk check IP... [options]

Scores addresses and prints the decisions, in the order of the addresses. With a key, each address that is not
special-use space costs ${CREDITS} credits of its plan, once however often it is named. Without one, scores come from offline
feeds and cost nothing; a line on standard error says what those can and cannot see.

  IP                 an IPv4 or IPv6 address; \`-\` reads addresses from standard input, one per line

Options:
      --json         print one decision per line, as JSON
      --policy NAME  the policy to judge by: \`login\` (default) or \`payment\`
      --endpoint URL where the Security API is, such as the address that \`ip-risk mock-api\` prints
      --yes          accept the costs of more than ${MOST_UNASKED.toLocaleString('en')} look-ups
  -h, --help         show this help

Exit codes:
  0  every address was answered
  1  at least one address could not be looked up; its line says why, and from what it was judged instead
  2  a mistake in the usage or the configuration

Examples:
  ip-risk check 2.56.188.34 91.128.103.196
  cut -d' ' -f1 access.log | sort -u | ip-risk check - --json
`

/** @type {Options} */
const OPTIONS = {
  json: { type: 'boolean' },
  policy: { type: 'string' },
  endpoint: { type: 'string' },
  yes: { type: 'boolean' },
}

/** @param {Arguments} found */
async function run(found) {
  if (found.positionals.length === 0) {
    throw usageError('`check` needs an address, or `-` to read addresses from standard input')
  }
  const { RiskChecker } = require('../checker.js')
  // No logger: its lines would stand between the answers.
  const checker = new RiskChecker({ endpoint: found.texts.get('endpoint'), logger: false })
  try {
    reportNotices(checker)
    const policy = found.texts.get('policy')
    const ips = await readAddresses(found.positionals)
    acceptCosts(countLookUps(checker, ips, policy), found.flags.has('yes'))
    const print = found.flags.has('json') ? printJson : tablePrinter()
    const failures = await checkInBatches(checker, ips, policy, print)
    reportFailures(failures)
    return failures.size === 0 ? 0 : 1
  } finally {
    await checker.close()
  }
}

/**
 * What a checker with a logger would say at its start.
 *
 * @param {RiskChecker} checker
 */
function reportNotices(checker) {
  const { judgeOf } = require('../checker.js')
  for (const { code, message } of judgeOf(checker).notices()) {
    console.error(`ip-risk: ${printable(message)}${code === null ? '' : ` (${code})`}`)
  }
}

/** @param {string[]} positionals */
async function readAddresses(positionals) {
  // Standard input can be read once only, however often it is named.
  const lines = positionals.includes('-') ? await readLines() : []
  const first = positionals.indexOf('-')
  return positionals.flatMap((word, index) => (word !== '-' ? [word] : index === first ? lines : []))
}

async function readLines() {
  const lines = []
  for await (const line of createInterface({ input: process.stdin })) {
    const text = line.trim()
    if (text !== '') lines.push(text)
  }
  return lines
}

/**
 * How many addresses need a look-up: those that are not answered on this machine.
 *
 * @param {RiskChecker} checker
 * @param {string[]} ips
 * @param {string | undefined} policy
 */
function countLookUps(checker, ips, policy) {
  const { canonicalAddress } = require('../native.js')
  const asked = ips.filter((ip) => checker.peek(ip, { policy }) === null)
  return new Set(asked.map(canonicalAddress)).size
}

/**
 * @param {number} lookUps
 * @param {boolean} isAccepted
 */
function acceptCosts(lookUps, isAccepted) {
  if (lookUps <= MOST_UNASKED) return
  const [count, credits] = [lookUps, lookUps * CREDITS].map((number) => number.toLocaleString('en'))
  const estimate = `${count} look-ups cost up to ${credits} credits`
  if (!isAccepted) throw usageError(`${estimate}; add \`--yes\` to accept that`)
  console.error(`ip-risk: ${estimate}`)
}

/**
 * @param {RiskChecker} checker
 * @param {string[]} ips
 * @param {string | undefined} policy
 * @param {(decisions: Decision[], ips: string[]) => string} print
 * @returns {Promise<Map<ErrorCode, number>>} how many addresses failed, by code
 */
async function checkInBatches(checker, ips, policy, print) {
  const failures = new Map()
  for (let first = 0; first < ips.length; first += BATCH) {
    const batch = ips.slice(first, first + BATCH)
    const decisions = await checker.checkMany(batch, { policy })
    for (const { failure } of decisions) {
      if (failure !== null) failures.set(failure, (failures.get(failure) ?? 0) + 1)
    }
    await write(print(decisions, batch))
  }
  return failures
}

/** @param {Decision[]} decisions */
function printJson(decisions) {
  return decisions.map((decision) => `${JSON.stringify(decision)}\n`).join('')
}

/** Prints batches as one table, with its head before the first. */
function tablePrinter() {
  /** @type {number[]} */
  const widths = []
  return (/** @type {Decision[]} */ decisions, /** @type {string[]} */ ips) => {
    const rows = decisions.map((decision, index) => tableRow(decision, ips[index]))
    const hasFailures = decisions.some(({ failure }) => failure !== null)
    return table(widths.length === 0 ? [tableHead(hasFailures), ...rows] : rows, widths)
  }
}

/** @param {boolean} hasFailures */
function tableHead(hasFailures) {
  const names = [
    'address',
    'score',
    'band',
    'action',
    'reasons',
    'source',
    ...(hasFailures ? ['failure'] : []),
  ]
  return names.map((text) => ({ text, style: /** @type {const} */ ('dim') }))
}

/**
 * @param {Decision} decision
 * @param {string} ip as it was written, for text that is no address
 * @returns {Cell[]}
 */
function tableRow(decision, ip) {
  const { band, score, reasons, source, failure } = decision
  return [
    { text: decision.ip ?? printable(ip.slice(0, LONGEST_SHOWN)) },
    { text: band === null ? '-' : String(score) },
    { text: band ?? '-' },
    actionCell(decision),
    { text: reasons.join(', ') },
    { text: source },
    { text: failure ?? '' },
  ]
}

/**
 * What failed and what to do about it, once for each code.
 *
 * @param {Map<ErrorCode, number>} failures
 */
function reportFailures(failures) {
  const { adviceFor } = require('../log.js')
  for (const [code, count] of failures) {
    const addresses = count === 1 ? 'one address' : `${count} addresses`
    console.error(`ip-risk: ${addresses} not looked up: ${adviceFor(code)} (${code})`)
  }
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
