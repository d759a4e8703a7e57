// The careful paste: what the API said in an `lru-cache` with a time to live, `undici` with a pool of connections that are
// kept alive for what is not in it, and for each request an object like the one that ip-risk sets, with the same fields.

import { LRUCache } from 'lru-cache'
import { Pool } from 'undici'

const TIMEOUT = 3000

/**
 * @param {string} endpoint
 * @param {{ max?: number, ttl?: number, connections?: number }} [options]
 */
export function createPaste(endpoint, { max = 100_000, ttl = 300_000, connections = 100 } = {}) {
  const cache = new LRUCache({ max, ttl })
  const pool = new Pool(endpoint, { connections, headersTimeout: TIMEOUT, bodyTimeout: TIMEOUT })

  function keep(ip, security) {
    const known = { security: Object.freeze(security), at: Date.now() }
    cache.set(ip, known)
    return known
  }

  /** Asks, and gives null when that fails. */
  async function ask(ip) {
    try {
      const path = `/v3/security?apiKey=benchmark&ip=${encodeURIComponent(ip)}`
      const { statusCode, body } = await pool.request({ method: 'GET', path })
      if (statusCode !== 200) throw new Error(`status ${statusCode}`)
      return keep(ip, (await body.json()).security)
    } catch {
      return null
    }
  }

  /** A login handler's question: the flags and the score, from memory or from the provider. */
  async function look(ip) {
    return toRisk(ip, cache.get(ip) ?? (await ask(ip)))
  }

  /** The same about an address that is in memory. */
  function peek(ip) {
    return toRisk(ip, cache.get(ip) ?? null)
  }

  /** What is in memory is answered in the same tick. */
  function gate(request, response, next) {
    const { ip } = request
    const known = cache.get(ip)
    if (known !== undefined) return decide(toRisk(ip, known), request, response, next)
    ask(ip).then((answer) => decide(toRisk(ip, answer), request, response, next), next)
  }

  /** Keeps what the API says of many, in lists; for filling it. */
  async function warm(ips) {
    for (let first = 0; first < ips.length; first += LIST) {
      const body = JSON.stringify({ ips: ips.slice(first, first + LIST) })
      const path = '/v3/security-bulk?apiKey=benchmark'
      const headers = { 'content-type': 'application/json' }
      const response = await pool.request({ method: 'POST', path, headers, body })
      for (const { ip, security } of await response.body.json()) keep(ip, security)
    }
  }

  return { look, peek, gate, warm, close: () => pool.close() }
}

/** How many addresses one list for filling has. */
const LIST = 1_000

function toRisk(ip, known) {
  const security = known?.security ?? NOTHING
  const score = security.threat_score ?? 0
  const action = score >= 80 ? 'block' : score >= 45 ? 'challenge' : score >= 20 ? 'log' : 'allow'
  const failedOpen = known === null
  return {
    ip,
    score,
    band: score >= 80 ? 'high' : score >= 45 ? 'elevated' : score >= 20 ? 'guarded' : 'low',
    flags: security,
    action,
    wouldBe: action,
    reasons: failedOpen ? FAILED : REASONS[action],
    source: failedOpen ? 'none' : 'memory',
    provider: 'ipgeolocation',
    stale: false,
    degraded: false,
    checkedAt: known?.at ?? null,
    failedOpen,
    failedClosed: false,
    failure: null,
    mode: 'enforce',
    policy: 'login',
    provenance: 'socket',
  }
}

function decide(risk, request, response, next) {
  const { action } = risk
  request.ipRisk = risk
  request.requireMfa = action === 'challenge'
  request.holdForReview = false
  if (action === 'block') {
    response.statusCode = 403
    response.end('{"error":"Request blocked"}')
    return
  }
  next()
}

const NOTHING = Object.freeze({})
const FAILED = Object.freeze(['failed_open'])
const REASONS = {
  allow: Object.freeze(['below_thresholds']),
  log: Object.freeze(['threshold_log']),
  challenge: Object.freeze(['threshold_challenge']),
  block: Object.freeze(['threshold_block']),
}
