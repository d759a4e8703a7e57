/** Runs the command line as a user does: in a process of its own. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { PACKAGE } from './where.mjs'

const BIN = join(PACKAGE, 'bin', 'ip-risk.js')
/** Named by the user's environment, they would change what is tested. */
const UNSET = [
  'ALL_PROXY',
  'FORCE_COLOR',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'IPGEO_API_KEY',
  'IP_RISK_FEEDS',
  'IP_RISK_MODE',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'NO_COLOR',
  'NO_PROXY',
]
/** Makes the command believe that it writes to a terminal. */
export function onTerminal(stream, columns = 80) {
  const terminal = `{isTTY:true,columns:${columns},hasColors:()=>!process.env.NO_COLOR}`
  return ['--import', `data:text/javascript,Object.assign(process.${stream},${terminal})`]
}

/** Starts the command. What is `undefined` in `env` is not set. */
export function startCommand(args, { cwd, env = {}, node = [] }) {
  const unset = Object.fromEntries(UNSET.flatMap((name) => [name, name.toLowerCase()]).map((name) => [name]))
  const variables = { ...process.env, ...unset, ...env }
  const written = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined))
  const child = spawn(process.execPath, [...node, BIN, ...args], { env: written, cwd })
  child.stdin.on('error', () => {})
  return child
}

/** Collects what a child writes until it ends: `{ stdout, stderr, code, signal }`. */
export async function outcomeOf(child) {
  const result = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (result[name] += text))
  }
  const [code, signal] = await once(child, 'close')
  return { ...result, code, signal }
}

/** Runs the command to its end: `{ stdout, stderr, code }`. */
export async function runCommand(args, { input = '', ...options }) {
  const child = startCommand(args, options)
  child.stdin.end(input)
  const { signal, ...result } = await outcomeOf(child)
  assert.equal(signal, null)
  return result
}

/** One line without a stack, on standard error only. */
export function assertMistake({ code, stdout, stderr }, message, expectedCode = 2) {
  assert.match(stderr, message)
  assert.match(stderr, /^ip-risk: [^\n]+ \([A-Z_]+\)\n$/)
  assert.equal(stdout, '')
  assert.equal(code, expectedCode)
}

/** Lines as columns. */
export function columns(stdout) {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
}
