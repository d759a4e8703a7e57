// Results as Markdown. The types are those that every part of the benchmark gives.

import { missedTargets } from './limits.mjs'
import { median, ratios, shown } from './rounds.mjs'

/**
 * @typedef {{ title?: string, columns: string[], rows: string[][] }} Table
 *
 * @typedef {object} Side One side with the value of each round.
 * @property {string} side
 * @property {number[]} values
 * @property {string} unit
 *
 * @typedef {object} Ratio One line of the table of ratios; without `theirs` it is a figure alone.
 * @property {string} what
 * @property {Side} ours
 * @property {Side} [theirs]
 * @property {'lower' | 'higher'} [better]
 * @property {{ text: string, met: boolean }} [target]
 *
 * @typedef {object} Result What one part found.
 * @property {string} title
 * @property {string} method
 * @property {Table[]} tables
 * @property {Ratio[]} ratios
 * @property {string[]} notes
 */

const COLUMNS = ['what', 'ip-risk', 'other side', 'ratio', 'wanted', 'met']

/**
 * A Markdown table whose columns are as wide as what is in them, so that it can be read as it is.
 *
 * @param {Table} table
 */
export function showTable({ title, columns, rows }) {
  const widths = columns.map((name, at) => Math.max(3, name.length, ...rows.map((row) => row[at].length)))
  const line = (cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`
  const lines = [line(columns), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)]
  return [...(title === undefined ? [] : [title, '']), ...lines].join('\n')
}

/** @param {Side} side */
function showSide({ side, values, unit }) {
  return `${side}: ${shown(values)} ${unit}`
}

/** A ratio: `1/90.2`, `0.97`. */
function showTimes(times) {
  const digits = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
  return times < 0.5 ? `1/${digits(1 / times)}` : digits(times)
}

/**
 * What ip-risk's figure is of the other one, with the least and the most: `1/90.2 (1/95.0 to 1/85.1), better`.
 *
 * @param {Ratio} line
 */
function showRatio({ ours, theirs, better }) {
  if (theirs === undefined) return ''
  const all = ratios(ours.values, theirs.values)
  const times = median(all)
  const spread = all.length === 1 ? '' : ` (${showTimes(Math.min(...all))} to ${showTimes(Math.max(...all))})`
  const isBetter = better === 'lower' ? times < 1 : times > 1
  return `${showTimes(times)}${spread}, ${isBetter ? 'better' : 'worse'}`
}

/**
 * @param {Ratio} line
 * @returns {string[]}
 */
function ratioRow(line) {
  const { what, ours, theirs, target } = line
  const other = theirs === undefined ? '' : showSide(theirs)
  const met = target === undefined ? '' : target.met ? 'yes' : '**no**'
  return [what, showSide(ours), other, showRatio(line), target?.text ?? '', met]
}

/**
 * The one table of ratios.
 *
 * @param {Result[]} results
 */
export function showRatios(results) {
  const ratios = results.flatMap((result) => result.ratios)
  const wanted = ratios.filter(({ target }) => target !== undefined)
  const met = wanted.filter(({ target }) => target?.met)
  return [
    showTable({ columns: COLUMNS, rows: ratios.map(ratioRow) }),
    '',
    `${met.length} of ${wanted.length} wanted figures are met.`,
  ].join('\n')
}

/** @param {Result} result */
export function showDetails({ title, method, tables, notes }) {
  const paragraphs = [`## ${title}`, method.trim(), ...tables.map(showTable)]
  if (notes.length > 0) paragraphs.push(notes.map((note) => `- ${note}`).join('\n'))
  return paragraphs.join('\n\n')
}

const HEAD = `Written by \`npm run bench\`; [README.md](README.md) says how to run it. A figure is the median with the least
and the most of its rounds. A ratio is ip-risk's figure divided by the other side's, and the median of the ratios within a
round, which are not those of the medians. Sides take turns, so that what changes on the machine meets all of them; processes
that stay for all rounds do so in an order that is drawn anew for each, others in that of their table.`

/** Each target that was missed, with its reason. */
function showMissed(results, reasons) {
  const missed = missedTargets(results)
  if (missed.length === 0) return []
  const lines = missed.map((target) => `- **${target}.** ${reasons[target] ?? 'No reason is known.'}`)
  return [`## What is not met, and why\n\n${lines.join('\n')}`]
}

/**
 * The whole document.
 *
 * @param {{ results: Result[], facts: Record<string, string>, reasons: Record<string, string>, began: Date, seconds: number }} run
 */
export function showDocument({ results, facts, reasons, began, seconds }) {
  const date = began.toISOString().slice(0, 10)
  const trial = process.env.ROUNDS
  const paragraphs = [
    '# Results',
    `${HEAD} This run was on ${date}, and took ${(seconds / 60).toFixed(0)} minutes.`,
  ]
  if (trial !== undefined) paragraphs.push(`**A trial with \`ROUNDS=${trial}\`, not a result.**`)
  paragraphs.push(
    showTable({ columns: ['machine', ''], rows: Object.entries(facts) }),
    `## Ratios\n\n${showRatios(results)}`,
    ...showMissed(results, reasons),
    ...results.map(showDetails),
  )
  return `${paragraphs.join('\n\n')}\n`
}
