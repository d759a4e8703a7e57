// What takes part in a drill: two processes of the application, one provider, one Redis, and those who log in.

import { startCluster, startRedis, startSentinelTrio } from '../../__test__/support/redis.mjs'
import { startApp } from './apps.mjs'
import { Traffic } from './traffic.mjs'
import { Upstream } from './upstream.mjs'
import { Visitors } from './visitors.mjs'

const APPS = 2
const SEED = 20_240_501

const REDIS = {
  server: () => startRedis(),
  cluster: () => startCluster(),
  sentinels: () => startSentinelTrio(),
}

/**
 * @typedef {object} World
 * @property {Upstream} upstream
 * @property {Awaited<ReturnType<typeof startApp>>[]} apps
 * @property {any} redis what `__test__/support/redis.mjs` starts
 * @property {Visitors} visitors
 * @property {Traffic} traffic
 * @property {() => Promise<string>} newcomerOf an address that nobody has seen; in a cluster one whose entry belongs to
 *   its first primary
 * @property {() => Promise<void>} close
 */

/**
 * @param {keyof typeof REDIS} kind
 * @param {import('./form.mjs').Form} form
 * @returns {Promise<World>}
 */
export async function startWorld(kind, { deadlineMs, ttlMs, perSecond }) {
  const upstream = await Upstream.start()
  const redis = await REDIS[kind]()
  const options = { apiKey: 'drill', deadlineMs, cache: { ttlMs }, redis: redis.options, logger: false }
  const start = (_, app) => startApp({ ...options, endpoint: upstream.endpointFor(app) })
  const apps = await Promise.all(Array.from({ length: APPS }, start))
  const visitors = new Visitors(upstream, { seed: SEED, apps: APPS, away: 1.5 * ttlMs })
  const traffic = new Traffic(apps, visitors, perSecond)
  return {
    upstream,
    redis,
    apps,
    visitors,
    traffic,
    newcomerOf: () => newcomerOf(visitors, redis),
    async close() {
      await traffic.end()
      await Promise.all([...apps, redis, upstream].map((part) => part.close()))
    },
  }
}

async function newcomerOf(visitors, redis) {
  for (;;) {
    const ip = visitors.newcomer()
    const isOfIt =
      redis.primaryOf === undefined || (await redis.primaryOf(`ip-risk:${ip}`)) === redis.primaries[0]
    if (isOfIt && !ip.includes(':')) return ip
  }
}
