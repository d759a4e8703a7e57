/** Starts what a test needs and ends it after the test. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CARDS, FAULT_CARDS, RiskChecker, createTestChecker, startMockApi } from './package.mjs'

const cards = new Map([...CARDS, ...FAULT_CARDS].map((card) => [card.name, card]))

/** The address of the test card of that name. */
export function addressOf(name) {
  return cards.get(name).address
}

/** The public address number `number`. The stand-in answers it as clean, and nothing is sent to it. */
export function publicAddress(number) {
  return `11.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`
}

/** `{ checker, api, advance }` of a test checker. */
export async function startTestChecker(t, options) {
  const world = await createTestChecker(options)
  t.after(() => world.close())
  return world
}

/** The stand-in alone. */
export async function startApi(t, options) {
  const api = await startMockApi(options)
  t.after(() => api.close())
  return api
}

/** A checker as an application makes one, but for where the API is. */
export function makeChecker(t, api, options) {
  const checker = new RiskChecker({ apiKey: 'test-key', endpoint: api.url, logger: false, ...options })
  t.after(() => checker.close())
  return checker
}

/** Calls `act` with these environment variables; `undefined` takes one away. */
export function withEnvironment(values, act) {
  const before = Object.fromEntries(Object.keys(values).map((name) => [name, process.env[name]]))
  setEnvironment(values)
  try {
    return act()
  } finally {
    setEnvironment(before)
  }
}

function setEnvironment(values) {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

/** Resolves when `condition` holds. */
export async function until(condition) {
  while (!condition()) await sleep(1)
}
