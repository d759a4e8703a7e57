// Installs what was packed into empty directories outside of the checkout, as users do, from a registry on this machine.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pack } from './pack.mjs'
import { installedHere, packedIn, startRegistry } from './registry.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** What the package is used with, in the versions of this checkout. */
const BESIDE = ['express', 'express4', '@types/express', '@types/node']
const LONGEST_MS = 120_000

/**
 * Serves what was packed into a directory, beside what it is used with.
 *
 * @param {string} directory
 */
export function startRegistryOf(directory) {
  return startRegistry([...installedHere(), ...packedIn(directory)])
}

/** Packs everything and serves it. */
export async function startPacked() {
  const packed = pack()
  const registry = await startRegistry([...installedHere(), packed.root, ...packed.platforms])
  return { ...packed, registry }
}

/** What a project that uses the package depends on. */
export function dependencies() {
  const { version, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  return { 'ip-risk': version, ...Object.fromEntries(BESIDE.map((name) => [name, devDependencies[name]])) }
}

/**
 * Makes a project in an empty directory, with a home of its own, so that nothing of this machine is used.
 *
 * @param {string} url the registry's
 * @param {object} [manifest] more of its package.json
 */
export function makeProject(url, manifest = {}) {
  const around = mkdtempSync(join(tmpdir(), 'ip-risk-installed-'))
  const directory = join(around, 'project')
  const home = join(around, 'home')
  for (const path of [directory, home]) mkdirSync(path)
  const write = (name, text) => {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  write(
    'package.json',
    JSON.stringify({ name: 'project', private: true, dependencies: dependencies(), ...manifest }),
  )
  const env = surroundings(home, url)
  return {
    directory,
    env,
    write,
    /** Runs a command in the project and resolves with what came out. */
    run: (command, words, options = {}) =>
      runCommand(command, words, { ...options, cwd: directory, env: { ...env, ...options.env } }),
    remove: () => rmSync(around, { recursive: true, force: true }),
  }
}

/** The environment of a package manager: one registry, and a proxy that leads nowhere, so that nobody else is asked. */
function surroundings(home, url) {
  const nowhere = 'http://127.0.0.1:9'
  return {
    PATH: process.env.PATH,
    HOME: home,
    USERPROFILE: home,
    NPM_CONFIG_REGISTRY: url,
    NPM_CONFIG_AUDIT: 'false',
    NPM_CONFIG_FUND: 'false',
    NPM_CONFIG_UPDATE_NOTIFIER: 'false',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    NO_PROXY: '127.0.0.1,localhost',
  }
}

/** Runs a command to its end. One that does not end is killed, which shows as a code of `null`. */
export async function runCommand(command, words, options) {
  const child = spawn(command, words, {
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text))
  }
  const [code] = await once(child, 'close')
  return { code, ...output }
}

/** Runs a command and rejects with what it said unless it succeeds. */
export async function succeed(project, command, words, options) {
  const { code, stdout, stderr } = await project.run(command, words, options)
  if (code === 0) return stdout
  throw new Error(`\`${[command, ...words].join(' ')}\` ended with ${code}:\n${stdout}${stderr}`)
}

/**
 * Installs what was packed into a new project with npm.
 *
 * @param {string} url the registry's
 * @param {string[]} words more of the command line
 */
export async function installWithNpm(url, words = []) {
  const project = makeProject(url)
  await succeed(project, 'npm', ['install', ...words])
  return project
}
