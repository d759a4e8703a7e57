// Python for the part `flask`: the release wheel beside what it is compared with, in an environment of its own, and the
// processes that run in it.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildWheel, inside, install, makeEnvironment, makeTools } from '../../../scripts/python.mjs'
import { ENV } from '../../rounds.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const FACE = fileURLToPath(new URL('../../../python', import.meta.url))
const ENVIRONMENT = fileURLToPath(new URL('../../../target/benchmark/python', import.meta.url))

/** @type {import('../../../scripts/python.mjs').Run} */
function run(title, command, ...words) {
  console.error(title)
  const { status, error } = spawnSync(command, words, { cwd: FACE, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw error ?? new Error(`\`${command} ${words.join(' ')}\` ended with ${status}`)
}

/**
 * Builds the wheel as it is shipped, which takes minutes the first time, and installs it with the others from PyPI.
 *
 * @param {string} python
 */
export function preparePython(python) {
  makeTools(run, python)
  const wheel = buildWheel(run, ['--release'])
  makeEnvironment(run, python, ENVIRONMENT)
  install(run, ENVIRONMENT, wheel, '-r', `${HERE}requirements.txt`)
}

/** The versions of what takes part, as `flask 3.1.3`. */
export function pythonVersions() {
  const script =
    'import platform; from importlib.metadata import version as v; ' +
    "names = ['flask', 'gunicorn', 'redis', 'requests']; " +
    "print(', '.join([f'Python {platform.python_version()}', *(f'{name} {v(name)}' for name in names)]))"
  return spawnSync(inside(ENVIRONMENT, 'python'), ['-c', script], { encoding: 'utf8' }).stdout.trim()
}

/**
 * Starts a program of the environment that prints lines of JSON, the first when it is ready, and ends with its input.
 *
 * @param {string} name such as `python` or `gunicorn`
 * @param {string[]} words
 * @param {Record<string, string | number>} env beside that of this process
 */
export async function startPython(name, words, env) {
  const child = spawn(inside(ENVIRONMENT, name), words.map(String), {
    cwd: HERE,
    env: { ...ENV, PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const lines = createInterface(child.stdout)
  const next = async () => {
    const line = await Promise.race([once(lines, 'line'), ended])
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`\`${name}\` ended with ${line[0]}`)
    return JSON.parse(line[0])
  }
  return {
    facts: await next(),
    round() {
      child.stdin.write('\n')
      return next()
    },
    async close() {
      child.stdin.end()
      await ended
    },
  }
}
