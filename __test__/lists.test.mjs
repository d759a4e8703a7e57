import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { createTestChecker } from './support/package.mjs'
import { DAY, OPTION, UNKNOWN_OPTION, assertMistake, startWithLogin, verdict } from './support/policies.mjs'
import { publicAddress, startTestChecker } from './support/start.mjs'

describe('a list', () => {
  test('lets in or refuses whatever is known, without asking anybody', async (t) => {
    const { checker, api } = await startWithLogin(t, {
      allow: ['192.0.2.80', '2001:db8:0:80::/64'],
      deny: ['192.0.2.0/28', { cidr: '2001:db8:0:19::1' }],
    })
    const expected = { score: 0, band: null, flags: {}, source: 'list', provider: null, failure: null }
    for (const ip of ['192.0.2.80', '2001:db8:0:80::5']) {
      const decision = await checker.check(ip)
      assertDecision(decision, {
        ...expected,
        ip,
        action: 'allow',
        reasons: ['allow_list'],
        failedOpen: false,
      })
    }
    for (const ip of ['192.0.2.0', '192.0.2.15', '2001:db8:0:19::1']) {
      assertDecision(await checker.check(ip), { ...expected, ip, action: 'block', reasons: ['deny_list'] })
    }
    assert.equal(api.requestCount(), 0)
    for (const ip of ['192.0.2.16', '192.0.2.81', '2001:db8:0:19::2']) {
      assertDecision(await checker.check(ip), { source: 'api' })
    }
  })

  test('of allow entries is asked before that of deny entries', async (t) => {
    const { checker } = await startWithLogin(t, {
      allow: ['192.0.2.0/24'],
      deny: ['192.0.2.80', '0.0.0.0/0'],
    })
    assert.deepEqual(await verdict(checker, '192.0.2.80'), ['allow', 'allow_list'])
    assert.deepEqual(await verdict(checker, '198.51.100.1'), ['block', 'deny_list'])
  })

  test('is about the address in any spelling', async (t) => {
    const { checker } = await startWithLogin(t, { deny: ['192.0.2.7', '2001:DB8:0:0:0:0:0:7'] })
    const spellings = [
      '192.0.2.7',
      '::ffff:192.0.2.7',
      '2002:c000:207::1',
      '64:ff9b::192.0.2.7',
      '2001:db8::7',
    ]
    for (const ip of spellings) assert.deepEqual(await verdict(checker, ip), ['block', 'deny_list'], ip)
  })

  test('may name a network of transition addresses itself', async (t) => {
    const { checker } = await startWithLogin(t, { deny: ['2002::/16'] })
    assert.deepEqual(await verdict(checker, '2002:c000:207::1'), ['block', 'deny_list'])
    assert.deepEqual((await verdict(checker, '192.0.2.7'))[0], 'allow')
  })

  test('holds for special-use space too, which may be allowed so', async (t) => {
    const policies = { payment: { allow: ['10.0.0.0/8', '::1'] }, login: { deny: ['127.0.0.1'] } }
    const { checker } = await startTestChecker(t, { policies })
    const payment = { policy: 'payment' }
    assert.deepEqual(await verdict(checker, '10.1.2.3', payment), ['allow', 'allow_list'])
    assert.deepEqual(await verdict(checker, '::1', payment), ['allow', 'allow_list'])
    assert.deepEqual(await verdict(checker, '11.1.2.3', payment), ['allow', 'below_thresholds'])
    assert.deepEqual(await verdict(checker, '127.0.0.1'), ['block', 'deny_list'])
  })

  test('entry may have an owner and a reason', async (t) => {
    const allow = [{ cidr: '192.0.2.80', owner: 'team-payments', reason: 'the office in town' }]
    const { checker } = await startWithLogin(t, { allow })
    assert.deepEqual(await verdict(checker, '192.0.2.80'), ['allow', 'allow_list'])
  })

  test('entry ends when it expires', async (t) => {
    const soon = new Date(Date.now() + 60_000)
    // Not tomorrow, which may be seconds away.
    const dayAfterTomorrow = new Date(Date.now() + 2 * DAY).toISOString().slice(0, 10)
    const allow = [
      { cidr: '192.0.2.80', expires: soon },
      { cidr: '192.0.2.81', expires: soon.toISOString() },
      { cidr: '192.0.2.82', expires: dayAfterTomorrow },
      { cidr: '192.0.2.83', expires: '2020-01-31' },
      { cidr: '192.0.2.84', expires: new Date(Date.now() + 3_600_000).toISOString().replace('Z', '+00:00') },
    ]
    const { checker, advance } = await startWithLogin(t, { allow })
    const allowed = async () => {
      const decisions = await checker.checkMany([80, 81, 82, 83, 84].map((last) => `192.0.2.${last}`))
      return decisions.filter(({ action }) => action === 'allow').map(({ ip }) => Number(ip.slice(8)))
    }
    assert.deepEqual(await allowed(), [80, 81, 82, 84])
    advance(50_000)
    assert.deepEqual(await allowed(), [80, 81, 82, 84])
    advance(10_000)
    assert.deepEqual(await allowed(), [82, 84])
    advance(2 * DAY)
    assert.deepEqual(await allowed(), [])
  })

  test('entry ends at no other time than it says: one without a zone is refused, not cut to its day', async () => {
    for (const expires of ['2090-01-31T12:00:00', '2090-01-31 12:00']) {
      const message = /`policies\.login\.deny\[0\]\.expires` must be a date/
      await assertMistake({ deny: [{ cidr: '192.0.2.1', expires }] }, OPTION, message)
    }
  })

  test('entry that expired uncovers the wider one', async (t) => {
    const expires = new Date(Date.now() + 60_000)
    const { checker, advance } = await startWithLogin(t, {
      allow: [{ cidr: '192.0.2.80', expires }],
      deny: [{ cidr: '192.0.2.0/24', expires: new Date(Date.now() + 120_000) }],
    })
    const seen = []
    for (let time = 0; time < 3; time++) {
      seen.push((await verdict(checker, '192.0.2.80')).at(-1))
      advance(60_000)
    }
    assert.deepEqual(seen, ['allow_list', 'deny_list', 'threshold_block'])
  })

  test('entry with routes is for those routes only', async (t) => {
    const { checker } = await startWithLogin(t, {
      allow: [{ cidr: '192.0.2.80', routes: ['/health', '/status'] }],
      deny: [{ cidr: '192.0.2.1', routes: ['/transfer'] }],
    })
    const actions = (ip, ...routes) =>
      Promise.all(routes.map(async (route) => (await checker.check(ip, { route })).action))
    assert.deepEqual(await actions('192.0.2.80', '/health', '/status'), ['allow', 'allow'])
    assert.deepEqual(await actions('192.0.2.80', '/health/', '/login', undefined), [
      'block',
      'block',
      'block',
    ])
    assert.deepEqual(await actions('192.0.2.1', '/transfer', '/login'), ['block', 'allow'])
  })

  test('may hold the same network several times', async (t) => {
    const { checker } = await startWithLogin(t, {
      deny: [
        { cidr: '192.0.2.0/24', routes: ['/a'] },
        { cidr: '192.0.2.0/24', expires: '2020-01-31' },
        { cidr: '192.0.2.0/24', routes: ['/b'] },
        { cidr: '192.0.2.1', routes: ['/c'] },
      ],
    })
    const seen = {}
    for (const route of ['/a', '/b', '/c', '/d']) {
      seen[route] = (await checker.check('192.0.2.1', { route })).action
    }
    assert.deepEqual(seen, { '/a': 'block', '/b': 'block', '/c': 'block', '/d': 'allow' })
  })

  test('of many entries decides as one of few', async (t) => {
    const deny = Array.from({ length: 5_000 }, (_, index) => publicAddress(index * 2))
    const { checker } = await startWithLogin(t, { deny })
    const decisions = await checker.checkMany([0, 1, 2, 9_997, 9_998, 10_000].map(publicAddress))
    const actions = decisions.map(({ action }) => action)
    assert.deepEqual(actions, ['block', 'allow', 'block', 'allow', 'block', 'allow'])
  })

  for (const [cidr, message] of [
    ['192.0.2.1/24', /has bits set after its prefix; write `192\.0\.2\.0\/24`/],
    ['2001:db8::1/32', /has bits set after its prefix; write `2001:db8::\/32`/],
    ['::ffff:192.0.2.0/120', /is IPv4-mapped; write the IPv4 network itself/],
    ['::ffff:0.0.0.0/96', /is IPv4-mapped; write the IPv4 network itself/],
    ['192.0.2.0/33', /must be an address or a CIDR/],
    ['2001:db8::/129', /must be an address or a CIDR/],
    ['192.0.2.0/-1', /must be an address or a CIDR/],
    ['192.0.2.0/024', /must be an address or a CIDR/],
    ['192.0.2.0/', /must be an address or a CIDR/],
    ['192.0.2/24', /must be an address or a CIDR/],
    ['192.0.2.0/255.255.255.0', /must be an address or a CIDR/],
    ['192.0.2.1-192.0.2.9', /must be an address or a CIDR/],
    ['192.0.2.1 ', /must be an address or a CIDR/],
    ['example.com', /must be an address or a CIDR/],
    ['', /must be a text that is not empty/],
    [5, /must be an object/],
    [null, /must be an object/],
    [['192.0.2.1'], /must be an object/],
  ]) {
    test(`refuses \`${JSON.stringify(cidr)}\``, async () => {
      for (const list of ['allow', 'deny']) {
        const path = new RegExp(`\`policies\\.login\\.${list}\\[1\\]\`.*${message.source}`)
        await assertMistake({ [list]: ['192.0.2.1', cidr] }, OPTION, path)
      }
    })
  }

  test('of allow entries cannot hold the whole internet', async () => {
    const message = /`policies\.login\.allow\[0\]`: an allow entry may not hold the whole internet.*log-only/
    for (const cidr of ['0.0.0.0/0', '::/0']) {
      await assertMistake({ allow: [cidr] }, OPTION, message)
      const inside = /`policies\.login\.allow\[0\]\.cidr`: an allow entry may not hold the whole internet/
      await assertMistake({ allow: [{ cidr }] }, OPTION, inside)
    }
  })

  test('of allow entries cannot hold the whole IPv4 internet in another spelling', async () => {
    for (const cidr of ['::/1', '::/64', '::/80']) {
      const { checker, close } = await createTestChecker({ policies: { login: { allow: [cidr] } } })
      assert.equal((await checker.check('192.0.2.80')).action, 'block', cidr)
      await close()
    }
  })

  for (const [entry, code, message] of [
    [{}, OPTION, /`policies\.login\.deny\[0\]\.cidr` is missing/],
    [{ cidr: 5 }, OPTION, /`policies\.login\.deny\[0\]\.cidr` must be/],
    [{ ip: '192.0.2.1' }, UNKNOWN_OPTION, /`policies\.login\.deny\[0\]\.ip` is not an option/],
    [
      { cidr: '192.0.2.1', expire: '2030-01-01' },
      UNKNOWN_OPTION,
      /`policies\.login\.deny\[0\]\.expire`.*`expires`/,
    ],
    [{ cidr: '192.0.2.1', expires: 'soon' }, OPTION, /`policies\.login\.deny\[0\]\.expires` must be a date/],
    [
      { cidr: '192.0.2.1', expires: 1_900_000_000 },
      OPTION,
      /`policies\.login\.deny\[0\]\.expires` must be a date/,
    ],
    [
      { cidr: '192.0.2.1', expires: new Date(NaN) },
      OPTION,
      /`policies\.login\.deny\[0\]\.expires` must be a date/,
    ],
    [
      { cidr: '192.0.2.1', expires: '2030-02-30' },
      OPTION,
      /`policies\.login\.deny\[0\]\.expires` must be a date/,
    ],
    [{ cidr: '192.0.2.1', expires: '1969-12-31' }, OPTION, /`policies\.login\.deny\[0\]\.expires`/],
    [{ cidr: '192.0.2.1', owner: '' }, OPTION, /`policies\.login\.deny\[0\]\.owner` must be/],
    [{ cidr: '192.0.2.1', reason: 5 }, OPTION, /`policies\.login\.deny\[0\]\.reason` must be/],
    [{ cidr: '192.0.2.1', routes: [] }, OPTION, /`policies\.login\.deny\[0\]\.routes` must be/],
    [{ cidr: '192.0.2.1', routes: '/a' }, OPTION, /`policies\.login\.deny\[0\]\.routes` must be an array/],
    [{ cidr: '192.0.2.1', routes: ['/a', ''] }, OPTION, /`policies\.login\.deny\[0\]\.routes\[1\]` must be/],
  ]) {
    test(`refuses the entry ${JSON.stringify(entry)}`, () => assertMistake({ deny: [entry] }, code, message))
  }

  test('must be an array', async () => {
    for (const list of [null, 5, '192.0.2.1', { cidr: '192.0.2.1' }]) {
      await assertMistake({ allow: list }, OPTION, /`policies\.login\.allow` must be an array/)
    }
  })
})
