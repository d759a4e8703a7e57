// One request of a visitor, and what came of it.

import http from 'node:http'

/** Nothing is waited for longer than that: a request without an answer by then is lost. */
const PATIENCE_MS = 15_000

/**
 * @typedef {object} Record
 * @property {import('./run.mjs').Played} during the phase in which it was sent
 * @property {number} app
 * @property {string} path
 * @property {string} ip
 * @property {number} sentAt in milliseconds since 1970
 * @property {number} answeredAt
 * @property {number} duration in milliseconds
 * @property {number | null} status null when it was lost
 * @property {boolean} passed whether the route's own handler answered
 * @property {import('ip-risk').Decision | null} decision
 * @property {string | null} error
 */

/**
 * Sends a request from `ip`, as a proxy hands it on, on a connection of its own. Never rejects.
 *
 * @param {{ port: number, path: string, ip: string }} request
 */
export async function send({ port, path, ip }) {
  const [sentAt, began] = [Date.now(), performance.now()]
  const answer = await answerTo({ port, path, headers: { 'x-forwarded-for': ip } })
  return { sentAt, answeredAt: Date.now(), duration: performance.now() - began, ...answer }
}

function answerTo(options) {
  const lost = (error) => ({ status: null, passed: false, decision: null, error: error.message })
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const wanted = { host: '127.0.0.1', method: 'POST', agent: false, signal, ...options }
    const request = http.request(wanted, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => (body += text))
      response.on('error', (error) => resolve(lost(error)))
      response.on('end', () => resolve(readAnswer(response, body)))
    })
    request.on('error', (error) => resolve(lost(error)))
    request.end()
  })
}

function readAnswer({ statusCode, headers }, body) {
  const decision = JSON.parse(headers['x-decision'] ?? 'null')
  return { status: statusCode, passed: body.includes('"passed":true'), decision, error: null }
}
