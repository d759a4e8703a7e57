// Counts the instructions of the hot paths in the core, and compares them with `instructions.json`: `npm run
// bench:instructions`. With `--write` it writes them there instead.
//
// Times say little on a machine that others use too; counts are the same each time. What a call costs is the difference
// of two numbers of calls, so that the set-up does not count.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { whole } from './rounds.mjs'

const PATHS = ['parse', 'table', 'feeds', 'cached_check', 'policy']
const FEW = 10_000
const MANY = 110_000
/** How much more than was committed is an error, and how much less is to be committed, so that it cannot be lost unseen. Keys of hash tables differ from run to run, by less than a hundredth. */
const MARGIN = 0.04

const root = fileURLToPath(new URL('..', import.meta.url))
const committed = new URL('instructions.json', import.meta.url)

function run(command, words) {
  const result = spawnSync(command, words, { cwd: root, encoding: 'utf8' })
  if (result.error !== undefined) throw new Error(`\`${command}\` cannot be run; install it`, result.error)
  if (result.status !== 0) throw new Error(`\`${command}\` failed: ${result.stderr}`)
  return result
}

function count(path, calls) {
  const words = ['--tool=callgrind', '--callgrind-out-file=/dev/null', 'target/release/hot_paths']
  const { stderr } = run('valgrind', [...words, path, String(calls)])
  return Number(/Collected : (\d+)/.exec(stderr)[1])
}

function perCall(path) {
  return Math.round((count(path, MANY) - count(path, FEW)) / (MANY - FEW))
}

run('cargo', ['build', '--quiet', '--release', '-p', 'ip-risk-benchmark', '--bin', 'hot_paths'])
const counts = Object.fromEntries(PATHS.map((path) => [path, perCall(path)]))
const rustc = run('rustc', ['--version']).stdout.trim()
if (process.argv.includes('--write')) {
  writeFileSync(committed, `${JSON.stringify({ rustc, counts }, null, 2)}\n`)
} else {
  compare(JSON.parse(readFileSync(committed, 'utf8')))
}

function compare(before) {
  console.log(`instructions per call, ${rustc}; committed with ${before.rustc}`)
  const slower = PATHS.filter((path) => counts[path] > before.counts[path] * (1 + MARGIN))
  for (const path of PATHS) {
    const change = (counts[path] / before.counts[path] - 1) * 100
    console.log(
      `${path.padEnd(14)} ${whole(counts[path]).padStart(6)}  committed ${whole(before.counts[path]).padStart(6)}  ${change.toFixed(1)} %`,
    )
  }
  const faster = PATHS.filter((path) => counts[path] < before.counts[path] * (1 - MARGIN))
  if (faster.length > 0) {
    console.log(
      `\`${faster.join('`, `')}\`: cheaper; commit it with \`npm run bench:instructions -- --write\``,
    )
  }
  if (slower.length === 0) return
  console.error(
    `\`${slower.join('`, `')}\`: more than ${MARGIN * 100} % above what is committed; make it cheaper, or commit why not with \`npm run bench:instructions -- --write\``,
  )
  process.exitCode = 1
}
