'use strict'

const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const { createGzip } = require('node:zlib')
const { WRONG_TYPES } = require('./answers.js')
const { isBulk } = require('./questions.js')
const { failureReply, htmlReply, jsonReply, noEndpointReply } = require('./replies.js')
const { beginReply, closeConnection, http2Stream, pause, resetConnection, sendReply } = require('./wire.js')

/**
 * @import { Fault, FaultKind, KindFault, StatusFault } from '../testing.js'
 * @import { Reply } from './replies.js'
 * @import { Exchange } from './wire.js'
 */

const OVERSIZED_BYTES = 64 * 1024 * 1024
const BLANKS = Buffer.alloc(64 * 1024, ' ')

/** Long enough for what was written to reach the client before the reset overtakes it. */
const FLUSH_MS = 20

const BYTES_PER_SECOND = 10
const DRIP_INTERVAL_MS = 100

/**
 * How each kind of fault is put on the wire.
 *
 * @type {Readonly<Record<FaultKind, (exchange: Exchange, fault: KindFault) => void | Promise<void>>>}
 */
const PLAYERS = {
  hang: () => {},
  'close-before-headers': closeConnection,
  reset: resetConnection,
  'reset-mid-body': resetMidBody,
  truncated: truncate,
  drip,
  oversized: oversize,
  'gzip-bomb': gzipBomb,
  'bad-gzip': badGzip,
  html: (exchange) => sendReply(exchange, htmlReply(200, 'Welcome')),
  empty: (exchange) => sendReply(exchange, textReply('')),
  'not-json': (exchange) => sendReply(exchange, textReply('this is not JSON')),
  'wrong-types': (exchange) => sendReply(exchange, wrongTypesReply(exchange)),
  redirect,
  'wrong-endpoint': wrongEndpoint,
  'bulk-short': (exchange) => sendList(exchange, (entries) => entries.slice(0, -1)),
  'bulk-long': (exchange) => sendList(exchange, (entries) => [...entries, entries[0]]),
  'bulk-reordered': (exchange) => sendList(exchange, (entries) => entries.reverse()),
  'bulk-nulls': (exchange) => sendList(exchange, (entries) => entries.map(() => null)),
  'bulk-object': (exchange) => sendList(exchange, (entries) => ({ ...entries })),
}

const FAULT_KINDS = /** @type {FaultKind[]} */ (Object.keys(PLAYERS))

/**
 * @param {Exchange} exchange
 * @param {Fault} fault
 */
async function playFault(exchange, fault) {
  if ('status' in fault) sendReply(exchange, statusReply(fault))
  else await PLAYERS[fault.kind](exchange, fault)
}

/** @param {StatusFault} fault */
function statusReply({ status, message, retryAfter }) {
  const reply = failureReply(status, message)
  if (retryAfter !== undefined) reply.headers['Retry-After'] = String(retryAfter)
  return reply
}

/**
 * Status, headers, and half of the body they announce.
 *
 * @param {Exchange} exchange
 */
function sendHalf(exchange) {
  const body = Buffer.from(exchange.reply.body)
  beginReply(exchange, exchange.reply, { 'Content-Length': String(body.length) })
  exchange.response.write(body.subarray(0, body.length / 2))
}

/** @param {Exchange} exchange */
async function resetMidBody(exchange) {
  sendHalf(exchange)
  if (await pause(FLUSH_MS, exchange.response)) resetConnection(exchange)
}

/** @param {Exchange} exchange */
function truncate(exchange) {
  sendHalf(exchange)
  if (http2Stream(exchange.response)) exchange.response.end()
  else closeConnection(exchange)
}

/**
 * @param {Exchange} exchange
 * @param {KindFault} fault
 */
async function drip(exchange, { bytesPerSecond = BYTES_PER_SECOND }) {
  const { response, reply } = exchange
  const body = Buffer.from(reply.body)
  const interval = Math.max(DRIP_INTERVAL_MS, 1000 / bytesPerSecond)
  const size = Math.max(1, Math.round((bytesPerSecond * interval) / 1000))
  beginReply(exchange, reply, { 'Content-Length': String(body.length) })
  response.flushHeaders()
  for (let offset = 0; offset < body.length; offset += size) {
    if (!(await pause(interval, response))) return
    response.write(body.subarray(offset, offset + size))
  }
  response.end()
}

/** @param {Exchange} exchange */
async function oversize(exchange) {
  beginReply(exchange, exchange.reply, {})
  await pipeline(Readable.from(behindBlanks(exchange.reply)), exchange.response)
}

/** @param {Exchange} exchange */
async function gzipBomb(exchange) {
  beginReply(exchange, exchange.reply, { 'Content-Encoding': 'gzip' })
  await pipeline(Readable.from(behindBlanks(exchange.reply)), createGzip(), exchange.response)
}

/**
 * Blanks before a JSON text change nothing of it: a client without a limit takes this for a good answer.
 *
 * @param {Reply} reply
 */
function* behindBlanks(reply) {
  for (let bytes = 0; bytes < OVERSIZED_BYTES; bytes += BLANKS.length) yield BLANKS
  yield Buffer.from(reply.body)
}

/** @param {Exchange} exchange */
function badGzip(exchange) {
  const { reply } = exchange
  const headers = { ...reply.headers, 'Content-Encoding': 'gzip' }
  sendReply(exchange, { ...reply, headers, compress: false })
}

/** @param {string} body */
function textReply(body) {
  return { ...jsonReply(200, null), body, compress: false }
}

/** @param {Exchange} exchange */
function wrongTypesReply({ question }) {
  const entries = question.ips.map((ip) => ({ ip, security: WRONG_TYPES }))
  return jsonReply(200, isBulk(question) ? entries : (entries[0] ?? { security: WRONG_TYPES }))
}

/**
 * @param {Exchange} exchange
 * @param {KindFault} fault
 */
function redirect(exchange, { location = `${exchange.url}/redirected` }) {
  sendReply(exchange, { ...htmlReply(302, '302 Found'), headers: { Location: location } })
}

/** @param {Exchange} exchange */
function wrongEndpoint(exchange) {
  const { method, path } = exchange.question
  sendReply(exchange, noEndpointReply(method, path))
}

/**
 * @param {Exchange} exchange
 * @param {(entries: unknown[]) => unknown} change
 */
function sendList(exchange, change) {
  const { reply } = exchange
  const entries = JSON.parse(String(reply.body))
  const body = Array.isArray(entries) ? JSON.stringify(change(entries)) : reply.body
  sendReply(exchange, { ...reply, body })
}

module.exports = { FAULT_KINDS, playFault }
