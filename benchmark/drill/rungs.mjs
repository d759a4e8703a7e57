/** The rungs of the ladder, from the top. */
export const RUNGS = ['memory', 'redis', 'api', 'stale memory', 'stale redis', 'feeds', 'none']

/** The rung on which a decision stood. */
export function rungOf({ source, stale }) {
  return stale ? `stale ${source}` : source
}
