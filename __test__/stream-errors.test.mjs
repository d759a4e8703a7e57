/** Errors of a stream of decisions: of its source, of an item in it, and of the call. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { publicAddress, startTestChecker } from './support/start.mjs'
import { KINDS, drain, many, textsOf, watchedSource } from './support/streams.mjs'

describe('an error', () => {
  for (const kind of KINDS) {
    test(`of a ${kind} source comes after what it gave before`, async (t) => {
      const { checker } = await startTestChecker(t)
      const problem = new Error('the disk is gone')
      const { ips, seen } = watchedSource(kind, (position) => {
        if (position === 2_345) throw problem
        return publicAddress(position)
      })
      const stream = checker.checkStream(ips)
      const { decisions, error } = await drain(stream)
      assert.equal(error, problem)
      assert.deepEqual(textsOf(decisions), many(2_345))
      assert.equal(seen.closed, 0, 'a source that failed is over')
      assert.deepEqual(await drain(stream), { decisions: [] })
    })

    test(`in an item of a ${kind} source says which, after what came before`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      for (const [position, item, shown] of [
        [0, null, 'null'],
        [2, 5, '5'],
        [1_000, Buffer.from('192.0.2.1'), 'Buffer'],
        [2_345, Promise.resolve('192.0.2.1'), 'Promise'],
      ]) {
        const { ips, seen } = watchedSource(kind, (at) => (at === position ? item : '192.0.2.1'))
        const { decisions, error } = await drain(checker.checkStream(ips))
        assert.equal(error.code, 'ERR_IP_RISK_ARGUMENT')
        assert.equal(error.message, `\`ips[${position}]\` must be a string, not ${shown}`)
        assert.equal(decisions.length, position)
        assert.deepEqual([seen.read, seen.closed], [position + 1, 1])
      }
      assert.ok(api.requestCount() <= 1)
    })
  }

  test('in opening the source is passed on', async (t) => {
    const { checker } = await startTestChecker(t)
    const problem = new Error('no such file')
    const ips = {
      [Symbol.asyncIterator]() {
        throw problem
      },
    }
    assert.deepEqual(await drain(checker.checkStream(ips)), { decisions: [], error: problem })
  })

  test('in what is not iterable throws at once', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const ips of [
      undefined,
      null,
      5,
      true,
      {},
      Symbol('ips'),
      () => [],
      { length: 1, 0: '192.0.2.1' },
    ]) {
      const message = /`ips` must be an array or another iterable of strings, not /
      assert.throws(() => checker.checkStream(ips), { code: 'ERR_IP_RISK_ARGUMENT', message })
    }
  })

  test('in the form of one text throws at once, with a hint', async (t) => {
    const { checker } = await startTestChecker(t)
    const expected = { code: 'ERR_IP_RISK_ARGUMENT', message: /`ips`.*write `\[ip\]`, or use `check`/ }
    assert.throws(() => checker.checkStream('192.0.2.1'), expected)
  })

  test('in the options throws at once', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const [options, code, message] of [
      [null, 'ARGUMENT', /`options` must be an object/],
      ['payment', 'ARGUMENT', /`options` must be an object/],
      [{ signal: {} }, 'ARGUMENT', /`signal` must be an AbortSignal/],
      [{ route: 5 }, 'ARGUMENT', /`route` must be a string/],
      [{ polcy: 'payment' }, 'UNKNOWN_OPTION', /`polcy`.*`policy`/],
      [{ policy: 'logn' }, 'UNKNOWN_POLICY', /known are `login`, `payment`/],
    ]) {
      const expected = { code: `ERR_IP_RISK_${code}`, message }
      assert.throws(() => checker.checkStream([], options), expected)
    }
  })
})
