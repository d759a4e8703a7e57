/** The documents against the code: what they show runs, what they list is complete, what they point to exists. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { REFERENCE, errorReference } from '../scripts/error-codes.mjs'
import { makeDatabase } from './support/mmdb.mjs'
import {
  CARDS,
  FAULT_CARDS,
  RiskChecker,
  SURROUNDINGS,
  createTestChecker,
  riskMiddleware,
} from './support/package.mjs'
import {
  compile,
  makeProject,
  readBlocks,
  readExamples,
  runServer,
  runToEnd,
  startInternet,
} from './support/snippets.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path) => readFileSync(join(root, path), 'utf8')
const require = createRequire(import.meta.url)
const { codes, provenances } = require('../lib/vocabulary.js')

const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'ATTRIBUTION.md',
  'MAINTENANCE.md',
  'UPGRADING.md',
  'examples/README.md',
  'llms.txt',
  REFERENCE,
]
const readme = read('README.md')
const declarations = read('index.d.ts')

/** The rows below `<!-- table: NAME -->`, as cells, without the head. */
function rowsOf(name, document = readme) {
  const [, table] = document.split(`<!-- table: ${name} -->\n`)
  assert.ok(table !== undefined, `no document has a table \`${name}\``)
  const lines = table
    .slice(0, /^(?!\|)/m.exec(table).index)
    .trim()
    .split('\n')
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** All words in backticks. */
function wordsIn(cell) {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word)
}

/** What the first column of a table names. */
function namesIn(name) {
  return rowsOf(name).flatMap(([cell]) => wordsIn(cell))
}

function assertSameNames(found, expected) {
  assert.deepEqual(found.toSorted(), [...expected].sort())
}

/** The message of the error that `act` throws. */
function messageOf(act) {
  try {
    act()
  } catch (error) {
    return error.message
  }
  return assert.fail('nothing was refused')
}

/** The keys that are known where this one was refused. */
function knownKeys(act) {
  const [, list] = /; known are (.*)$/.exec(messageOf(act))
  return wordsIn(list)
}

const UNKNOWN = 'q'.repeat(40)
const makeChecker = (options) => new RiskChecker({ apiKey: 'any', logger: false, ...options })
const makePolicy = (policy) => makeChecker({ policies: { login: policy } })

/** The members of an interface of `index.d.ts`, with what is said about each. */
function membersOf(name) {
  const [, body] = new RegExp(`export interface ${name} \\{\n([^]*?)\n\\}`).exec(declarations)
  const members = body.matchAll(
    /(?:\/\*\*(?<text>(?:(?!\*\/)[^])*)\*\/\n)? {2}(?:readonly )?(?<key>\w+)\??: /g,
  )
  return new Map([...members].map(({ groups: { key, text = '' } }) => [key, text]))
}

describe('the snippets', () => {
  const blocks = readBlocks('README.md', readme)
  const examples = readExamples('index.d.ts', declarations)
  const snippets = {
    'README.md': blocks,
    'index.d.ts': examples,
    'lib/testing.d.ts': readExamples('lib/testing.d.ts', read('lib/testing.d.ts')),
    'lib/resilient.d.ts': readExamples('lib/resilient.d.ts', read('lib/resilient.d.ts')),
  }
  const ends = []
  let project, complaints, env

  before(async () => {
    const onEnd = (end) => ends.unshift(end)
    project = makeProject(Object.values(snippets).flat(), onEnd)
    complaints = (await compile(project)).split('\n').filter(Boolean)
    env = await startInternet(project, onEnd)
  })
  after(async () => {
    for (const end of ends) await end()
  })

  const isAbout = (its) => (complaint) => its.some(({ source }) => complaint.startsWith(`${source}(`))

  for (const [file, its] of Object.entries(snippets)) {
    test(`of ${file} pass the strict compiler`, () => {
      assert.ok(its.length > 0)
      assert.deepEqual(complaints.filter(isAbout(its)), [])
    })
  }

  test('are all that the compiler complains about', () => {
    const isAboutThem = isAbout(Object.values(snippets).flat())
    assert.deepEqual(
      complaints.filter((complaint) => !isAboutThem(complaint)),
      [],
    )
  })

  test('that are marked to be run are', () => {
    assert.equal(blocks.filter(({ runs }) => runs).length, readme.match(/^<!-- runs/gm).length)
  })

  for (const block of blocks.filter(({ runs }) => runs)) {
    test(`${block.title} does what the README says`, async () => {
      const { IPGEO_API_KEY, ...keyless } = env
      const around = block.isKeyless ? keyless : { ...keyless, IPGEO_API_KEY }
      if (block.requests.length > 0) return assertAnswers(block, await runServer(project, block, around))
      const { code, stdout, stderr } = await runToEnd(project, block, around)
      assert.equal(code, 0, stdout + stderr)
      if (block.output !== undefined) assert.equal(stdout, block.output)
    })
  }

  for (const example of examples) {
    test(`${example.title} runs to its end`, async () => {
      const { code, stderr } = await runToEnd(project, example, env)
      assert.equal(code, 0, stderr)
    })
  }

  function assertAnswers({ requests }, answers) {
    const said = requests.map(({ status, body }) => ({ status, body }))
    const seen = answers.map(({ status, body }, index) => ({ status, body: said[index].body && body }))
    assert.deepEqual(seen, said)
  }
})

describe('the links', () => {
  for (const document of DOCUMENTS) {
    test(`of ${document} lead to files and headings that exist`, () => {
      const links = [...read(document).matchAll(/\]\((?!https:)([^)#]*)(?:#([^)]*))?\)/g)]
      for (const [link, path, heading] of links) {
        const target = path === '' ? document : join(dirname(document), path)
        assert.ok(existsSync(join(root, target)), `${link}: there is no ${target}`)
        if (heading) assert.ok(anchorsOf(target).includes(heading), `${link}: ${target} has no such heading`)
      }
    })
  }

  function anchorsOf(document) {
    const headings = [...read(document).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading)
    return headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    )
  }

  test('to scripts of package.json are none that do not exist', () => {
    const { scripts } = JSON.parse(read('package.json'))
    for (const document of DOCUMENTS) {
      for (const [, script] of read(document).matchAll(/npm run (?:--silent )?([\w:]+)/g)) {
        assert.ok(Object.hasOwn(scripts, script), `${document}: there is no script \`${script}\``)
      }
    }
  })
})

describe('the tables of options name what the code accepts', () => {
  const refusals = {
    RiskCheckerOptions: () => makeChecker({ [UNKNOWN]: 1 }),
    CacheOptions: () => makeChecker({ cache: { [UNKNOWN]: 1 } }),
    PolicyOptions: () => makePolicy({ [UNKNOWN]: 1 }),
    MiddlewareOptions: () => riskMiddleware({ [UNKNOWN]: 1 }),
    CheckOptions: () => makeChecker().peek('192.0.2.1', { [UNKNOWN]: 1 }),
    FeedsOptions: () => makeChecker({ feeds: { [UNKNOWN]: 1 } }),
    FeedFile: () => makeChecker({ feeds: { files: [{ [UNKNOWN]: 1 }] } }),
  }
  for (const [name, refused] of Object.entries(refusals)) {
    test(name, () => assertSameNames(namesIn(name), knownKeys(refused)))
  }

  test('rules and list entries', () => {
    const named = (start) => wordsIn(readme.slice(readme.indexOf(start)).split(/[.;] /)[0])
    assertSameNames(
      named('List entries have'),
      knownKeys(() => makePolicy({ allow: [{ [UNKNOWN]: 1 }] })),
    )
    assertSameNames(
      named('Rules have'),
      knownKeys(() => makePolicy({ rules: [{ [UNKNOWN]: 1 }] })),
    )
  })

  for (const [name, make] of [
    ['RiskCheckerOptions', (written) => makeChecker(written)],
    ['CacheOptions', (written) => makeChecker({ cache: written })],
  ]) {
    test(`${name}: ranges and defaults`, () => {
      for (const [cell, normal, range] of rowsOf(name)) {
        if (!/^[\d,]+ to /.test(range)) continue
        const [key] = wordsIn(cell)
        const [, least, most] = /from (\d+) to (\d+)/.exec(messageOf(() => make({ [key]: -1 })))
        assert.equal(range.replaceAll(',', ''), `${least} to ${most}`, key)
        assert.equal(normal, /Default ([\d,]*\d)/.exec(membersOf(name).get(key))[1], key)
      }
    })
  }
})

describe('the lists of words are complete', () => {
  test('error codes, in the declarations too', () => {
    const [, union] = /export type ErrorCode =\n([^]*?)\n\n/.exec(declarations)
    assertSameNames(union.match(/ERR_\w+/g), codes)
    const listed = ['thrown codes', 'failures', 'warning codes'].flatMap(namesIn)
    assertSameNames([...new Set(listed)], codes)
    assertSameNames(
      [...new Set(readme.match(/ERR_IP_RISK_\w+/g))].filter((code) => code !== 'ERR_IP_RISK_'),
      codes,
    )
  })

  test('fields of a decision', async (t) => {
    const { checker, close } = await createTestChecker()
    t.after(close)
    assertSameNames(namesIn('Decision'), Object.keys(await checker.check('192.0.2.0')))
  })

  test('reasons', () => {
    const [, paragraph] = readme.split('Reasons that are not rules: ')
    const reasons = read('crates/core/src/reasons.rs').matchAll(/^ {4}\w+\(.*\) = "(\w+)"/gm)
    assertSameNames(
      wordsIn(paragraph.split('\n\n')[0]),
      [...reasons].map(([, reason]) => reason),
    )
  })

  test('provenances', () =>
    assertSameNames(
      rowsOf('provenance').map(([cell]) => wordsIn(cell)[0]),
      provenances,
    ))

  test('shipped rules', () => {
    const refused = () => makePolicy({ rules: [{ id: UNKNOWN, enabled: false }] })
    assertSameNames(namesIn('rules'), knownKeys(refused))
  })

  test('environment variables', () => {
    const names = read('lib/surroundings.js').matchAll(/env\.([A-Z_]+)/g)
    const listed = namesIn('environment')
    assertSameNames(listed, new Set([...names].map(([, name]) => name)))
    for (const name of listed) assert.ok(SURROUNDINGS.includes(name), `tests do not clear \`${name}\``)
  })

  test('commands and their options', () => {
    const help = (...args) =>
      execFileSync(process.execPath, ['bin/ip-risk.js', ...args, '--help'], { cwd: root, encoding: 'utf8' })
    /** The commands that the help of `words` lists, with those of groups in place of the group. */
    const commandsBelow = (...words) => {
      const [, list] = /^Commands:\n([^]*?)\n\n/m.exec(help(...words)) ?? []
      if (list === undefined) return [words.join(' ')]
      return [...list.matchAll(/^ {2}([a-z-]+) /gm)].flatMap(([, name]) => commandsBelow(...words, name))
    }
    assertSameNames(namesIn('commands'), commandsBelow())
    for (const [cell, options] of rowsOf('commands')) {
      const [words] = wordsIn(cell)
      const known = [...help(...words.split(' ')).matchAll(/^ {6}(--[a-z-]+)/gm)].map(([, option]) => option)
      assertSameNames(
        wordsIn(options).filter((word) => word.startsWith('--')),
        known,
      )
    }
  })
})

describe('the tables of feeds say what is there', () => {
  const { signals, attackCounts, version } = JSON.parse(read('crates/core/src/feeds/scoring.json'))
  const { feeds } = JSON.parse(read('crates/core/src/feeds/feeds.json'))
  const refused = (file) => messageOf(() => makeChecker({ feeds: { files: [{ path: 'any', ...file }] } }))
  const choices = (message) => wordsIn(/must be one of (.*), not/.exec(message)[1])

  test('formats and flags of files, in the declarations too', () => {
    const said = (key) => membersOf('FeedFile').get(key)
    const formats = choices(refused({ format: UNKNOWN }))
    assertSameNames(namesIn('formats'), formats)
    const flags = choices(refused({ flags: [UNKNOWN] }))
    const [, sentence] = /A list sets its flags: ([^]*?)\./.exec(readme)
    assertSameNames(wordsIn(sentence), flags)
    const [, declared] = /export interface FeedFile \{\n([^]*?)\n\}/.exec(declarations)
    assertSameNames(
      [...declared.matchAll(/\| '([\w-]+)'/g)].map(([, word]) => word),
      [...formats, ...flags],
    )
    assert.match(said('weight'), /0 to 100/)
  })

  test('databases', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'ip-risk-databases-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const path = join(directory, 'any.mmdb')
    for (const type of rowsOf('databases').flatMap(([, cell]) => wordsIn(cell))) {
      writeFileSync(path, makeDatabase(type, ['8.8.8.0/24'], {}))
      makeChecker({ feeds: { files: [{ path }] } })
    }
  })

  test('signals and what they weigh', () => {
    const written = (hours) => (hours >= 48 ? `${hours / 24} days` : `${hours} hours`)
    const expected = Object.entries(signals).map(
      ([signal, { family, weight, freshHours, halfLifeHours, maxAgeHours }]) => [
        `\`${signal}\``,
        family,
        String(weight),
        ...[freshHours, halfLifeHours, maxAgeHours].map(written),
      ],
    )
    assert.deepEqual(rowsOf('signals'), expected)
    assert.ok(readme.includes(`(scoring ${version})`))
    assert.ok(readme.includes(`more lists weighs ${attackCounts.join(', ')}.`))
  })

  test('feeds that can be fetched', () => {
    const expected = feeds.map(({ id, title, profile, signal, licence }) => [
      `\`${id}\``,
      title,
      `\`${profile}\``,
      `\`${signal}\``,
      licence.name,
      licence.commercial ? 'yes' : 'no',
    ])
    assert.deepEqual(rowsOf('catalogue'), expected)
  })

  test('the seed is as small as they say, and has its attribution', () => {
    assert.ok(statSync(join(root, 'seed.feeds')).size < 1_500_000)
    const { files } = JSON.parse(read('package.json'))
    for (const name of ['seed.feeds', 'ATTRIBUTION.md']) assert.ok(files.includes(name), name)
  })
})

/** Longer than the provider is left alone after any of the test addresses. */
const COOL_DOWN = 600_000

describe('the tables of answers say what is answered', () => {
  const cards = [...CARDS, ...FAULT_CARDS]
  /** Decisions by policy and address. */
  const answers = {}
  let world

  before(async () => {
    world = await createTestChecker()
    const addresses = [...cards.map(({ address }) => address), 'no address']
    const policies = ['login', 'payment']
    for (const policy of policies) answers[policy] = new Map()
    for (const address of addresses) {
      const decisions = await Promise.all(policies.map((policy) => world.checker.check(address, { policy })))
      for (const decision of decisions) answers[decision.policy].set(decision.ip, decision)
      // The provider is left alone after some failures, and asked again after that.
      world.advance(COOL_DOWN)
    }
  })
  after(() => world.close())

  const asCode = (word) => `\`${word}\``
  const actions = (ip) =>
    [answers.login, answers.payment].map((decisions) => asCode(decisions.get(ip).action))

  test('failures', () => {
    const rows = new Map(rowsOf('failures').map(([code, , ...rest]) => [wordsIn(code)[0], rest.slice(0, 2)]))
    const failed = [...answers.login.values()].filter(({ failure }) => failure !== null)
    assert.ok(new Set(failed.map(({ failure }) => failure)).size >= 13)
    for (const { failure, ip } of failed) assert.deepEqual(actions(ip), rows.get(failure), `${failure} ${ip}`)
  })

  test('bands', () => {
    for (const [range, band, , action] of rowsOf('bands')) {
      for (const score of range.split(' to ')) {
        const decision = answers.login.get(`192.0.2.${score}`)
        assert.deepEqual([asCode(decision.band), asCode(decision.action)], [band, action])
      }
    }
  })

  test('test addresses that answer', () => {
    const expected = CARDS.map(({ address, name, score, flags }) => {
      const isShown = (flag) => flags[flag] === true && flag !== 'is_anonymous'
      const shown = Object.keys(flags).filter(isShown).map(asCode).join(' ')
      return [asCode(address), name, String(score), shown, actions(address)[0]]
    })
    assertTable('CARDS', expected)
  })

  test('test addresses that fail', () => {
    const expected = FAULT_CARDS.map(({ address, name }) => {
      const { failure, reasons } = answers.login.get(address)
      return [asCode(address), name, asCode(failure ?? reasons.join(' ')), ...actions(address)]
    })
    assertTable('FAULT_CARDS', expected)
  })

  function assertTable(name, expected) {
    const asLines = (rows) => rows.map((row) => `| ${row.join(' | ')} |`).join('\n')
    assert.equal(asLines(rowsOf(name)), asLines(expected))
  }
})

test('every row of the threat model names tests that exist', () => {
  const rows = rowsOf('threats', read('SECURITY.md'))
  assert.ok(rows.length >= 20)
  for (const [threat, , proofs] of rows) {
    const named = [...proofs.matchAll(/`([^`]+)`: ((?:“[^”]+”(?:, )?)+)/g)]
    assert.ok(named.length > 0, `nothing proves "${threat}"`)
    for (const [, path, titles] of named) {
      for (const [, title] of titles.matchAll(/“([^”]+)”/g)) assertTestExists(path, title)
    }
  }
})

function assertTestExists(path, title) {
  const text = read(path)
  const isThere = path.endsWith('.rs')
    ? text.includes(`fn ${title}(`)
    : title.split(' › ').every((part) => titlesIn(text).some((line) => line.includes(part)))
  assert.ok(isThere, `${path} has no test "${title}"`)
}

/** The lines in which tests and groups of tests are named. */
function titlesIn(text) {
  return text.match(/^ *(?:test|describe|onEachExpress)\([`'"].*$/gm) ?? []
}

test('the reference of error codes is what the core and the addon say', () => {
  assert.equal(read(REFERENCE), errorReference(), 'run `node scripts/error-codes.mjs`')
})

test('installing the package runs nothing and brings nothing along', () => {
  const { scripts, dependencies = {}, optionalDependencies = {} } = JSON.parse(read('package.json'))
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']
  assert.deepEqual(
    Object.keys(scripts).filter((name) => hooks.includes(name)),
    [],
  )
  const foreign = Object.keys({ ...dependencies, ...optionalDependencies })
  assert.deepEqual(
    foreign.filter((name) => !name.startsWith('ip-risk-')),
    [],
  )
})

test('the versions agree', () => {
  const { version } = JSON.parse(read('package.json'))
  const [, ofCargo] = /\[workspace\.package\]\nversion = "(.*)"/.exec(read('Cargo.toml'))
  assert.equal(ofCargo, version)
  const [, newest] = /^## \[(?:Unreleased\]\n\n.*?(?=\d)|)(\d+\.\d+\.\d+)/m.exec(read('CHANGELOG.md'))
  assert.equal(newest, version)
})
