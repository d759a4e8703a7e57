/** Waiting for what comes at its own time, with a bound. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Longer than anything here takes; only what fails waits so long. */
const PATIENCE_MS = 20_000

/**
 * Resolves when `isSo()` does to something true, with the milliseconds that it took. Rejects after `patienceMs`.
 *
 * @param {string} what for the message, after "waited in vain until"
 * @param {() => unknown} isSo
 */
export async function waitUntil(what, isSo, { patienceMs = PATIENCE_MS, intervalMs = 10 } = {}) {
  const began = performance.now()
  while (!(await isSo())) {
    if (performance.now() - began > patienceMs) {
      throw new Error(`waited ${patienceMs} ms in vain until ${what}`)
    }
    await sleep(intervalMs)
  }
  return performance.now() - began
}
