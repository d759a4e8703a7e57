// Plays the drill: trouble after trouble, and after each one the recovery, while visits go on.

import { setTimeout as sleep } from 'node:timers/promises'
import { WELL } from './phases.mjs'
import { startWorld } from './world.mjs'

const POLL_MS = 50

/**
 * A phase, as it went. Times are in milliseconds since 1970.
 *
 * @typedef {object} Played
 * @property {import('./phases.mjs').Phase} phase
 * @property {number} beganAt
 * @property {number} [mendedAt]
 * @property {number | null} [recoveredAt] null when it took too long
 * @property {number} [calls] to the provider
 *
 * @typedef {object} PlayedAct
 * @property {string} redis
 * @property {Played[]} phases
 * @property {import('./request.mjs').Record[]} records
 * @property {import('./upstream.mjs').Call[]} calls
 * @property {(ip: string) => number} scoreOf what the provider says of an address
 */

/**
 * @param {import('./forms.mjs').Form} form
 * @param {(act: PlayedAct) => void} [onAct]
 * @returns {Promise<PlayedAct[]>}
 */
export async function runDrill(form, onAct = () => {}) {
  const playOne = async (act) => {
    const played = await playAct(act, form)
    onAct(played)
    return played
  }
  if (form.actsAtOnce) return Promise.all(form.acts.map(playOne))
  const acts = []
  for (const act of form.acts) acts.push(await playOne(act))
  return acts
}

/** @returns {Promise<PlayedAct>} */
async function playAct({ redis, phases }, form) {
  const world = await startWorld(redis, form)
  const played = []
  try {
    for (const phase of phases) {
      played.push(await play(world, WELL, form.wellVisits, form))
      played.push(await play(world, phase, form.troubleVisits, form))
    }
    played.push(await play(world, WELL, form.wellVisits, form))
  } finally {
    await world.close()
  }
  const { traffic, upstream } = world
  return {
    redis,
    phases: played,
    records: traffic.records,
    calls: upstream.calls,
    scoreOf: (ip) => upstream.scoreOf(ip),
  }
}

/** @returns {Promise<Played>} */
async function play(world, phase, visits, { recoveryMs }) {
  const { traffic, upstream } = world
  const callsBefore = upstream.calls.length
  /** @type {Played} */
  const played = { phase, beganAt: Date.now() }
  traffic.enter(played)
  await phase.begin(world)
  if (phase.isOverWhenSeen) await traffic.seen(played)
  else if (!phase.isBrief) await traffic.visits(visits)
  await phase.end(world)
  played.mendedAt = Date.now()
  played.recoveredAt = await recover(world, phase, played.mendedAt + recoveryMs)
  played.calls = upstream.calls.length - callsBefore
  return played
}

/** When it was seen to have recovered, or null. What waits since the trouble may still fail, and prolong it. */
async function recover(world, { isRecovered }, latest) {
  await world.traffic.answered()
  while (Date.now() < latest) {
    if (await isRecovered(world)) return Date.now()
    await sleep(POLL_MS)
  }
  return null
}
