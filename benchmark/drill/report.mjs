// The drill as a table, and what it shows.

import { machine, whole } from '../rounds.mjs'
import { WELL } from './phases.mjs'
import { RUNGS, rungOf } from './rungs.mjs'

/** That many lines say enough about a promise that was broken. */
const MOST_LINES = 10
const HEAD = ['phase', 'requests', 'p50', 'p99', 'max', ...RUNGS, 'calls', 'recovery', 'failures']

/**
 * @param {import('./forms.mjs').Form} form
 */
export function introduction({ deadlineMs, ttlMs, perSecond }) {
  const times = `deadline ${whole(deadlineMs)} ms, evidence fresh for ${whole(ttlMs)} ms`
  return `${machine()}\ntwo processes, ${perSecond} visits per second, ${times}; times in ms\n`
}

/** @param {import('./run.mjs').PlayedAct} act */
export function table({ redis, phases, records }) {
  const rows = phases.map((played) =>
    rowOf(
      played,
      records.filter(({ during }) => during === played),
    ),
  )
  return `Redis: ${redis}\n\n${aligned([HEAD, ...rows])}\n`
}

function rowOf({ phase, mendedAt, recoveredAt, calls }, records) {
  const durations = records.map(({ duration }) => duration).sort((a, b) => a - b)
  const at = (share) => whole(durations[Math.ceil(share * durations.length) - 1])
  const decisions = records.flatMap(({ decision }) => decision ?? [])
  const rungs = counted(decisions.map(rungOf))
  const failures = counted(decisions.flatMap(({ failure }) => failure ?? []))
  return [
    phase.name,
    whole(records.length),
    ...[0.5, 0.99, 1].map(at),
    ...RUNGS.map((rung) => whole(rungs[rung] ?? 0)),
    whole(calls),
    phase === WELL ? '' : recoveredAt === null ? 'never' : whole(recoveredAt - mendedAt),
    Object.entries(failures)
      .map(([code, count]) => `${code.replace('ERR_IP_RISK_', '')} ${whole(count)}`)
      .join(', '),
  ]
}

function counted(names) {
  const counts = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** A table of Markdown that is also readable as it is. */
function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const isText = (column) => column === 0 || column === widths.length - 1
  const pad = (cell, column) => (isText(column) ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))
  const line = (row) => `| ${row.map(pad).join(' | ')} |`
  const rule = widths.map((width, column) =>
    isText(column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  return [line(rows[0]), line(rule), ...rows.slice(1).map(line)].join('\n')
}

/** @param {Map<string, string[]>} judged */
export function verdict(judged) {
  return [...judged].map(verdictOn).join('\n')
}

function verdictOn([promise, broken]) {
  if (broken.length === 0) return `holds:  ${promise}`
  const more = broken.length > MOST_LINES ? [`and ${broken.length - MOST_LINES} more`] : []
  return [`BROKEN: ${promise}`, ...broken.slice(0, MOST_LINES), ...more].join('\n        ')
}
