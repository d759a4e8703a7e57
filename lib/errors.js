'use strict'

const native = require('./native.js')

/**
 * An error for a mistake of the caller.
 *
 * @param {import('../index.js').ErrorCode} code
 * @param {string} message
 * @returns {import('../index.js').IpRiskError}
 */
function coded(code, message) {
  return Object.assign(new TypeError(message), { code })
}

/**
 * Refuses keys that do not exist, and names the nearest one that does.
 *
 * @param {object} options
 * @param {string[]} known
 */
function refuseUnknownKeys(options, known) {
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown !== undefined) native.refuseOption(unknown, known)
}

/**
 * A value for a message: short, on one line.
 *
 * @param {unknown} value
 */
function shown(value) {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value?.constructor?.name ?? value)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

exports.coded = coded
exports.refuseUnknownKeys = refuseUnknownKeys
exports.shown = shown
