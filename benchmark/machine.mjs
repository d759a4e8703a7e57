// What a benchmark ran on: the shape of the machine, and the version of everything that took part.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { findTool } from './tools.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The packages that take part. */
const PACKAGES = ['express', 'ioredis', 'lru-cache', 'undici', 'maxmind']

/** Programs that take part, with how they are asked for their version. */
const PROGRAMS = { 'redis-server': '--version', nginx: '-v', rustc: '--version' }

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // not on this system
  }
}

/** What a program says, its complaints too: nginx tells its version there. */
function say(program, ...words) {
  const { stdout, stderr } = spawnSync(findTool(program) ?? program, words, { cwd: ROOT, encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.trim()
}

function describeProcessors() {
  const isVirtual = /^flags.*\bhypervisor\b/m.test(read('/proc/cpuinfo'))
  return `${cpus().length} × ${cpus()[0].model}${isVirtual ? ', a virtual machine' : ''}`
}

function describeCaches() {
  const sizes = [1, 2, 3].map((at) => {
    const cache = `/sys/devices/system/cpu/cpu0/cache/index${at}`
    const [level, kind, size] = ['level', 'type', 'size'].map((file) => read(`${cache}/${file}`).trim())
    return kind === 'Unified' ? `L${level} ${size}` : ''
  })
  return sizes.filter((size) => size !== '').join(', ') || 'unknown'
}

function describeSystem() {
  const name = /^PRETTY_NAME="(.*)"$/m.exec(read('/etc/os-release'))?.[1] ?? process.platform
  return `${name}, kernel ${release()}, ${process.arch}`
}

function describeCommit() {
  const commit = say('git', 'rev-parse', '--short', 'HEAD')
  return say('git', 'status', '--porcelain') === '' ? commit : `${commit} with changes`
}

/** @param {string} directory of a package */
function versionOf(directory) {
  return JSON.parse(readFileSync(`${ROOT}/${directory}/package.json`, 'utf8')).version
}

function programVersion(name) {
  return findTool(name) === undefined
    ? 'not installed'
    : (/\d+\.\d+\.\d+/.exec(say(name, PROGRAMS[name]))?.[0] ?? 'unknown')
}

/** Everything, by name. */
export function machineFacts() {
  return {
    processors: describeProcessors(),
    caches: describeCaches(),
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    system: describeSystem(),
    'ip-risk': `${versionOf('.')}, commit ${describeCommit()}`,
    'Node.js': `${process.versions.node}, V8 ${process.versions.v8}`,
    ...Object.fromEntries(PACKAGES.map((name) => [name, versionOf(`node_modules/${name}`)])),
    ...Object.fromEntries(Object.keys(PROGRAMS).map((name) => [name, programVersion(name)])),
  }
}
