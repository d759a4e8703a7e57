'use strict'

/** Numbers and times in words, for people. */

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const KILOBYTE = 1000
const MEGABYTE = 1000 * KILOBYTE

/**
 * How long that is, such as `3 hours`. Days are the longest, because feeds age by them.
 *
 * @param {number} milliseconds
 */
function duration(milliseconds) {
  if (milliseconds < MINUTE) return 'less than a minute'
  if (milliseconds < 2 * HOUR) return counted(Math.floor(milliseconds / MINUTE), 'minute')
  if (milliseconds < 2 * DAY) return counted(Math.floor(milliseconds / HOUR), 'hour')
  return counted(Math.floor(milliseconds / DAY), 'day')
}

/**
 * How long ago that was.
 *
 * @param {number} at
 */
function age(at) {
  return duration(Math.max(0, Date.now() - at))
}

/**
 * When that will be; `now` when it was, or nothing has to be waited for.
 *
 * @param {number | null} at
 */
function until(at) {
  const milliseconds = (at ?? 0) - Date.now()
  return milliseconds <= 0 ? 'now' : `in ${duration(milliseconds)}`
}

/**
 * @param {number} count
 * @param {string} word
 */
function counted(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? '' : 's'}`
}

/** @param {number} number */
function grouped(number) {
  return number.toLocaleString('en')
}

/** @param {number} bytes */
function byteCount(bytes) {
  if (bytes >= MEGABYTE) return `${(bytes / MEGABYTE).toFixed(1)} MB`
  return bytes >= KILOBYTE ? `${Math.round(bytes / KILOBYTE)} kB` : `${bytes} B`
}

exports.age = age
exports.byteCount = byteCount
exports.counted = counted
exports.duration = duration
exports.grouped = grouped
exports.until = until
