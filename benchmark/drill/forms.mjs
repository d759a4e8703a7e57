// The two forms of the drill: in full, as applications are set up; and short, as part of the tests.

import { BOTH, CLUSTER, REDIS, SENTINELS, UPSTREAM, overWhenSeen } from './phases.mjs'

/**
 * @typedef {object} Act phases that the same two processes and the same Redis go through
 * @property {'server' | 'cluster' | 'sentinels'} redis
 * @property {import('./phases.mjs').Phase[]} phases
 *
 * @typedef {object} Form
 * @property {number} deadlineMs
 * @property {number} ttlMs how long evidence is fresh
 * @property {number} perSecond visits
 * @property {number} wellVisits how many there are between two troubles
 * @property {number} troubleVisits how many there are during a trouble
 * @property {number} recoveryMs how long it may take, a trouble being over, until everything is in use again
 * @property {boolean} actsAtOnce whether acts are played at the same time; they share nothing
 * @property {Act[]} acts
 */

/**
 * The deadline is the default; evidence ages 60 times as fast as by default, so that troubles meet stale evidence.
 *
 * @type {Form}
 */
export const FULL = {
  deadlineMs: 1_500,
  ttlMs: 5_000,
  perSecond: 60,
  wellVisits: 120,
  troubleVisits: 480,
  // A refused key is looked at once a minute.
  recoveryMs: 75_000,
  actsAtOnce: false,
  acts: [
    { redis: 'server', phases: [...Object.values(REDIS), ...Object.values(UPSTREAM), BOTH] },
    { redis: 'cluster', phases: [CLUSTER.failover, CLUSTER.comeBack, UPSTREAM.hang] },
    { redis: 'sentinels', phases: [SENTINELS.failover] },
  ],
}

/**
 * Evidence ages faster still. After a breaker has been open the next wait is longer, unless something else was wrong in
 * between: hence the order. A refused key is looked at again after two seconds and then once a minute, which would be too
 * long.
 *
 * @type {Form}
 */
export const SHORT = {
  deadlineMs: 1_500,
  ttlMs: 1_000,
  perSecond: 40,
  wellVisits: 12,
  troubleVisits: 60,
  recoveryMs: 30_000,
  actsAtOnce: true,
  acts: [
    {
      redis: 'server',
      phases: [
        UPSTREAM.hang,
        overWhenSeen(UPSTREAM.keyRefused),
        UPSTREAM.reset,
        UPSTREAM.quotaWithRetryAfter,
        UPSTREAM.serverError,
        REDIS.killed,
        REDIS.paused,
        REDIS.restarted,
      ],
    },
    { redis: 'cluster', phases: [UPSTREAM.html, CLUSTER.failover, UPSTREAM.close, UPSTREAM.notListening] },
    { redis: 'sentinels', phases: [SENTINELS.failover] },
  ],
}
