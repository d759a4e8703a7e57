// Whether what was in trouble is in use again, found out as a visitor would: by asking both processes.

const LOGIN = '/login'
/** Between a look-up and the moment when others are served from Redis, into which it is written in the background. */
const WRITE_MS = 50

/** @typedef {import('./world.mjs').World} World */

/**
 * Whether each process asks the provider about those whom it does not know.
 *
 * @param {World} world
 */
export async function providerIsAsked({ apps, traffic, visitors }) {
  const ask = (_, app) => traffic.ask(app, LOGIN, visitors.newcomer())
  const records = await Promise.all(apps.map(ask))
  return records.every(({ decision }) => decision?.source === 'api')
}

/**
 * Whether each process has from Redis what the other one looked up.
 *
 * @param {World} world
 */
export async function redisIsShared(world) {
  const ways = [
    [0, 1],
    [1, 0],
  ]
  const shared = await Promise.all(ways.map(([from, to]) => isShared(world, from, to)))
  return shared.every(Boolean)
}

async function isShared({ traffic, newcomerOf }, from, to) {
  const ip = await newcomerOf()
  await traffic.ask(from, LOGIN, ip)
  await new Promise((resolve) => setTimeout(resolve, WRITE_MS))
  const { decision } = await traffic.ask(to, LOGIN, ip)
  return decision?.source === 'redis' && !decision.stale
}
