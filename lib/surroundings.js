'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')

/** The feeds that are in the package. */
const SEED = join(__dirname, '..', 'seed.feeds')

/**
 * What the environment says. Which of it counts is the core's business.
 *
 * @returns {Record<string, string | undefined>}
 */
function readSurroundings() {
  const { env } = process
  return {
    apiKey: env.IPGEO_API_KEY,
    redisUrl: env.REDIS_URL || undefined,
    mode: env.IP_RISK_MODE,
    httpsProxy: env.HTTPS_PROXY || env.https_proxy || undefined,
    noProxy: env.NO_PROXY || env.no_proxy || undefined,
    extraRoots: readExtraRoots(env.NODE_EXTRA_CA_CERTS),
    feeds: env.IP_RISK_FEEDS || undefined,
    seed: SEED,
  }
}

/**
 * Like Node.js itself, which warns and goes on when the file cannot be read.
 *
 * @param {string | undefined} path
 */
function readExtraRoots(path) {
  if (!path) return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch {
    process.emitWarning('ip-risk: the file that `NODE_EXTRA_CA_CERTS` names cannot be read')
    return undefined
  }
}

exports.SEED = SEED
exports.readSurroundings = readSurroundings
