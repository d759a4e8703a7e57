'use strict'

const { resolve } = require('node:path')
const { usageError } = require('./arguments.js')
const { printable } = require('./terminal.js')
const { age, counted } = require('./words.js')

/**
 * The directory of feeds, and a checker on it.
 *
 * @import { FeedStats } from '../../index.js'
 * @import { RiskChecker } from '../checker.js'
 * @import { NativeChecker } from '../native.js'
 * @import { Arguments } from './arguments.js'
 */

const DIRECTORY_HELP =
  '      --dir DIR      the directory of feeds; default: the environment variable `IP_RISK_FEEDS`'

/**
 * The directory that is written, or else that of the environment.
 *
 * @param {Arguments} found
 */
function findDirectory({ texts }) {
  const written = texts.get('dir') || process.env.IP_RISK_FEEDS
  return written ? resolve(written) : undefined
}

/**
 * @param {Arguments} found
 * @param {string} command
 */
function requireDirectory(found, command) {
  const directory = findDirectory(found)
  if (directory !== undefined) return directory
  const how = "start the application with `IP_RISK_FEEDS=feeds` or the option `feeds: { dir: 'feeds' }`"
  throw usageError(
    `\`feeds ${command}\` needs a directory; say \`ip-risk feeds ${command} --dir feeds\`, and ${how}`,
  )
}

/**
 * A checker that asks nobody, on the feeds in the directory or else in the package.
 *
 * @param {string | undefined} directory
 */
function feedsChecker(directory) {
  const { RiskChecker } = require('../checker.js')
  // What a provider would say is not asked for, and a key with a mistake in it must not matter.
  delete process.env.IPGEO_API_KEY
  const feeds = directory === undefined ? true : { dir: directory }
  return new RiskChecker({ feeds, logger: false })
}

/**
 * @param {RiskChecker} checker
 * @returns {FeedStats | null}
 */
function feedsInUse(checker) {
  // The addon's class has this method, which the one in `lib` only inherits.
  return /** @type {NativeChecker} */ (/** @type {unknown} */ (checker)).stats().feeds
}

/** @type {Record<FeedStats['origin'], string>} */
const ORIGINS = {
  seed: 'the feeds in the package',
  directory: 'the feeds in the directory',
  files: 'your files',
}

/**
 * What a checker reads, in a line, and why it is not the newest.
 *
 * @param {FeedStats} inUse
 */
function describeInUse({ origin, builtAt, feeds, prefixes, failure }) {
  const made = builtAt === null ? '' : `, ${age(builtAt)} old`
  const what = `${ORIGINS[origin]}: ${counted(prefixes, 'network')} in ${counted(feeds, 'feed')}${made}`
  return failure === null ? what : `${what}; the newest file is not in use: ${printable(failure)}`
}

exports.describeInUse = describeInUse
exports.DIRECTORY_HELP = DIRECTORY_HELP
exports.feedsChecker = feedsChecker
exports.feedsInUse = feedsInUse
exports.findDirectory = findDirectory
exports.requireDirectory = requireDirectory
