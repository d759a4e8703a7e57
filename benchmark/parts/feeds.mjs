// What offline feeds cost: a look-up from JavaScript, and the table itself.

import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROUNDS, closeAll, median, ratio, roundsOf, shown, startSide, takeTurns, whole } from '../rounds.mjs'
import { runCargo } from './feeds/cargo.mjs'

export const title = 'What offline feeds cost'

export const needs = ['cargo']

const PEEK = 'ip-risk: `peek(ip)`, a whole decision'
const MAXMIND = '`maxmind`: `reader.get(ip)`'
const SIDES = {
  peek: PEEK,
  evaluate: 'ip-risk: the addon alone, no decision object',
  array: 'sorted `Uint32Array`, binary search',
  maxmind: MAXMIND,
  blockList1k: '`net.BlockList`, 1,000 rules',
  blockList10k: '`net.BlockList`, 10,000 rules',
}
const SETS = { random: 'random IPv4', listed: 'listed IPv4', ipv6: 'listed IPv6' }
/** The others are made of IPv4 rows alone. */
const SIDES_OF_IPV6 = ['peek', 'evaluate']
const SWAP_ROUNDS = roundsOf(5)
/** A round compiles, opens and asks each of eleven tables. */
const TABLE_ROUNDS = Math.min(ROUNDS, 7)
/** The largest tables that the program \`sizes\` makes up. */
const LARGEST = 1_000_000

export const method = `
Snapshots of real feeds are not in the repository, because most may not be passed on: \`IP_RISK_SNAPSHOTS\` names a directory with
them. Where there are none, 600,000 IPv4 and 60,000 IPv6 networks are made up, and a note says so.

**From JavaScript.** The feeds are compiled once, and written in the form that each side reads:

| side | what it knows, and what one call is |
|---|---|
| ${PEEK} | everything: IPv4 and IPv6, each feed with its name, value and age, the neighbourhood. One call is the whole decision without a key, read as a login handler reads it: score, flags, reasons, action |
| ${SIDES.evaluate} | the same, as the words that the addon writes |
| ${SIDES.array} | which signals hold, for IPv4 only: the addresses at which they change. No package, no names, no score |
| ${MAXMIND} | the same signals for IPv4 only, as an MMDB that is as easy as the format allows: IPv4 alone, 24-bit pointers, one record with one number for all networks of the same signals, which its cache (10,000 records, its default) holds completely |
| \`net.BlockList\` | whether one of 1,000 or 10,000 rows holds the address. It goes through all of them, so that more are out of reach |

10,000 addresses of a kind: random ones are drawn from all routed space; for listed ones a row is drawn, and an address in it.
The array and \`maxmind\` must find the same, or the part fails. Each side is a process for each kind; ${ROUNDS} rounds after one
that warms up, 200,000 calls each (20,000 and 2,000 for \`net.BlockList\`). "Ready after" is what making the side takes, file and
code included; "memory for it" is how much the process grew.

**The table**, in Rust: networks are made up in four sizes, with lengths as in tables of routes; real feeds beside them. Building is
the parsing of a list of these networks and compiling; opening begins with the compiled file in memory, and checks it. A round of
look-ups is 1,000,000; "when each waits" is the time when every look-up depends on the one before. ${TABLE_ROUNDS} rounds; all of one
step are made before those of the next.

**The swap**, from JavaScript: one process asks \`peek\` without a pause, and the file in its directory is replaced as an update does
it, by a rename. The checker's clock is put forward so that it looks at once, and not within ten seconds. Times are of one call
and its timer: of 50,000 without a swap, and of those from the rename until the new file is in use and 50,000 more. Each address is
listed in both files; a look-up that does not find it has failed. ${SWAP_ROUNDS} swaps.`

/** The look-ups from JavaScript. */
async function measureLookUps(directory) {
  await runCargo('export', directory)
  const facts = JSON.parse(await readFile(join(directory, 'facts.json'), 'utf8'))
  facts.mmdbBytes = (await stat(join(directory, 'signals.mmdb'))).size
  const sides = {}
  for (const name of Object.keys(SIDES)) {
    for (const set of Object.keys(SETS)) {
      if (set === 'ipv6' && !SIDES_OF_IPV6.includes(name)) continue
      sides[`${name} ${set}`] = await startSide('parts/feeds/side.mjs', [name, set, directory])
    }
  }
  compareSides(sides)
  const results = await takeTurns(sides)
  await closeAll(sides)
  return { facts, sides, results }
}

/** All sides that look the same thing up must have found the same. */
function compareSides(sides) {
  for (const set of ['random', 'listed']) {
    const [array, maxmind] = ['array', 'maxmind'].map((name) => sides[`${name} ${set}`].facts.sum)
    if (array !== maxmind)
      throw new Error(`array and maxmind differ on ${set} addresses: ${array}, ${maxmind}`)
  }
}

function showLookUps({ facts, sides, results }) {
  const rows = Object.entries(SIDES).map(([name, side]) => {
    const times = Object.keys(SETS).map((set) => results[`${name} ${set}`])
    const { readyMs, grownBytes, rssBytes } = sides[`${name} listed`].facts
    return [
      side,
      ...times.map((values) => (values === undefined ? '' : shown(values))),
      ...[readyMs, grownBytes / 1e6, rssBytes / 1e6].map((value) => value.toFixed(1)),
    ]
  })
  const kinds = Object.values(SETS).map((kind) => `${kind}, ns`)
  const size = `${whole(facts.prefixes)} prefixes in ${whole(facts.segments)} segments`
  return {
    title: `From JavaScript: ${size}, files of ${megabytes(facts.fileBytes)} MB, as an MMDB ${megabytes(facts.mmdbBytes)} MB.`,
    columns: ['side', ...kinds, 'ready after, ms', 'memory for it, MB', 'process, MB'],
    rows,
  }
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1)
}

/** Swaps of each made-up table, each in a process of its own. */
async function measureSwaps(directory, tables) {
  const swaps = []
  for (const { name } of tables) {
    const side = await startSide('parts/feeds/swap.mjs', [join(directory, name)])
    await side.round()
    const rounds = []
    for (let round = 0; round < SWAP_ROUNDS; round++) rounds.push(await side.round())
    await side.close()
    swaps.push({ name, rounds })
  }
  return swaps
}

const TABLE_COLUMNS = {
  table: ({ table }) => table.name,
  prefixes: ({ table }) => whole(table.prefixes),
  segments: ({ table }) => whole(table.segments),
  'memory, MB': ({ table }) => megabytes(table.memoryBytes),
  'bytes per prefix': ({ table }) => bytesPerPrefix(table).toFixed(2),
  'parse, ms': ({ parseMs }) => (parseMs === undefined ? '' : shown(parseMs)),
  'compile, ms': ({ table }) => shown(table.compileMs),
  'open, ms': ({ table }) => shown(table.openMs),
  'compressed file, MB': ({ table }) => megabytes(table.compressedBytes),
  'open compressed, ms': ({ table }) => shown(table.openCompressedMs),
}

function bytesPerPrefix({ memoryBytes, prefixes }) {
  return memoryBytes / prefixes
}

function tableOf(title, columns, items) {
  const rows = items.map((item) => Object.values(columns).map((show) => show(item)))
  return { title, columns: Object.keys(columns), rows }
}

/** Nanoseconds of a look-up for each kind of address, and when each waits for the one before. */
function showTableLookUps(items) {
  const kinds = ['random IPv4', 'listed IPv4', 'random IPv6', 'listed IPv6']
  const show = (table, kind) => {
    const found = table.lookUps.find((lookUps) => lookUps.kind === kind)
    return found === undefined ? '' : `${median(found.ns).toFixed(0)} (${median(found.waitingNs).toFixed(0)})`
  }
  const columns = {
    table: ({ table }) => table.name,
    ...Object.fromEntries(kinds.map((kind) => [kind, ({ table }) => show(table, kind)])),
  }
  return tableOf('A look-up in the table, in Rust, ns (when each waits):', columns, items)
}

function showSwaps(swaps) {
  const each = (pick) => (item) => shown(item.rounds.map(pick))
  const columns = {
    table: ({ name }) => name,
    'p50, ns': each(({ quiet }) => quiet.p50),
    'p99, ns': each(({ quiet }) => quiet.p99),
    'longest, µs': each(({ quiet }) => quiet.longest / 1e3),
    'swap: p50, ns': each(({ swap }) => swap.p50),
    'swap: p99, ns': each(({ swap }) => swap.p99),
    'swap: longest, µs': each(({ swap }) => swap.longest / 1e3),
    'in use after, ms': each(({ swap }) => swap.inUseMs),
    'look-ups meanwhile': each(({ swap }) => swap.count),
    failed: ({ rounds }) => whole(rounds.reduce((sum, { swap }) => sum + swap.failures, 0)),
  }
  return tableOf('`peek` without a swap, and while a file is swapped:', columns, swaps)
}

function compareLookUps(results) {
  return ['random', 'listed'].flatMap((set) => {
    const [peek, maxmind] = ['peek', 'maxmind'].map((name) => results[`${name} ${set}`])
    const ours = { side: '`peek`, a whole decision', values: peek, unit: 'ns' }
    const against = (theirs, target) => ({
      what: `feeds, ${SETS[set]}`,
      ours,
      theirs,
      better: 'lower',
      target,
    })
    const side = (side, values) => ({ side, values, unit: 'ns' })
    const isQuarter = ratio(peek, maxmind) <= 1 / 4
    return [
      against(side(MAXMIND, maxmind), { text: 'at most 1/4', met: isQuarter }),
      against(side('`net.BlockList`, 1,000 rules', results[`blockList1k ${set}`])),
      against(side('sorted `Uint32Array`', results[`array ${set}`])),
      against(undefined, { text: 'at most 350 ns', met: median(peek) <= 350 }),
    ]
  })
}

/** Opening beside what it saves. */
function compareOpening({ table, parseMs }) {
  const building = parseMs.map((time, round) => time + table.compileMs[round])
  return {
    what: `feeds, opening ${table.name}`,
    ours: { side: 'compiled file', values: table.openMs, unit: 'ms' },
    theirs: { side: 'parsing the list and compiling', values: building, unit: 'ms' },
    better: 'lower',
    target: { text: 'at most 50 ms', met: median(table.openMs) <= 50 },
  }
}

function judgeSize(table) {
  const values = [bytesPerPrefix(table)]
  return {
    what: `feeds, memory of ${table.name}`,
    ours: { side: `${whole(table.prefixes)} prefixes`, values, unit: 'bytes per prefix' },
    target: { text: 'at most 8', met: values[0] <= 8 },
  }
}

function judgeSwaps(swaps) {
  const rounds = swaps.flatMap((swap) => swap.rounds)
  const failures = rounds.reduce((sum, { swap }) => sum + swap.failures, 0)
  return {
    what: `feeds, ${rounds.length} swaps`,
    ours: { side: '`peek`', values: [failures], unit: 'failed look-ups' },
    target: { text: 'none', met: failures === 0 },
  }
}

async function measure(directory) {
  const lookUps = await measureLookUps(directory)
  const { madeUp, real, missing } = JSON.parse(await runCargo('sizes', directory, TABLE_ROUNDS))
  const swaps = await measureSwaps(
    directory,
    madeUp.map(({ table }) => table),
  )
  const items = [...madeUp, ...real.map((table) => ({ table }))]
  const sized = items.map(({ table }) => table).filter(({ prefixes }) => prefixes >= LARGEST / 2)
  return {
    tables: [
      showLookUps(lookUps),
      tableOf('The table:', TABLE_COLUMNS, items),
      showTableLookUps(items),
      showSwaps(swaps),
    ],
    ratios: [
      ...compareLookUps(lookUps.results),
      ...madeUp.filter(({ table }) => table.prefixes === LARGEST).map(compareOpening),
      ...sized.map(judgeSize),
      judgeSwaps(swaps),
    ],
    notes: missing === null ? [] : [`All networks are made up: ${missing}.`],
  }
}

export async function run() {
  const directory = await mkdtemp(join(tmpdir(), 'ip-risk-bench-'))
  try {
    return await measure(directory)
  } finally {
    await rm(directory, { recursive: true })
  }
}
