// Measures what looking an address up in offline feeds costs from JavaScript: `npm run bench:feeds`. The method and the
// figures stand in README.md beside this.

import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROUNDS, closeAll, machine, ratio, shown, startSide, takeTurns, whole } from './rounds.mjs'

const SIDES = {
  peek: 'ip-risk: `peek(ip)`, a whole decision',
  evaluate: 'ip-risk: the addon alone, no decision object',
  array: 'sorted `Uint32Array`, binary search',
  maxmind: '`maxmind`: `reader.get(ip)`',
  blockList1k: '`net.BlockList`, 1,000 rules',
  blockList10k: '`net.BlockList`, 10,000 rules',
}
const SETS = ['random', 'listed']

/** Without a key, and without feeds but those that are measured. */
const { IPGEO_API_KEY: _key, IP_RISK_FEEDS: _feeds, IP_RISK_MODE: _mode, ...env } = process.env

/** Has the Rust programs write the same feeds for all sides. */
async function exportFeeds(directory) {
  const words = ['run', '--quiet', '--release', '-p', 'ip-risk-benchmark', '--bin', 'export', '--', directory]
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const { status, error } = spawnSync('cargo', words, { cwd, stdio: 'inherit' })
  if (status !== 0) throw error ?? new Error(`\`cargo run\` ended with ${status}`)
  return JSON.parse(await readFile(join(directory, 'facts.json'), 'utf8'))
}

function printFeeds({ missing, prefixes, segments, tableBytes, fileBytes, compileMs }, mmdbBytes) {
  if (missing !== null) console.log(`${missing}\nInstead: made-up networks, all of one signal.\n`)
  console.log(`${whole(prefixes)} prefixes, ${whole(segments)} segments, compiled in ${whole(compileMs)} ms`)
  console.log(`table: ${whole(tableBytes)} bytes, ${(tableBytes / prefixes).toFixed(2)} per prefix`)
  console.log(`files: ${whole(fileBytes)} bytes; as a MaxMind database ${whole(mmdbBytes)} bytes\n`)
}

/** All sides that look the same thing up must have found the same. */
function compareSides(sides) {
  for (const set of SETS) {
    const [array, maxmind] = ['array', 'maxmind'].map((name) => sides[`${name} ${set}`].facts.sum)
    if (array !== maxmind)
      throw new Error(`array and maxmind differ on ${set} addresses: ${array}, ${maxmind}`)
  }
}

function printResults(sides, results) {
  console.log('| side | random, ns | listed, ns | ready after, ms | memory for it, MB | process, MB |')
  console.log('|---|---|---|---|---|---|')
  for (const [name, title] of Object.entries(SIDES)) {
    const times = SETS.map((set) => shown(results[`${name} ${set}`]))
    const { readyMs, grownBytes, rssBytes } = sides[`${name} listed`].facts
    const facts = [readyMs, grownBytes / 1e6, rssBytes / 1e6].map((value) => value.toFixed(1))
    console.log(`| ${[title, ...times, ...facts].join(' | ')} |`)
  }
  console.log()
  for (const set of SETS) {
    const times = (name) => ratio(results[`maxmind ${set}`], results[`${name} ${set}`]).toFixed(1)
    console.log(
      `${set}: maxmind takes ${times('peek')} times as long as peek, ${times('evaluate')} times the addon`,
    )
  }
}

const directory = await mkdtemp(join(tmpdir(), 'ip-risk-bench-'))
const sides = {}
try {
  const facts = await exportFeeds(directory)
  for (const name of Object.keys(SIDES)) {
    for (const set of SETS) {
      sides[`${name} ${set}`] = await startSide('feeds-side.mjs', [name, set, directory], env)
    }
  }
  compareSides(sides)
  const results = await takeTurns(sides)
  console.log(machine())
  console.log(`10,000 addresses of each kind, ${ROUNDS} rounds, median (least to most) in ns per call\n`)
  printFeeds(facts, (await stat(join(directory, 'signals.mmdb'))).size)
  printResults(sides, results)
} finally {
  await closeAll(sides)
  await rm(directory, { recursive: true })
}
