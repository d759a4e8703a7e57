'use strict'

const { usageError } = require('./arguments.js')
const {
  DIRECTORY_HELP,
  describeInUse,
  feedsChecker,
  feedsInUse,
  findDirectory,
} = require('./feeds-directory.js')
const { creditLines } = require('./feeds-report.js')
const { actionCell, paint, printable, table, write } = require('./terminal.js')
const { duration } = require('./words.js')

/**
 * `ip-risk feeds explain`: how feeds come to their scores.
 *
 * @import { Decision } from '../../index.js'
 * @import { Arguments, Options } from './arguments.js'
 * @import { Cell } from './terminal.js'
 *
 * @typedef {object} Line
 * @property {string} feed
 * @property {string} title
 * @property {string} signal
 * @property {string | null} name
 * @property {number | null} value
 * @property {number} ageMs
 * @property {number} weight
 * @property {number} currentWeight
 * @property {string} licence
 * @property {string | null} credit
 *
 * @typedef {object} Explanation what `crates/core/src/feeds/explain.rs` writes
 * @property {string} ip
 * @property {string | null} specialUse
 * @property {number} score
 * @property {string | null} band
 * @property {boolean} isMatch
 * @property {boolean} isStrict
 * @property {string} confidence
 * @property {Line[]} listed
 * @property {number} neighbourhood
 * @property {Record<'network' | 'anonymizer' | 'reputation' | 'spam', number>} families
 * @property {string[]} adjustments
 * @property {number} scoring
 */

const HELP = `Usage: ip-risk feeds explain IP... [options]

Shows for each address every feed that covers it, what that weighs, how the score comes about step by step, and what
the policy \`login\` does with it where feeds are the source. Reads the directory, or else the feeds in the package.
Asks nobody.

Options:
${DIRECTORY_HELP}
      --json         print one explanation per line, as JSON
  -h, --help         show this help

Exit codes:
  0  every address was explained
  1  at least one text is no address; the others were explained
  2  a mistake in the usage or the configuration

Example:
  ip-risk feeds explain 165.227.0.1
`

/** @type {Options} */
const OPTIONS = { dir: { type: 'string' }, json: { type: 'boolean' } }

const HEAD = ['feed', 'signal', 'name', 'value', 'age', 'weight', 'weight now', 'licence']
/** Longer than any address. */
const LONGEST_SHOWN = 60

/** @type {Record<keyof Explanation['families'], string>} */
const FAMILIES = {
  network: 'what kind of network it is',
  anonymizer: 'what hides who is behind it',
  reputation: 'what it did',
  spam: 'whether it spams',
}

/** @type {Partial<Record<string, string>>} */
const ADJUSTMENTS = {
  known_attacker: 'raised: a known attacker, by strict evidence or by several who saw it independently',
  hides_twice: 'raised: it hides in two ways at once',
  proxy_over_vpn: 'raised: an open proxy in a VPN',
  relay_cap: 'capped: a privacy relay, whose users share the address',
  shared_cap: 'capped: many share the address, or it is a crawler whose operator is known',
}

/** @param {Arguments} found */
async function run(found) {
  const texts = found.positionals
  if (texts.length === 0) throw usageError('`feeds explain` needs an address')
  const directory = findDirectory(found)
  const checker = feedsChecker(directory)
  try {
    const decisions = texts.map((text) => /** @type {Decision} */ (checker.peek(text)))
    const explanations = explain(directory, texts)
    const isJson = found.flags.has('json')
    const print = isJson ? printJson : describe
    await write(texts.map((text, index) => print(text, explanations[index], decisions[index])).join(''))
    const feeds = feedsInUse(checker)
    if (!isJson && feeds !== null) await write(`Asked were ${describeInUse(feeds)}\n`)
    return explanations.includes(null) ? 1 : 0
  } finally {
    await checker.close()
  }
}

/**
 * @param {string | undefined} directory
 * @param {string[]} texts
 * @returns {(Explanation | null)[]} null for text that is no address
 */
function explain(directory, texts) {
  const { explainFeeds } = require('../native.js')
  const { readSurroundings } = require('../surroundings.js')
  const feeds = directory === undefined ? true : { dir: directory }
  return JSON.parse(
    explainFeeds(JSON.stringify({ options: { feeds }, surroundings: readSurroundings() }), texts),
  )
}

/**
 * @param {string} text
 * @param {Explanation | null} explanation
 * @param {Decision} decision
 */
function printJson(text, explanation, decision) {
  const { failure } = decision
  return `${JSON.stringify(explanation === null ? { text, failure } : { ...explanation, decision })}\n`
}

/**
 * @param {string} text
 * @param {Explanation | null} explanation
 * @param {Decision} decision
 */
function describe(text, explanation, decision) {
  if (explanation === null) return `${printable(text.slice(0, LONGEST_SHOWN))} is no address\n\n`
  const { ip, listed, scoring } = explanation
  const steps = stepsOf(explanation).map((step, index) => `  ${index + 1}. ${step}`)
  const lines = [
    `How it comes about (scoring ${scoring}):`,
    ...steps,
    decisionLine(decision),
    ...creditLines(listed),
  ]
  return `${paint(ip, 'bold')}: ${resultOf(explanation)}\n${feedTable(listed)}${lines.join('\n')}\n\n`
}

/** @param {Explanation} explanation */
function resultOf({ specialUse, listed, score, band, confidence, isStrict }) {
  if (specialUse !== null) return `special-use space (${specialUse})`
  if (band === null && listed.length > 0) return 'feeds cover it, and that weighs nothing'
  if (band === null) return 'no feed says anything about it'
  const strict = isStrict ? ', by strict evidence' : ''
  return `score ${score}, ${band}, confidence ${confidence}${strict}`
}

/** @param {Line[]} listed */
function feedTable(listed) {
  if (listed.length === 0) return ''
  const head = HEAD.map((text) => ({ text, style: /** @type {const} */ ('dim') }))
  return table([head, ...listed.map(row)])
}

/**
 * @param {Line} line
 * @returns {Cell[]}
 */
function row({ feed, title, signal, name, value, ageMs, weight, currentWeight, licence }) {
  const texts = [
    title === feed ? feed : `${title} (${feed})`,
    signal,
    name ?? '-',
    value === null ? '-' : String(value),
    duration(ageMs),
    String(weight),
    String(currentWeight),
    licence,
  ]
  return texts.map((text) => ({ text: printable(text) }))
}

/**
 * In the order in which the core takes them.
 *
 * @param {Explanation} explanation
 */
function stepsOf(explanation) {
  if (explanation.specialUse !== null) return ['no feed is asked about special-use space']
  const { families, adjustments, score } = explanation
  const entries = /** @type {[keyof typeof families, number][]} */ (Object.entries(families))
  const weights = entries
    .filter(([, weight]) => weight > 0)
    .map(([family, weight]) => `${family} (${FAMILIES[family]}) weighs ${weight}`)
  const combined =
    weights.length < 2
      ? []
      : ['combined as independent chances; of network and anonymizer only the higher one counts']
  const adjusted = adjustments.flatMap((word) =>
    word === 'neighbourhood' ? [] : (ADJUSTMENTS[word] ?? word),
  )
  return [
    ...(weights.length === 0 ? ['nothing about the address itself weighs anything'] : weights),
    ...combined,
    ...adjusted,
    ...neighbourhoodSteps(explanation),
    `the score is ${score}`,
  ]
}

/** @param {Explanation} explanation */
function neighbourhoodSteps({ neighbourhood, adjustments }) {
  if (neighbourhood === 0) return []
  const isRaised = adjustments.includes('neighbourhood')
  const points = `${neighbourhood} points for attacks out of the networks around it`
  return [isRaised ? `raised: ${points}` : `not raised: ${points}, which do not add to this score`]
}

/** @param {Decision} decision */
function decisionLine(decision) {
  const { text, style } = actionCell(decision)
  return `The policy \`${decision.policy}\` answers ${paint(text, style)} (${decision.reasons.join(', ')}).`
}

exports.help = HELP
exports.options = OPTIONS
exports.run = run
