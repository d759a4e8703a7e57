'use strict'

const { usageError } = require('./arguments.js')
const { DIRECTORY_HELP, requireDirectory } = require('./feeds-directory.js')
const { COMMON_HELP, COMMON_OPTIONS, EXIT_CODES_HELP, runToReport } = require('./feeds-report.js')

/**
 * `ip-risk feeds import`: takes files that were fetched elsewhere.
 *
 * @import { Arguments } from './arguments.js'
 */

const HELP = `Usage: ip-risk feeds import FILE... [options]

Takes files of feeds that were fetched elsewhere, for machines without a network. They are judged as \`update\` judges
them, and count as old as they say themselves, or else as they were written. They may be gzip.

  FILE               a file that is named like its feed (\`tor-exits.txt\`) or as its operator names it
  ID=FILE            any file, as that of the feed ID; \`ip-risk feeds status\` lists the feeds

Options:
${DIRECTORY_HELP}
${COMMON_HELP}

${EXIT_CODES_HELP}

Example:
  ip-risk feeds import drop_v4.json tor-exits=exits.txt --dir feeds
`

/** An id before the file; an id has neither dots nor slashes. */
const NAMED_FILE = /^([a-z0-9-]+)=(.+)$/s

/** @param {Arguments} found */
async function run(found) {
  if (found.positionals.length === 0) throw usageError('`feeds import` needs a file, or `ID=FILE`')
  const directory = requireDirectory(found, 'import')
  const files = found.positionals.map((word) => NAMED_FILE.exec(word)?.slice(1) ?? [null, word])
  return runToReport(found, directory, { files })
}

exports.help = HELP
exports.options = COMMON_OPTIONS
exports.run = run
