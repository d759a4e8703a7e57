'use strict'

const { readWhole, refusePositionals } = require('./arguments.js')
const { INTERRUPTED, paint, table } = require('./terminal.js')

/**
 * `ip-risk mock-api`: runs the stand-in of the Security API until it is ended.
 *
 * @import { Arguments, Options } from './arguments.js'
 * @import { MockApi } from '../testing.js'
 * @import { Cell } from './terminal.js'
 */

const HIGHEST_PORT = 65_535
const LONGEST_LATENCY = 600_000
/** Addresses of the vendor's own examples, which every checker asks about. */
const EXAMPLES = ['91.128.103.196', '8.8.8.8', '37.120.202.92', '2.56.188.34', '145.223.7.7']
const FAULTS_PER_LINE = 3

const HELP = `Usage: ip-risk mock-api [options]

Runs a stand-in of the ipgeolocation.io Security API on this machine, which takes any key and costs nothing, and
prints the addresses that it answers. Ctrl-C ends it.

Options:
      --port N      the port to listen on; default: any free one
      --latency MS  how long every answer takes, in milliseconds; default 0
  -h, --help        show this help

Exit codes:
  0  ended by Ctrl-C or a termination signal
  2  a mistake in the usage or the configuration, such as a port that is taken

Example, in two terminals:
  ip-risk mock-api --port 8787
  IPGEO_API_KEY=any ip-risk check 2.56.188.34 --endpoint http://127.0.0.1:8787
`

/** @type {Options} */
const OPTIONS = { port: { type: 'string' }, latency: { type: 'string' } }

/** @param {Arguments} found */
async function run(found) {
  refusePositionals(found, 'mock-api')
  const port = readWhole(found, 'port', HIGHEST_PORT)
  const latency = readWhole(found, 'latency', LONGEST_LATENCY) ?? 0
  const { startMockApi } = require('../testing/mock-api.js')
  const api = await startMockApi({ port, keepAlive: true })
  api.latencyMs = latency
  const ended = endSignal()
  process.stdout.write(describe(api))
  await ended
  await api.close()
  const { credits } = api
  process.stdout.write(`\nended after ${api.requestCount()} requests, ${credits} credits charged\n`)
  return 0
}

/** Resolves at the first signal to end; the next one does not wait for anything. */
function endSignal() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(INTERRUPTED))
        resolve(signal)
      })
    }
  })
}

/** @param {MockApi} api */
function describe({ url, latencyMs }) {
  const latency = latencyMs === 0 ? '' : `, each answer after ${latencyMs} ms`
  return `${paint(`The stand-in of the Security API listens on ${url}`, 'bold')}${latency}. Ctrl-C ends it.

Any key that is not empty is accepted, and nothing is billed. Use it as \`endpoint\`:
  new RiskChecker({ apiKey: 'any', endpoint: '${url}' })
  IPGEO_API_KEY=any ip-risk check ${EXAMPLES.at(-2)} --endpoint ${url}
  curl '${url}/v3/security?apiKey=any&ip=${EXAMPLES.at(-2)}'

Addresses of the vendor's own examples, for every checker (most others score 0):
${exampleTable()}
Cards, in the documentation ranges, which no checker asks about but that of \`createTestChecker()\` in
\`ip-risk/testing\`; other clients get them from the URL above:
${cardTable()}
Cards that fail:
${faultTable()}`
}

function exampleTable() {
  const { builtInSecurity } = require('../testing/answers.js')
  return indented(
    EXAMPLES.map((address) => [address, scoreText(builtInSecurity(address)?.threat_score ?? 0)]),
  )
}

function cardTable() {
  const { CARDS } = require('../testing/answers.js')
  const named = CARDS.filter(({ name }) => !name.includes('score-'))
  const rows = named.map(({ address, score, name }) => [address, scoreText(score), name])
  return indented([
    ['192.0.2.N', scoreText('N'), 'N from 0 to 100, without a flag'],
    ['2001:db8:0:N::1', scoreText('N'), 'the same'],
    ...rows,
  ])
}

/** The addresses share their beginning, so that their last numbers are enough. */
function faultTable() {
  const { FAULT_CARDS } = require('../testing/answers.js')
  const rows = []
  for (let first = 0; first < FAULT_CARDS.length; first += FAULTS_PER_LINE) {
    rows.push(
      FAULT_CARDS.slice(first, first + FAULTS_PER_LINE).flatMap(({ address, name }) => [address, name]),
    )
  }
  return indented(rows)
}

/** @param {number | string} score */
function scoreText(score) {
  return `scores ${score}`
}

/** @param {string[][]} rows */
function indented(rows) {
  const cells = rows.map(([first, ...rest]) => [`  ${first}`, ...rest].map((text) => ({ text })))
  return table(/** @type {Cell[][]} */ (cells))
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
