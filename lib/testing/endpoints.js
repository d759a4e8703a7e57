'use strict'

const { BULK_PATH, SINGLE_PATH } = require('./questions.js')
const { CREDITS_PER_ADDRESS, failureReply, jsonReply, noEndpointReply } = require('./replies.js')

/**
 * @import { Fault } from '../testing.js'
 * @import { Entry } from './answer-book.js'
 * @import { Question } from './questions.js'
 * @import { Reply } from './replies.js'
 */

/** @typedef {{ find: (ip: string) => Entry }} Book where the answers are looked up */

/**
 * @typedef {object} Answer
 * @property {Reply} reply
 * @property {Fault} [fault] what the address asked for, instead
 */

const MAX_BULK_ADDRESSES = 50_000

/**
 * What the API answers when nothing goes wrong with it.
 *
 * @param {Question} question
 * @param {Book} book
 * @param {boolean} keyAccepted
 * @returns {Answer}
 */
function answerTo(question, book, keyAccepted) {
  if (question.path === SINGLE_PATH) return answerSingle(question, book, keyAccepted)
  if (question.path === BULK_PATH) return answerBulk(question, book, keyAccepted)
  return { reply: noEndpointReply(question.method, question.path) }
}

/**
 * @param {Question} question
 * @param {Book} book
 * @param {boolean} keyAccepted
 * @returns {Answer}
 */
function answerSingle(question, book, keyAccepted) {
  const refusal = wrongMethod(question, 'GET') ?? wrongKey(question, keyAccepted)
  if (refusal) return { reply: refusal }
  const entry = book.find(question.ip.trim() === '' ? question.caller : question.ip)
  return { reply: entry.raw ?? entryReply(entry), fault: entry.fault }
}

/** @param {Entry} entry */
function entryReply({ status, body }) {
  return jsonReply(status, body, status === 200 ? creditsHeader(1) : {})
}

/**
 * @param {Question} question
 * @param {Book} book
 * @param {boolean} keyAccepted
 * @returns {Answer}
 */
function answerBulk(question, book, keyAccepted) {
  const refusal =
    (question.tooLarge ? failureReply(413) : null) ??
    wrongMethod(question, 'POST') ??
    wrongContentType(question) ??
    wrongKey(question, keyAccepted) ??
    wrongPayload(question.payload)
  if (refusal) return { reply: refusal }
  const { ips } = /** @type {{ ips: unknown[] }} */ (question.payload)
  const entries = ips.map((ip) => book.find(addressText(ip)))
  return { reply: bulkReply(entries), fault: entries.find(({ fault }) => fault)?.fault }
}

/**
 * Lists and objects are no addresses, and turning them into text can throw.
 *
 * @param {unknown} ip
 */
function addressText(ip) {
  return typeof ip === 'object' ? '' : String(ip)
}

/** @param {Entry[]} entries */
function bulkReply(entries) {
  const valid = entries.filter(({ status }) => status === 200).length
  const bodies = entries.map(({ body }) => body)
  const reply = jsonReply(200, bodies, creditsHeader(valid))
  if (valid < entries.length) reply.headers['X-Successful-Record'] = String(valid)
  return reply
}

/** @param {number} addresses */
function creditsHeader(addresses) {
  return { 'X-Credits-Charged': String(CREDITS_PER_ADDRESS * addresses) }
}

/**
 * @param {Question} question
 * @param {string} method
 */
function wrongMethod(question, method) {
  if (question.method === method) return null
  return failureReply(405, `method \`${question.method}\` is not supported: use \`${method}\``)
}

/** @param {Question} question */
function wrongContentType({ contentType }) {
  if (/^application\/json\s*(;|$)/i.test(contentType)) return null
  return failureReply(415, `content type \`${contentType}\` is not supported: send \`application/json\``)
}

/**
 * @param {Question} question
 * @param {boolean} keyAccepted
 */
function wrongKey({ key }, keyAccepted) {
  if (keyAccepted) return null
  const missing = 'there is no API key: send it as the `apiKey` query parameter'
  return failureReply(401, key.trim() === '' ? missing : undefined)
}

/**
 * @param {any} payload
 * @returns {Reply | null}
 */
function wrongPayload(payload) {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    return failureReply(400, 'the body is not a JSON object: send `{"ips": [...]}`')
  }
  if (!('ips' in payload)) return failureReply(400, '`ips` is missing: send `{"ips": [...]}`')
  return wrongList(payload.ips)
}

/** @param {unknown} ips */
function wrongList(ips) {
  if (ips === null || (Array.isArray(ips) && ips.length === 0)) {
    return failureReply(400, '`ips` is empty: send at least one address')
  }
  if (!Array.isArray(ips)) return failureReply(400, '`ips` is not a list: send `{"ips": [...]}`')
  if (ips.length <= MAX_BULK_ADDRESSES) return null
  return failureReply(400, `\`ips\` has ${ips.length} entries: send at most ${MAX_BULK_ADDRESSES}`)
}

module.exports = { answerTo }
