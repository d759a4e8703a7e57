'use strict'

const { parseArgs } = require('node:util')

/**
 * Reads the arguments of a command. `parseArgs` finds the options; what is wrong with them is said here, because a
 * slip should name the option that was meant.
 *
 * @typedef {Record<string, { type: 'boolean' | 'string', short?: string }>} Options
 *
 * @typedef {object} Arguments
 * @property {Set<string>} flags
 * @property {Map<string, string>} texts of an option that is written more than once, the last
 * @property {Map<string, string[]>} lists all of them
 * @property {string[]} positionals
 *
 * @typedef {{ kind: string, name: string, rawName: string, value?: string, inlineValue?: boolean }} OptionToken
 */

/** @type {Options} */
const COMMON_OPTIONS = { help: { type: 'boolean', short: 'h' } }

/**
 * @param {string[]} args
 * @param {Options} own the command's
 * @returns {Arguments}
 */
function readArguments(args, own) {
  const options = { ...own, ...COMMON_OPTIONS }
  const parsed = parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true })
  /** @type {Arguments} */
  const found = { flags: new Set(), texts: new Map(), lists: new Map(), positionals: parsed.positionals }
  for (const token of parsed.tokens) {
    if (token.kind === 'option') readOption(/** @type {OptionToken} */ (token), options, found)
  }
  return found
}

/**
 * @param {OptionToken} token
 * @param {Options} options
 * @param {Arguments} found
 */
function readOption({ name, rawName, value, inlineValue }, options, found) {
  if (!Object.hasOwn(options, name)) refuseUnknown('option', rawName, Object.keys(options).map(dashed))
  if (options[name].type === 'boolean') {
    if (inlineValue === true) throw usageError(`\`${rawName}\` takes no value`)
    found.flags.add(name)
  } else {
    const isMissing = !value || (inlineValue !== true && value.startsWith('-'))
    if (isMissing) throw usageError(`\`${rawName}\` needs a value`)
    found.texts.set(name, value)
    found.lists.set(name, [...(found.lists.get(name) ?? []), value])
  }
}

/** @param {string} name */
function dashed(name) {
  return `--${name}`
}

/**
 * Refuses a word, and names the nearest one that is known.
 *
 * @param {'command' | 'option' | 'profile'} kind
 * @param {string} word
 * @param {string[]} known
 * @returns {never}
 */
function refuseUnknown(kind, word, known) {
  // Only here, because the rest of the command line has to work without the addon.
  const { refuseUnknownKeys } = require('../errors.js')
  try {
    refuseUnknownKeys({ [word]: true }, known)
  } catch (cause) {
    const { code, message } = /** @type {Error & { code: string }} */ (cause)
    throw Object.assign(new Error(message.replace('an option', article(kind)), { cause }), { code })
  }
  throw usageError(`\`${word}\` is not ${article(kind)}`)
}

/** @param {string} kind */
function article(kind) {
  return kind === 'option' ? 'an option' : `a ${kind}`
}

/**
 * A whole number, when it is written.
 *
 * @param {Arguments} found
 * @param {string} name
 * @param {number} most
 */
function readWhole({ texts }, name, most) {
  const text = texts.get(name)
  if (text === undefined) return undefined
  if (/^[0-9]{1,15}$/.test(text) && Number(text) <= most) return Number(text)
  throw usageError(`\`${dashed(name)}\` must be a whole number from 0 to ${most}, not \`${text}\``)
}

/**
 * @param {Arguments} found
 * @param {string} command
 */
function refusePositionals({ positionals }, command) {
  const [first] = positionals
  if (first !== undefined)
    throw usageError(`\`${command}\` takes no \`${first}\`; see \`ip-risk ${command} --help\``)
}

/**
 * A mistake in how the command line is used.
 *
 * @param {string} message
 */
function usageError(message) {
  return Object.assign(new Error(message), { code: 'ERR_IP_RISK_ARGUMENT' })
}

exports.readArguments = readArguments
exports.readWhole = readWhole
exports.refusePositionals = refusePositionals
exports.refuseUnknown = refuseUnknown
exports.usageError = usageError
