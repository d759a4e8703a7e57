// The second half of `npm run build`: writes the feeds that are in the package, `seed.feeds`. What has to be said of their
// sources is in `ATTRIBUTION.md`.
//
// The table of all networks is the npm package `@ip-location-db/asn`, which is needed only here; which of them are clouds
// and hosting is our own table, `crates/core/src/feeds/networks.csv`.
//
// A release adds the exits of Tor: `SEED_FEEDS` names a directory that `ip-risk feeds update --only tor-exits` has just
// filled. Of other feeds in it, those are taken whose licence allows to give them on.
//
//   node scripts/seed.mjs [FILE]  writes `seed.feeds`, or that file

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MOST_BYTES } from './targets.mjs'

const require = createRequire(import.meta.url)
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const FILES = ['asn-ipv4-num.csv', 'asn-ipv6-num.csv']

/**
 * When the table was made: its version ends in the date and the hour, such as `2.3.2026061719`.
 *
 * @param {string} version
 */
function madeAt(version) {
  const parts = /\.(\d{4})(\d{2})(\d{2})(\d{2})$/.exec(version)
  if (parts === null) throw new Error(`the version \`${version}\` of the table of networks has no date in it`)
  const [year, month, day, hour] = parts.slice(1).map(Number)
  return Date.UTC(year, month - 1, day, hour)
}

const manifest = require.resolve('@ip-location-db/asn/package.json')
const { version } = require(manifest)
const files = FILES.map((name) => join(dirname(manifest), name))
const { buildSeed } = require('../index.js')
const { SEED_FEEDS } = process.env
const [path = join(ROOT, 'seed.feeds')] = process.argv.slice(2)
const bytes = buildSeed(files, madeAt(version), SEED_FEEDS, path)
if (bytes > MOST_BYTES.seed) throw new Error(`the seed has ${bytes} bytes, more than ${MOST_BYTES.seed}`)
console.log(`seed.feeds: ${bytes} bytes, networks of ${new Date(madeAt(version)).toISOString().slice(0, 10)}`)
