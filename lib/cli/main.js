'use strict'

const { readArguments, refuseUnknown } = require('./arguments.js')
const check = require('./check.js')
const doctor = require('./doctor.js')
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
 */

/** Exit code for a mistake in the usage or the configuration. */
const MISTAKE = 2

/** @type {Record<string, Command>} */
const COMMANDS = { check, doctor, 'mock-api': mockApi }

const HELP = `Usage: ip-risk <command> [options]

Scores addresses from 0 to 100 and says what a route should do with them.

Commands:
  check IP...   score addresses and print the decisions
  doctor        check the set-up and say what to do next
  mock-api      run a stand-in of the Security API on this machine

Options:
  -h, --help    show this help; \`ip-risk <command> --help\` shows that of a command
      --version show the version

Environment:
  IPGEO_API_KEY   the key of the ipgeolocation.io Security API
  IP_RISK_MODE    \`log-only\` lets everything through and records what would have happened
  HTTPS_PROXY, NO_PROXY, NODE_EXTRA_CA_CERTS, NO_COLOR   as usual

Exit codes:
  0  answered
  1  at least one address could not be scored, or \`doctor\` found a failure
  2  a mistake in the usage or the configuration
`

/**
 * Runs the command line and sets the exit code of the process.
 *
 * @param {string[]} args
 */
async function main(args) {
  endQuietlyWhenNobodyReads()
  try {
    process.exitCode = await run(args)
  } catch (error) {
    process.exitCode = MISTAKE
    console.error(errorLine(error))
  }
}

/** @param {string[]} args */
async function run([name, ...args]) {
  if (name === undefined) {
    process.stderr.write(HELP)
    return MISTAKE
  }
  if (name === '--version') return show(`${ownPackage().version}\n`)
  if (name === '--help' || name === '-h') return show(HELP)
  // `ip-risk help check` is what many people try first.
  if (name === 'help') return show(args.length === 0 ? HELP : commandFor(args[0]).help)
  const command = commandFor(name)
  const found = readArguments(args, command.options)
  return found.flags.has('help') ? show(command.help) : command.run(found)
}

/** @param {string} name */
function commandFor(name) {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]
  if (name.startsWith('-')) return refuseUnknown('option', name, ['--help', '--version'])
  return refuseUnknown('command', name, Object.keys(COMMANDS))
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
