// The Rust programs of `benchmark/feeds`.

import { fileURLToPath } from 'node:url'
import { printedBy } from '../../programs.mjs'

const cwd = fileURLToPath(new URL('../../..', import.meta.url))

/**
 * Builds and runs one of them, and gives what it prints.
 *
 * @param {string} name
 * @param {...(string | number)} words
 */
export function runCargo(name, ...words) {
  const which = ['run', '--quiet', '--release', '-p', 'ip-risk-benchmark', '--bin', name, '--']
  return printedBy('cargo', [...which, ...words.map(String)], { cwd })
}
