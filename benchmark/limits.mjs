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
 * What was not met, each target once, in its words in `limits.md`.
 *
 * @param {import('./report.mjs').Result[]} results
 */
export function missedTargets(results) {
  const missed = results.flatMap(({ ratios }) => ratios).filter(({ target }) => target?.met === false)
  return [...new Set(missed.map(({ what, target }) => `${what}: ${target.text}`))]
}
