'use strict'

const http = require('node:http')
const http2 = require('node:http2')
const { checkBoolean, checkInteger, checkKeys, checkText } = require('./checks.js')

/**
 * @import { Server } from 'node:http'
 * @import { AddressInfo } from 'node:net'
 * @import { MockApiOptions } from '../testing.js'
 */

/** @typedef {Required<Omit<MockApiOptions, 'key' | 'tls'>> & Pick<MockApiOptions, 'key' | 'tls'>} Settings */

const DEFAULTS = {
  host: '127.0.0.1',
  port: 0,
  maxBodyBytes: 4 * 1024 * 1024,
  keepAlive: false,
}

/** Longer than any client keeps an idle connection, so that reuse never races with closing. */
const IDLE_CONNECTION_MS = 120_000

/**
 * @param {MockApiOptions} options
 * @returns {Settings}
 */
function checkedSettings(options) {
  checkKeys('the stand-in', options, ['host', 'port', 'key', 'tls', 'maxBodyBytes', 'keepAlive'])
  const written = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const settings = /** @type {Settings} */ ({ ...DEFAULTS, ...written })
  checkText('`host`', settings.host)
  checkInteger('`port`', settings.port, 0, 65_535)
  checkInteger('`maxBodyBytes`', settings.maxBodyBytes, 1, Number.MAX_SAFE_INTEGER)
  checkBoolean('`keepAlive`', settings.keepAlive)
  if (settings.key !== undefined) checkText('`key`', settings.key)
  if (settings.tls !== undefined) checkKeys('`tls`', settings.tls, ['key', 'cert'])
  return settings
}

/**
 * HTTP/2 comes through the compatibility API of Node.js, so that both kinds of server can be used as one.
 *
 * @param {Settings} settings
 * @returns {Server}
 */
function createServer({ tls }) {
  const server = tls === undefined ? http.createServer() : createSecureServer(tls)
  server.keepAliveTimeout = IDLE_CONNECTION_MS
  return server
}

/** @param {NonNullable<MockApiOptions['tls']>} tls */
function createSecureServer({ key, cert }) {
  try {
    const pair = { key: Buffer.from(key), cert: Buffer.from(cert) }
    const server = /** @type {unknown} */ (http2.createSecureServer({ ...pair, allowHTTP1: true }))
    return /** @type {Server} */ (server)
  } catch (cause) {
    throw new TypeError('`tls` is not usable: pass `key` and `cert`, a matching pair of PEM texts', { cause })
  }
}

/**
 * @param {Server} server
 * @param {Settings} settings
 * @returns {Promise<void>}
 */
function listen(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)))
    server.listen(port, host, resolve)
  })
}

/**
 * @param {NodeJS.ErrnoException} cause
 * @param {string} host
 * @param {number} port
 */
function listenError(cause, host, port) {
  const message =
    cause.code === 'EADDRINUSE'
      ? `port \`${port}\` of \`${host}\` is already in use: choose another, or 0 for any free one`
      : `cannot listen on port \`${port}\` of \`${host}\` (\`${cause.code}\`): choose another host or port`
  return Object.assign(new Error(message, { cause }), { code: cause.code })
}

/** @param {Server} server */
function listeningPort(server) {
  return /** @type {AddressInfo} */ (server.address()).port
}

/**
 * @param {Settings} settings
 * @param {number} port
 */
function baseUrl({ host, tls }, port) {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

module.exports = { baseUrl, checkedSettings, createServer, listen, listeningPort }
