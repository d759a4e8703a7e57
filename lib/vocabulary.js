'use strict'

const native = require('./native.js')

/**
 * The words of the core. Decisions carry their numbers.
 *
 * @typedef {object} Vocabulary
 * @property {number} words how many words one decision takes
 * @property {number} mostAddresses
 * @property {import('../index.js').Action[]} actions
 * @property {import('../index.js').Band[]} bands
 * @property {import('../index.js').Source[]} sources
 * @property {import('../index.js').Mode[]} modes
 * @property {import('../index.js').Provenance[]} provenances
 * @property {string[]} providers
 * @property {import('../index.js').ErrorCode[]} codes
 * @property {string[]} advice what to do about the code at the same place
 * @property {[name: string, place: [kind: 'boolean' | 'score' | 'date' | 'name', index: number]][]} fields
 * @property {Record<'framework' | 'custom' | 'trustsEveryone' | 'forwardedHeader' | 'isPeer' | 'blockUnverified', number>} facts
 */

/** @type {Vocabulary} */
module.exports = JSON.parse(native.vocabulary())
