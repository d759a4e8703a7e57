// Why figures are not what was wanted: `limits.md`, by target.

import { readFileSync } from 'node:fs'

/**
 * The reasons that were written by hand, by target.
 *
 * @returns {Record<string, string>}
 */
export function readReasons() {
  const text = readFileSync(new URL('limits.md', import.meta.url), 'utf8')
  const sections = text.split(/^## /m).slice(1)
  return Object.fromEntries(
    sections.map((section) => {
      const [target, ...lines] = section.split('\n')
      return [target.trim(), lines.join('\n').trim()]
    }),
  )
}

/**
 * Headings of reasons that are no target of a run of all parts, such as one whose words have changed.
 *
 * @param {Record<string, string>} reasons
 * @param {import('./report.mjs').Result[]} results
 */
export function strayReasons(reasons, results) {
  const targets = new Set(results.flatMap(({ ratios }) => ratios).flatMap(nameTarget))
  return Object.keys(reasons).filter((heading) => !targets.has(heading))
}

/** @param {import('./report.mjs').Ratio} line */
function nameTarget({ what, target }) {
  return target === undefined ? [] : [`${what}: ${target.text}`]
}

/**
 * What was not met, each target once, in its words in `limits.md`.
 *
 * @param {import('./report.mjs').Result[]} results
 */
export function missedTargets(results) {
  const missed = results.flatMap(({ ratios }) => ratios).filter(({ target }) => target?.met === false)
  return [...new Set(missed.flatMap(nameTarget))]
}
