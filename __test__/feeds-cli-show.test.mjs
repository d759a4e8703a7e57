import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { assertMistake, columns } from './support/cli.mjs'
import { letHoursPass, list, spamhaus } from './support/feed-server.mjs'
import { PLACE, startFeedsWorld, summary, written } from './support/feeds-world.mjs'
import { literal } from './support/literal.mjs'

const CLOUD = '165.227.0.1'
const LISTED = '31.13.0.0'
const HOME = '91.128.103.196'
const CREDIT = '(c) 2026 The Spamhaus Project SLU'
const PAGE = '<!DOCTYPE html><html><body>Sign in to continue</body></html>'

/** Never answers. */
const stall = () => {}

describe('ip-risk feeds import', { concurrency: 8 }, () => {
  test('takes files by their names or by an id, without a network', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [stall], tor: [stall, { signal: 'tor_exit' }] })
    world.write('attacks.txt.gz', gzipSync(list(7, '31.14')))
    world.write('exits=1.txt', list(5))
    const { code, stdout } = await world.import(['attacks.txt.gz', 'tor=exits=1.txt'])
    assert.equal(summary(stdout).updated, 'attacks (7 rows), tor (5 rows)')
    assert.match(stdout, /networks put together in .*\nTo use it, start/)
    assert.equal(code, 0)
    assert.deepEqual(world.server.requests, [])
    const { stdout: explained } = await world.run(['explain', LISTED, '31.14.0.0', '--dir', 'feeds'])
    assert.match(explained, /The feed tor \(tor\)[^]*The feed attacks \(attacks\)/)
  })

  test('judges them as an update does', async (t) => {
    const licence = { name: 'CC BY-NC', commercial: false }
    const world = await startFeedsWorld(t, { attacks: [stall], private: [stall, { licence }] })
    world.write('attacks.txt', PAGE)
    world.write('private.txt', list(5))
    const refused = await world.import(['attacks.txt', 'private.txt', '--json'])
    const { feeds, directory } = JSON.parse(refused.stdout)
    assert.deepEqual(
      feeds.map(({ outcome }) => outcome),
      ['refused', 'needs_licence'],
    )
    assert.deepEqual([refused.code, directory], [1, world.directory])
    const accepted = await world.import(['attacks.txt', 'private.txt', '--accept-non-commercial'])
    assert.equal(accepted.code, 4)
  })

  test('says which file it cannot use', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [stall] })
    world.write('list.txt', list(5))
    assertMistake(await world.import(['list.txt']), /`list\.txt` is the file of no feed.*`ID=list\.txt`/, 1)
    assertMistake(await world.import(['attacks.txt']), /`attacks\.txt` cannot be read/, 1)
    assertMistake(await world.import(['atacks=list.txt']), /`atacks` is not a feed; did you mean `attacks`/)
  })
})

describe('ip-risk feeds status', { concurrency: 8 }, () => {
  test('shows age, entries, when a feed is due, its licence, and what went wrong', async (t) => {
    const licence = { name: 'CC BY-NC', commercial: false }
    const world = await startFeedsWorld(t, {
      attacks: [list(1500)],
      drop: [spamhaus(['5.8.37.0/24']), { format: 'spamhaus', signal: 'criminal' }],
      page: [PAGE],
      private: [list(5), { licence }],
    })
    await world.update()
    letHoursPass(world.directory, 0.4)
    const { code, stdout, stderr } = await world.run(['status', ...PLACE])
    const [head, attacks, , page, gated] = columns(stdout)
    const names = ['feed', 'profile', 'age', 'entries', 'due', 'may be asked', 'licence', 'last failure']
    assert.deepEqual(head, names)
    const soon = /^in [3-6] minutes$/
    assert.deepEqual(attacks.slice(0, 5), ['attacks', 'minimal', '24 minutes', '1,500', 'in 35 minutes'])
    assert.match(attacks[5], soon)
    assert.equal(attacks[6], 'CC0')
    assert.deepEqual(page.slice(2, 5), ['-', '-', '-'])
    assert.match(page[7], /^24 minutes ago: this is an HTML/)
    assert.deepEqual(gated.slice(5), ['now', 'CC BY-NC, not for commercial use'])
    assert.match(stdout, literal(`\nCredit: ${CREDIT}\n`))
    assert.match(stdout, /^In use are the feeds in the directory: [\d,]+ networks in \d+ feeds/m)
    assert.deepEqual([code, stderr], [0, ''])

    const json = await world.run(['status', ...PLACE, '--json'])
    const { directory, inUse, feeds } = JSON.parse(json.stdout)
    assert.deepEqual([directory, inUse.origin], [world.directory, 'directory'])
    assert.deepEqual(
      feeds.map(({ id, file }) => [id, file?.rows]),
      [
        ['attacks', 1500],
        ['drop', 1],
        ['page', undefined],
        ['private', undefined],
      ],
    )
    assert.equal(feeds[2].lastFailure.reason, 'html_page')
  })

  test('without a directory it shows what is in the package', async (t) => {
    const { run } = await startFeedsWorld(t)
    const { code, stdout } = await run(['status'])
    assert.match(stdout, /^In use are the feeds in the package: [\d,]+ networks in \d+ feeds, \d+ days old\n/)
    assert.match(stdout, /`ip-risk feeds update --dir feeds`/)
    assert.equal(code, 0)
    assert.equal(JSON.parse((await run(['status', '--json'])).stdout).inUse.origin, 'seed')
  })

  test('ends with 1 where nothing is there, and says what to do', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [stall] })
    mkdirSync(world.directory)
    for (const directory of ['feeds', 'nowhere']) {
      const { code, stdout } = await world.run(['status', '--dir', directory, ...PLACE.slice(2)])
      assert.match(stdout, /^attacks +minimal +- +- +- +now +CC0$/m)
      assert.match(stdout, literal(`\`ip-risk feeds update --dir ${join(world.cwd, directory)}\``))
      assert.equal(code, 1)
    }
    assert.deepEqual(written(world), ['catalogue.json', 'feeds', 'home', 'tmp'])
  })

  test('says that the newest file is not in use', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)] })
    await world.update()
    const path = join(world.directory, 'feeds.bin')
    writeFileSync(path, readFileSync(path).subarray(0, 1000))
    const { stdout } = await world.run(['status', ...PLACE])
    assert.match(
      stdout,
      /^In use are the feeds in the package: .*; the newest file is not in use: .*feeds\.bin/m,
    )
  })
})

describe('ip-risk feeds explain', { concurrency: 8 }, () => {
  test('explains from the package, whatever the key', async (t) => {
    const { run } = await startFeedsWorld(t)
    const env = { IPGEO_API_KEY: 'a key with blanks, which no checker takes' }
    const { code, stdout, stderr } = await run(['explain', CLOUD, HOME], { env })
    const [cloud, home, asked] = stdout.split('\n\n')
    assert.match(cloud, /^165\.227\.0\.1: score 24, guarded, confidence low\nfeed +signal +name +value +age/)
    assert.match(
      cloud,
      /^clouds by AS number \(own-clouds\) +cloud +DigitalOcean, LLC +- +\d+ days +24 +24 +MIT$/m,
    )
    assert.match(cloud, /network \(what kind of network it is\) weighs 24\n +2\. the score is 24\n/)
    assert.match(cloud, /The policy `login` answers log \(threshold_log\)\.$/)
    assert.match(home, /^91\.128\.103\.196: no feed says anything about it\n/)
    assert.match(home, /answers allow \(no_record\)\.$/)
    assert.match(asked, /^Asked were the feeds in the package: /)
    assert.deepEqual([code, stderr], [0, ''])
  })

  test('explains how evidence adds up, ages, and is raised', async (t) => {
    const world = await startFeedsWorld(t, {
      one: [list(5)],
      two: [list(5)],
      clouds: [`${LISTED}/24\n`, { signal: 'cloud', name: 'A Cloud' }],
      drop: [spamhaus(['31.13.0.0/24']), { format: 'spamhaus', signal: 'criminal' }],
    })
    await world.update(['--only', 'one', '--only', 'two', '--only', 'clouds'])
    const explain = async () => (await world.run(['explain', LISTED, '--dir', 'feeds'])).stdout
    const corroborated = await explain()
    assert.match(corroborated, /: score 80, high, confidence medium\n/)
    assert.match(
      corroborated,
      /^The feed clouds \(clouds\) +cloud +A Cloud +- +less than a minute +24 +24 +CC0$/m,
    )
    assert.match(corroborated, /network \([^\n]+ weighs 24\n[^]*reputation \([^\n]+ weighs 69\.8\n/)
    assert.match(
      corroborated,
      /combined as independent chances[^]*raised: a known attacker[^]*the score is 80\n/,
    )
    assert.match(corroborated, /answers challenge \(known_attacker, threshold_block, feeds_not_strict\)/)
    assert.doesNotMatch(corroborated, /Credit/)

    await world.update(['--only', 'drop'])
    const strict = await explain()
    assert.match(
      strict,
      /, by strict evidence\n[^]*answers block \(known_attacker, threshold_block\)\.\nCredit: /,
    )
    assert.match(strict, /^Asked were the feeds in the directory: /m)
  })

  test('tells what is left of evidence that is old', async (t) => {
    const world = await startFeedsWorld(t, { attacks: [list(5)] })
    await world.update()
    letHoursPass(world.directory, 48)
    world.server.answers.attacks = (request, response) => response.writeHead(503).end()
    await world.update()
    const { stdout } = await world.run(['explain', LISTED, '--dir', 'feeds', '--json'])
    const [{ ageMs, weight, currentWeight }] = JSON.parse(stdout).listed
    assert.ok(ageMs >= 48 * 3_600_000)
    assert.equal(weight, 45)
    assert.ok(Math.abs(currentWeight - 22.5) <= 0.1, 'half of it, a half-life later')

    letHoursPass(world.directory, 240)
    await world.update()
    const gone = await world.run(['explain', LISTED, '--dir', 'feeds'])
    assert.match(gone.stdout, /: feeds cover it, and that weighs nothing\nfeed [^]* 12 days +45 +0 +CC0\n/)
  })

  test('special-use space and text that is no address', async (t) => {
    const { run } = await startFeedsWorld(t)
    const { code, stdout } = await run(['explain', '10.0.0.1', 'nonsense', CLOUD])
    assert.match(stdout, /^10\.0\.0\.1: special-use space \(private-use\)\n[^]*no feed is asked about/)
    assert.match(stdout, /^nonsense is no address$/m)
    assert.match(stdout, /^165\.227\.0\.1: score 24/m)
    assert.equal(code, 1)

    const json = await run(['explain', 'nonsense', CLOUD, '--json'])
    const [wrong, right] = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(wrong, { text: 'nonsense', failure: 'ERR_IP_RISK_INVALID_ADDRESS' })
    assert.deepEqual([right.ip, right.score, right.decision.action], [CLOUD, 24, 'log'])
    assert.equal(json.code, 1)
  })

  test('a directory that is none', async (t) => {
    const { run } = await startFeedsWorld(t)
    assertMistake(
      await run(['explain', CLOUD, '--dir', 'nowhere']),
      /nowhere`, which is no directory; make it/,
    )
  })
})
