import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { recordingLogger } from './support/express-app.mjs'
import { literal } from './support/literal.mjs'
import { RiskChecker, createTestChecker, startMockApi } from './support/package.mjs'
import { makeChecker, publicAddress, startApi, startTestChecker, withEnvironment } from './support/start.mjs'

const OPTION = 'ERR_IP_RISK_OPTION'
const UNKNOWN_OPTION = 'ERR_IP_RISK_UNKNOWN_OPTION'
const ARGUMENT = 'ERR_IP_RISK_ARGUMENT'
const TEN_YEARS = 10 * 365 * 24 * 60 * 60 * 1_000

/** A checker with these options, closed at once. */
async function construct(options) {
  const checker = new RiskChecker({ apiKey: 'test-key', logger: false, ...options })
  await checker.close()
}

/** `{ [path]: value }`, nested where the path has dots. */
function optionsAt(path, value) {
  return path.split('.').reduceRight((inner, key) => ({ [key]: inner }), value)
}

async function assertRefused(options, code, ...texts) {
  for (const text of texts) {
    await assert.rejects(construct(options), { code, message: literal(text) })
  }
}

describe('a whole number', () => {
  for (const [path, least, most] of [
    ['deadlineMs', 1, 60_000],
    ['connectTimeoutMs', 1, 60_000],
    ['maxInFlight', 1, 1_000_000],
    ['cache.ttlMs', 1, TEN_YEARS],
    ['cache.staleMs', 0, TEN_YEARS],
    ['cache.maxEntries', 1, 100_000_000],
    ['cache.ipv6Prefix', 32, 128],
    ['policies.login.maxStaleMs', 0, TEN_YEARS],
    ['policies.login.thresholds.log', 0, 100],
  ]) {
    test(`in \`${path}\` is taken from ${least} to ${most}`, async () => {
      const expected = `\`${path}\` must be a whole number from ${least} to ${most}, not \``
      const refuse = (value, shown) => assertRefused(optionsAt(path, value), OPTION, `${expected}${shown}`)
      await refuse(least - 1, `${least - 1}\``)
      await refuse(most + 1, `${most + 1}\``)
      await refuse(least + 0.5, `${least + 0.5}\``)
      for (const value of [-1, String(most), '', true, null, [], [most], {}, 1e300]) await refuse(value, '')
      const highest = path.endsWith('.log') ? 45 : most
      for (const value of [least, highest, undefined]) await construct(optionsAt(path, value))
    })
  }

  test('may be what JSON cannot hold in no option', async () => {
    const strange = [NaN, Infinity, -Infinity, 10n, () => 10, Symbol('ten'), new Date(NaN)]
    for (const path of ['deadlineMs', 'cache.ttlMs', 'policies.login.thresholds.block']) {
      for (const value of strange) await assertRefused(optionsAt(path, value), OPTION, `\`${path}\``)
    }
  })

  test('that JSON cannot hold is shown as it was written', async () => {
    for (const [value, shown] of [
      [NaN, 'NaN'],
      [-Infinity, '-Infinity'],
      [10n, '10n'],
    ]) {
      await assertRefused({ deadlineMs: value }, OPTION, `not \`${shown}\``)
    }
  })
})

describe('options', () => {
  test('must be an object', () => {
    for (const options of [null, 5, true, 'test-key', [], ['test-key'], () => ({})]) {
      assert.throws(() => new RiskChecker(options), {
        code: ARGUMENT,
        message: /`options` must be an object/,
      })
    }
  })

  test('are the defaults where they are written as undefined', async () => {
    await construct({
      endpoint: undefined,
      deadlineMs: undefined,
      cache: undefined,
      policies: undefined,
      logger: undefined,
    })
    await construct({ cache: { ttlMs: undefined }, policies: { login: undefined, api: {} } })
  })

  test('with circles are refused', async () => {
    const circle = { cache: {} }
    circle.cache.cache = circle
    await assertRefused(circle, OPTION, 'circles')
    const policies = { login: { rules: [] } }
    policies.login.rules.push(policies)
    await assertRefused({ policies }, OPTION, 'circles')
  })

  test('that are objects must be objects', async () => {
    for (const path of ['cache', 'policies', 'policies.login', 'policies.login.thresholds']) {
      for (const value of [null, 5, 'text', true, [], () => ({})]) {
        await assertRefused(optionsAt(path, value), OPTION, `\`${path}\` must be an object, not \``)
      }
    }
  })

  test('that are a Map are refused, and not taken for empty ones', async () => {
    for (const path of ['cache', 'policies', 'policies.login', 'policies.login.thresholds']) {
      const value = new Map([['mode', 'log-only']])
      await assertRefused(optionsAt(path, value), OPTION, `\`${path}\` must be an object`)
    }
  })

  for (const [path, nearest] of [
    ['apikey', 'apiKey'],
    ['api_key', 'apiKey'],
    ['endPoint', 'endpoint'],
    ['deadline', 'deadlineMs'],
    ['deadlineMS', 'deadlineMs'],
    ['conectTimeoutMs', 'connectTimeoutMs'],
    ['policy', 'policies'],
    ['loger', 'logger'],
    ['cache.ttl', 'ttlMs'],
    ['cache.maxEntires', 'maxEntries'],
    ['cache.ipv6prefix', 'ipv6Prefix'],
    ['policies.login.treshold', 'thresholds'],
    ['policies.login.onFail', 'onFailure'],
    ['policies.login.thresholds.challange', 'challenge'],
    ['policies.login.onFailure.upstraem', 'upstream'],
    ['logger.adresses', 'addresses'],
  ]) {
    test(`that do not exist name the nearest one: \`${path}\``, async () => {
      const expected = `\`${path}\` is not an option; did you mean \`${nearest}\`?`
      await assertRefused(optionsAt(path, 1), UNKNOWN_OPTION, expected)
    })
  }

  test('that are like none name them all', async () => {
    const expected = '`zzzz` is not an option; known are `apiKey`, `endpoint`, `deadlineMs`'
    await assertRefused({ zzzz: 1 }, UNKNOWN_OPTION, expected)
    await assertRefused(
      { cache: { zzzz: 1 } },
      UNKNOWN_OPTION,
      '`cache.zzzz`',
      'known are `ttlMs`, `staleMs`',
    )
  })

  test('are read once: changing the object later changes nothing', async (t) => {
    const api = await startApi(t)
    const options = { policies: { login: { deny: [] } } }
    const checker = makeChecker(t, api, options)
    options.policies.login.deny.push(publicAddress(1))
    assert.equal((await checker.check(publicAddress(1))).action, 'allow')
  })

  test('are not changed', async () => {
    const freeze = (value) => {
      if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
      return Object.freeze(value)
    }
    const rule = { id: 'a_rule', when: { is_vpn: true }, atLeast: 'log' }
    await construct(
      freeze({ cache: { ttlMs: 5 }, policies: { login: { rules: [rule], deny: ['8.8.8.8'] } } }),
    )
  })
})

describe('the key', () => {
  const bad = [
    null,
    5,
    true,
    {},
    ['test-key'],
    '',
    ' ',
    'two words',
    'tab\t',
    'line\n',
    'ключ',
    'k'.repeat(513),
  ]

  test('must be printable text without blanks, and a refused one is not shown', async () => {
    for (const apiKey of bad) {
      await assert.rejects(construct({ apiKey }), ({ code, message }) => {
        assert.equal(code, OPTION)
        assert.match(message, /`apiKey` must be a key/)
        if (String(apiKey).trim().length > 3) assert.ok(!message.includes(String(apiKey).trim()))
        return true
      })
    }
    await construct({ apiKey: 'k'.repeat(512) })
  })

  test('reaches the provider as it is, whatever characters it has', async (t) => {
    const key = 'a&b=c#d?e%20f+g/"h"{i}~'
    const api = await startApi(t, { key })
    const checker = makeChecker(t, api, { apiKey: key })
    assert.equal((await checker.check(publicAddress(1))).failure, null)
    assert.equal(api.requests[0].keyAccepted, true)
  })

  test('comes from IPGEO_API_KEY, without the blanks around it', async (t) => {
    const api = await startApi(t, { key: 'key-of-environment' })
    const IPGEO_API_KEY = ' key-of-environment\n'
    const checker = withEnvironment({ IPGEO_API_KEY }, () => makeChecker(t, api, { apiKey: undefined }))
    assert.equal((await checker.check(publicAddress(1))).failure, null)
  })

  test('that is written wins over IPGEO_API_KEY', async (t) => {
    const api = await startApi(t, { key: 'key-that-is-written' })
    const environment = { IPGEO_API_KEY: 'key-of-environment' }
    const checker = withEnvironment(environment, () => makeChecker(t, api, { apiKey: 'key-that-is-written' }))
    assert.equal((await checker.check(publicAddress(1))).failure, null)
  })

  for (const IPGEO_API_KEY of [undefined, '', '  ']) {
    const written = JSON.stringify(IPGEO_API_KEY) ?? 'not set'

    test(`is not needed while there are feeds: IPGEO_API_KEY is ${written}`, async () => {
      for (const feeds of [undefined, true, {}]) {
        const checker = withEnvironment({ IPGEO_API_KEY }, () => new RiskChecker({ feeds, logger: false }))
        assert.equal(checker.stats().feeds.origin, 'seed')
        await checker.close()
      }
    })

    test(`is needed without feeds, and all ways out are named: IPGEO_API_KEY is ${written}`, () => {
      const expected = {
        code: 'ERR_IP_RISK_NO_SOURCE',
        message: /`IPGEO_API_KEY`.*`feeds`.*`createTestChecker\(\)`/,
      }
      withEnvironment({ IPGEO_API_KEY }, () => {
        assert.throws(() => new RiskChecker({ feeds: false }), expected)
      })
    })
  }

  test('in IPGEO_API_KEY must be one, too', () => {
    withEnvironment({ IPGEO_API_KEY: 'two words' }, () => {
      assert.throws(() => new RiskChecker(), { code: OPTION, message: /^(?!.*two words)/ })
    })
  })
})

describe('the endpoint', () => {
  for (const endpoint of [
    'https://api.example.com',
    'https://api.example.com/',
    'https://api.example.com:8443/prefix/',
    'https://203.0.113.1',
    'HTTPS://API.EXAMPLE.COM',
    'http://localhost:8080',
    'http://127.0.0.1',
    'http://127.255.255.254:1',
    'http://[::1]:8080/prefix',
  ]) {
    test(`may be \`${endpoint}\``, () => construct({ endpoint }))
  }

  for (const [endpoint, reason] of [
    ['http://api.example.com', 'plain http is for this machine only'],
    ['http://localhost.example.com', 'plain http is for this machine only'],
    ['http://127.0.0.1.example.com', 'plain http is for this machine only'],
    ['http://0.0.0.0', 'plain http is for this machine only'],
    ['http://10.0.0.1', 'plain http is for this machine only'],
    ['http://[2606:4700::1]', 'plain http is for this machine only'],
    ['ftp://127.0.0.1', 'must start with `https://`'],
    ['file:///etc/hosts', 'must start with `https://`'],
    ['data:text/plain,hello', 'must start with `https://`'],
    ['https://api.example.com/?a=b', 'must not have a query or a fragment'],
    ['https://api.example.com/?', 'must not have a query or a fragment'],
    ['https://api.example.com/#a', 'must not have a query or a fragment'],
    ['https://name@api.example.com', 'must not hold a user name or a password'],
    ['https://:word@api.example.com', 'must not hold a user name or a password'],
    ['api.example.com', 'must be a URL'],
    ['//api.example.com', 'must be a URL'],
    ['https://', 'must be a URL'],
    ['', 'must be a URL'],
    [5, 'must be a URL'],
    [null, 'must be a URL'],
    [new URL('https://api.example.com/?a=b'), 'must not have a query'],
  ]) {
    test(`may not be \`${endpoint}\``, () => assertRefused({ endpoint }, OPTION, '`endpoint`', reason))
  }

  test('keeps its path in front of that of the api', async (t) => {
    const api = await startApi(t)
    for (const path of ['', '/', '/prefix', '/prefix/', '/a/b//']) {
      const checker = makeChecker(t, { url: `${api.url}${path}` })
      await checker.check(publicAddress(1))
    }
    const paths = new Set(api.requests.map((request) => request.path))
    assert.deepEqual([...paths], ['/v3/security', '/prefix/v3/security', '/a/b/v3/security'])
  })
})

describe('the logger', () => {
  test('must be one', async () => {
    const write = () => {}
    for (const logger of [null, true, 5, 'console', { info: write }, { info: write, warn: write }, write]) {
      await assert.rejects(construct({ logger }), {
        code: /ERR_IP_RISK_(OPTION|UNKNOWN_OPTION)/,
        message: /logger/,
      })
    }
    const whole = { info: write, warn: write, error: write }
    for (const addresses of ['all', true, null, 5]) {
      await assertRefused({ logger: { addresses } }, OPTION, '`logger.addresses`')
      await assert.rejects(construct({ logger: { ...whole, addresses } }), { code: OPTION })
    }
    for (const logger of [whole, { ...whole, addresses: 'full' }, { addresses: 'network' }, console, false]) {
      await construct({ logger })
    }
  })

  test('that is an array is refused', () => assertRefused({ logger: [] }, OPTION, '`logger`'))

  test('gets a line for each block, challenge and hold, with networks for addresses', async (t) => {
    const { lines, logger } = recorder()
    const { checker } = await startTestChecker(t, { logger, policies: { watch: { mode: 'log-only' } } })
    await checker.checkMany([
      '192.0.2.0',
      '192.0.2.20',
      '192.0.2.45',
      '192.0.2.80',
      'foo',
      '2001:db8:0:80::1',
    ])
    await checker.check('10.1.2.3', { policy: 'payment' })
    await checker.check('192.0.2.80', { policy: 'watch' })
    assert.deepEqual(
      lines.map(([level, { address }, message]) => [level, address, message]).sort(),
      [
        ['info', '192.0.2.0/24', 'challenge'],
        ['warn', '192.0.2.0/24', 'block'],
        ['info', 'none', 'challenge'],
        ['warn', '2001:db8::/48', 'block'],
        ['warn', '10.1.2.0/24', 'hold'],
        ['warn', '192.0.2.0/24', 'would block'],
      ].sort(),
    )
    const [, details] = lines.find(([, , message]) => message === 'hold')
    assert.deepEqual(details, {
      address: '10.1.2.0/24',
      score: 0,
      reasons: ['failed_closed', 'special_use'],
      policy: 'payment',
      source: 'special',
      failure: 'ERR_IP_RISK_SPECIAL_USE',
    })
  })

  test('gets whole addresses when it asks for them', async (t) => {
    const { lines, logger } = recorder()
    const { checker } = await startTestChecker(t, { logger: { ...logger, addresses: 'full' } })
    await checker.check('192.0.2.80')
    assert.equal(lines[0][1].address, '192.0.2.80')
  })

  test('gets one line for failing open, and the count of the rest', async (t) => {
    const { lines, logger } = recorder()
    const { checker, api, close } = await createTestChecker({ logger })
    t.after(close)
    api.fault({ status: 401 })
    for (let last = 0; last < 5; last++) await checker.check(`192.0.2.${last}`)
    const [[level, details, message], outage, ...more] = lines
    assert.deepEqual([level, details.failure, more], ['warn', 'ERR_IP_RISK_KEY_REFUSED', []])
    assert.match(message, /failed open.*IPGEO_API_KEY/)
    assert.deepEqual([outage[0], outage[1].code], ['warn', 'ERR_IP_RISK_KEY_REFUSED'])
    await checker.close()
    assert.deepEqual(lines[2], [
      'warn',
      { count: 4, failure: 'ERR_IP_RISK_KEY_REFUSED' },
      'failed open again',
    ])
  })

  test('that throws is reported once and does not touch the decision', async (t) => {
    const reported = t.mock.method(console, 'error', () => {})
    const logger = { info: fail, warn: fail, error: fail }
    const { checker } = await startTestChecker(t, { logger })
    for (const ip of ['192.0.2.80', '192.0.2.81']) assert.equal((await checker.check(ip)).action, 'block')
    assert.equal(reported.mock.callCount(), 1)
  })
})

function fail() {
  throw new Error('the disk is full')
}

/** A logger that keeps `[level, details, message]` of every line. */
function recorder() {
  const lines = []
  const write = (level) => (details, message) => lines.push([level, details, message])
  return { lines, logger: { info: write('info'), warn: write('warn'), error: write('error') } }
}

describe('IP_RISK_MODE', () => {
  const block = publicAddress(1)

  async function checkUnder(t, mode, options) {
    const api = await startApi(t)
    api.answer(block, { threat_score: 90 })
    const checker = withEnvironment({ IP_RISK_MODE: mode }, () => makeChecker(t, api, options))
    const { mode: decided, action, wouldBe } = await checker.check(block, { policy: 'gate' })
    return [decided, action, wouldBe]
  }

  test('`log-only` is said at the start', async (t) => {
    const logger = recordingLogger()
    const api = await startApi(t)
    withEnvironment({ IP_RISK_MODE: 'log-only' }, () => makeChecker(t, api, { logger }))
    assert.match(
      logger.lines.map(({ message }) => message).join(),
      /`IP_RISK_MODE=log-only` is set: nobody is stopped/,
    )
  })

  test('`log-only` is a kill switch over code', async (t) => {
    for (const mode of [undefined, 'enforce', 'log-only']) {
      const options = { policies: { gate: { mode } } }
      assert.deepEqual(await checkUnder(t, 'log-only', options), ['log-only', 'allow', 'block'])
      assert.deepEqual(await checkUnder(t, ' log-only\n', options), ['log-only', 'allow', 'block'])
    }
  })

  test('never turns a written `log-only` into `enforce`', async (t) => {
    for (const mode of ['enforce', '', undefined]) {
      const options = { policies: { gate: { mode: 'log-only' } } }
      assert.deepEqual(await checkUnder(t, mode, options), ['log-only', 'allow', 'block'])
    }
  })

  test('leaves policies alone that enforce', async (t) => {
    for (const mode of ['enforce', '', undefined]) {
      assert.deepEqual(await checkUnder(t, mode, { policies: { gate: {} } }), ['enforce', 'block', 'block'])
    }
  })

  test('of another value is refused, because a kill switch must not fail silently', () => {
    for (const IP_RISK_MODE of ['log_only', 'LOG-ONLY', 'off', 'true', '1']) {
      withEnvironment({ IP_RISK_MODE }, () => {
        const expected = { code: OPTION, message: /`IP_RISK_MODE` must be `log-only`/ }
        assert.throws(() => new RiskChecker({ apiKey: 'test-key' }), expected)
      })
    }
  })
})

describe('createTestChecker', () => {
  test('refuses what could reach the real api', async () => {
    for (const [key, value] of [
      ['endpoint', 'https://api.ipgeolocation.io'],
      ['endpoint', 'http://127.0.0.1:1'],
      ['endpoint', undefined],
      ['apiKey', 'test-key'],
    ]) {
      const expected = { code: OPTION, message: literal(`\`${key}\` cannot be set`) }
      await assert.rejects(createTestChecker({ [key]: value }), expected)
    }
    for (const api of [null, {}, { url: 'https://api.ipgeolocation.io' }, 'http://127.0.0.1:1']) {
      await assert.rejects(createTestChecker({ api }), { code: OPTION, message: /`api`/ })
    }
  })

  test('refuses mistakes as a checker does', async () => {
    await assert.rejects(createTestChecker({ deadlineMs: 0 }), { code: OPTION, message: /`deadlineMs`/ })
    await assert.rejects(createTestChecker({ apikey: 'a' }), { code: UNKNOWN_OPTION, message: /`apiKey`/ })
  })

  test('refuses options that are no object', async () => {
    for (const options of [null, 5, 'test-key', []]) {
      await assert.rejects(createTestChecker(options), {
        code: ARGUMENT,
        message: /`options` must be an object/,
      })
    }
  })

  test('needs no key, and is not moved by the one of the environment', async (t) => {
    const api = await startMockApi({ key: 'test-key' })
    t.after(() => api.close())
    const IPGEO_API_KEY = 'key-of-environment'
    const world = await withEnvironment({ IPGEO_API_KEY }, () => createTestChecker({ api }))
    t.after(() => world.close())
    assert.equal((await world.checker.check('192.0.2.80')).score, 80)
  })

  test('leaves a stand-in running that was given to it', async (t) => {
    const api = await startApi(t)
    const first = await createTestChecker({ api })
    await first.close()
    const { checker } = await startTestChecker(t, { api })
    assert.equal((await checker.check('192.0.2.80')).score, 80)
  })

  test('has a clock that only it reads', async (t) => {
    const api = await startApi(t)
    const one = await startTestChecker(t, { api })
    const other = await startTestChecker(t, { api })
    for (const { checker } of [one, other]) await checker.check('192.0.2.80')
    one.advance(400_000)
    assert.equal((await one.checker.check('192.0.2.80')).source, 'api')
    assert.equal((await other.checker.check('192.0.2.80')).source, 'memory')
  })

  test('moves its clock forward by whole milliseconds only', async (t) => {
    const { advance } = await startTestChecker(t)
    for (const milliseconds of [-1, 0.5, NaN, Infinity, '5', null, undefined, 10n]) {
      assert.throws(() => advance(milliseconds), { code: ARGUMENT, message: /`milliseconds`/ })
    }
    advance(0)
  })
})
