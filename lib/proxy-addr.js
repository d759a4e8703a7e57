'use strict'

const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')

/**
 * @import { Log } from './log.js'
 */

/** The first version without CVE-2026-90711. */
const SAFE = [2, 0, 8]

/**
 * The version of `proxy-addr` that the application's Express uses, or nothing when it has none.
 *
 * @param {string} directory the application's
 * @returns {string | undefined}
 */
function proxyAddrVersion(directory) {
  try {
    const fromApplication = createRequire(join(directory, 'package.json'))
    const fromExpress = createRequire(fromApplication.resolve('express'))
    return fromExpress('proxy-addr/package.json').version
  } catch {
    return undefined
  }
}

/** @param {string} version */
function isOld(version) {
  const parts = version.split(/[.-]/, 3).map(Number)
  const differing = SAFE.findIndex((part, index) => part !== parts[index])
  return differing !== -1 && parts[differing] < SAFE[differing]
}

/** Where the application may be: where it was started, which services leave at `/`, and where its script is. */
function directories() {
  const script = process.argv[1]
  const ofScript = script === undefined ? [] : [dirname(script)]
  try {
    return [process.cwd(), ...ofScript]
  } catch {
    // It was deleted.
    return ofScript
  }
}

/**
 * Warns once when the application's `proxy-addr` can be made to trust everybody.
 *
 * @param {Log} log
 */
function reportOldProxyAddr(log) {
  const version = directories().map(proxyAddrVersion).find(Boolean)
  if (version !== undefined && isOld(version)) log.warnOnce('ERR_IP_RISK_PROXY_ADDR')
}

exports.isOld = isOld
exports.proxyAddrVersion = proxyAddrVersion
exports.reportOldProxyAddr = reportOldProxyAddr
