'use strict'

/** @import { IncomingMessage } from 'node:http' */

const SINGLE_PATH = '/v3/security'
const BULK_PATH = '/v3/security-bulk'

/**
 * A request, read and taken apart.
 *
 * @typedef {object} Question
 * @property {string} method
 * @property {string} path
 * @property {string} key the given API key, empty when there is none
 * @property {string} ip the `ip` parameter, empty when there is none
 * @property {string[]} ips the addresses asked about, as the client wrote them
 * @property {string} caller the address the request came from
 * @property {string} contentType
 * @property {boolean} tooLarge the body was larger than allowed, and dropped
 * @property {unknown} payload the parsed body of a bulk request, undefined when it is not JSON
 */

/**
 * @param {IncomingMessage} request
 * @param {number} maxBodyBytes
 * @returns {Promise<Question>}
 */
async function readQuestion(request, maxBodyBytes) {
  const { path, query } = splitTarget(request.url ?? '')
  const question = {
    method: request.method ?? '',
    path,
    key: parameter(query, 'apiKey'),
    ip: parameter(query, 'ip'),
    ips: query.getAll('ip').filter((ip) => ip.trim() !== ''),
    caller: request.socket.remoteAddress ?? '',
    contentType: request.headers['content-type'] ?? '',
    tooLarge: false,
    payload: undefined,
  }
  return isBulk(question) && question.method === 'POST'
    ? withBody(question, await readBody(request, maxBodyBytes))
    : withoutBody(question, request)
}

/** @param {string} target */
function splitTarget(target) {
  const mark = target.indexOf('?')
  if (mark === -1) return { path: target, query: new URLSearchParams() }
  return { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark + 1)) }
}

/**
 * A repeated parameter gets its values merged, as by the API itself.
 *
 * @param {URLSearchParams} query
 * @param {string} name
 */
function parameter(query, name) {
  return query.getAll(name).join(',')
}

/** @param {{ path: string }} question */
function isBulk({ path }) {
  return path === BULK_PATH
}

/**
 * @param {Question} question
 * @param {IncomingMessage} request
 */
function withoutBody(question, request) {
  request.resume()
  return question
}

/**
 * @param {Question} question
 * @param {string | null} body
 * @returns {Question}
 */
function withBody(question, body) {
  const payload = body === null ? undefined : parseJson(body)
  return { ...question, tooLarge: body === null, payload, ips: listedAddresses(payload) }
}

/**
 * The whole body is taken in before it is refused: a server that closes early makes the client see a reset, not 413.
 *
 * @param {IncomingMessage} request
 * @param {number} maxBytes
 * @returns {Promise<string | null>} null when it is too large
 */
async function readBody(request, maxBytes) {
  /** @type {Buffer[]} */
  const chunks = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes <= maxBytes) chunks.push(chunk)
    else chunks.length = 0
  }
  return bytes <= maxBytes ? Buffer.concat(chunks).toString() : null
}

/** @param {string} text */
function parseJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * @param {any} payload
 * @returns {string[]}
 */
function listedAddresses(payload) {
  const ips = payload?.ips
  return Array.isArray(ips) ? ips.filter((ip) => typeof ip === 'string') : []
}

module.exports = { BULK_PATH, SINGLE_PATH, isBulk, readQuestion }
