/** Runs scripts in a Node.js process of their own. */
import { spawn } from 'node:child_process'
import { USER } from './where.mjs'

/**
 * Runs a CommonJS script; `require('ip-risk')` works in it, and `process.argv.slice(1)` holds `args`.
 * One that does not end is killed, which shows as `signal`.
 */
export function runScript(script, { args = [], env = {}, flags = [], timeoutMs = 15_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '-e', script, '--', ...args], {
      cwd: USER,
      env: { ...process.env, ...env },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => (output[name] += text))
    }
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...output }))
  })
}

/** Runs a script that writes one JSON value, and returns that value. */
export async function runForJson(script, options) {
  const { code, signal, stdout, stderr } = await runScript(script, options)
  if (code === 0) return JSON.parse(stdout)
  throw new Error(`the script ended with ${signal ?? code}: ${stderr || stdout}`)
}
