// Files that are not in memory, without the rights of root: Linux forgets what one file has in the page cache when it is
// advised to, which `dd` does.

import { spawnSync } from 'node:child_process'

/**
 * @param {string[]} files
 * @returns {string | null} why it could not be done
 */
export function evict(files) {
  for (const file of files) spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'])
  const { stdout, error } = spawnSync('fincore', [
    '--bytes',
    '--raw',
    '--noheadings',
    '--output',
    'RES',
    ...files,
  ])
  if (error !== undefined) return 'it needs `dd` of coreutils and `fincore` of util-linux'
  const kept = String(stdout)
    .trim()
    .split('\n')
    .map(Number)
    .filter((bytes) => bytes > 0)
  return kept.length === 0 ? null : `${kept.length} files stayed in memory`
}
