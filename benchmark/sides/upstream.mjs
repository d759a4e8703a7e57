// The stand-in of the Security API that bears load, in `upstream` beside this directory.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('../..', import.meta.url))
const WHICH = ['--quiet', '--release', '-p', 'ip-risk-upstream', '--bin', 'upstream']

/** Builds it, which takes half a minute the first time. */
export function buildUpstream() {
  const { status, error } = spawnSync('cargo', ['build', ...WHICH], { cwd, stdio: 'inherit' })
  if (status !== 0) throw error ?? new Error(`\`cargo build\` ended with ${status}`)
}

/**
 * Starts it with counts at zero. What it costs is that of this process: `cargo run` becomes what it runs.
 *
 * @param {{ latencyMs: number, bulkLatencyMs?: number, connections: number }} options
 */
export async function startUpstream({ latencyMs, bulkLatencyMs = latencyMs, connections }) {
  const limits = ['--latency-ms', latencyMs, '--bulk-latency-ms', bulkLatencyMs, '--connections', connections]
  const stdio = ['pipe', 'pipe', 'inherit']
  const child = spawn('cargo', ['run', ...WHICH, '--', ...limits.map(String)], { cwd, stdio })
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
