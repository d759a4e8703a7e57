/** A client of the stand-in for the Security API that sees every byte, and what such a client looks for. */
import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import { after, afterEach } from 'node:test'
import testing from '../../lib/testing.js'

export const SINGLE = '/v3/security'
export const BULK = '/v3/security-bulk'
export const PUBLIC_IP = '93.184.216.34'
export const OTHER_IP = '203.0.114.9'
export const FIELDS = 27

/** Starts a stand-in for all tests of a file: each finds it as new. */
export async function startForAllTests() {
  const api = await testing.startMockApi()
  afterEach(() => api.reset())
  after(() => api.close())
  return api
}

/** One request on a connection of its own. Rejects when the answer does not arrive whole. */
export function request(url, { method = 'GET', headers = {}, body, ca, signal } = {}) {
  return new Promise((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http
    let status
    const fail = (error) => reject(Object.assign(error, { status }))
    const outgoing = client.request(url, { method, headers, ca, signal, agent: false }, (response) => {
      const chunks = []
      status = response.statusCode
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => resolve(answerOf(status, response.headers, chunks)))
    })
    outgoing.on('error', fail)
    outgoing.end(body)
  })
}

export function answerOf(status, headers, chunks) {
  const bytes = Buffer.concat(chunks)
  return { status, headers, bytes, text: bytes.toString(), json: () => JSON.parse(bytes.toString()) }
}

export function lookUp(api, ip, options) {
  return request(`${api.url}${SINGLE}?apiKey=test-key&ip=${encodeURIComponent(ip)}`, options)
}

export function lookUpMany(api, ips, options = {}) {
  return request(`${api.url}${BULK}?apiKey=test-key`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ips }),
    ...options,
  })
}

/** Unlike `once(socket, 'close')`, content with an error before it. */
export function closing(socket) {
  socket.on('error', () => {})
  return new Promise((resolve) => socket.once('close', resolve))
}

export async function outcomeOf(promise) {
  try {
    return { answer: await promise }
  } catch (error) {
    return { error }
  }
}

export function assertMessage(answer, status) {
  assert.equal(answer.status, status)
  assert.equal(answer.headers['content-type'], 'application/json')
  assert.equal(answer.headers['x-credits-charged'], undefined)
  assert.deepEqual(Object.keys(answer.json()), ['message'])
  assert.ok(answer.json().message.length > 0)
}
