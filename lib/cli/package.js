'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')

/**
 * What the command line reads of this package's own description.
 *
 * @returns {{ version: string, engines: { node: string } }}
 */
function ownPackage() {
  return JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8'))
}

exports.ownPackage = ownPackage
