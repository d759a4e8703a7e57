// Programs that a benchmark needs and that do not come with the package.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** How each is installed. */
const TOOLS = {
  cargo: 'see https://rustup.rs',
  python3: 'Debian: `apt-get install python3-venv`',
  nginx: 'Debian: `apt-get install nginx-light`',
  'redis-server': 'Debian: `apt-get install redis-server`',
}

/** Where Debian has servers is not on everybody's path. */
const DIRECTORIES = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']

/**
 * Where a program is, or undefined.
 *
 * @param {string} name
 */
export function findTool(name) {
  return DIRECTORIES.map((directory) => join(directory, name)).find(isExecutable)
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Fails with what to install when one of them is missing.
 *
 * @param {(keyof typeof TOOLS)[]} names
 */
export function requireTools(names) {
  const missing = names.filter((name) => findTool(name) === undefined)
  if (missing.length === 0) return
  const hints = missing.map((name) => `\`${name}\` (${TOOLS[name]})`)
  throw new Error(`the benchmark needs ${hints.join(' and ')}; install what is missing`)
}
