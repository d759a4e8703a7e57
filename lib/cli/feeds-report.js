'use strict'

const { resolve } = require('node:path')
const { usageError } = require('./arguments.js')
const { outcomeWord } = require('./feeds-progress.js')
const { INTERRUPTED, paint, printable, write } = require('./terminal.js')
const { age, byteCount, counted, until } = require('./words.js')

/**
 * What `ip-risk feeds update` and `import` have in common: they run to a report, which is printed and ends in an exit
 * code.
 *
 * @import { FeedOutcome, FeedProgress, ProgressView } from './feeds-progress.js'
 * @import { Arguments, Options } from './arguments.js'
 *
 * @typedef {object} FeedReport
 * @property {string} id
 * @property {string} title
 * @property {FeedOutcome} outcome
 * @property {string | null} reason
 * @property {string | null} message
 * @property {number | null} nextAt
 * @property {number | null} rows
 * @property {number | null} seenAt
 * @property {string | null} credit
 *
 * @typedef {{ outcome: 'empty' }
 *   | { outcome: 'kept' }
 *   | { outcome: 'compiled', prefixes: number, bytes: number, unusableRows: number }
 *   | { outcome: 'failed', message: string }} TableReport
 *
 * @typedef {object} Report what `describe_report` in `src/feeds.rs` writes
 * @property {'updated' | 'unchanged' | 'partial' | 'failed'} outcome
 * @property {number} exitCode
 * @property {FeedReport[]} feeds
 * @property {string[]} notes
 * @property {TableReport} table
 */

/** @type {Options} */
const COMMON_OPTIONS = {
  dir: { type: 'string' },
  'accept-non-commercial': { type: 'boolean' },
  'accept-change': { type: 'string' },
  catalogue: { type: 'string' },
  json: { type: 'boolean' },
}

const COMMON_HELP = `      --accept-non-commercial
                     the use is not commercial: take feeds whose licence asks for that, too
      --accept-change ID
                     take this feed although its size is far from what it was; may be repeated
      --catalogue FILE
                     other recipes than those in the package, such as for mirrors
      --json         print the report as JSON, on one line
  -h, --help         show this help`

const EXIT_CODES_HELP = `Exit codes:
  0  something is new, and nothing went wrong
  1  nothing that was tried worked, or the directory, the catalogue or a file cannot be used
  2  a mistake in the usage
  3  nothing is new, and nothing went wrong
  4  some feeds were refused or failed, others were not; what is refused or fails stays as it was
  5  another process updates the directory
  130  ended by Ctrl-C; what was there stays`

/** @type {Partial<Record<string, number>>} */
const EXIT_CODES = { ERR_IP_RISK_ARGUMENT: 2, ERR_IP_RISK_OPTION: 2, ERR_IP_RISK_FEEDS_BUSY: 5 }
const FAILED = 1
/** How often it is looked how far the feeds are. */
const LOOK_INTERVAL = 100

/**
 * Runs an update or an import.
 *
 * @param {Arguments} found
 * @param {string} directory
 * @param {object} own what only one of them is told
 * @param {ProgressView} [view]
 * @returns {Promise<number>} the exit code
 */
async function runToReport({ flags, texts, lists }, directory, own, view) {
  const { updateFeeds } = require('../native.js')
  const { readSurroundings } = require('../surroundings.js')
  // Whatever is half written then is cleared by the next update.
  process.once('SIGINT', () => process.exit(INTERRUPTED))
  const options = {
    directory,
    acceptNonCommercial: flags.has('accept-non-commercial'),
    acceptChange: lists.get('accept-change'),
    catalogue: texts.get('catalogue'),
    surroundings: readSurroundings(),
    ...own,
  }
  const [ended, look] = updateFeeds(JSON.stringify(options))
  const told = JSON.parse(await watched(ended, () => JSON.parse(look()), view))
  if (told.error !== undefined) throw failure(told.error)
  /** @type {Report} */
  const report = told.report
  await write(
    flags.has('json') ? `${JSON.stringify({ directory, ...report })}\n` : describe(report, directory),
  )
  return report.exitCode
}

/**
 * @param {Promise<string>} ended
 * @param {() => FeedProgress[]} look
 * @param {ProgressView | undefined} view
 */
async function watched(ended, look, view) {
  const timer = setInterval(() => view?.show(look()), LOOK_INTERVAL)
  try {
    return await ended
  } finally {
    clearInterval(timer)
    view?.end(look())
  }
}

/** @param {{ code: string, message: string }} error */
function failure({ code, message }) {
  if (code === 'ERR_IP_RISK_ARGUMENT') return usageError(message)
  return Object.assign(new Error(message), { code, exitCode: EXIT_CODES[code] ?? FAILED })
}

/**
 * The report for people.
 *
 * @param {Report} report
 * @param {string} directory
 */
function describe({ feeds, notes, table }, directory) {
  const lines = [
    ...feedLines(feeds),
    ...notes.map((note) => `note: ${printable(note)}`),
    tableLine(table, directory),
    ...creditLines(feeds),
    ...(table.outcome === 'empty' ? [] : applicationLines(directory)),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

/**
 * What went well in a line for each outcome, what did not in one for each feed.
 *
 * @param {FeedReport[]} feeds
 */
function feedLines(feeds) {
  const withOutcome = (/** @type {FeedOutcome} */ wanted) => feeds.filter(({ outcome }) => outcome === wanted)
  const [needing] = withOutcome('needs_licence')
  return [
    ...groupLine('updated', withOutcome('updated'), ({ id, rows }) => `${id} (${counted(rows ?? 0, 'row')})`),
    ...groupLine('unchanged', withOutcome('unchanged')),
    ...groupLine('not_due', withOutcome('not_due'), ({ id, nextAt }) => `${id} (${until(nextAt)})`),
    ...groupLine('needs_licence', withOutcome('needs_licence')).map((line) => `${line}: ${needing.message}`),
    ...[...withOutcome('refused'), ...withOutcome('failed')].map(troubleLine),
  ]
}

/**
 * @param {FeedOutcome} outcome
 * @param {FeedReport[]} feeds
 * @param {(feed: FeedReport) => string} [name]
 */
function groupLine(outcome, feeds, name = ({ id }) => id) {
  return feeds.length === 0 ? [] : [`${outcomeWord(outcome)}  ${feeds.map(name).join(', ')}`]
}

/** @param {FeedReport} feed */
function troubleLine({ id, outcome, message, rows, seenAt }) {
  const last = rows === null ? 'there is no good one yet' : `the last good one stays, ${age(seenAt ?? 0)} old`
  return `${outcomeWord(outcome)}  ${id}: ${printable(message ?? '')}; ${last}`
}

/**
 * @param {TableReport} table
 * @param {string} directory
 */
function tableLine(table, directory) {
  const place = printable(directory)
  switch (table.outcome) {
    case 'empty':
      return `There is no feed in ${place} to put together.`
    case 'kept':
      return `Nothing is new in ${place}.`
    case 'compiled':
      return `${counted(table.prefixes, 'network')} put together in ${place} (${compiledDetails(table)}).`
    case 'failed':
      return paint(`They could not be put together in ${place}: ${printable(table.message)}`, 'red')
  }
}

/** @param {{ bytes: number, unusableRows: number }} table */
function compiledDetails({ bytes, unusableRows }) {
  const unusable =
    unusableRows === 0 ? '' : `; ${counted(unusableRows, 'row')} about unknown networks left out`
  return byteCount(bytes) + unusable
}

/**
 * What has to be shown with the data, once each.
 *
 * @param {{ credit: string | null }[]} feeds
 */
function creditLines(feeds) {
  const credits = new Set(feeds.flatMap(({ credit }) => (credit === null ? [] : [printable(credit)])))
  return [...credits].map((credit) => `Credit: ${credit}`)
}

/**
 * How the application finds the directory, unless it does already.
 *
 * @param {string} directory
 */
function applicationLines(directory) {
  const { IP_RISK_FEEDS } = process.env
  if (IP_RISK_FEEDS && resolve(IP_RISK_FEEDS) === directory) return []
  const place = printable(directory)
  return [
    `To use it, start the application with IP_RISK_FEEDS=${place} or the option feeds: { dir: '${place}' }.`,
  ]
}

exports.COMMON_HELP = COMMON_HELP
exports.COMMON_OPTIONS = COMMON_OPTIONS
exports.EXIT_CODES_HELP = EXIT_CODES_HELP
exports.creditLines = creditLines
exports.runToReport = runToReport
