import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RiskChecker } from './support/package.mjs'
import { assertDecision } from './support/decisions.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker } from './support/start.mjs'

describe('a mistake of the caller', () => {
  const mistakes = [
    undefined,
    null,
    5,
    true,
    {},
    [],
    ['1.1.1.1'],
    Symbol('ip'),
    1n,
    new Date(0),
    () => '1.1.1.1',
  ]

  test('in the address rejects, and does not throw', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const ip of mistakes) {
      const message = /`ip` must be a string/
      await assert.rejects(checker.check(ip), { code: 'ERR_IP_RISK_ARGUMENT', message })
      assert.throws(() => checker.peek(ip), { code: 'ERR_IP_RISK_ARGUMENT', message })
      if (ip === undefined) continue
      await assert.rejects(checker.invalidate(ip), { code: 'ERR_IP_RISK_ARGUMENT', message })
    }
    await assert.rejects(checker.check(), { code: 'ERR_IP_RISK_ARGUMENT' })
    assert.equal(api.requestCount(), 0)
  })

  test('in the list rejects', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const ips of [undefined, null, '1.1.1.1', { length: 1 }, new Set(['1.1.1.1'])]) {
      const message = /`ips` must be an array of strings, not .*; write `\[\.\.\.ips\]`, or use `checkStream`/
      await assert.rejects(checker.checkMany(ips), { code: 'ERR_IP_RISK_ARGUMENT', message })
    }
    for (const [ips, message] of [
      [['192.0.2.1', 5], '`ips[1]` must be a string, not 5'],
      [[null], '`ips[0]` must be a string, not null'],
    ]) {
      const expected = { code: 'ERR_IP_RISK_ARGUMENT', message }
      await assert.rejects(checker.checkMany(ips), expected)
    }
    assert.equal(api.requestCount(), 0)
  })

  test('in a list with holes rejects as any other', async (t) => {
    const { checker } = await startTestChecker(t)
    const holes = ['192.0.2.1']
    holes[2] = '192.0.2.2'
    await assert.rejects(checker.checkMany(holes), { code: 'ERR_IP_RISK_ARGUMENT' })
  })

  test('in the options rejects', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const [options, message] of [
      [null, /`options` must be an object/],
      ['payment', /`options` must be an object/],
      [5, /`options` must be an object/],
      [[], /`options` must be an object/],
      [{ signal: {} }, /`signal` must be an AbortSignal/],
      [{ signal: null }, /`signal` must be an AbortSignal/],
    ]) {
      const expected = { code: 'ERR_IP_RISK_ARGUMENT', message }
      await assert.rejects(checker.check('192.0.2.1', options), expected)
      await assert.rejects(checker.checkMany(['192.0.2.1'], options), expected)
    }
  })

  test('in the name of an option is not taken for no option', async (t) => {
    const { checker } = await startTestChecker(t)
    const expected = { code: 'ERR_IP_RISK_UNKNOWN_OPTION', message: /`polcy`.*`policy`/ }
    await assert.rejects(checker.check('192.0.2.1', { polcy: 'payment' }), expected)
    await assert.rejects(checker.checkMany(['192.0.2.1'], { polcy: 'payment' }), expected)
    assert.throws(() => checker.peek('192.0.2.1', { polcy: 'payment' }), expected)
  })

  test('in the route rejects', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const route of [5, null, /login/, ['/login']]) {
      const expected = { code: 'ERR_IP_RISK_ARGUMENT', message: /`route` must be a string/ }
      await assert.rejects(checker.check('192.0.2.1', { route }), expected)
    }
  })

  test('in the name of the policy rejects, and the names that exist are said', async (t) => {
    const { checker } = await startTestChecker(t, { policies: { admin: {} } })
    for (const policy of ['', 'Login', 'logn', 'constructor', '__proto__', null, 5]) {
      const message = /no policy is called `.*`; known are `login`, `payment`, `admin`/
      const expected = { code: 'ERR_IP_RISK_UNKNOWN_POLICY', message }
      await assert.rejects(checker.check('192.0.2.1', { policy }), expected)
      await assert.rejects(checker.checkMany([], { policy }), expected)
      assert.throws(() => checker.peek('192.0.2.1', { policy }), expected)
    }
  })

  test('in what a method is called on does not crash', async () => {
    for (const method of ['check', 'peek', 'checkMany', 'checkStream', 'invalidate', 'stats', 'close']) {
      const call = async () =>
        RiskChecker.prototype[method].call({}, method === 'checkStream' ? [] : '1.1.1.1')
      await assert.rejects(call)
    }
    assert.throws(() => RiskChecker(), TypeError)
  })
})

describe('a closed checker', () => {
  test('rejects everything with a code, but for closing again', async (t) => {
    const { checker } = await startTestChecker(t)
    assert.equal(await checker.close(), undefined)
    assert.equal(await checker.close(), undefined)
    const expected = { code: 'ERR_IP_RISK_CLOSED', message: /make a new one/ }
    await assert.rejects(checker.check('192.0.2.1'), expected)
    await assert.rejects(checker.check('foo', { policy: 'payment' }), expected)
    await assert.rejects(checker.check('192.0.2.1', { policy: 'unknown' }), expected)
    await assert.rejects(checker.checkMany(['192.0.2.1']), expected)
    await assert.rejects(checker.checkMany([]), expected)
    await assert.rejects(checker.invalidate(), expected)
    assert.throws(() => checker.peek('192.0.2.1'), expected)
    assert.throws(() => checker.stats(), expected)
  })

  test('leaves the checkers that share its engine working', async (t) => {
    const api = await startApi(t)
    const [one, other] = [makeChecker(t, api), makeChecker(t, api)]
    await one.check(publicAddress(1))
    await one.close()
    assertDecision(await other.check(publicAddress(1)), { source: 'memory' })
    assertDecision(await other.check(publicAddress(2)), { source: 'api' })
  })

  test('forgets its cache when it was the last', async (t) => {
    const api = await startApi(t)
    for (const calls of [1, 2]) {
      const checker = makeChecker(t, api)
      await checker.check(publicAddress(1))
      await checker.close()
      assert.equal(api.requestCount(), calls)
    }
  })

  test('is closed by Symbol.asyncDispose', async (t) => {
    const { checker } = await startTestChecker(t)
    await checker[Symbol.asyncDispose]()
    await assert.rejects(checker.check('192.0.2.1'), { code: 'ERR_IP_RISK_CLOSED' })
  })

  test('gives the checks that are under way their answers first', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 50
    const seen = []
    const one = checker.check(addressOf('vpn')).then(({ score }) => seen.push(score))
    const many = checker.checkMany(['192.0.2.1', '192.0.2.2']).then(({ length }) => seen.push(length))
    await checker.close()
    assert.deepEqual(seen.sort(), [2, 50])
    await Promise.all([one, many])
  })
})

test('what the package needs of the addon is not there for others', async (t) => {
  const { checker } = await startTestChecker(t)
  const names = new Set()
  for (let object = checker; object !== Object.prototype; object = Object.getPrototypeOf(object)) {
    for (const name of Object.getOwnPropertyNames(object)) names.add(name)
  }
  const expected = [
    'check',
    'checkMany',
    'checkStream',
    'close',
    'constructor',
    'invalidate',
    'peek',
    'stats',
  ]
  assert.deepEqual([...names].sort(), expected)
})

test('only the testing entry lifts the documentation addresses', async (t) => {
  const api = await startApi(t)
  const options = { apiKey: 'test-key', endpoint: api.url, logger: false }
  for (const second of [true, 1, Symbol('testing')]) {
    const checker = new RiskChecker(options, second)
    assert.equal((await checker.check('192.0.2.80')).failure, 'ERR_IP_RISK_SPECIAL_USE')
    await checker.close()
  }
})
