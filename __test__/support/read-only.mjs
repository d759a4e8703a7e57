/** Runs programs where nothing can be written, as in a container or a function of a cloud. */
import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'

/** Who may nothing. */
const NOBODY = { uid: 65_534, gid: 65_534 }
const MOUNT = 'mount --bind "$0" "$0" && mount -o bind,remount,ro "$0" && cd "$0" && exec "$@"'

/**
 * Runs Node.js in a project: in a mount that is read-only, or where that is not allowed, as somebody who may not write.
 *
 * @param {{ directory: string, run: Function }} project see scripts/installed.mjs
 * @param {string[]} words
 */
export function runReadOnly({ directory, run }, words) {
  const env = { TMPDIR: directory, HOME: directory }
  const inMount = ['--mount', 'sh', '-c', MOUNT, directory]
  if (spawnSync('unshare', [...inMount, 'true']).status === 0) {
    return run('unshare', [...inMount, process.execPath, ...words], { env })
  }
  chmodSync(directory, 0o555)
  chmodSync(dirname(directory), 0o755)
  return run(process.execPath, words, { env, ...(process.getuid?.() === 0 && NOBODY) })
}
