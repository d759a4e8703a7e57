// What goes wrong, and what must be seen of it.

import { providerIsAsked, redisIsShared } from './recovery.mjs'

/**
 * @typedef {import('./world.mjs').World} World
 *
 * @typedef {object} Phase
 * @property {string} name
 * @property {(world: World) => unknown} begin
 * @property {(world: World) => unknown} end mends it; what then happens by itself is the recovery
 * @property {boolean} [isBrief] whether the recovery begins at once
 * @property {boolean} [isOverWhenSeen] whether it is mended as soon as somebody has met it
 * @property {(world: World) => Promise<boolean>} isRecovered
 * @property {string[]} failures codes of failures that must occur in it
 * @property {string[]} others codes that may occur as well
 */

const CONNECT = 'ERR_IP_RISK_CONNECT'
const QUOTA = 'ERR_IP_RISK_QUOTA'
const TIMEOUT = 'ERR_IP_RISK_TIMEOUT'
/** What may follow on a transient failure. */
const TRANSIENT = ['ERR_IP_RISK_BREAKER']

/**
 * Every call to the provider suffers `fault`.
 *
 * @param {string} name
 * @param {object} fault
 * @param {string} failure
 * @param {string[]} [others]
 * @returns {Phase}
 */
function upstreamFault(name, fault, failure, others = TRANSIENT) {
  return {
    name: `upstream: ${name}`,
    begin: ({ upstream }) => upstream.fail(fault),
    end: ({ upstream }) => upstream.mend(),
    isRecovered: providerIsAsked,
    failures: [failure],
    others,
  }
}

const notListening = {
  ...upstreamFault('accepts no connection', {}, CONNECT),
  begin: ({ upstream }) => upstream.leave(),
  end: ({ upstream }) => upstream.comeBack(),
}

export const UPSTREAM = {
  hang: upstreamFault('hangs', { kind: 'hang' }, TIMEOUT),
  reset: upstreamFault('resets', { kind: 'reset' }, CONNECT),
  serverError: upstreamFault('500', { status: 500 }, 'ERR_IP_RISK_UPSTREAM_STATUS'),
  keyRefused: upstreamFault('401', { status: 401 }, 'ERR_IP_RISK_KEY_REFUSED', []),
  quota: upstreamFault('429', { status: 429 }, QUOTA, []),
  quotaWithRetryAfter: upstreamFault('429, Retry-After: 1', { status: 429, retryAfter: 1 }, QUOTA, []),
  html: upstreamFault('HTML with 200', { kind: 'html' }, 'ERR_IP_RISK_MALFORMED'),
  close: upstreamFault('closes without an answer', { kind: 'close-before-headers' }, CONNECT),
  notListening,
}

/** @param {Phase} phase */
function brief(phase) {
  return { ...phase, isBrief: true }
}

/** @param {Phase} phase */
export function overWhenSeen(phase) {
  return { ...phase, isOverWhenSeen: true }
}

/**
 * A trouble of Redis alone: nobody notices, because the provider is well.
 *
 * @param {string} name
 * @param {Phase['begin']} begin
 * @param {Phase['end']} [end]
 * @returns {Phase}
 */
function redisFault(name, begin, end = () => {}) {
  return { name, begin, end, isRecovered: redisIsShared, failures: [], others: [] }
}

export const REDIS = {
  killed: redisFault(
    'Redis: killed',
    ({ redis }) => redis.kill(),
    ({ redis }) => redis.start(),
  ),
  paused: redisFault(
    'Redis: paused',
    ({ redis }) => redis.pause(),
    ({ redis }) => redis.resume(),
  ),
  restarted: brief(redisFault('Redis: restarted', ({ redis }) => redis.restart())),
}

/** Both at once: what is left is what each process remembers. */
export const BOTH = {
  ...UPSTREAM.hang,
  name: 'upstream hangs, Redis paused',
  begin({ upstream, redis }) {
    redis.pause()
    upstream.fail({ kind: 'hang' })
  },
  end({ upstream, redis }) {
    redis.resume()
    upstream.mend()
  },
  isRecovered: async (world) => (await providerIsAsked(world)) && redisIsShared(world),
}

/** Others take over what a dead server held. Nobody has to do anything about it. */
export const CLUSTER = {
  failover: brief(redisFault('cluster: a primary is killed', ({ redis }) => redis.primaries[0].kill())),
  comeBack: brief(redisFault('cluster: it comes back', ({ redis }) => redis.primaries[0].start())),
}

export const SENTINELS = {
  failover: brief(redisFault('sentinels: the primary is killed', ({ redis }) => redis.primary.kill())),
}

/** What must hold when nothing is wrong. */
export const WELL = {
  name: 'all is well',
  begin() {},
  end() {},
  isRecovered: async () => true,
  failures: [],
  others: [],
}
