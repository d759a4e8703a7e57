import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { assertMistake, columns, onTerminal, outcomeOf, runCommand } from './support/cli.mjs'
import { letHoursPass, list, spamhaus } from './support/feed-server.mjs'
import { PLACE, startFeedsWorld, summary, written } from './support/feeds-world.mjs'
import { literal } from './support/literal.mjs'

const LISTED = '31.13.0.0'
const CRIMINAL = '5.8.37.9'
const HOME = '91.128.103.196'
const CREDIT = '(c) 2026 The Spamhaus Project SLU'
const PAGE = '<!DOCTYPE html><html><body>Sign in to continue</body></html>'
const ESCAPE = '\u001b'
/** How long Ctrl-C may take on a busy machine. */
const ENDING_MS = 3000

/** Never answers. */
const stall = () => {}

/** What the command writes before it draws again: so many lines up, and nothing below. */
const REDRAWN = new RegExp(`^${ESCAPE}\\[(\\d+)A${ESCAPE}\\[0J`)

/** The lines that a terminal shows in the end. */
function screen(stdout) {
  return stdout.split('\n').reduce((lines, line) => {
    const up = Number(REDRAWN.exec(line)?.[1] ?? 0)
    return [...lines.slice(0, lines.length - up), line.replace(REDRAWN, '')]
  }, [])
}

describe('ip-risk feeds', () => {
  test('shows its help and that of its commands', async (t) => {
    const { run, cwd } = await startFeedsWorld(t)
    const documented = {
      update: ['--dir', '--profile', '--only', '--force', '--accept-non-commercial', '--accept-change'],
      import: ['ID=FILE', '--dir', '--accept-non-commercial', '--catalogue', '--json'],
      status: ['--dir', '--catalogue', '--json'],
      explain: ['--dir', '--json'],
    }
    const help = await run(['--help'])
    assert.deepEqual([help.code, help.stderr], [0, ''])
    for (const [command, texts] of Object.entries(documented)) {
      assert.ok(help.stdout.includes(`\n  ${command} `), command)
      const own = await run([command, '--help'])
      for (const text of [...texts, 'Exit codes:']) assert.ok(own.stdout.includes(text), `${command} ${text}`)
      assert.deepEqual(await runCommand(['help', 'feeds', command], { cwd }), own)
    }
    assert.deepEqual(await runCommand(['help', 'feeds'], { cwd }), help)
    const bare = await run([])
    assert.deepEqual([bare.code, bare.stdout, bare.stderr], [2, '', help.stdout])
  })

  test('names the nearest command, option, profile and feed', async (t) => {
    const { run, update } = await startFeedsWorld(t, { attacks: [list(5)] })
    assertMistake(await run(['updat']), /`updat` is not a command; did you mean `update`\?/)
    assertMistake(await run(['--hepl']), /`--hepl` is not an option; did you mean `--help`\?/)
    assertMistake(await update(['--profil', 'full']), /did you mean `--profile`\?/)
    assertMistake(await update(['--profile', 'ful']), /`ful` is not a profile; did you mean `full`\?/)
    assertMistake(await update(['--only', 'atacks']), /`atacks` is not a feed; did you mean `attacks`\?/)
    assertMistake(await update(['--accept-change', 'x']), /`x` is not a feed; known are `attacks`/)
    assertMistake(await update(['attacks']), /`feeds update` takes no `attacks`/)
    assertMistake(await update(['--only=']), /`--only` needs a value/)
  })

  test('says what to type where there is no directory', async (t) => {
    const { run } = await startFeedsWorld(t)
    for (const args of [['update'], ['import', 'list.txt']]) {
      const advice = `ip-risk feeds ${args[0]} --dir feeds`
      assertMistake(await run(args), literal(advice))
      assertMistake(await run(args), /`IP_RISK_FEEDS=feeds`.*`feeds: { dir: 'feeds' }`/)
    }
    assertMistake(await run(['import']), /needs a file, or `ID=FILE`/)
    assertMistake(await run(['explain']), /needs an address/)
  })
})

describe('ip-risk feeds update', { concurrency: 8 }, () => {
  test('fetches feeds, says what came of them, and a checker uses them', async (t) => {
    const world = await startFeedsWorld(t, {
      tor: [list(5), { signal: 'tor_exit' }],
      drop: [spamhaus(['5.8.37.0/24']), { format: 'spamhaus', signal: 'criminal' }],
    })
    const { code, stdout, stderr } = await world.update()
    const lines = stdout.split('\n')
    assert.deepEqual(lines.slice(0, 2).toSorted(), ['updated        drop', 'updated        tor'])
    assert.deepEqual(lines.slice(2, 3), ['updated        tor (5 rows), drop (1 row)'])
    assert.match(stdout, /^[\d,]+ networks put together in \S+\/feeds \([\d.]+ [kM]B\)\.$/m)
    assert.match(stdout, literal(`\nCredit: ${CREDIT}\n`))
    const { directory } = world
    assert.match(
      stdout,
      literal(`IP_RISK_FEEDS=${directory} or the option feeds: { dir: '${directory}' }.\n`),
    )
    assert.ok(!stdout.includes(ESCAPE))
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(written(world), ['catalogue.json', 'feeds', 'home', 'tmp'])

    const env = { IP_RISK_FEEDS: directory }
    const checked = columns((await world.check([LISTED, CRIMINAL, HOME], { env })).stdout)
    assert.deepEqual(
      checked.slice(1).map(([ip, , , action]) => [ip, action]),
      [
        [LISTED, 'challenge'],
        [CRIMINAL, 'block'],
        [HOME, 'allow'],
      ],
    )
  })

  test('asks nobody before it is due, and forced not before the operator wants', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)] })
    await world.update()
    const env = { IP_RISK_FEEDS: world.directory }
    const again = await world.run(['update', '--catalogue', 'catalogue.json'], { env })
    assert.equal(summary(again.stdout)['not due'], 'attacks (in 59 minutes)')
    assert.doesNotMatch(again.stdout, /IP_RISK_FEEDS/)
    assert.equal(again.code, 3)
    const forced = await world.update(['--force'])
    assert.equal(summary(forced.stdout)['not due'], 'attacks (in 29 minutes)')
    assert.deepEqual(world.server.requests, ['attacks'])

    letHoursPass(world.directory, 0.75)
    const later = await world.update(['--force'])
    assert.equal(summary(later.stdout).unchanged, 'attacks')
    // The list is as good as new, and so is the table.
    assert.deepEqual([later.code, world.server.requests.length], [0, 2])
  })

  test('keeps the last good file of a feed that is refused or fails', async (t) => {
    const world = await startFeedsWorld(t, {
      attacks: [list(5)],
      spam: [list(3, '31.14')],
      other: [list(1, '31.15')],
    })
    assert.equal((await world.update()).code, 0)
    letHoursPass(world.directory, 3)
    world.server.answers = {
      attacks: PAGE,
      spam: (request, response) => response.writeHead(503).end(),
      other: list(2, '31.15'),
    }
    const partial = await world.update()
    const { refused, failed, updated } = summary(partial.stdout)
    assert.match(refused, /^attacks: this is an HTML .*; the last good one stays, 3 hours old$/)
    assert.match(failed, /^spam: the server is busy \(status 503\).*; the last good one stays, 3 hours old$/)
    assert.equal(updated, 'other (2 rows)')
    assert.equal(partial.code, 4)
    const explained = await world.run(['explain', LISTED, '31.14.0.0', '--dir', 'feeds', '--json'])
    const listed = explained.stdout
      .split('\n')
      .slice(0, 2)
      .map((line) => JSON.parse(line).listed[0].feed)
    assert.deepEqual(listed, ['attacks', 'spam'])

    letHoursPass(world.directory, 3)
    const failing = await world.update(['--only', 'attacks', '--only', 'spam'])
    assert.equal(failing.code, 1)
    assert.match(failing.stdout, /stays, 6 hours old/)
  })

  test('says where there is no good file yet', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [PAGE] })
    const { code, stdout } = await world.update()
    assert.match(summary(stdout).refused, /; there is no good one yet$/)
    assert.equal(code, 1)
  })

  test('takes a list whose size jumped only when it is accepted', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(50)] })
    await world.update()
    letHoursPass(world.directory, 2)
    world.server.answers.attacks = list(500)
    const jumped = await world.update()
    assert.match(summary(jumped.stdout).refused, /^attacks: its size went from 50 rows/)
    assert.equal(jumped.code, 1)
    letHoursPass(world.directory, 2)
    const accepted = await world.update(['--accept-change', 'attacks'])
    assert.equal(summary(accepted.stdout).updated, 'attacks (500 rows)')
    assert.equal(accepted.code, 0)
  })

  test('does not ask for a feed that is not for commercial use, unless told that this is none', async (t) => {
    const licence = { name: 'CC BY-NC', commercial: false }
    const world = await startFeedsWorld(t, { attacks: [list(5)], private: [list(5, '31.14'), { licence }] })
    const gated = await world.update()
    assert.match(summary(gated.stdout)['needs licence'], /^private: .*`--accept-non-commercial`$/)
    assert.deepEqual([gated.code, world.server.requests], [0, ['attacks']])
    const accepted = await world.update(['--accept-non-commercial'])
    assert.equal(summary(accepted.stdout).updated, 'private (5 rows)')
    assert.equal(accepted.code, 0)
  })

  test('fetches the feeds of a profile, or the ones that are named', async (t) => {
    const world = await startFeedsWorld(t, {
      small: [list(1)],
      middle: [list(1, '31.14'), { profile: 'default' }],
      large: [list(1, '31.15'), { profile: 'full' }],
    })
    await world.update(['--profile', 'minimal'])
    assert.deepEqual(world.server.requests, ['small'])
    await world.update(['--only', 'large'])
    assert.deepEqual(world.server.requests, ['small', 'large'])
    await world.update()
    assert.deepEqual(world.server.requests, ['small', 'large', 'middle'])
  })

  test('reports as JSON, alone on standard output', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)], page: [PAGE] })
    const { code, stdout, stderr } = await world.update(['--json'], { node: onTerminal('stdout') })
    const report = JSON.parse(stdout)
    assert.equal(stdout.split('\n').length, 2)
    assert.deepEqual([report.directory, report.outcome, report.exitCode], [world.directory, 'partial', 4])
    const feeds = report.feeds.map(({ id, outcome, reason, rows }) => [id, outcome, reason, rows])
    assert.deepEqual(feeds, [
      ['attacks', 'updated', null, 5],
      ['page', 'refused', 'html_page', null],
    ])
    assert.equal(report.table.outcome, 'compiled')
    assert.deepEqual([code, stderr], [4, ''])
  })

  test('one update at a time; Ctrl-C ends it at once and leaves what was there', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)], slow: [stall] })
    await world.update(['--only', 'attacks'])
    const child = world.start(['update', ...PLACE, '--only', 'slow'])
    const ended = outcomeOf(child)
    await world.server.asked('slow')

    const second = await world.update()
    assertMistake(second, /is being updated by another process/, 5)
    assert.match(second.stderr, /\(ERR_IP_RISK_FEEDS_BUSY\)/)
    const began = performance.now()
    child.kill('SIGINT')
    const { code, signal, stdout, stderr } = await ended
    assert.deepEqual([code, signal, stdout, stderr], [130, null, '', ''])
    assert.ok(performance.now() - began < ENDING_MS)

    const explained = await world.run(['explain', LISTED, '--dir', 'feeds'])
    assert.match(explained.stdout, /The feed attacks \(attacks\)/)
    world.server.answers.slow = list(3, '31.14')
    // It was asked, and its operator wants to be left alone for a while.
    assert.match(summary((await world.update(['--force'])).stdout)['not due'], /slow/)
    letHoursPass(world.directory, 2)
    const next = await world.update()
    assert.equal(summary(next.stdout).updated, 'slow (3 rows)')
    assert.deepEqual(readdirSync(join(world.directory, 'sources')).toSorted(), ['attacks', 'slow'])
  })

  test('draws a bar for each feed on a terminal, which goes when the feed ends', async (t) => {
    const half = (request, response) => {
      const text = list(2000)
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': text.length })
      response.write(text.slice(0, text.length / 2))
      world.finish = () => response.end(text.slice(text.length / 2))
    }
    const world = await startFeedsWorld(t, { attacks: [half] })
    const child = world.start(['update', ...PLACE], { node: onTerminal('stdout', 45) })
    const ended = outcomeOf(child)
    child.stdout.on('data', (text) => {
      if (text.includes('██████')) world.finish()
    })
    const { code, stdout } = await ended
    const bars = stdout.split('\n').filter((line) => line.includes('█·'))
    assert.ok(bars.length > 0)
    for (const bar of bars.map((line) => line.replace(REDRAWN, ''))) {
      assert.match(bar, /^attacks {2}█+·+ {2}\d+ kB of \d+ kB$/)
      assert.ok(bar.length < 45, 'fits the terminal')
    }
    const [filled, all] = [/█/g, /[█·]/g].map((part) => bars.at(-1).match(part).length)
    assert.ok(Math.abs(filled / all - 0.5) < 0.1, 'is as full as the file')
    const left = screen(stdout)
    assert.match(left[0], /updated.*attacks$/)
    assert.match(left[1], /updated.*attacks \(2,000 rows\)$/)
    assert.match(left[2], /networks put together/)
    assert.equal(code, 0)
  })

  test('draws nothing with NO_COLOR', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)] })
    const { stdout } = await world.update([], { node: onTerminal('stdout'), env: { NO_COLOR: '1' } })
    assert.ok(!stdout.includes(ESCAPE))
    assert.match(stdout, /^updated {8}attacks\nupdated {8}attacks \(5 rows\)\n/)
  })

  test('shows text out of feeds without what a terminal would act on', async (t) => {
    const credit = `${ESCAPE}]0;owned\u0007\u202e${ESCAPE}[2J`
    const world = await startFeedsWorld(t, {
      drop: [spamhaus(['5.8.37.0/24'], credit), { format: 'spamhaus', signal: 'criminal' }],
      lines: [`${ESCAPE}[31mnot an address\n`],
      clouds: [`${LISTED}/24\n`],
    })
    const place = ['--dir', 'feeds']
    const shown = [
      await world.update(),
      await world.run(['status', ...PLACE]),
      await world.run(['explain', CRIMINAL, LISTED, ...place]),
      await world.run(['explain', `${ESCAPE}[31m${'x'.repeat(5000)}`, ...place]),
    ]
    assert.match(shown[0].stdout, /^Credit: .*owned/m)
    for (const { stdout, stderr } of shown) {
      for (const character of [ESCAPE, '\u0007', '\u202e']) assert.ok(!(stdout + stderr).includes(character))
      assert.ok(stdout.split('\n').every((line) => line.length < 400))
    }
  })

  test('says what cannot be used', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)] })
    world.write('file', '')
    world.write('broken.json', '{ "version": 1, "feeds": [{ "id": "attacks" }] }')
    const update = (...args) => world.run(['update', ...args])
    assertMistake(await update('--dir', 'file'), /`\S+\/file` cannot be used: .*\(ERR_IP_RISK_FEEDS\)/, 1)
    const missing = await update('--dir', 'feeds', '--catalogue', 'none.json')
    assertMistake(missing, /catalogue `none\.json` cannot be read/, 1)
    const broken = await update('--dir', 'feeds', '--catalogue', 'broken.json')
    assertMistake(broken, /the feed `attacks` is not right/, 1)
    assert.deepEqual(world.server.requests, [])
  })
})
