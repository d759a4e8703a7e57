// The stand-in of the Security API that bears load, and the clients that make it, in `upstream` beside this directory.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { printedBy } from '../programs.mjs'

const cwd = fileURLToPath(new URL('../..', import.meta.url))
const BUILD = ['build', '--quiet', '--release', '-p', 'ip-risk-upstream', '--bins', '--message-format=json']

/**
 * Where its programs are, by name.
 *
 * @type {Record<string, string> | undefined}
 */
let programs

/** Builds all its programs, which takes half a minute the first time. */
export function buildUpstream() {
  const { status, error, stdout } = spawnSync('cargo', BUILD, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) throw error ?? new Error(`\`cargo build\` ended with ${status}`)
  const built = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ executable }) => executable)
  programs = Object.fromEntries(built.map(({ target, executable }) => [target.name, executable]))
}

/** `{ latencyMs: 50 }` as the words `--latency-ms 50`. */
function wordsOf(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    return [`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, String(value)]
  })
}

/** @param {string} name */
function programOf(name) {
  if (programs === undefined) buildUpstream()
  return programs[name]
}

/**
 * Starts it with counts at zero.
 *
 * @param {{ latencyMs: number, bulkLatencyMs?: number, connections: number }} options
 */
export async function startUpstream(options) {
  const child = spawn(programOf('upstream'), wordsOf(options), { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const line = await Promise.race([once(createInterface(child.stdout), 'line'), ended])
  if (child.exitCode !== null) throw new Error(`\`upstream\` ended with ${child.exitCode}`)
  const { url, counts } = JSON.parse(line[0])
  return {
    url,
    pid: child.pid,
    counts: async () => (await fetch(counts)).json(),
    async close() {
      child.stdin.end()
      await ended
    },
  }
}

/** Runs one of the clients to its end, and gives what it printed. */
async function runClient(name, options) {
  return JSON.parse(await printedBy(programOf(name), wordsOf(options)))
}

/**
 * Has an upstream answer as much as it can.
 *
 * @param {{ port: string, connections: number, seconds: number, bulk?: number }} options
 * @returns {Promise<{ requestsPerSecond: number, addressesPerSecond: number }>}
 */
export function loadUpstream(options) {
  return runClient('load', options)
}

/**
 * Has clients log in at a server; the options are those of `upstream/src/bin/logins.rs`.
 *
 * @param {{ port: number, connections: number, requests: number, known: number, newPercent: number, first: number }} options
 * @returns {Promise<{ requests: number, seconds: number, perSecond: number, p50Ms: number, p99Ms: number }>}
 */
export function logIn(options) {
  return runClient('logins', options)
}
