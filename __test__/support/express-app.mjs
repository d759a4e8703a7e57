/** Express applications on real sockets, in both versions that the package supports. */
import { once } from 'node:events'
import http from 'node:http'
import { describe } from 'node:test'
import express5 from 'express'
import express4 from 'express4'
import { createTestChecker, riskMiddleware } from './package.mjs'

/** Scores and faults are those of the test cards: the last number is the score. */
export const scoring = (score) => `192.0.2.${score}`
/** The provider answers 503. */
export const UNAVAILABLE = '203.0.113.11'
/** The provider never answers. */
export const HANGING = '203.0.113.17'
/** A VPN with a low score. */
export const LOW_VPN = '198.51.100.15'

/** Defines the same tests for Express 4 and 5. */
export function onEachExpress(title, define) {
  describe(`${title} (Express 4)`, () => define(express4))
  describe(`${title} (Express 5)`, () => define(express5))
}

/** A test checker that closes with the test. */
export async function startChecker(t, options) {
  const started = await createTestChecker(options)
  t.after(() => started.close())
  return started
}

/** Answers with what a gate left on the request. */
export function showRequest({ ipRisk, requireMfa, holdForReview }, response) {
  response.json({ ipRisk, requireMfa, holdForReview })
}

/**
 * Starts an application that `setUp` fills, and returns a function that sends it a request.
 *
 * `trustProxy` is Express's setting, `host` the address to listen on. No kernel gives a test a peer out on the
 * internet, so `peer` is what the accepted sockets then say of theirs.
 */
export async function startApp(
  t,
  express,
  setUp,
  { trustProxy = 'loopback', host = '127.0.0.1', peer } = {},
) {
  const app = express()
  // Without it, Express writes errors that nobody handles to the console.
  app.set('env', 'test')
  app.set('trust proxy', trustProxy)
  setUp(app)
  return startServer(t, app, { host, peer })
}

/** Starts a plain server around `listener`, and returns a function that sends it a request. */
export async function startServer(t, listener, { host = '127.0.0.1', peer } = {}) {
  const server = http.createServer(listener)
  if (peer !== undefined) {
    server.on('connection', (socket) => Object.defineProperty(socket, 'remoteAddress', { value: peer }))
  }
  server.listen(0, host)
  await once(server, 'listening')
  // A test that fails early may come here after its end.
  server.unref()
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address()
  const send = (options = {}) => sendRequest({ host, port, ...options })
  return Object.assign(send, { server, host, port })
}

/**
 * Sends a request and returns the answer. `from` is the client address that the proxy, which is this side of the
 * connection, forwards.
 */
export function sendRequest({ from, headers = {}, body, method = 'POST', path = '/login', ...options }) {
  const forwarded = from === undefined ? {} : { 'x-forwarded-for': from }
  const wanted = { agent: false, method, path, headers: { ...forwarded, ...headers }, ...options }
  return new Promise((resolve, reject) => {
    const outgoing = http.request(wanted, (incoming) => {
      const chunks = []
      incoming.on('data', (chunk) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => resolve(answerOf(incoming, Buffer.concat(chunks).toString())))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function answerOf({ statusCode, headers }, text) {
  const isJson = text !== '' && /json/.test(headers['content-type'])
  return { status: statusCode, headers, text, json: isJson ? JSON.parse(text) : undefined }
}

/**
 * The usual application: one gate in front of `/login`, whose handler shows what the gate left on the request.
 *
 * `gate` are the options of the middleware, `checker` those of the checker, the rest those of `startApp`. The decision
 * of the newest request is in `decisions`, also when the handler was not reached.
 */
export async function startGate(t, express, { gate = {}, checker: checkerOptions, ...appOptions } = {}) {
  const started = await startChecker(t, checkerOptions)
  const decisions = []
  const options = {
    checker: started.checker,
    ...gate,
    onDecision(decision, request) {
      decisions.push(decision)
      return gate.onDecision?.(decision, request)
    },
  }
  const setUp = (app) => app.all('/login', riskMiddleware(options), showRequest)
  const send = await startApp(t, express, setUp, appOptions)
  /** Sends a request; the answer carries the decision about it. */
  const ask = async (request) => {
    const answer = await send(typeof request === 'string' ? { from: request } : request)
    return { ...answer, decision: decisions.at(-1) }
  }
  return { ...started, send, ask, decisions }
}

/** A pino-like logger that keeps what it is given. */
export function recordingLogger() {
  const lines = []
  const at = (level) => (details, message) => lines.push({ level, details, message })
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}

/** What was reported about hooks. */
export function hookReports({ lines }) {
  return lines.filter(({ details }) => details.code === 'ERR_IP_RISK_HOOK')
}

/** Lets everything that is already under way in this process go on, such as a promise's rejection. */
export async function turns(count = 5) {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits until `isTrue()`, for a long time where that is milliseconds when all is well. */
export async function until(isTrue) {
  for (const began = performance.now(); !isTrue(); await turns(1)) {
    if (performance.now() - began > 5_000) throw new Error(`this never became true: ${isTrue}`)
  }
}
