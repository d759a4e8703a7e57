// Compares ip-risk with what people use instead, part by part: `npm run bench [-- PART...]`. All parts together write
// RESULTS.md beside this; parts that are named are only printed.

import { readFile, writeFile } from 'node:fs/promises'
import { machineFacts } from './machine.mjs'
import { showDetails, showDocument, showRatios, showTable } from './report.mjs'
import { requireTools } from './tools.mjs'

const PARTS = ['cached', 'express', 'misses', 'spray', 'feeds', 'memory', 'start', 'scaling', 'lists']
const RESULTS = new URL('RESULTS.md', import.meta.url)
/** Why figures are not what was wanted; written by hand. */
const LIMITS = new URL('limits.md', import.meta.url)

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

/** Runs one after the other. One that fails does not take the figures of the others with it. */
async function runParts(parts) {
  const results = []
  const failures = []
  for (const { name, part } of parts) {
    const start = performance.now()
    const { title, method } = part
    console.error(`${name}: ${title} ...`)
    try {
      const result = { title, method, ...(await part.run()) }
      console.log(`\n${showDetails(result)}\n`) // at once, so that a run that is broken off leaves something
      results.push(result)
    } catch (error) {
      failures.push(`${name}: ${error.message}`)
      console.error(error)
    }
    console.error(`${name}: took ${((performance.now() - start) / 1e3).toFixed(0)} seconds`)
  }
  return { results, failures }
}

async function main(named) {
  const began = new Date()
  const parts = await loadParts(named.length > 0 ? named : PARTS)
  const facts = machineFacts()
  console.log(showTable({ columns: ['machine', ''], rows: Object.entries(facts) }))
  const { results, failures } = await runParts(parts)
  console.log(`\n## Ratios\n\n${showRatios(results)}`)
  if (failures.length > 0) throw new Error(`RESULTS.md is left as it is; failed:\n${failures.join('\n')}`)
  if (named.length > 0) {
    console.log('\nRESULTS.md is written only by a run of all parts.')
    return
  }
  const seconds = (Date.now() - began.getTime()) / 1e3
  const limits = await readFile(LIMITS, 'utf8')
  await writeFile(RESULTS, showDocument({ results, facts, limits, began, seconds }))
  console.log('\nwritten to benchmark/RESULTS.md')
}

try {
  await main(process.argv.slice(2))
  process.exit()
} catch (error) {
  console.error(`bench: ${error.message}`)
  process.exit(1)
}
