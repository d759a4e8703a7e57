'use strict'

const { readArguments, refuseUnknown } = require('./arguments.js')
const check = require('./check.js')
const doctor = require('./doctor.js')
const feeds = require('./feeds.js')
const mockApi = require('./mock-api.js')
const { ownPackage } = require('./package.js')
const { endQuietlyWhenNobodyReads, printable } = require('./terminal.js')

/**
 * @import { Arguments, Options } from './arguments.js'
 *
 * @typedef {object} Command
 * @property {string} help
 * @property {Options} options
 * @property {(found: Arguments) => Promise<number>} run resolves to the exit code
 *
 * @typedef {object} Group commands that share their first word
 * @property {string} help
 * @property {Record<string, Command | Group>} commands
 */

/** Exit code for a mistake in the usage or the configuration. */
const MISTAKE = 2

const HELP = `Usage: ip-risk <command> [options]

Scores addresses from 0 to 100 and says what a route should do with them.

Commands:
  check IP...   score addresses and print the decisions
  feeds         update, import, show and explain the offline feeds
  doctor        check the set-up and say what to do next
  mock-api      run a stand-in of the Security API on this machine

Options:
  -h, --help    show this help; \`ip-risk <command> --help\` shows that of a command
      --version show the version

Environment:
  IPGEO_API_KEY   the key of the ipgeolocation.io Security API; without it, scores come from offline feeds
  REDIS_URL       a Redis that processes share what is known on, and budgets
  IP_RISK_FEEDS   the directory that \`ip-risk feeds update\` writes; without it, the feeds in the package
  IP_RISK_MODE    \`log-only\` lets everything through and records what would have happened
  HTTPS_PROXY, NO_PROXY, NODE_EXTRA_CA_CERTS, NO_COLOR   as usual

Exit codes:
  0  answered
  1  at least one address could not be looked up, or \`doctor\` found a failure
  2  a mistake in the usage or the configuration
  \`ip-risk feeds update --help\` shows those of an update
`

/** @type {Group} */
const ALL = { help: HELP, commands: { check, feeds, doctor, 'mock-api': mockApi } }

/**
 * Runs the command line and sets the exit code of the process.
 *
 * @param {string[]} args
 */
async function main(args) {
  endQuietlyWhenNobodyReads()
  try {
    process.exitCode = args[0] === '--version' ? show(`${ownPackage().version}\n`) : await run(ALL, args)
  } catch (error) {
    process.exitCode = /** @type {{ exitCode?: number }} */ (error).exitCode ?? MISTAKE
    console.error(errorLine(error))
  }
}

/**
 * @param {Group} group
 * @param {string[]} args
 * @returns {Promise<number>}
 */
async function run(group, [name, ...args]) {
  if (name === undefined) {
    process.stderr.write(group.help)
    return MISTAKE
  }
  if (name === '--help' || name === '-h') return show(group.help)
  // `ip-risk help check` is what many people try first.
  if (name === 'help') return show(helpOf(group, args))
  const command = commandOf(group, name)
  if ('commands' in command) return run(command, args)
  const found = readArguments(args, command.options)
  return found.flags.has('help') ? show(command.help) : command.run(found)
}

/**
 * @param {Command | Group} command
 * @param {string[]} names
 * @returns {string}
 */
function helpOf(command, [name, ...names]) {
  if (name === undefined || !('commands' in command)) return command.help
  return helpOf(commandOf(command, name), names)
}

/**
 * @param {Group} group
 * @param {string} name
 */
function commandOf(group, name) {
  if (Object.hasOwn(group.commands, name)) return group.commands[name]
  if (!name.startsWith('-')) return refuseUnknown('command', name, Object.keys(group.commands))
  return refuseUnknown('option', name, group === ALL ? ['--help', '--version'] : ['--help'])
}

/** @param {string} text */
function show(text) {
  process.stdout.write(text)
  return 0
}

/**
 * One line without a stack.
 *
 * @param {unknown} error
 */
function errorLine(error) {
  const { code = 'ERR_IP_RISK_INTERNAL', message } = /** @type {Error & { code?: string }} */ (error)
  return `ip-risk: ${printable(message.replaceAll('\n', ' '))} (${code})`
}

exports.main = main
