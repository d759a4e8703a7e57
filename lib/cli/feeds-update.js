'use strict'

const { refusePositionals, refuseUnknown } = require('./arguments.js')
const { DIRECTORY_HELP, requireDirectory } = require('./feeds-directory.js')
const { ProgressView } = require('./feeds-progress.js')
const { COMMON_HELP, COMMON_OPTIONS, EXIT_CODES_HELP, runToReport } = require('./feeds-report.js')

/**
 * `ip-risk feeds update`: fetches feeds.
 *
 * @import { Arguments, Options } from './arguments.js'
 */

const PROFILES = ['minimal', 'default', 'full']

const HELP = `Usage: ip-risk feeds update [options]

Fetches the feeds that are due, judges them, and puts all that are good into one file, which running applications
read again by themselves. A feed that fails, or whose file looks damaged, stays as it was. Run it every hour or so:
each feed is fetched only as often as its operator wants.

Options:
${DIRECTORY_HELP}
      --profile NAME \`minimal\` (Tor, relays, clouds), \`default\` (and attackers, VPNs, hosting, crawlers) or
                     \`full\` (and long histories, open proxies, spammers)
      --only ID      fetch this feed instead of a profile; may be repeated
      --force        fetch what is not due, too, though never more often than its operator wants
${COMMON_HELP}

${EXIT_CODES_HELP}

Examples:
  ip-risk feeds update --dir feeds
  IP_RISK_FEEDS=feeds node server.js
`

/** @type {Options} */
const OPTIONS = {
  profile: { type: 'string' },
  only: { type: 'string' },
  force: { type: 'boolean' },
  ...COMMON_OPTIONS,
}

/** @param {Arguments} found */
async function run(found) {
  refusePositionals(found, 'feeds update')
  const profile = found.texts.get('profile') ?? 'default'
  if (!PROFILES.includes(profile)) refuseUnknown('profile', profile, PROFILES)
  const directory = requireDirectory(found, 'update')
  const own = { profile, only: found.lists.get('only'), force: found.flags.has('force') }
  return runToReport(found, directory, own, progressView(found))
}

/**
 * Where progress goes: not between the report of somebody who wants JSON.
 *
 * @param {Arguments} found
 */
function progressView({ flags }) {
  if (!flags.has('json')) return new ProgressView(process.stdout)
  const view = new ProgressView(process.stderr)
  return view.isLive ? view : undefined
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
