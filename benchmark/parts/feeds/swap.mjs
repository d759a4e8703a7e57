// Asks without a pause while the file of feeds is replaced: `swap.mjs DIRECTORY`, with what the program `sizes` wrote.
//
// A round is one swap. It gives, in nanoseconds, how long look-ups took without and with one, and how many failed.

import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readDecision, serveRounds } from '../../serve.mjs'

const require = createRequire(import.meta.url)
const { RiskChecker, TESTING } = require('../../../lib/checker.js')
const { addon } = require('../../../lib/judge.js')

/** How many look-ups are timed without a swap, and after the new file is in use, when the old one is given up. */
const CALLS = 50_000
/** How many can be timed in one swap. */
const MOST_CALLS = 5_000_000
/** Of so many look-ups one is about the address by which the files differ. */
const MARKED_CALLS = 500
/** A checker looks whether files changed every ten seconds. */
const LOOK_MS = 11_000
/** No key, so that feeds decide. The endpoint is never asked; only with one on loopback may a clock be advanced. */
const OFFLINE = { endpoint: 'http://127.0.0.1:1', logger: false }

const [source] = process.argv.slice(2)
const addresses = readFileSync(join(source, 'addresses.txt'), 'utf8').split('\n')
const [marker] = addresses
const directory = mkdtempSync(join(tmpdir(), 'ip-risk-swap-'))
process.on('exit', () => rmSync(directory, { recursive: true }))

/** As an update does it: written beside, then renamed. */
function put(name) {
  copyFileSync(join(source, name), join(directory, 'beside'))
  renameSync(join(directory, 'beside'), join(directory, 'feeds.bin'))
}

put('old.bin')
// With a clock that can be advanced; otherwise as everybody makes one.
const checker = new RiskChecker({ ...OFFLINE, feeds: { dir: directory } }, TESTING)
const times = new Float64Array(MOST_CALLS)
let sink = 0

const markerScore = () => checker.peek(marker).score

/** Asks until `isOver` at the marker, which comes again and again, and then for `rest` more times. */
function ask(isOver, rest) {
  let count = 0
  let failures = 0
  let end = Infinity
  let last = performance.now()
  while (count < end && count < MOST_CALLS) {
    const isMarker = count % MARKED_CALLS === 0
    const decision = checker.peek(isMarker ? marker : addresses[count % addresses.length])
    sink += readDecision(decision)
    const now = performance.now()
    times[count++] = now - last
    last = now
    // All these addresses are listed in both files.
    if (decision.score === 0 || decision.source !== 'feeds') failures++
    if (isMarker && end === Infinity && isOver(decision)) end = count + rest
  }
  if (end === Infinity) throw new Error('the new file of feeds did not come into use')
  return { count, failures, ...distribution(times.slice(0, count).sort()) }
}

function distribution(sorted) {
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] * 1e6
  return { p50: at(0.5), p99: at(0.99), longest: at(1) }
}

let newest = 'old.bin'
function swap() {
  newest = newest === 'old.bin' ? 'new.bin' : 'old.bin'
  const before = markerScore()
  put(newest)
  addon.advanceClock.call(checker, LOOK_MS)
  const start = performance.now()
  let inUseMs
  const isOver = ({ score }) => {
    inUseMs = performance.now() - start
    return score !== before
  }
  return { ...ask(isOver, CALLS), inUseMs }
}

serveRounds(() => ({ quiet: ask(() => true, CALLS), swap: swap() }))
