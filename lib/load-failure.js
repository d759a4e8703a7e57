'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')

/**
 * What is said when the native part cannot be loaded: where that was, why, and what mends it.
 *
 * @typedef {{ cause?: unknown, message?: unknown }} ErrorLike
 */

/** The loader that the build writes keeps only messages, one inside the other. */
const NOT_FOUND =
  /cannot find (module|package|native binding)|could not resolve|isn't declared|was not installed/i
const NOT_FOR_THIS_MACHINE = /^unsupported (os|architecture)/i
const TO_BUNDLERS = 'bundlers must keep `ip-risk` external'
/** What `engines` in package.json says; npm only warns. */
const OLDEST = [20, 17]

/** Whether the runtime is older than the package is written for. */
function isOutdated() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])
}

/**
 * The error to throw in place of `cause`.
 *
 * @param {unknown} [cause] what the loader threw
 */
function toLoadFailure(cause) {
  const message = `the native part of ip-risk cannot be loaded on ${system()}, ${runtime()}: ${advice(cause)}`
  return Object.assign(new Error(message, { cause }), { code: 'ERR_IP_RISK_NATIVE' })
}

/** The platform, and on Linux the C library, which decides which package is needed. */
function system() {
  const { platform, arch } = process
  return platform === 'linux' ? `${platform} ${arch} with ${libc()}` : `${platform} ${arch}`
}

function libc() {
  const { header } = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (report())
  if (header === undefined) return 'an unknown C library'
  return header.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`
}

/** What Node.js says of the process, without the names of those it is connected to, which take long to find. */
function report() {
  const reporter = /** @type {NodeJS.ProcessReport & { excludeNetwork?: boolean }} */ (process.report)
  if (typeof reporter?.getReport !== 'function') return {}
  const { excludeNetwork } = reporter
  reporter.excludeNetwork = true
  try {
    return reporter.getReport()
  } catch {
    return {}
  } finally {
    reporter.excludeNetwork = excludeNetwork
  }
}

function runtime() {
  const { bun, deno, electron } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  if (deno !== undefined) return `Deno ${deno}`
  return electron === undefined ? `Node.js ${process.version}` : `Electron ${electron}`
}

/**
 * Why it cannot be loaded, and what to do.
 *
 * @param {unknown} cause
 */
function advice(cause) {
  if (isOutdated()) return `it needs Node.js ${OLDEST.join('.')} or newer; update it`
  const messages = messagesOf(cause)
  const named = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (isForbidden(messages)) return adviceWhereForbidden()
  if (named)
    return `\`NAPI_RS_NATIVE_LIBRARY_PATH\` names \`${named}\`, which is not its native part, or not of this version; correct or unset it`
  const name = packageName()
  const shipped = shippedPackages()
  if (shipped === undefined) return `it must stay beside its package.json; ${TO_BUNDLERS}`
  if (shipped.length === 0) return 'it was not built, or from other sources; run `npm run build`'
  if (!shipped.includes(name)) {
    return 'there is no package for this platform; build it from source: clone, `npm ci`, `npm run build`'
  }
  const broken = messages.find((message) => !NOT_FOUND.test(message) && !NOT_FOR_THIS_MACHINE.test(message))
  return broken === undefined ? adviceWhereMissing(name) : adviceWhereBroken(name, broken)
}

/**
 * The first lines of an error's message and of its causes', the outermost first.
 *
 * @param {unknown} error
 */
function messagesOf(error) {
  const messages = []
  for (let at = /** @type {ErrorLike} */ (error); at; at = /** @type {ErrorLike} */ (at.cause)) {
    messages.push(String(at.message).split('\n')[0])
  }
  return messages
}

/** @param {string[]} messages */
function isForbidden(messages) {
  return hasFlag('--no-addons') || messages.some((message) => /loading addons is disabled/i.test(message))
}

function adviceWhereForbidden() {
  return hasFlag('--no-addons')
    ? 'Node.js was started with `--no-addons`, which forbids native code; start it without'
    : 'the permission model of Node.js forbids native code; start it with `--allow-addons`'
}

/** @param {string} flag */
function hasFlag(flag) {
  return [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(' ')].includes(flag)
}

/** The package that holds the native part for this machine, if there is one. */
function packageName() {
  const { platform, arch } = process
  const abi = { linux: libc() === 'musl' ? '-musl' : '-gnu', win32: '-msvc' }[String(platform)] ?? ''
  return `ip-risk-${platform}-${arch}${abi}`
}

/** @returns {{ name: string, version: string, optionalDependencies?: object }} */
function readManifest() {
  return JSON.parse(readFileSync(join(__dirname, '..', 'package.json'), 'utf8'))
}

/** Those that are published together with this one; none in a checkout. Undefined where a bundler has moved this file. */
function shippedPackages() {
  try {
    const { name, optionalDependencies = {} } = readManifest()
    return name === 'ip-risk' ? Object.keys(optionalDependencies) : undefined
  } catch {
    return undefined
  }
}

/** @param {string} name */
function adviceWhereMissing(name) {
  const { platform, arch } = process
  const kind = [`--os=${platform}`, `--cpu=${arch}`, ...(platform === 'linux' ? [libcOption()] : [])].join(
    ' ',
  )
  return (
    `the package \`${name}\` is not installed; remove \`node_modules\` and the lock file and install again, without ` +
    `\`--omit=optional\`, on a machine of this kind or with \`npm install ${kind}\`; ${TO_BUNDLERS}`
  )
}

function libcOption() {
  return libc() === 'musl' ? '--libc=musl' : '--libc=glibc'
}

/**
 * @param {string} name
 * @param {string} message
 */
function adviceWhereBroken(name, message) {
  return (
    `the package \`${name}\` is installed and does not load (${message}); do what that asks for, install it again, ` +
    'or build from source: clone, `npm ci`, `npm run build`'
  )
}

module.exports = { isOutdated, readManifest, toLoadFailure }
