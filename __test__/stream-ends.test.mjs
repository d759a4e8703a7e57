/** Streams of decisions that end before their source does: the loop is left, a signal aborts, the checker is closed. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { publicAddress, startTestChecker, until } from './support/start.mjs'
import {
  KINDS,
  MOST_AHEAD,
  askedOf,
  assertFewMore,
  drain,
  lookUpsAreOver,
  many,
  quietSource,
  someAreAsked,
  textsOf,
  watchedSource,
} from './support/streams.mjs'

describe('leaving the loop', () => {
  for (const kind of KINDS) {
    test(`closes a ${kind} source once, and asks about no further address`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      api.latencyMs = 20
      const { ips, seen } = watchedSource(kind, (position) => publicAddress(position))
      const stream = checker.checkStream(ips)[Symbol.asyncIterator]()
      const first = stream.next()
      const before = await someAreAsked(api)
      assert.deepEqual(await stream.return(), { done: true, value: undefined })
      assert.deepEqual(await first, { done: true, value: undefined })
      assert.deepEqual(await stream.next(), { done: true, value: undefined })
      await stream.return()
      await lookUpsAreOver(checker)
      assertFewMore(api, before)
      assert.ok(seen.read <= MOST_AHEAD)
      assert.equal(seen.closed, 1)
    })

    test(`by break waits until a ${kind} source is closed`, async (t) => {
      const { checker } = await startTestChecker(t)
      const { ips, seen } = watchedSource(kind, (position) => (position < 10_000 ? '192.0.2.1' : undefined))
      for await (const decision of checker.checkStream(ips)) {
        assertDecision(decision, { ip: '192.0.2.1' })
        if (seen.read > 2_000) break
      }
      assert.equal(seen.closed, 1)
    })
  }

  test('runs the end of a generator, and throws what that throws', async (t) => {
    const { checker } = await startTestChecker(t)
    const problem = new Error('the cursor is gone')
    const fail = () => {
      throw problem
    }
    function* source() {
      try {
        while (true) yield '192.0.2.1'
      } finally {
        fail()
      }
    }
    await assert.rejects(async () => {
      for await (const { ip } of checker.checkStream(source())) if (ip) break
    }, problem)
  })

  test('does not wait for a source that is quiet, and asks about nothing that it gives later', async (t) => {
    const { checker, api } = await startTestChecker(t)
    let giveMore
    const seen = []
    async function* source() {
      try {
        yield '192.0.2.1'
        await new Promise((resolve) => (giveMore = resolve))
        yield '192.0.2.2'
        seen.push('went on')
      } finally {
        seen.push('closed')
      }
    }
    for await (const { ip } of checker.checkStream(source())) if (ip) break
    assert.deepEqual(seen, [])
    giveMore()
    await until(() => seen.length > 0)
    assert.deepEqual(seen, ['closed'])
    // What waits for others longer than this one did is handed over.
    for await (const { ip } of checker.checkStream(quietSource(['192.0.2.3']).ips)) if (ip) break
    assert.deepEqual(askedOf(api), ['192.0.2.1', '192.0.2.3'])
  })

  test('is not told what becomes of the source afterwards', async (t) => {
    const { checker } = await startTestChecker(t)
    let fail
    async function* source() {
      yield '192.0.2.1'
      await new Promise((_, reject) => (fail = reject))
    }
    const stream = checker.checkStream(source())[Symbol.asyncIterator]()
    await stream.next()
    await stream.return()
    fail(new Error('the disk is gone'))
    await new Promise(setImmediate)
    assert.deepEqual(await stream.next(), { done: true, value: undefined })
  })

  for (const [what, make] of [
    ['has more', () => Readable.from(many(20_000))],
    ['is quiet', () => new Readable({ objectMode: true, read() {} })],
  ]) {
    test(`destroys a stream of Node.js that ${what}`, async (t) => {
      const { checker } = await startTestChecker(t)
      const source = make()
      const closed = new Promise((resolve) => source.once('close', resolve))
      if (what === 'is quiet') source.push('192.0.2.1')
      const stream = checker.checkStream(source)[Symbol.asyncIterator]()
      await stream.next()
      await stream.return()
      await closed
      assert.deepEqual(await stream.next(), { done: true, value: undefined })
    })
  }

  test('before anything was asked for leaves the source alone', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const { ips, seen } = watchedSource('synchronous', () => '192.0.2.1')
    const stream = checker.checkStream(ips)[Symbol.asyncIterator]()
    await stream.return()
    assert.deepEqual(await stream.next(), { done: true, value: undefined })
    assert.deepEqual(seen, { read: 0, closed: 0, askedAtOnce: 0 })
    assert.equal(api.requestCount(), 0)
  })
})

describe('an abort signal', () => {
  const reason = new Error('the client went away')

  for (const kind of KINDS) {
    test(`ends a stream of a ${kind} source with its reason, and asks about no further address`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      api.latencyMs = 20
      const controller = new AbortController()
      const { ips, seen } = watchedSource(kind, (position) => publicAddress(position))
      const stream = checker.checkStream(ips, { signal: controller.signal })[Symbol.asyncIterator]()
      const first = stream.next()
      const before = await someAreAsked(api)
      controller.abort(reason)
      await assert.rejects(first, reason)
      assert.deepEqual(await stream.next(), { done: true, value: undefined })
      await lookUpsAreOver(checker)
      assertFewMore(api, before)
      assert.equal(seen.closed, 1)
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
    })
  }

  test('ends the loop of a consumer that is busy at its next step', async (t) => {
    const { checker } = await startTestChecker(t)
    const controller = new AbortController()
    const source = watchedSource('synchronous', () => '192.0.2.1')
    const decisions = []
    await assert.rejects(async () => {
      for await (const decision of checker.checkStream(source.ips, { signal: controller.signal })) {
        decisions.push(decision)
        if (decisions.length === 1_500) controller.abort(reason)
      }
    }, reason)
    assert.equal(decisions.length, 1_500)
    assert.equal(source.seen.closed, 1)
  })

  test('ends a stream whose source is quiet', async (t) => {
    const { checker } = await startTestChecker(t)
    const controller = new AbortController()
    const stream = checker.checkStream(quietSource(many(2)).ips, { signal: controller.signal })
    const decisions = []
    await assert.rejects(async () => {
      for await (const decision of stream) {
        decisions.push(decision)
        if (decisions.length === 2) setImmediate(() => controller.abort(reason))
      }
    }, reason)
    assert.deepEqual(textsOf(decisions), many(2))
  })

  test('is not heard of by one who leaves', async (t) => {
    const { checker } = await startTestChecker(t)
    const controller = new AbortController()
    const stream = checker.checkStream(many(2), { signal: controller.signal })[Symbol.asyncIterator]()
    await stream.next()
    controller.abort(reason)
    await stream.return()
    assert.deepEqual(await stream.next(), { done: true, value: undefined })
  })

  test('that has aborted before rejects the first step without opening the source', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const { ips, seen } = watchedSource('synchronous', () => '192.0.2.1')
    const { decisions, error } = await drain(checker.checkStream(ips, { signal: AbortSignal.abort(reason) }))
    assert.deepEqual([decisions, error], [[], reason])
    assert.deepEqual(seen, { read: 0, closed: 0, askedAtOnce: 0 })
    assert.equal(api.requestCount(), 0)
  })

  test('that the source itself aborts closes that source too', async (t) => {
    const { checker } = await startTestChecker(t)
    const controller = new AbortController()
    const seen = []
    function* source() {
      try {
        for (let position = 0; ; position++) {
          if (position === 2_500) controller.abort(reason)
          yield '192.0.2.1'
        }
      } finally {
        seen.push('closed')
      }
    }
    const { error } = await drain(checker.checkStream(source(), { signal: controller.signal }))
    assert.equal(error, reason)
    assert.deepEqual(seen, ['closed'])
  })

  test('that never aborts keeps nothing of streams that ended', async (t) => {
    const { checker } = await startTestChecker(t)
    const { signal } = new AbortController()
    for (let time = 0; time < 20; time++) await drain(checker.checkStream(['192.0.2.1'], { signal }))
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })
})

describe('close', () => {
  const expected = { code: 'ERR_IP_RISK_CLOSED', message: /make a new one/ }

  test('before makes checkStream throw at once', async (t) => {
    const { checker } = await startTestChecker(t)
    await checker.close()
    assert.throws(() => checker.checkStream([]), expected)
  })

  for (const kind of KINDS) {
    test(`ends a stream of a ${kind} source after the decisions that are under way`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      api.latencyMs = 20
      const { ips, seen } = watchedSource(kind, (position) => publicAddress(position))
      const result = drain(checker.checkStream(ips, { policy: 'payment' }))
      const before = await someAreAsked(api)
      await checker.close()
      const { decisions, error } = await result
      assert.throws(() => {
        throw error
      }, expected)
      assert.deepEqual(textsOf(decisions), many(decisions.length))
      assert.ok(decisions.length > 0 && decisions.length <= seen.read)
      const failures = new Set(decisions.map(({ failure }) => failure))
      assert.ok([...failures].every((failure) => failure === null || failure === 'ERR_IP_RISK_CLOSED'))
      assertFewMore(api, before)
      assert.equal(seen.closed, 1)
    })

    test(`comes before a later error of a ${kind} source, as what was read before it is not decided`, async (t) => {
      const { checker, api } = await startTestChecker(t)
      api.latencyMs = 20
      const { ips } = watchedSource(kind, (position) => {
        if (position === 4_500) throw new Error('the disk is gone')
        return publicAddress(position)
      })
      const result = drain(checker.checkStream(ips))
      await someAreAsked(api)
      await checker.close()
      const { decisions, error } = await result
      assert.deepEqual([decisions.length, error.code], [4_000, 'ERR_IP_RISK_CLOSED'])
    })

    test(`ends a stream of a ${kind} source that has not begun, without a look at it`, async (t) => {
      const { checker } = await startTestChecker(t)
      const { ips, seen } = watchedSource(kind, () => '192.0.2.1')
      const stream = checker.checkStream(ips)
      await checker.close()
      const { decisions, error } = await drain(stream)
      assert.deepEqual([decisions, error.code], [[], 'ERR_IP_RISK_CLOSED'])
      assert.equal(seen.read, 0)
    })
  }

  test('ends streams whose sources are quiet, and says no warning about many of them', async (t) => {
    const { checker } = await startTestChecker(t)
    const warnings = []
    const warn = (warning) => warnings.push(warning)
    process.on('warning', warn)
    t.after(() => process.off('warning', warn))
    const known = new Set()
    const results = Array.from({ length: 20 }, async (_, number) => {
      const stream = checker.checkStream(quietSource([publicAddress(number)]).ips)
      for await (const { ip } of stream) known.add(ip)
    })
    const ended = Promise.allSettled(results)
    await until(() => known.size === 20)
    await checker.close()
    for (const { reason } of await ended) assert.equal(reason.code, 'ERR_IP_RISK_CLOSED')
    await new Promise(setImmediate)
    assert.deepEqual(warnings, [])
  })
})
