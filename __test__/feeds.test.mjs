/** Offline feeds: what a checker without a key knows, lists and databases of one's own, and feeds behind a provider. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { runForJson } from './support/children.mjs'
import { NO_EVIDENCE, assertDecision } from './support/decisions.mjs'
import { recordingLogger, showRequest, startApp } from './support/express-app.mjs'
import { literal } from './support/literal.mjs'
import { makeDatabase } from './support/mmdb.mjs'
import { RiskChecker, riskMiddleware } from './support/package.mjs'
import { startInThread } from './support/remote-checkers.mjs'
import { startTestChecker, withEnvironment } from './support/start.mjs'

const OPTION = 'ERR_IP_RISK_OPTION'
const NO_SOURCE = 'ERR_IP_RISK_NO_SOURCE'
/** Addresses of networks that rent out servers, as the whole internet knows them. */
const CLOUDS = {
  '52.95.110.1': 'Amazon.com, Inc.',
  '2600:1f18::1': 'Amazon.com, Inc.',
  '34.64.0.1': 'Google LLC',
  '2600:1900::1': 'Google LLC',
  '20.36.0.1': 'Microsoft Corporation',
  '2603:1030::1': 'Microsoft Corporation',
  '129.146.0.1': 'Oracle Corporation',
  '104.131.0.1': 'DigitalOcean, LLC',
}
const CLOUD = '20.36.0.1'
/** An address of an access network, of which the package knows nothing. */
const HOME = '77.180.1.1'
const OTHER_HOME = '81.2.69.142'

/** A checker without a key, as an application makes one. */
function keyless(t, options) {
  const checker = new RiskChecker({ logger: false, ...options })
  t.after(() => checker.close())
  return checker
}

/** A directory that ends with the test, and a function that writes a file into it and returns where that is. */
function makeFiles(t) {
  const directory = mkdtempSync(join(tmpdir(), 'ip-risk-feeds-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return (name, content) => {
    const path = join(directory, name)
    writeFileSync(path, content)
    return path
  }
}

/** `feeds` with one list of these lines. */
function withList(t, lines, rest = { flags: ['is_known_attacker'] }) {
  return { files: [{ path: makeFiles(t)('own.txt', lines), ...rest }] }
}

describe('without a key the package itself knows', () => {
  for (const [ip, name] of Object.entries(CLOUDS)) {
    test(`that ${ip} is a cloud of ${name}`, async (t) => {
      const decision = await keyless(t).check(ip)
      assertDecision(decision, {
        score: 24,
        band: 'guarded',
        action: 'log',
        flags: { threat_score: 24, is_cloud_provider: true, cloud_provider_name: name },
        reasons: ['threshold_log'],
        source: 'feeds',
        provider: 'feeds',
        failure: null,
        degraded: false,
      })
      assert.ok(decision.checkedAt > Date.UTC(2025, 0) && decision.checkedAt < Date.now())
    })
  }

  test('nothing of an access network, which is an answer', async (t) => {
    assertDecision(await keyless(t).check(HOME), {
      ...NO_EVIDENCE,
      action: 'allow',
      reasons: ['no_record'],
      source: 'feeds',
      provider: 'feeds',
      failure: null,
      failedOpen: false,
    })
  })

  test('what it knows synchronously too, and for many addresses at once', async (t) => {
    const checker = keyless(t)
    const ips = [HOME, ...Object.keys(CLOUDS), 'no address', '10.0.0.1']
    const decisions = await checker.checkMany(ips)
    assert.deepEqual(
      ips.slice(0, -2).map((ip) => checker.peek(ip)),
      decisions.slice(0, -2),
    )
    assert.deepEqual(
      decisions.map(({ flags }) => flags.cloud_provider_name),
      [undefined, ...Object.values(CLOUDS), undefined, undefined],
    )
    assert.deepEqual(
      decisions.slice(-2).map(({ failure }) => failure),
      ['ERR_IP_RISK_INVALID_ADDRESS', 'ERR_IP_RISK_SPECIAL_USE'],
    )
  })

  test('the IPv4 address inside a transition address', async (t) => {
    assertDecision(await keyless(t).check('64:ff9b::1424:1'), {
      flags: { ...(await keyless(t).check(CLOUD)).flags },
    })
  })

  test('how much it knows, for operators', (t) => {
    const { feeds, prefixes, builtAt, ...rest } = keyless(t).stats().feeds
    assert.deepEqual(rest, { origin: 'seed', failure: null })
    assert.ok(feeds >= 1 && prefixes > 10_000 && builtAt > Date.UTC(2025, 0) && builtAt < Date.now())
    assert.equal(new RiskChecker({ apiKey: 'any', feeds: false }).stats().feeds, null)
  })

  test('nobody else is asked, and nothing is counted as a call', async (t) => {
    const checker = keyless(t, { endpoint: 'http://127.0.0.1:9' })
    await checker.checkMany([HOME, CLOUD])
    const { calls, credits } = checker.stats().upstream
    assert.deepEqual([calls, credits], [0, 0])
    const { histogram, action } = checker.stats().policies.login
    assert.deepEqual([histogram[24], histogram[0], action.log, action.allow], [1, 0, 1, 1])
  })
})

describe('without a key a policy that closes', () => {
  const closed = {
    failure: NO_SOURCE,
    failedClosed: true,
    action: 'hold',
    source: 'none',
    reasons: ['failed_closed'],
  }
  const message = /`payment`.*`IPGEO_API_KEY`.*`feeds: \{ primary: true \}`/

  test('holds everybody at `check`, because feeds do not clear it', async (t) => {
    const checker = keyless(t)
    for (const ip of [HOME, CLOUD]) {
      assertDecision(await checker.check(ip, { policy: 'payment' }), { ...closed, ...NO_EVIDENCE })
    }
  })

  test('is refused at a gate, with both ways out', (t) => {
    const checker = keyless(t)
    assert.throws(() => riskMiddleware({ checker, policy: 'payment' }), { code: NO_SOURCE, message })
    assert.throws(() => riskMiddleware({ checker, onFailure: 'closed' }), { code: NO_SOURCE })
    riskMiddleware({ checker })
  })

  test('is refused where it is written', () => {
    for (const policies of [
      { payment: {} },
      { payout: { extends: 'payment' } },
      { own: { onFailure: 'closed' } },
    ]) {
      assert.throws(() => new RiskChecker({ policies, logger: false }), { code: NO_SOURCE })
    }
  })

  test('is cleared by feeds with `primary: true`', async (t) => {
    const checker = keyless(t, {
      feeds: { primary: true },
      policies: { payment: { maxAction: 'challenge' } },
    })
    assertDecision(await checker.check(HOME, { policy: 'payment' }), {
      action: 'allow',
      reasons: ['no_record'],
    })
    assertDecision(await checker.check(CLOUD, { policy: 'payment' }), { action: 'log', score: 24 })
    riskMiddleware({ checker, policy: 'payment' })
  })
})

test('a gate without a key judges real requests', async (t) => {
  const checker = keyless(t, { feeds: withList(t, '77.180.20.0/24\n') })
  const send = await startApp(t, express, (app) =>
    app.post('/login', riskMiddleware({ checker }), showRequest),
  )
  const { json: home } = await send({ from: HOME })
  assert.deepEqual(
    [home.ipRisk.action, home.ipRisk.provenance, home.requireMfa],
    ['allow', 'trusted-proxy', false],
  )
  const { json: attacker } = await send({ from: '77.180.20.30' })
  assert.deepEqual([attacker.ipRisk.action, attacker.requireMfa], ['challenge', true])
})

describe('the line at the start', () => {
  const script = `
    const { RiskChecker } = require('ip-risk')
    const lines = []
    const at = (level) => (details, message) => lines.push({ level, details, message })
    const logger = { info: at('info'), warn: at('warn'), error: at('error') }
    const options = JSON.parse(process.argv[1])
    for (const written of options) new RiskChecker({ logger, ...written })
    console.log(JSON.stringify(lines))
  `
  const linesOf = (...options) => runForJson(script, { args: [JSON.stringify(options)] })

  test('says once at level info what feeds can and cannot see', async () => {
    const [line, ...others] = await linesOf({}, { feeds: true }, { deadlineMs: 5 })
    assert.deepEqual(others, [])
    assert.deepEqual([line.level, line.details], ['info', {}])
    assert.match(
      line.message,
      /^no key: scores come from offline feeds, which see clouds and hosting, but not VPNs/,
    )
    assert.match(line.message, /`ip-risk feeds update`.*`IPGEO_API_KEY`/)
  })

  test('names what lists of one’s own add', async (t) => {
    const [{ message }] = await linesOf({
      feeds: withList(t, '77.180.20.30', { flags: ['is_vpn', 'is_tor'] }),
    })
    assert.match(message, /which see clouds and hosting, VPNs, Tor exits, but not relays/)
  })

  test('is not there with a key, nor without a logger', async () => {
    assert.deepEqual(await linesOf({ apiKey: 'any' }, { logger: false }), [])
  })
})

describe('a list of one’s own', () => {
  const LISTED = '77.180.20.30'

  test('sets its flags and weighs what they weigh', async (t) => {
    for (const [flags, score, action] of [
      [['is_known_attacker'], 60, 'challenge'],
      [['is_tor'], 65, 'challenge'],
      [['is_vpn'], 36, 'log'],
      [['is_relay'], 8, 'allow'],
      [['is_spam'], 30, 'log'],
      [['is_corporate_gateway'], 0, 'allow'],
      [['is_residential_proxy'], 70, 'challenge'],
      [['is_tor', 'is_proxy'], 80, 'challenge'],
    ]) {
      const decision = await keyless(t, { feeds: withList(t, `${LISTED}\n`, { flags }) }).check(LISTED)
      assertDecision(decision, { score, action, source: 'feeds' }, flags.join())
      for (const flag of flags) assert.equal(decision.flags[flag], true)
    }
  })

  test('weighs what is written', async (t) => {
    for (const [weight, score, action] of [
      [0, 0, 'challenge'], // for the rule on known attackers
      [44, 44, 'challenge'],
      [79, 79, 'challenge'],
      [100, 100, 'challenge'],
    ]) {
      const feeds = withList(t, LISTED, { flags: ['is_known_attacker'], weight })
      assertDecision(await keyless(t, { feeds }).check(LISTED), { score, action })
    }
  })

  test('blocks nobody by its score, but may by a rule of one’s own', async (t) => {
    const feeds = withList(t, LISTED, { flags: ['is_known_attacker'], weight: 100 })
    const decision = await keyless(t, { feeds }).check(LISTED)
    assertDecision(decision, { band: 'high', action: 'challenge' })
    assert.deepEqual(decision.reasons, ['known_attacker', 'threshold_block', 'feeds_not_strict'])
    const rules = [{ id: 'mine', when: { is_known_attacker: true }, atLeast: 'block' }]
    const strict = keyless(t, { feeds, policies: { login: { rules } } })
    assertDecision(await strict.check(LISTED), { action: 'block' })
  })

  test('takes networks of both families, comments and blank lines', async (t) => {
    const lines = '# seen here\n\n77.180.20.0/24 ; a comment\n2a02:2f0c:1::/48\n\n'
    const checker = keyless(t, { feeds: withList(t, lines) })
    const score = async (ip) => (await checker.check(ip)).score
    assert.deepEqual([await score('77.180.20.0'), await score('77.180.20.255')], [60, 60])
    assert.deepEqual([await score('77.180.19.255'), await score('77.180.21.0')], [0, 0])
    assert.deepEqual([await score('2a02:2f0c:1::'), await score('2a02:2f0c:2::')], [60, 0])
  })

  test('stands beside what the package knows', async (t) => {
    const { score, flags } = await keyless(t, { feeds: withList(t, CLOUD) }).check(CLOUD)
    assert.equal(score, 69, '24 and 60, combined as chances are')
    assert.deepEqual([flags.is_known_attacker, flags.cloud_provider_name], [true, 'Microsoft Corporation'])
  })

  test('does not reach an address in an allow list', async (t) => {
    const checker = keyless(t, { feeds: withList(t, LISTED), policies: { login: { allow: [LISTED] } } })
    assertDecision(await checker.check(LISTED), { action: 'allow', source: 'list', reasons: ['allow_list'] })
  })

  test('may be in the format of a provider', async (t) => {
    const document = { prefixes: [{ ipv4Prefix: '77.180.20.0/24' }, { ipv6Prefix: '2a02:2f0c:1::/48' }] }
    const rest = { flags: ['is_known_good_bot'], format: 'gcp' }
    const decision = await keyless(t, { feeds: withList(t, JSON.stringify(document), rest) }).check(LISTED)
    assertDecision(decision, {
      flags: { threat_score: 0, is_bot: true, is_known_good_bot: true },
      action: 'allow',
    })
  })

  test('is read by worker threads once, because they share what was read', async (t) => {
    const feeds = withList(t, LISTED)
    const checker = keyless(t, { feeds })
    const expected = await checker.check(LISTED)
    rmSync(feeds.files[0].path)
    assert.throws(() => new RiskChecker({ feeds: { ...feeds, prescreen: false } }), { code: OPTION })
    const { score, flags, reasons } = expected
    const thread = await startInThread(t, { feeds, logger: false })
    assertDecision(await thread.check(LISTED), { score, flags, reasons })
  })
})

describe('a database', () => {
  const NETWORKS = ['77.180.20.0/24', '77.180.30.0/24']
  const write = (t, type, record) => makeFiles(t)('own.mmdb', makeDatabase(type, NETWORKS, record))
  const feedsOf = (t, type, record) => ({ files: [{ path: write(t, type, record) }] })

  test('of MaxMind says itself what its addresses are', async (t) => {
    const record = { is_anonymous: true, is_anonymous_vpn: true, provider_name: 'Some VPN' }
    const checker = keyless(t, { feeds: feedsOf(t, 'GeoIP-Anonymous-Plus', record) })
    const { score, flags, provider } = await checker.check('77.180.30.1')
    assert.deepEqual([score, provider], [36, 'feeds'])
    assert.deepEqual([flags.is_vpn, flags.is_anonymous, flags.vpn_provider_names], [true, true, ['Some VPN']])
    assertDecision(await checker.check('77.180.40.1'), { reasons: ['no_record'] })
  })

  test('of numbers of networks is understood by the table in the package', async (t) => {
    const checker = keyless(t, { feeds: feedsOf(t, 'GeoLite2-ASN', { autonomous_system_number: 16509 }) })
    assertDecision(await checker.check('77.180.20.1'), { score: 24 })
  })

  test('that says nothing of risk is refused with its path, and names those that are known', (t) => {
    for (const type of ['GeoLite2-City', 'GeoIP2-Country', 'GeoIP2-Connection-Type', 'a "type"\n']) {
      const path = write(t, type, { country: { iso_code: 'NL' } })
      assert.throws(
        () => new RiskChecker({ feeds: { files: [{ path }] }, logger: false }),
        ({ code, message }) => {
          assert.equal(code, OPTION)
          assert.match(message, literal(`\`feeds.files[0]\` names \`${path}\`, which cannot be used`))
          assert.match(message, /type of this database.*`GeoIP-Anonymous-Plus`/)
          assert.doesNotMatch(message, /\n/)
          return true
        },
      )
    }
  })

  test('that was cut off is refused', (t) => {
    const whole = makeDatabase('GeoIP2-Anonymous-IP', NETWORKS, { is_public_proxy: true })
    for (const length of [0, 10, whole.length >> 1, whole.length - 1]) {
      const path = makeFiles(t)('own.mmdb', whole.subarray(0, length))
      assert.throws(() => new RiskChecker({ feeds: { files: [{ path }] } }), {
        code: OPTION,
        message: literal(path),
      })
    }
  })
})

describe('behind a provider', () => {
  const feedsOf = (t) => withList(t, `${HOME}\n`)

  test('feeds are not asked while it answers: nothing is merged', async (t) => {
    const { checker, api } = await startTestChecker(t, { feeds: feedsOf(t) })
    assertDecision(await checker.check(HOME), { score: 0, source: 'api', reasons: ['below_thresholds'] })
    assert.equal(api.requestCount(), 1)
  })

  test('feeds that match answer when it fails, and never clear a policy that closes', async (t) => {
    const { checker, api } = await startTestChecker(t, { feeds: feedsOf(t) })
    api.fault({ status: 503 })
    const failure = 'ERR_IP_RISK_UPSTREAM_STATUS'
    const seen = { source: 'feeds', failure, degraded: true, failedOpen: false }
    assertDecision(await checker.check(HOME), { ...seen, score: 60, action: 'challenge' })
    assertDecision(await checker.check(CLOUD), { ...seen, score: 24, action: 'log' })
    assertDecision(await checker.check(OTHER_HOME), { source: 'none', failedOpen: true, failure })
    for (const ip of [HOME, CLOUD, OTHER_HOME]) {
      assertDecision(await checker.check(ip, { policy: 'payment' }), {
        action: 'hold',
        failedClosed: true,
        failure,
      })
    }
  })

  test('feeds are no way past a challenge for what a caller can use up', async (t) => {
    const { checker, api } = await startTestChecker(t, { feeds: feedsOf(t) })
    api.fault({ status: 429 })
    const { reasons, ...rest } = await checker.check(CLOUD)
    assertDecision(rest, { action: 'challenge', source: 'feeds', score: 24 })
    assert.deepEqual(reasons, ['failed_challenge', 'threshold_log'])
  })

  test('what it said before is asked before feeds', async (t) => {
    const { checker, api, advance } = await startTestChecker(t, { feeds: feedsOf(t) })
    api.answer(HOME, { threat_score: 30 })
    await checker.check(HOME)
    advance(10 * 60 * 1000)
    api.fault({ status: 503 })
    assertDecision(await checker.check(HOME), { score: 30, source: 'memory', stale: true })
  })

  test('feeds answer where it has no record, if they match', async (t) => {
    const { checker, api } = await startTestChecker(t, { feeds: feedsOf(t) })
    api.fault({ status: 404 })
    const known = await checker.check(HOME)
    assertDecision(known, { score: 60, action: 'challenge', source: 'feeds', failure: null })
    assert.deepEqual(known.reasons, ['unknown_address', 'known_attacker', 'threshold_challenge'])
    assertDecision(await checker.check(OTHER_HOME), {
      action: 'allow',
      reasons: ['unknown_address'],
      source: 'api',
    })
    const payment = await checker.check(CLOUD, { policy: 'payment' })
    assertDecision(payment, { action: 'challenge', source: 'feeds', score: 24 })
  })

  test('feeds that are switched off know nothing', async (t) => {
    const { checker, api } = await startTestChecker(t, { feeds: false })
    api.fault({ status: 503 })
    assertDecision(await checker.check(CLOUD), { source: 'none', failedOpen: true })
    assert.equal(checker.stats().feeds, null)
  })

  test('a list that changes is read again, and one that is damaged is not used', async (t) => {
    const feeds = feedsOf(t)
    const [{ path }] = feeds.files
    const world = await startTestChecker(t, { feeds })
    world.api.fault({ status: 503 })
    assertDecision(await world.checker.check(OTHER_HOME), { source: 'none' })
    writeFileSync(path, `${HOME}\n${OTHER_HOME}\n`)
    const isListed = async (ip) => (await world.checker.check(ip)).score === 60
    await untilLookedAt(world, () => isListed(OTHER_HOME))
    writeFileSync(path, '<!doctype html><title>log in</title>')
    await untilLookedAt(world, () => world.checker.stats().feeds.failure !== null)
    assert.match(world.checker.stats().feeds.failure, literal(path))
    assert.ok(await isListed(OTHER_HOME), 'what was read before stays in use')
    writeFileSync(path, `${OTHER_HOME}\n`)
    await untilLookedAt(world, async () => !(await isListed(HOME)))
    assert.equal(world.checker.stats().feeds.failure, null)
  })

  /** Moves the clock past the moments at which files are looked at, until a thread has read what there is. */
  async function untilLookedAt({ checker, advance }, isTrue) {
    for (const began = performance.now(); !(await isTrue()); await sleep(1)) {
      if (performance.now() - began > 5_000) throw new Error(`this never became true: ${isTrue}`)
      advance(11_000)
      checker.peek(HOME)
    }
  }
})

describe('a mistake in `feeds`', () => {
  for (const [feeds, text] of [
    [3, '`feeds` must be'],
    [null, '`feeds` must be'],
    [{ dir: '/does/not/exist' }, '`feeds.dir` names `/does/not/exist`'],
    [{ dir: 5 }, '`feeds.dir` must be'],
    [{ prescreen: 'yes' }, '`feeds.prescreen` must be true or false'],
    [{ primary: 1 }, '`feeds.primary` must be true or false'],
    [{ files: 'a.txt' }, '`feeds.files` must be an array'],
    [{ files: [{ flags: ['is_vpn'] }] }, '`feeds.files[0].path` is missing'],
    [{ files: [{ path: 'a.txt' }] }, '`flags` must say'],
    [{ files: [{ path: 'a.txt', flags: ['is_bad'] }] }, '`feeds.files[0].flags[0]` must be one of'],
    [
      { files: [{ path: 'a.txt', flags: ['is_vpn'], format: 'xml' }] },
      '`feeds.files[0].format` must be one of',
    ],
    [{ files: [{ path: 'a.txt', flags: ['is_vpn'], weight: 101 }] }, '`feeds.files[0].weight` must be'],
    [{ files: [{ path: 'a.mmdb', flags: ['is_vpn'] }] }, 'leave out `flags`'],
    [{ files: [{ path: '/does/not/exist', flags: ['is_vpn'] }] }, '`feeds.files[0]` names `/does/not/exist`'],
    [{ files: Array.from({ length: 33 }, () => ({ path: 'a', flags: ['is_vpn'] })) }, 'at most 32 files'],
  ]) {
    test(`is named by its path: ${text}`, () => {
      const refused = { code: OPTION, message: literal(text) }
      assert.throws(() => new RiskChecker({ apiKey: 'any', feeds, logger: false }), refused)
    })
  }

  test('in a name names the nearest', () => {
    for (const [feeds, text] of [
      [{ file: [] }, '`feeds.file` is not an option; did you mean `files`?'],
      [{ preScreen: false }, '`feeds.preScreen` is not an option; did you mean `prescreen`?'],
      [{ files: [{ paht: 'a' }] }, '`feeds.files[0].paht` is not an option; did you mean `path`?'],
    ]) {
      const expected = { code: 'ERR_IP_RISK_UNKNOWN_OPTION', message: literal(text) }
      assert.throws(() => new RiskChecker({ feeds, logger: false }), expected)
    }
  })

  test('in a list shows the first line that is wrong', (t) => {
    const feeds = withList(t, 'one\ntwo\n')
    const message = /not of the format `list`, such as `one`/
    assert.throws(() => new RiskChecker({ feeds, logger: false }), { code: OPTION, message })
  })
})

describe('the directory', () => {
  test('may be empty: then the package stands in, and a line says so', (t) => {
    const dir = join(makeFiles(t)('nothing.txt', ''), '..')
    const named = { 'feeds.dir': { feeds: { dir } }, IP_RISK_FEEDS: {} }
    for (const [name, options] of Object.entries(named)) {
      const logger = recordingLogger()
      const environment = name === 'IP_RISK_FEEDS' ? { IP_RISK_FEEDS: dir } : {}
      const { origin, failure } = withEnvironment(environment, () =>
        keyless(t, { ...options, logger }),
      ).stats().feeds
      assert.equal(origin, 'seed')
      assert.match(
        failure,
        literal(
          `\`${name}\` names \`${dir}\`, which holds no feeds yet; fill it with \`ip-risk feeds update`,
        ),
      )
      assert.ok(logger.lines.some(({ level, message }) => level === 'warn' && message === failure))
    }
  })

  test('that is damaged costs only what it would have known, and a line says so', (t) => {
    const compiled = makeFiles(t)('feeds.bin', 'no feeds at all')
    const logger = recordingLogger()
    const checker = keyless(t, { feeds: { dir: join(compiled, '..') }, logger })
    const { origin, failure } = checker.stats().feeds
    assert.deepEqual([origin, checker.peek(CLOUD).score], ['seed', 24])
    assert.match(failure, literal(compiled))
    const warning = logger.lines.find(({ level }) => level === 'warn')
    assert.deepEqual([warning.details, warning.message], [{ code: 'ERR_IP_RISK_FEEDS' }, failure])
  })

  test('that does not exist yet is no mistake in the environment, and told', (t) => {
    const lines = []
    const logger = { info: () => {}, warn: (_, message) => lines.push(message), error: () => {} }
    const checker = withEnvironment({ IP_RISK_FEEDS: '/does/not/exist/yet' }, () => keyless(t, { logger }))
    assertDecision(checker.stats().feeds, { origin: 'seed' })
    assert.match(lines.join('\n'), /`ip-risk feeds update --dir \/does\/not\/exist\/yet`/)
  })
})
