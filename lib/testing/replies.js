'use strict'

/**
 * An HTTP answer, before it is put on the wire.
 *
 * @typedef {object} Reply
 * @property {number} status
 * @property {Record<string, string>} headers
 * @property {string | Uint8Array} body
 * @property {boolean} compress whether it may be compressed
 */

const CREDITS_PER_ADDRESS = 2

/** @type {Readonly<Record<number, string>>} */
const MESSAGES = {
  400: 'the request is not valid: check its parameters and its body',
  401: 'the API key is not valid: check the `apiKey` parameter',
  403: 'access is denied for this API key or origin',
  404: 'this address has no record in the database',
  405: 'this method is not supported here',
  415: 'this content type is not supported: send `application/json`',
  423: 'this is a bogon address: only public addresses are scored',
  429: 'the plan has no credits left: slow down, or choose a larger plan',
  499: 'the client closed the request before it was answered',
  500: 'something failed inside the server',
  502: 'a service behind the server failed: try again later',
  503: 'the service is not available for the moment: try again later',
  504: 'the server took too long to process the request',
  505: 'this HTTP version is not supported',
}

/**
 * @param {number} status
 * @param {unknown} value
 * @param {Record<string, string>} [headers]
 * @returns {Reply}
 */
function jsonReply(status, value, headers = {}) {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(value),
    compress: true,
  }
}

/**
 * @param {number} status
 * @param {string} heading
 * @returns {Reply}
 */
function htmlReply(status, heading) {
  const body = `<html><head><title>${heading}</title></head><body><h1>${heading}</h1></body></html>\n`
  return { status, headers: { 'Content-Type': 'text/html' }, body, compress: true }
}

/**
 * A refusal as the API words it: JSON, but for 413, which the web server in front of it answers.
 *
 * @param {number} status
 * @param {string} [message]
 * @returns {Reply}
 */
function failureReply(status, message) {
  if (status === 413) return htmlReply(status, message ?? '413 Request Entity Too Large')
  return jsonReply(status, { message: message ?? defaultMessage(status) })
}

/** @param {number} status */
function defaultMessage(status) {
  return MESSAGES[status] ?? `the request was answered with status ${status}`
}

/**
 * The 404 of a wrong path. Clients tell it from the 404 of an unknown address by its first two words.
 *
 * @param {string} method
 * @param {string} path
 */
function noEndpointReply(method, path) {
  return failureReply(404, `No endpoint ${method} ${path}.`)
}

module.exports = {
  CREDITS_PER_ADDRESS,
  defaultMessage,
  failureReply,
  htmlReply,
  jsonReply,
  noEndpointReply,
}
