'use strict'

const { once } = require('node:events')

/**
 * What is written for people: colours, tables, and text that came from elsewhere.
 *
 * Nothing here needs the addon, so that `ip-risk doctor` and the demo can speak without it.
 *
 * @import { WriteStream } from 'node:tty'
 * @import { Action, Decision } from '../../index.js'
 *
 * @typedef {'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta'} Style
 * @typedef {{ text: string, style?: Style }} Cell
 */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35 }

/** @type {Record<Action, Style>} */
const ACTION_STYLES = { allow: 'green', log: 'blue', challenge: 'yellow', block: 'red', hold: 'magenta' }

/** Ended by Ctrl-C, as a shell reports it. */
const INTERRUPTED = 130

/** What would move the cursor, change colours, or reorder the line. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * The text in a style, on a terminal whose user wants colours.
 *
 * @param {string} text
 * @param {Style | undefined} style
 * @param {NodeJS.WriteStream} [stream]
 */
function paint(text, style, stream = process.stdout) {
  if (style === undefined || !takesEscapes(stream)) return text
  return `\u001b[${CODES[style]}m${text}\u001b[0m`
}

/**
 * Whether it is a terminal that understands escape codes, and its user wants them.
 *
 * @param {NodeJS.WriteStream} stream
 */
function takesEscapes(stream) {
  return stream.isTTY && !process.env.NO_COLOR && /** @type {WriteStream} */ (stream).hasColors()
}

/**
 * Rows as lines whose columns stand below each other.
 *
 * @param {Cell[][]} rows
 * @param {number[]} [widths] of rows that are already written; grows
 */
function table(rows, widths = []) {
  for (const row of rows) {
    row.forEach(({ text }, column) => (widths[column] = Math.max(widths[column] ?? 0, text.length)))
  }
  return rows.map((row) => tableLine(row, widths)).join('')
}

/**
 * @param {Cell[]} row
 * @param {number[]} widths
 */
function tableLine(row, widths) {
  const last = row.findLastIndex(({ text }) => text !== '')
  const cells = row.slice(0, last + 1).map(({ text, style }, column) => {
    const blanks = column === last ? '' : ' '.repeat(widths[column] - text.length + 2)
    return paint(text, style) + blanks
  })
  return `${cells.join('')}\n`
}

/**
 * The action, and in log-only mode what it would have been.
 *
 * @param {Decision} decision
 * @returns {Cell}
 */
function actionCell({ action, wouldBe }) {
  const text = action === wouldBe ? action : `${action} (would ${wouldBe})`
  return { text, style: ACTION_STYLES[wouldBe] }
}

/**
 * Text from elsewhere on one line, without what a terminal would act on.
 *
 * @param {string} text
 */
function printable(text) {
  return text.replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`)
}

/**
 * Writes to standard output, no faster than it is read.
 *
 * @param {string} text
 */
async function write(text) {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** Whoever reads the output may stop, as `head` does. That is no mistake. */
function endQuietlyWhenNobodyReads() {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code === 'EPIPE') process.exit(0)
      console.error(`ip-risk: the output cannot be written: ${error.message}`)
      process.exit(2)
    })
  }
}

exports.ACTION_STYLES = ACTION_STYLES
exports.INTERRUPTED = INTERRUPTED
exports.actionCell = actionCell
exports.endQuietlyWhenNobodyReads = endQuietlyWhenNobodyReads
exports.paint = paint
exports.printable = printable
exports.table = table
exports.takesEscapes = takesEscapes
exports.write = write
