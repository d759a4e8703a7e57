/** Runs scripts that make checkers, in a process of their own against the stand-in. */
import assert from 'node:assert/strict'
import { runForJson, runScript } from './children.mjs'

/** In front of every script: a checker for the endpoint that it is given, and what must never happen. */
export const BEGIN = `
  const { RiskChecker } = require('ip-risk')
  const { Worker } = require('node:worker_threads')
  const { setTimeout: sleep } = require('node:timers/promises')
  const [endpoint] = process.argv.slice(1)
  const options = { apiKey: 'test-key', endpoint, logger: false }
  const make = (more) => new RiskChecker({ ...options, ...more })
  process.on('unhandledRejection', (error) => { console.error('unhandled rejection', error); process.exit(99) })
`

/** Runs a script against the stand-in and asserts that it ended by itself with `code`, in time. */
export async function runToEnd(api, script, { code = 0, withinMs = 5_000, ...options } = {}) {
  const began = performance.now()
  const result = await runScript(BEGIN + script, { args: [api.url], ...options })
  const took = performance.now() - began
  assert.deepEqual([result.code, result.signal], [code, null], result.stderr)
  assert.ok(took < withinMs, `ended after ${took} ms`)
  return result.stdout.trim()
}

/** Runs a script against the stand-in that writes one JSON value, and returns that value. */
export function runForResult(api, script, options) {
  return runForJson(BEGIN + script, { args: [api.url], ...options })
}
