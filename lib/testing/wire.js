'use strict'

const { constants } = require('node:http2')
const { gzipSync } = require('node:zlib')

/**
 * @import { IncomingMessage, ServerResponse } from 'node:http'
 * @import { ServerHttp2Stream } from 'node:http2'
 * @import { Socket } from 'node:net'
 * @import { Question } from './questions.js'
 * @import { Reply } from './replies.js'
 */

/**
 * One request on its way to an answer. HTTP/2 comes through the compatibility API of Node.js, hence one type for both.
 *
 * @typedef {object} Exchange
 * @property {IncomingMessage} request
 * @property {ServerResponse} response
 * @property {Socket | undefined} tcp the TCP connection, below TLS
 * @property {Question} question
 * @property {Reply} reply what is answered when nothing goes wrong
 * @property {string} url of the stand-in
 * @property {(credits: number) => void} charge
 */

/** HTTP gives these no body; over HTTP/2 a `Content-Length` beside them breaks the stream. */
const BODILESS_STATUSES = [204, 205, 304]

/**
 * Compresses in place: for answers of this size the thread pool takes five times as long.
 *
 * @param {Exchange} exchange
 * @param {Reply} reply
 */
function sendReply(exchange, reply) {
  if (BODILESS_STATUSES.includes(reply.status)) return sendBodiless(exchange, reply)
  const plain = Buffer.from(reply.body)
  const zipped = reply.compress && acceptsGzip(exchange.request.headers['accept-encoding'])
  const body = zipped ? gzipSync(plain) : plain
  beginReply(exchange, reply, {
    'Content-Length': String(body.length),
    ...(zipped ? { 'Content-Encoding': 'gzip' } : {}),
  })
  exchange.response.end(body)
}

/**
 * @param {Exchange} exchange
 * @param {Reply} reply
 */
function sendBodiless(exchange, reply) {
  beginReply(exchange, reply, {})
  exchange.response.end()
}

/**
 * Status and headers. What they charge is charged here, once.
 *
 * @param {Exchange} exchange
 * @param {Reply} reply
 * @param {Record<string, string>} headers
 */
function beginReply({ response, charge }, reply, headers) {
  response.statusCode = reply.status
  for (const [name, value] of Object.entries({ ...headers, ...reply.headers })) {
    response.setHeader(name, value)
  }
  charge(Number(response.getHeader('X-Credits-Charged')) || 0)
}

/**
 * Breaks the connection off; over HTTP/2 only the stream, for other requests share the connection.
 *
 * @param {Exchange} exchange
 */
function resetConnection({ response, tcp }) {
  const stream = http2Stream(response)
  if (stream) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else tcp?.resetAndDestroy()
}

/** @param {Exchange} exchange */
function closeConnection({ response }) {
  const stream = http2Stream(response)
  if (stream) stream.session?.destroy()
  else response.socket?.destroySoon()
}

/**
 * @param {ServerResponse} response
 * @returns {ServerHttp2Stream | undefined}
 */
function http2Stream(response) {
  return /** @type {any} */ (response).stream
}

/**
 * @param {string | string[] | undefined} acceptEncoding
 * @returns {boolean}
 */
function acceptsGzip(acceptEncoding) {
  const codings = String(acceptEncoding ?? '')
    .toLowerCase()
    .split(',')
  return codings.some((coding) => /^\s*(gzip|\*)\s*(;\s*q=(1|0\.0*[1-9]).*)?$/.test(coding))
}

/**
 * Waits, unless the client leaves first. The timer alone does not keep the process alive.
 *
 * @param {number} milliseconds
 * @param {ServerResponse} response
 * @returns {Promise<boolean>} whether the client is still there
 */
function pause(milliseconds, response) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(true), milliseconds).unref()
    const leave = () => finish(false)
    response.once('close', leave)

    /** @param {boolean} present */
    function finish(present) {
      clearTimeout(timer)
      response.off('close', leave)
      resolve(present)
    }
  })
}

module.exports = { beginReply, closeConnection, http2Stream, pause, resetConnection, sendReply }
