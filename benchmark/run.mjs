// Compares ip-risk with what people use instead, part by part: `npm run bench [-- PART...]`. All parts together write
// RESULTS.md beside this; parts that are named are only printed.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { buildAddon } from '../scripts/setup.mjs'
import { missedTargets, readReasons, strayReasons } from './limits.mjs'
import { machineFacts } from './machine.mjs'
import { showDetails, showDocument, showRatios, showTable } from './report.mjs'
import { answerOf } from './rounds.mjs'
import { requireTools } from './tools.mjs'

const PARTS = [
  'cached',
  'express',
  'flask',
  'misses',
  'spray',
  'feeds',
  'memory',
  'start',
  'scaling',
  'lists',
]
const RESULTS = new URL('RESULTS.md', import.meta.url)
const PART = fileURLToPath(new URL('part.mjs', import.meta.url))

/**
 * @typedef {object} Part A file in `parts`.
 * @property {string} title
 * @property {string} method
 * @property {Parameters<typeof requireTools>[0]} [needs] what must be installed
 * @property {() => Promise<Pick<import('./report.mjs').Result, 'tables' | 'ratios' | 'notes'>>} run
 */

/** @param {string[]} names */
function checkNames(names) {
  const unknown = names.find((name) => !PARTS.includes(name))
  if (unknown !== undefined) throw new Error(`\`${unknown}\` is no part; the parts are ${PARTS.join(', ')}`)
}

/**
 * Loads all before the first one runs, so that what is missing is known at once.
 *
 * @param {string[]} names
 */
async function loadParts(names) {
  checkNames(names)
  const parts = []
  for (const name of names) {
    /** @type {Part} */
    const part = await import(`./parts/${name}.mjs`)
    requireTools(part.needs ?? [])
    parts.push({ name, part })
  }
  return parts
}

/** Runs one in a process of its own, and gives what it found. */
async function runPart(name) {
  const child = fork(PART, [name])
  const ended = once(child, 'exit')
  const [result] = await answerOf(child)
  await ended
  return result
}

/** Runs one after the other. One that fails does not take the figures of the others with it. */
async function runParts(parts) {
  const results = []
  const failures = []
  for (const { name, part } of parts) {
    const start = performance.now()
    const { title, method } = part
    console.error(`${name}: ${title} ...`)
    try {
      const result = { title, method, ...(await runPart(name)) }
      console.log(`\n${showDetails(result)}\n`) // at once, so that a run that is broken off leaves something
      results.push(result)
    } catch (error) {
      failures.push(`${name}: ${error.message}`)
    }
    console.error(`${name}: took ${((performance.now() - start) / 1e3).toFixed(0)} seconds`)
  }
  return { results, failures }
}

async function main(named) {
  const began = new Date()
  const parts = await loadParts(named.length > 0 ? named : PARTS)
  buildAddon() // one that is older than its sources must not be measured
  const facts = machineFacts()
  console.log(showTable({ columns: ['machine', ''], rows: Object.entries(facts) }))
  const { results, failures } = await runParts(parts)
  const reasons = readReasons()
  console.log(`\n## Ratios\n\n${showRatios(results)}`)
  for (const target of missedTargets(results)) {
    if (reasons[target] === undefined) console.log(`not met, and no reason in benchmark/limits.md: ${target}`)
  }
  if (named.length === 0) {
    for (const heading of strayReasons(reasons, results))
      console.log(`a reason in benchmark/limits.md for what is no target: ${heading}`)
  }
  if (failures.length > 0) throw new Error(`RESULTS.md is left as it is; failed:\n${failures.join('\n')}`)
  if (named.length > 0) {
    console.log('\nRESULTS.md is written only by a run of all parts.')
    return
  }
  const seconds = (Date.now() - began.getTime()) / 1e3
  await writeFile(RESULTS, showDocument({ results, facts, reasons, began, seconds }))
  console.log('\nwritten to benchmark/RESULTS.md')
}

try {
  await main(process.argv.slice(2))
  process.exit()
} catch (error) {
  console.error(`bench: ${error.message}`)
  process.exit(1)
}
