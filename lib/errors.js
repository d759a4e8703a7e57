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
 * @param {string} [path] what leads to the options, with a dot at its end
 */
function refuseUnknownKeys(options, known, path = '') {
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown !== undefined) native.refuseOption(path + unknown, unknown, known)
}

/**
 * Options as an object. The message does not show what stands in their place, because that may be the key.
 *
 * @template {object} T
 * @param {T} value
 * @returns {T}
 */
function checkedOptions(value) {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  const type = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`
  throw coded('ERR_IP_RISK_ARGUMENT', `\`options\` must be an object, not ${type}`)
}

/**
 * A value for a message: short, on one line.
 *
 * @param {unknown} value
 */
function shown(value) {
  const text = written(value)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

/** @param {unknown} value */
function written(value) {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return `function ${value.name}`.trimEnd()
  const isObject = typeof value === 'object' && value !== null
  return isObject ? String(value.constructor?.name ?? 'object') : String(value)
}

exports.checkedOptions = checkedOptions
exports.coded = coded
exports.refuseUnknownKeys = refuseUnknownKeys
exports.shown = shown
