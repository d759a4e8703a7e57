// `npm run demo`: scores some addresses with nothing but the feeds in the package, starts the example login app, sends it
// a scripted minute of traffic, prints every decision, and stays up to be tried. Works on a fresh clone, without a key
// and without a network.
//
//   PORT=3001          another port (default 3000, 0 for any free one)
//   DEMO_SECONDS=5     a shorter minute
//   IPGEO_API_KEY=...  asks the real Security API, for the credits that are said at the start
//   --no-setup         neither installs nor builds anything first

import { subscribe } from 'node:diagnostics_channel'
import http from 'node:http'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import terminal from '../lib/cli/terminal.js'
import { buildAddon, installDependencies } from './setup.mjs'

const { ACTION_STYLES, endQuietlyWhenNobodyReads, paint, table } = terminal
const require = createRequire(import.meta.url)

const HOST = '127.0.0.1'
const CREDITS = 2
const BANDS = { low: 0, guarded: 20, elevated: 45, high: 80 }
const ACTIONS = ['allow', 'log', 'challenge', 'block', 'hold']
const LONGEST_ENDING_MS = 500

/** Who sends requests. With the stand-in: test cards, among them `192.0.2.N`, which scores N. */
const CARDS = {
  people: ['192.0.2.3', '2001:db8:0:7::1', '91.128.103.196', '198.51.100.11', '192.0.2.24', '198.51.100.5'],
  vpn: '37.120.202.92',
  bots: [...rotating(80, 100), '198.51.100.14', '2.56.188.34', '145.223.7.7'],
  known: ['192.0.2.3', '192.0.2.90'],
  stranger: '192.0.2.9',
  tries: { allow: '192.0.2.5', challenge: '198.51.100.1', block: '192.0.2.95', hold: '203.0.113.11' },
}

/** What the feeds in the package know: a server of each large cloud, and somebody's home. */
const SEED_CAST = ['52.95.110.1', '20.42.65.90', '34.64.0.1', '130.61.0.1', '165.227.0.1', '91.128.103.196']

/** With the real API: only addresses of the vendor's own examples. */
const EXAMPLES = {
  people: [
    '91.128.103.196',
    '2607:fb91:16c6:8860:e531:2d1d:4944:6c7c',
    '18.97.14.89',
    '216.73.216.43',
    '8.8.8.8',
    '1.1.1.1',
  ],
  vpn: '37.120.202.92',
  bots: ['2.56.188.34', '145.223.7.7', '94.237.40.1'],
  // Nothing is known in advance, because the outage is one of another checker.
  known: [],
  stranger: '165.227.0.1',
  // A payment from an address that no provider knows is held, too.
  tries: { allow: '91.128.103.196', challenge: '37.120.202.92', block: '2.56.188.34', hold: '10.0.0.1' },
}

/** Addresses with the scores from `first` to `last`, IPv4 and IPv6 in turn. */
function rotating(first, last) {
  const scores = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  return scores.map((score) => (score % 2 === 0 ? `192.0.2.${score}` : `2001:db8:0:${score}::1`))
}

/** The minute: each scene takes its share of it. */
function scenesFor({ people, vpn, bots, known, stranger }, { PASSWORD, CODE }) {
  const login = (address, body = { password: PASSWORD }) => ({ path: '/login', address, body })
  const pay = (address) => ({ path: '/pay', address, body: {} })
  const guess = (address) => login(address, { password: 'guessed' })
  const burst = Array.from({ length: 30 }, (_, index) => guess(bots[index % bots.length]))
  burst.splice(10, 0, login(people[0]))
  return [
    { share: 0.2, title: 'people log in', requests: people.map((address) => login(address)) },
    {
      share: 0.1,
      title: 'somebody behind a VPN logs in: no block, but a second factor',
      requests: [login(vpn), login(vpn, { password: PASSWORD, code: CODE })],
      showsAnswers: true,
    },
    {
      share: 0.3,
      title: 'a bot tries stolen passwords from rotating addresses, while people log in',
      requests: burst,
    },
    {
      share: 0.15,
      title: 'the same bot signs up: that gate is new and only watches (log-only)',
      requests: bots.slice(-3).map((address) => ({ path: '/signup', address, body: {} })),
      showsAnswers: true,
    },
    {
      share: 0.15,
      title:
        'the Security API is down: `login` opens for strangers, `payment` holds them, what is in memory counts',
      requests: [login(stranger), ...known.map((address) => login(address)), pay(stranger)],
      showsAnswers: true,
      isOutage: true,
    },
    { share: 0.1, title: 'the Security API is back', requests: [pay(stranger)], showsAnswers: true },
  ]
}

/** What anybody has after `npm install`. The checker says itself what it can and cannot see. */
async function showSeed() {
  const { RiskChecker } = require('ip-risk')
  console.log(`\n${paint('-- no key, no network: the feeds in the package score by themselves', 'bold')}`)
  const say = (_, message) => console.log(`          ${message}`)
  const checker = new RiskChecker({ logger: { info: say, warn: say, error: say } })
  for (const address of SEED_CAST) await checker.check(address)
  await checker.close()
}

/** The app on a checker that asks the stand-in. */
async function standIn({ createApp, policies }) {
  const { createTestChecker } = require('ip-risk/testing')
  const { checker, api, close } = await createTestChecker({ policies })
  return {
    app: createApp(checker),
    cast: CARDS,
    checkers: [checker],
    before: showSeed,
    asks: 'Asks a stand-in of the Security API in this process; set IPGEO_API_KEY to ask the real one.',
    setOutage: (isDown) => api.fault(isDown ? { status: 503 } : null),
    close,
  }
}

/** The app on a checker that asks the real API, and beside it one whose API cannot be reached, for the outage. */
async function realApi({ createApp, policies }) {
  const { RiskChecker } = require('ip-risk')
  const checker = new RiskChecker({ policies, logger: false })
  const cutOff = new RiskChecker({ policies, logger: false, apiKey: 'none', endpoint: `http://${HOST}:1` })
  const [app, appInOutage] = [createApp(checker), createApp(cutOff)]
  const { people, vpn, bots, stranger } = EXAMPLES
  const credits = new Set([...people, vpn, ...bots, stranger]).size * CREDITS
  const world = {
    app,
    cast: EXAMPLES,
    checkers: [checker, cutOff],
    before: async () => {},
    asks: `Asks the real Security API about the vendor's example addresses, each once: ${credits} credits.`,
    setOutage: (isDown) => (world.app = isDown ? appInOutage : app),
    close: () => Promise.all([checker.close(), cutOff.close()]),
  }
  return world
}

/** Listens before anything is installed or built, so that a port that is taken is known at once. */
function listen(server) {
  const port = process.env.PORT || '3000'
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535)
    fail('`PORT` must be a whole number from 0 to 65535')
  return new Promise((resolve) => {
    server.once('error', ({ code }) => {
      const reason = code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${code})`
      fail(
        `port ${port} ${reason}; choose another with \`PORT=3001 npm run demo\`, or any free one with \`PORT=0\``,
      )
    })
    server.listen(Number(port), HOST, () => resolve(`http://${HOST}:${server.address().port}`))
  })
}

function readSeconds() {
  const seconds = Number(process.env.DEMO_SECONDS || 60)
  if (!(seconds > 0 && seconds < 86_400)) fail('`DEMO_SECONDS` must be a number above 0')
  return seconds
}

function explain(url, { asks }) {
  console.log(`${paint('ip-risk demo', 'bold')}: an Express app (examples/express-login) on ${url}, a gate before each route:
  POST /login   policy \`login\`: from 20 log, from 45 challenge, from 80 block; opens in an outage
  POST /pay     policy \`payment\`: the same, but in an outage holds what nothing is known about
  POST /signup  policy \`signup\`: log-only, lets everything through and counts what it would have done
${asks}
Each line: time, policy, action, score, client address, reasons, where the answer came from.`)
}

/** Prints every decision in this process, those of the script and those of whoever tries the app. */
function printDecisions(world) {
  const { adviceFor } = require('../lib/log.js')
  const advised = new Set()
  subscribe('ip-risk:decision', (decision) => {
    const { failure } = decision
    console.log(decisionLine(decision))
    if (failure === null || advised.has(failure) || world.isDown) return
    advised.add(failure)
    console.log(paint(`          ${failure}: ${adviceFor(failure)}`, 'dim'))
  })
}

function decisionLine({ ip, score, band, policy, action, wouldBe, reasons, source, failure, flags }) {
  const style = ACTION_STYLES[wouldBe]
  const bar = band === null ? '' : '█'.repeat(Math.round(score / 10))
  const cloud = flags.cloud_provider_name
  const why = [...reasons, failure, cloud && `cloud of ${cloud}`].filter(Boolean).join(', ')
  return [
    new Date().toTimeString().slice(0, 8),
    policy.padEnd(7),
    paint(action.padEnd(9), ACTION_STYLES[action]),
    paint(bar.padEnd(10, '·'), style),
    (band === null ? '-' : String(score)).padStart(3),
    (ip ?? 'no address').padEnd(17),
    action === wouldBe ? why : `${paint(`would ${wouldBe}`, style)}: ${why}`,
    paint(source, 'dim'),
  ].join('  ')
}

async function play(scenes, url, seconds, world) {
  for (const { share, title, requests, showsAnswers, isOutage = false } of scenes) {
    console.log(`\n${paint(`-- ${title}`, 'bold')}`)
    world.isDown = isOutage
    world.setOutage(isOutage)
    for (const request of requests) {
      await sleep((seconds * 1000 * share) / requests.length)
      const answer = await send(url, request)
      if (showsAnswers) console.log(paint(`          ${request.path} answered ${answer}`, 'dim'))
    }
  }
}

async function send(url, { path, address, body }) {
  const headers = { 'content-type': 'application/json', 'x-forwarded-for': address }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  return `${response.status} ${await response.text()}`
}

function summarise(checkers) {
  const all = checkers.map((checker) => checker.stats())
  const names = Object.keys(all[0].policies).toSorted()
  const rows = names.flatMap((name) =>
    summaryRows(
      name,
      all.map((stats) => stats.policies[name]),
    ),
  )
  const cells = [['', ...Object.keys(BANDS), ...ACTIONS], ...rows].map((row) =>
    row.map((text) => ({ text: String(text) })),
  )
  console.log(`\n${paint('-- what `checker.stats()` counted: scores by band, then decisions', 'bold')}`)
  process.stdout.write(table(cells))
  const [calls, credits] = ['calls', 'credits'].map((name) => sum(all.map(({ upstream }) => upstream[name])))
  const hits = sum(all.map(({ cache }) => cache.hits))
  console.log(`${calls} calls to the Security API for ${credits} credits; ${hits} answers came from memory`)
}

/** A policy that only watches has a second row, with what it would have done. */
function summaryRows(name, counts) {
  const edges = [...Object.values(BANDS), 101]
  const inBand = ({ histogram }, index) => sum(histogram.slice(edges[index], edges[index + 1]))
  const bands = Object.keys(BANDS).map((_, index) => sum(counts.map((each) => inBand(each, index))))
  const [did, would] = ['action', 'wouldBe'].map((kind) =>
    ACTIONS.map((action) => sum(counts.map((each) => each[kind][action]))),
  )
  const row = [name, ...bands, ...did]
  const isSame = did.every((count, index) => count === would[index])
  return isSame ? [row] : [row, [`${name}, would be`, ...bands.map(() => ''), ...would]]
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}

function suggest(url, { cast: { tries } }, { PASSWORD }) {
  const json = `-H 'Content-Type: application/json' -d '{"password":"${PASSWORD}"}'`
  const curl = (path, address, rest = '-X POST') =>
    `  curl -i ${url}${path} -H 'X-Forwarded-For: ${address}' ${rest}`
  console.log(`
${paint('-- the app stays up: try it; Ctrl-C ends it', 'bold')}
The app trusts loopback, so that the address in \`X-Forwarded-For\` counts. In turn: allow, challenge, block, hold, log-only.
${curl('/login', tries.allow, json)}
${curl('/login', tries.challenge, json)}
${curl('/login', tries.block)}
${curl('/pay', tries.hold)}
${curl('/signup', tries.block)}`)
}

/** Ctrl-C, at any time. */
function endOnSignal(server, world) {
  let isEnding = false
  const end = async () => {
    if (isEnding) return
    isEnding = true
    server.close()
    server.closeAllConnections()
    // A look-up that is under way is not worth waiting for.
    await Promise.race([world.close(), sleep(LONGEST_ENDING_MS)])
    process.exit(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, end)
  return () => isEnding
}

function fail(message) {
  console.error(`ip-risk demo: ${message}`)
  process.exit(1)
}

async function main() {
  endQuietlyWhenNobodyReads()
  // Everybody is shown the same feeds: those in the package.
  delete process.env.IP_RISK_FEEDS
  const seconds = readSeconds()
  const server = http.createServer()
  const url = await listen(server)
  if (!process.argv.includes('--no-setup')) {
    installDependencies()
    buildAddon()
  }
  const example = require('../examples/express-login/app.js')
  const world = await (process.env.IPGEO_API_KEY?.trim() ? realApi(example) : standIn(example))
  server.on('request', (request, response) => world.app(request, response))
  const isEnding = endOnSignal(server, world)
  const scenes = scenesFor(world.cast, example)
  explain(url, world)
  printDecisions(world)
  try {
    await world.before()
    await play(scenes, url, seconds, world)
    summarise(world.checkers)
    suggest(url, world, example)
  } catch (error) {
    // Ending closes the connections of the script, too.
    if (!isEnding()) throw error
  }
}

try {
  await main()
} catch (error) {
  // A mistake in what surrounds the demo, such as a key with blanks in it, says itself what to do.
  if (!String(error.code).startsWith('ERR_IP_RISK_')) throw error
  fail(`${error.message} (${error.code})`)
}
