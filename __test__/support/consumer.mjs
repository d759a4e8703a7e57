/** Projects that use the package: directories of their own whose `node_modules` link to what they need. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CHECKOUT, PACKAGE, USER } from './where.mjs'

const LINKED = ['express', 'express4', '@types']
/** What surrounds this process must not reach the one that is tested. */
const SETTINGS = [
  'IPGEO_API_KEY',
  'IP_RISK_FEEDS',
  'IP_RISK_MODE',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'NODE_TEST_CONTEXT',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
]

/** Makes an empty project, which lasts until `remove()`. */
export function makeConsumer({ linked = LINKED } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'ip-risk-consumer-'))
  const modules = join(directory, 'node_modules')
  mkdirSync(modules)
  symlinkSync(PACKAGE, join(modules, 'ip-risk'), 'dir')
  for (const name of linked) symlinkSync(join(USER, 'node_modules', name), join(modules, name), 'dir')

  const write = (name, text) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  const run = (file, options) => runNode([join(directory, file)], { cwd: directory, ...options })
  return {
    directory,
    remove: () => rmSync(directory, { recursive: true }),
    write,
    /** Runs a file of the project. */
    run,
    /** Writes a file and runs it. */
    runText(name, text, options) {
      write(name, text)
      return run(name, options)
    },
    /** Runs the TypeScript compiler of this checkout in the project. */
    compile: (args) =>
      runNode([join(CHECKOUT, 'node_modules/typescript/bin/tsc'), ...args], { cwd: directory }),
  }
}

/** Runs Node.js with `args` and resolves with what came out; `code` is null when the time limit ended it. */
async function runNode(args, { cwd, env = {} }) {
  const inherited = Object.entries(process.env).filter(([name]) => !SETTINGS.includes(name))
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 15_000,
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text))
  }
  const [code] = await once(child, 'close')
  return { code, ...output }
}
