'use strict'

const { inspect } = require('node:util')
const { canonicalAddress } = require('./addresses.js')

/**
 * What every check of an argument needs: errors that name the value and the way out.
 *
 * @param {string} what
 * @param {unknown} value
 * @param {readonly string[]} known
 */
function checkKeys(what, value, known) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${what} is ${show(value)}: pass an object`)
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw new TypeError(`${what} has no \`${key}\`: use ${listed(known)}`)
  }
}

/**
 * @param {string} what
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
function checkInteger(what, value, least, most) {
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return
  throw new RangeError(`${what} is ${show(value)}: pass an integer from ${least} to ${most}`)
}

/**
 * @param {string} what
 * @param {unknown} value
 */
function checkText(what, value) {
  if (typeof value === 'string' && value !== '') return
  throw new TypeError(`${what} is ${show(value)}: pass a text that is not empty`)
}

/**
 * @param {string} what
 * @param {unknown} value
 */
function checkBoolean(what, value) {
  if (typeof value !== 'boolean') throw new TypeError(`${what} is ${show(value)}: pass true or false`)
}

/**
 * @param {unknown} ip
 * @returns {string} canonical
 */
function checkAddress(ip) {
  const address = typeof ip === 'string' ? canonicalAddress(ip) : null
  if (address === null) throw new TypeError(`ip is ${show(ip)}: pass an IPv4 or IPv6 address`)
  return address
}

/** @param {unknown} value */
function show(value) {
  return `\`${typeof value === 'string' ? value : inspect(value, { depth: 0 })}\``
}

/** @param {readonly string[]} names */
function listed(names) {
  return names.map((name) => `\`${name}\``).join(', ')
}

module.exports = { checkAddress, checkBoolean, checkInteger, checkKeys, checkText, listed, show }
