'use strict'

const { validateHeaderName, validateHeaderValue } = require('node:http')
const { SECURITY_FIELDS } = require('./answers.js')
const { AnswerBook } = require('./answer-book.js')
const { checkAddress, checkInteger, checkKeys, show } = require('./checks.js')
const { answerTo } = require('./endpoints.js')
const { FaultPlan } = require('./fault-plan.js')
const { playFault } = require('./faults.js')
const { baseUrl, checkedSettings, createServer, listen, listeningPort } = require('./listening.js')
const { readQuestion } = require('./questions.js')
const { RequestLog } = require('./request-log.js')
const { pause, sendReply } = require('./wire.js')

/**
 * @import { IncomingMessage, Server, ServerResponse } from 'node:http'
 * @import { Socket } from 'node:net'
 * @import { Fault, FaultOptions, MockApi as MockApiDeclaration, PartialSecurity, RawAnswer } from '../testing.js'
 * @import { Settings } from './listening.js'
 * @import { Question } from './questions.js'
 * @import { Reply } from './replies.js'
 */

/** @implements {MockApiDeclaration} */
class MockApi {
  #server
  #settings
  #book = new AnswerBook()
  #faults = new FaultPlan()
  #log = new RequestLog()
  #credits = 0
  #connections = 0
  #latencyMs = 0
  /** @type {Map<string, Socket>} open TCP connections by their other end */
  #sockets = new Map()
  /** @type {Promise<void> | undefined} */
  #closing

  /**
   * @param {Server} server listening
   * @param {Settings} settings
   */
  constructor(server, settings) {
    this.#server = server
    this.#settings = settings
    this.port = listeningPort(server)
    this.url = baseUrl(settings, this.port)
    this.#serve()
  }

  get requests() {
    return this.#log.requests
  }

  get credits() {
    return this.#credits
  }

  get connections() {
    return this.#connections
  }

  get latencyMs() {
    return this.#latencyMs
  }

  set latencyMs(milliseconds) {
    if (typeof milliseconds !== 'number' || !(milliseconds >= 0) || milliseconds === Infinity) {
      throw new RangeError(`latencyMs is ${show(milliseconds)}: pass a number of milliseconds, 0 or more`)
    }
    this.#latencyMs = milliseconds
  }

  /** @param {string} [ip] */
  requestCount(ip) {
    return this.#log.count(ip)
  }

  /**
   * @param {string} ip
   * @param {PartialSecurity | null} security
   */
  answer(ip, security) {
    if (security !== null) checkKeys('the answer', security, SECURITY_FIELDS)
    this.#book.set(checkAddress(ip), security && { ...security })
  }

  /**
   * @param {string} ip
   * @param {RawAnswer} answer
   */
  answerRaw(ip, answer) {
    this.#book.setRaw(checkAddress(ip), rawReply(answer))
  }

  /**
   * @param {Fault | null} fault
   * @param {FaultOptions} [options]
   */
  fault(fault, options = {}) {
    this.#faults.set(fault, options)
  }

  /** @param {readonly (Fault | null)[]} faults */
  script(faults) {
    this.#faults.script(faults)
  }

  reset() {
    this.#book.clear()
    this.#faults.clear()
    this.#log.clear()
    this.#credits = 0
    this.#connections = 0
    this.#latencyMs = 0
  }

  close() {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const socket of this.#sockets.values()) socket.destroy()
    })
    return this.#closing
  }

  #serve() {
    this.#server.on('connection', (socket) => this.#connected(socket))
    this.#server.on('request', (request, response) => this.#received(request, response))
    if (this.#settings.keepAlive) return
    this.#server.unref()
    this.#server.on('secureConnection', (socket) => socket.unref())
  }

  /** @param {Socket} socket */
  #connected(socket) {
    const client = otherEnd(socket)
    this.#connections += 1
    this.#sockets.set(client, socket)
    socket.once('close', () => this.#sockets.delete(client))
    if (!this.#settings.keepAlive) socket.unref()
  }

  /**
   * Whatever a client does, the others are still served: an error ends its own request only.
   *
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   */
  #received(request, response) {
    const abandon = () => void response.destroy()
    request.on('error', abandon)
    response.on('error', abandon)
    this.#handle(request, response).catch(abandon)
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   */
  async #handle(request, response) {
    const question = await readQuestion(request, this.#settings.maxBodyBytes)
    const keyAccepted = this.#accepts(question)
    this.#log.add(request, question, keyAccepted)
    const planned = this.#faults.next(question)
    if (this.#latencyMs > 0 && !(await pause(this.#latencyMs, response))) return
    const answer = answerTo(question, this.#book, keyAccepted)
    const exchange = this.#exchange(request, response, question, answer.reply)
    const fault = planned ?? answer.fault
    if (fault) await playFault(exchange, fault)
    else sendReply(exchange, answer.reply)
  }

  /** @param {Question} question */
  #accepts({ key }) {
    return this.#settings.key === undefined ? key.trim() !== '' : key === this.#settings.key
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {Question} question
   * @param {Reply} reply
   */
  #exchange(request, response, question, reply) {
    const charge = (/** @type {number} */ credits) => void (this.#credits += credits)
    const tcp = this.#sockets.get(otherEnd(request.socket))
    return { request, response, tcp, question, reply, url: this.url, charge }
  }
}

/**
 * Names a connection from above and below TLS alike.
 *
 * @param {Socket} socket
 */
function otherEnd({ remoteAddress, remotePort }) {
  return `${remoteAddress} ${remotePort}`
}

/**
 * @param {RawAnswer} answer
 * @returns {Reply}
 */
function rawReply(answer) {
  checkKeys('the raw answer', answer, ['status', 'headers', 'body'])
  const { status = 200, headers = {}, body = '' } = answer
  checkInteger('`status`', status, 200, 599)
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  }
  const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: bytes, compress: false }
}

/** @type {typeof import('../testing.js').startMockApi} */
async function startMockApi(options = {}) {
  const settings = checkedSettings(options)
  const server = createServer(settings)
  await listen(server, settings)
  return new MockApi(server, settings)
}

exports.MockApi = MockApi
exports.startMockApi = startMockApi
