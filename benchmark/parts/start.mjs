// What it costs to load the package, and how large it is.

import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median, roundsOf, shown } from '../rounds.mjs'
import { evict } from './start/cold.mjs'

export const title = 'What loading it costs'

const ROUNDS = roundsOf(20)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PROBE = fileURLToPath(new URL('start/probe.cjs', import.meta.url))

const LOADED = "`require('ip-risk')`"
const PROBES = {
  loaded: LOADED,
  keyless: `${LOADED}, then checkers with the feeds of the package`,
  keyed: `${LOADED}, then checkers with a key`,
  ioredis: "`require('ioredis')`, for the tutorial",
  paste: "`require('undici')` and `require('lru-cache')`, for the paste",
  express: "`require('express')`",
}
/** What loading reads. */
const OWN_FILES = [
  ...readdirSync(ROOT).filter((name) => /^(index\.js|seed\.feeds|package\.json|.*\.node)$/.test(name)),
  ...readdirSync(join(ROOT, 'lib'))
    .filter((name) => name.endsWith('.js'))
    .map((name) => join('lib', name)),
].map((name) => join(ROOT, name))

export const method = `
A fresh process each, ${ROUNDS} rounds of all. The time is that of the call inside the process. Cold is with the files of ip-risk and
nothing else taken out of the page cache before (\`dd iflag=nocache\`, looked at with \`fincore\`); Node.js itself stays warm. "First
checker" is the first \`new RiskChecker\`, "second" one with another cache, "sharing" one with the same options as the second. Threads
are those that the process has more than before, half a second later, when nothing is done.`

function probe(name) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [PROBE, name], {
    encoding: 'utf8',
    env: bareEnv(),
  })
  if (status !== 0) throw new Error(`\`probe.cjs ${name}\` ended with ${status}: ${stderr}`)
  return JSON.parse(stdout)
}

/** Without what configures a checker. */
function bareEnv() {
  const {
    IPGEO_API_KEY: _key,
    REDIS_URL: _redis,
    IP_RISK_FEEDS: _feeds,
    IP_RISK_MODE: _mode,
    ...env
  } = process.env
  return env
}

/** Probes that take turns; and one that is cold, as long as that can be done. */
function measureProbes() {
  const results = Object.fromEntries(Object.keys(PROBES).map((name) => [name, []]))
  const cold = []
  let warm = null
  for (const name of Object.keys(PROBES)) probe(name)
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of Object.keys(PROBES)) results[name].push(probe(name))
    warm ??= evict(OWN_FILES)
    if (warm === null) cold.push(probe('keyless'))
  }
  return { results, cold, warm }
}

const pick = (rounds, name) => rounds.map((round) => round[name])

function showTimes({ results, cold }) {
  const cell = (rounds, name) =>
    rounds.length === 0 || rounds[0][name] === undefined ? '' : shown(pick(rounds, name))
  const row = (side, rounds) => [
    side,
    ...['requireMs', 'firstMs', 'secondMs', 'sharingMs'].map((name) => cell(rounds, name)),
  ]
  const rows = Object.entries(PROBES).map(([name, side]) => row(side, results[name]))
  if (cold.length > 0) rows.splice(3, 0, row(`cold: ${PROBES.keyless}`, cold))
  return {
    title: 'Milliseconds:',
    columns: ['process', '`require`', 'first checker', 'second', 'sharing'],
    rows,
  }
}

function threadsOf(rounds) {
  return rounds.map(({ threads }) => threads.length)
}

function showThreads(results) {
  const rows = ['loaded', 'keyless', 'keyed', 'ioredis', 'paste'].map((name) => {
    const names = [...new Set(results[name].flatMap(({ threads }) => threads))]
    return [
      PROBES[name],
      String(Math.max(...threadsOf(results[name]))),
      names.map((thread) => `\`${thread}\``).join(', '),
    ]
  })
  return { title: 'Threads more than before, at most:', columns: ['process', 'threads', 'names'], rows }
}

/** Bytes of the addon, and of what `npm publish` would send. */
function measureSizes() {
  const binary = readdirSync(ROOT).find((name) => name.endsWith('.node'))
  if (binary === undefined) throw new Error('there is no addon; run `npm run build` first')
  const words = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const { stdout, status } = spawnSync('npm', words, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`\`npm ${words.join(' ')}\` ended with ${status}`)
  const [{ size, unpackedSize, entryCount }] = JSON.parse(stdout)
  return { binary, binaryBytes: statSync(join(ROOT, binary)).size, size, unpackedSize, entryCount }
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(2)

function showSizes({ binary, binaryBytes, size, unpackedSize, entryCount }) {
  const rows = [
    [`\`${binary}\`, without symbols, which comes as a package of its own`, megabytes(binaryBytes), ''],
    [
      `\`npm pack\`: ${entryCount} files, with the feeds that are shipped`,
      megabytes(unpackedSize),
      megabytes(size),
    ],
  ]
  return { title: 'Sizes, MB:', columns: ['what', 'size', 'as it is fetched'], rows }
}

function judge({ results, cold }, { binaryBytes }) {
  const within = (what, side, values, unit, most) => ({
    what,
    ours: { side, values, unit },
    target: { text: `at most ${most} ${unit}`, met: median(values) <= most },
  })
  const times = pick(results.loaded, 'requireMs')
  const compared = (name) => ({
    what: 'start',
    ours: { side: LOADED, values: times, unit: 'ms' },
    theirs: { side: PROBES[name], values: pick(results[name], 'requireMs'), unit: 'ms' },
    better: 'lower',
  })
  return [
    within('start, warm', LOADED, times, 'ms', 15),
    ...(cold.length > 0 ? [within('start, cold', LOADED, pick(cold, 'requireMs'), 'ms', 15)] : []),
    compared('ioredis'),
    compared('paste'),
    within('idle threads', LOADED, threadsOf(results.loaded), 'threads', 2),
    within('idle threads', 'with checkers', threadsOf(results.keyed), 'threads', 2),
    within('size of the addon', 'without symbols', [binaryBytes / 1e6], 'MB', 8),
  ]
}

export async function run() {
  const measured = measureProbes()
  const sizes = measureSizes()
  return {
    tables: [showTimes(measured), showThreads(measured.results), showSizes(sizes)],
    ratios: judge(measured, sizes),
    notes: measured.warm === null ? [] : [`Cold is not measured: ${measured.warm}.`],
  }
}
