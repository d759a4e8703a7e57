// Shows that a budget holds in a spray, and that one network cannot spend what others need: `npm run bench:spray-budget`.
// Fails when one of the two does not hold. The figures stand in README.md beside this.

import { buildAddon } from '../scripts/setup.mjs'
import { startSide, whole } from './rounds.mjs'
import { startRedis } from './sides/redis.mjs'
import { buildUpstream, startUpstream } from './sides/upstream.mjs'

const UPSTREAM = { latencyMs: 50, connections: 100 }
/** What a look-up costs. */
const CREDITS = 2
const BUDGET = 10_000
/** The budgets at which a /48 floods the gate; the last one is hardly more than the unrelated clients need. */
const BUDGETS = [10_000, 2_000, 1_500]
const LEAST_SHARE = 0.95

const broken = []

function expect(holds, promise) {
  if (!holds) broken.push(promise)
}

/** How many decisions had that, by a test on their source, action and failure. */
function count(counts, test) {
  const matching = Object.entries(counts).filter(([said]) => test(...said.split(' ')))
  return matching.reduce((sum, [, number]) => sum + number, 0)
}

const isLookedUp = (source) => source === 'api'
const isOpened = (source, action) => source !== 'api' && (action === 'allow' || action === 'log')

/** Has `processes` do their part at once, and adds up what they say; `credits` is what the upstream charged. */
async function run(name, { lookUps, processes = 1, isShared = false }) {
  const upstream = await startUpstream(UPSTREAM)
  const redis = isShared ? await startRedis() : undefined
  const sides = []
  for (let part = 0; part < processes; part++) {
    const words = [name, upstream.url, redis?.url ?? '', lookUps, part].map(String)
    sides.push(await startSide('spray-budget-side.mjs', words))
  }
  const results = await Promise.all(sides.map((side) => side.round()))
  const { credits } = await upstream.counts()
  for (const side of sides) await side.close()
  await Promise.all([upstream.close(), redis?.close()])
  return { credits, results }
}

function total(results, which, test) {
  return results.reduce((sum, result) => sum + count(result[which], test), 0)
}

async function showSpending(title, setting) {
  const { credits, results } = await run('spend', { lookUps: BUDGET, ...setting })
  const tests = [isLookedUp, isOpened]
  const [answered, opened] = tests.map((test) => total(results, 'logins', test))
  const challenged = total(results, 'logins', (source, action) => source !== 'api' && action === 'challenge')
  const [paid, cleared] = tests.map((test) => total(results, 'payments', test))
  const held = total(results, 'payments', (_, action) => action === 'hold')
  const cells = [credits / CREDITS, credits, answered, challenged, opened, paid, held].map(whole)
  console.log(`| ${[title, ...cells].join(' | ')} |`)
  expect(credits <= BUDGET * CREDITS, `${title}: at most ${BUDGET * CREDITS} credits, not ${credits}`)
  expect(opened === 0, `${title}: no login of an unseen address is opened, not ${opened}`)
  expect(cleared === 0, `${title}: no payment is cleared without evidence, not ${cleared}`)
}

async function showNeighbours(lookUps) {
  const { credits, results } = await run('mix', { lookUps })
  const [siblings, unrelated] = ['siblings', 'unrelated'].map((which) => total(results, which, isLookedUp))
  const all = total(results, 'unrelated', () => true)
  const opened = total(results, 'unrelated', isOpened)
  const share = `${((unrelated / all) * 100).toFixed(1)} %`
  const cells = [siblings, results[0].neighbours, unrelated].map(whole)
  console.log(`| ${[whole(lookUps), ...cells, share, whole(credits), whole(opened)].join(' | ')} |`)
  expect(
    unrelated >= LEAST_SHARE * all,
    `with ${lookUps} look-ups at least 95 % of the unrelated, not ${share}`,
  )
}

function printHead(names) {
  console.log(`\n| ${names.join(' | ')} |\n|${'---|'.repeat(names.length)}`)
}

buildAddon()
buildUpstream()
console.log(
  `100,000 new addresses at a login for each process, then 5,000 at a payment; ${whole(BUDGET)} look-ups a day`,
)
const logins = ['logins answered', 'challenged', 'opened']
printHead(['processes', 'look-ups charged', 'credits', ...logins, 'payments answered', 'held'])
await showSpending('one', {})
await showSpending('three that share a Redis', { processes: 3, isShared: true })
console.log('\n65,536 /64s of one /48, and among them 1,000 clients of other networks')
const unrelated = ['unrelated looked up', 'share', 'credits', 'unrelated opened']
printHead(['look-ups a day', 'siblings looked up', 'by a neighbour', ...unrelated])
for (const lookUps of BUDGETS) await showNeighbours(lookUps)
if (broken.length > 0) {
  console.error(`\nbroken:\n  ${broken.join('\n  ')}`)
  process.exit(1)
}
