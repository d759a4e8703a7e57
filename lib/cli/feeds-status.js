'use strict'

const { statSync } = require('node:fs')
const { refusePositionals } = require('./arguments.js')
const {
  DIRECTORY_HELP,
  describeInUse,
  feedsChecker,
  feedsInUse,
  findDirectory,
} = require('./feeds-directory.js')
const { creditLines } = require('./feeds-report.js')
const { printable, table, write } = require('./terminal.js')
const { age, grouped, until } = require('./words.js')

/**
 * `ip-risk feeds status`: what is there of each feed.
 *
 * @import { FeedStats } from '../../index.js'
 * @import { Arguments, Options } from './arguments.js'
 * @import { Cell } from './terminal.js'
 *
 * @typedef {object} FeedStatus what `describe_status` in `src/feeds.rs` writes
 * @property {string} id
 * @property {string} title
 * @property {string} operator
 * @property {string} profile
 * @property {{ name: string, commercial: boolean }} licence
 * @property {{ rows: number, seenAt: number, isImported: boolean, credit: string | null } | null} file
 * @property {number | null} nextAllowedAt
 * @property {number | null} dueAt
 * @property {{ at: number, reason: string, message: string } | null} lastFailure
 */

const HELP = `Usage: ip-risk feeds status [options]

Shows each feed that can be fetched: its profile, how old its last good file is and how many entries it has, when it
is due and when its server may be asked again, its licence, and what went wrong last. Without a directory, shows
what is in the package. Asks nobody.

Options:
${DIRECTORY_HELP}
      --catalogue FILE
                     other recipes than those in the package
      --json         print it as JSON, on one line
  -h, --help         show this help

Exit codes:
  0  there are feeds
  1  there are none in the directory
  2  a mistake in the usage or the configuration
`

/** @type {Options} */
const OPTIONS = { dir: { type: 'string' }, catalogue: { type: 'string' }, json: { type: 'boolean' } }

const HEAD = ['feed', 'profile', 'age', 'entries', 'due', 'may be asked', 'licence', 'last failure']

/** @param {Arguments} found */
async function run(found) {
  refusePositionals(found, 'feeds status')
  const directory = findDirectory(found)
  const feeds = directory === undefined ? [] : readStatus(directory, found.texts.get('catalogue'))
  const isThere = directory === undefined || statSync(directory, { throwIfNoEntry: false })?.isDirectory()
  const inUse = await readInUse(isThere ? directory : undefined)
  const text = found.flags.has('json')
    ? `${JSON.stringify({ directory: directory ?? null, inUse, feeds })}\n`
    : describe(directory, feeds, inUse)
  await write(text)
  const isEmpty = feeds.every(({ file }) => file === null) && inUse?.origin !== 'directory'
  return directory !== undefined && isEmpty ? 1 : 0
}

/**
 * @param {string} directory
 * @param {string | undefined} catalogue
 * @returns {FeedStatus[]}
 */
function readStatus(directory, catalogue) {
  const { feedStatus } = require('../native.js')
  return JSON.parse(feedStatus(directory, catalogue))
}

/**
 * What an application would read.
 *
 * @param {string | undefined} directory
 */
async function readInUse(directory) {
  const checker = feedsChecker(directory)
  const feeds = feedsInUse(checker)
  await checker.close()
  return feeds
}

/**
 * @param {string | undefined} directory
 * @param {FeedStatus[]} feeds
 * @param {FeedStats | null} inUse
 */
function describe(directory, feeds, inUse) {
  const head = HEAD.map((text) => ({ text, style: /** @type {const} */ ('dim') }))
  const files = feeds.flatMap(({ file }) => file ?? [])
  const lines = [
    ...creditLines(files),
    ...(inUse === null ? [] : [`In use are ${describeInUse(inUse)}`]),
    ...adviceLines(directory, files.length),
  ]
  return (
    (feeds.length === 0 ? '' : table([head, ...feeds.map(row)])) + lines.map((line) => `${line}\n`).join('')
  )
}

/**
 * @param {FeedStatus} feed
 * @returns {Cell[]}
 */
function row({ id, profile, licence, file, dueAt, nextAllowedAt, lastFailure }) {
  const permission = licence.commercial ? '' : ', not for commercial use'
  const failure = lastFailure === null ? '' : `${age(lastFailure.at)} ago: ${printable(lastFailure.message)}`
  return [
    { text: id },
    { text: profile },
    { text: file === null ? '-' : age(file.seenAt) },
    { text: file === null ? '-' : grouped(file.rows) },
    { text: file === null ? '-' : until(dueAt) },
    { text: until(nextAllowedAt) },
    { text: printable(licence.name) + permission },
    { text: failure, style: 'red' },
  ]
}

/**
 * @param {string | undefined} directory
 * @param {number} files
 */
function adviceLines(directory, files) {
  if (directory === undefined) {
    return ['There is no directory; `ip-risk feeds update --dir feeds` fetches more into one.']
  }
  if (files > 0) return []
  const place = printable(directory)
  return [`There are no feeds in ${place}; \`ip-risk feeds update --dir ${place}\` fetches them.`]
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
