import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { runForJson, runScript } from './support/children.mjs'
import { assertDecision } from './support/decisions.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker, until } from './support/start.mjs'

/** How far a source may be read ahead of the one who takes the decisions. */
const MOST_AHEAD = 5_000

const many = (count) => Array.from({ length: count }, (_, number) => publicAddress(number))

/** All that a stream gives, and what it rejects with, if it does. */
async function drain(stream) {
  const decisions = []
  try {
    for await (const decision of stream) decisions.push(decision)
  } catch (error) {
    return { decisions, error }
  }
  return { decisions }
}

const textsOf = (decisions) => decisions.map(({ ip }) => ip)

/** The addresses that the provider was asked about. */
const askedOf = (api) => api.requests.flatMap(({ ips }) => ips)

/** Resolves when the provider is asked about some addresses: about how many. */
async function someAreAsked(api) {
  await until(() => askedOf(api).length >= 32)
  return askedOf(api).length
}

async function lookUpsAreOver(checker) {
  await until(() => checker.stats().upstream.inFlight === 0)
}

/** What was handed over, four batches of a thousand at most, may still arrive. */
function assertFewMore(api, before) {
  const more = askedOf(api).length - before
  assert.ok(more <= 4_000, `${more} more addresses were asked about`)
}

/**
 * A source of either kind that counts: `{ ips, seen }`. `give(position)` is the item there, or throws; `undefined` is the
 * end.
 */
function watchedSource(kind, give) {
  const seen = { read: 0, closed: 0, askedAtOnce: 0 }
  const step = () => {
    const value = give(seen.read)
    if (value !== undefined) seen.read++
    return { done: value === undefined, value }
  }
  let asking = 0
  const later = async () => {
    seen.askedAtOnce = Math.max(seen.askedAtOnce, ++asking)
    await new Promise((resolve) => queueMicrotask(resolve))
    asking--
    return step()
  }
  const close = () => ({ done: true, value: void seen.closed++ })
  const iterator =
    kind === 'synchronous' ? { next: step, return: close } : { next: later, return: async () => close() }
  const symbol = kind === 'synchronous' ? Symbol.iterator : Symbol.asyncIterator
  return { ips: { [symbol]: () => iterator }, seen }
}

const KINDS = ['synchronous', 'asynchronous']

/** A source that gives these addresses and then nothing for ever, with what shows that it was closed. */
function quietSource(ips) {
  const source = { isClosed: false }
  const silence = new Promise(() => {})
  source.ips = {
    async *[Symbol.asyncIterator]() {
      try {
        yield* ips
        await silence
      } finally {
        source.isClosed = true
      }
    },
  }
  return source
}

describe('checkStream gives a decision about each address', () => {
  const ips = ['192.0.2.80', 'foo', '10.0.0.1', '192.0.2.20', '192.0.2.80']
  const sources = {
    'an array': () => ips,
    'a set': () => new Set(ips),
    'the keys of a map': () => new Map(ips.map((ip) => [ip, 1])).keys(),
    'a generator': function* () {
      yield* ips
    },
    'an asynchronous generator': async function* () {
      yield* ips
    },
    'a stream of Node.js in object mode': () => Readable.from(ips),
    'the lines of a stream': () => createInterface({ input: Readable.from(ips.map((ip) => `${ip}\n`)) }),
    'a web stream': () => Readable.toWeb(Readable.from(ips)),
    'another stream of decisions': () => Readable.from(ips).map((ip) => ip),
  }
  for (const [what, make] of Object.entries(sources)) {
    test(`of ${what}`, async (t) => {
      const { checker } = await startTestChecker(t)
      await checker.checkMany(ips)
      const expected = await checker.checkMany(/set|map/.test(what) ? [...new Set(ips)] : ips)
      assert.deepEqual(await drain(checker.checkStream(make())), { decisions: expected })
    })
  }

  test('of none', async (t) => {
    const { checker } = await startTestChecker(t)
    for (const none of [[], new Set(), Readable.from([])]) {
      assert.deepEqual(await drain(checker.checkStream(none)), { decisions: [] })
    }
  })

  for (const kind of KINDS) {
    test(`of a ${kind} source in its order, whatever becomes of it`, async (t) => {
      const { checker } = await startTestChecker(t)
      const fates = [
        ['not an address', { ip: null, failure: 'ERR_IP_RISK_INVALID_ADDRESS' }],
        ['10.0.0.1', { ip: '10.0.0.1', failure: 'ERR_IP_RISK_SPECIAL_USE' }],
        [addressOf('400'), { ip: addressOf('400'), failure: 'ERR_IP_RISK_REQUEST_REFUSED' }],
        [addressOf('404'), { ip: addressOf('404'), failure: null, score: 0 }],
        ['::ffff:192.0.2.45', { ip: '192.0.2.45', failure: null, score: 45 }],
      ]
      const fateAt = (position) => fates[(position >> 1) % fates.length]
      const textAt = (position) => (position % 2 === 0 ? publicAddress(position >> 1) : fateAt(position)[0])
      const { ips, seen } = watchedSource(kind, (position) =>
        position < 6_543 ? textAt(position) : undefined,
      )
      const { decisions, error } = await drain(checker.checkStream(ips))
      assert.equal(error, undefined)
      assert.equal(decisions.length, 6_543)
      for (const [position, decision] of decisions.entries()) {
        const expected =
          position % 2 === 0 ? { ip: publicAddress(position >> 1), failure: null } : fateAt(position)[1]
        assertDecision(decision, expected, `at ${position}`)
      }
      assert.deepEqual([seen.read, seen.closed], [6_543, 0])
    })
  }

  test('and pays once for an address however often it comes', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 5
    const ips = Array.from({ length: 20_000 }, (_, position) => `192.0.2.${position % 100}`)
    const { decisions } = await drain(checker.checkStream(ips))
    assert.deepEqual(
      decisions.map(({ score }) => score),
      ips.map((_, position) => position % 100),
    )
    assert.equal(askedOf(api).length, 100)
    assert.equal(checker.stats().upstream.credits, 200)
  })

  test('by the given policy and route', async (t) => {
    const policies = { api: { deny: [{ cidr: '192.0.2.1', routes: ['/transfer'] }] } }
    const { checker } = await startTestChecker(t, { policies })
    const actionFor = async (options) =>
      (await drain(checker.checkStream(['192.0.2.1'], options))).decisions[0].action
    assert.equal(await actionFor({ policy: 'api', route: '/transfer' }), 'block')
    assert.equal(await actionFor({ policy: 'api', route: '/other' }), 'allow')
    assert.equal(await actionFor({ route: '/transfer' }), 'allow')
  })

  test('in order to those who ask for several at once, and the end to the others', async (t) => {
    const { checker } = await startTestChecker(t)
    const stream = checker.checkStream(many(3))[Symbol.asyncIterator]()
    const results = await Promise.all(Array.from({ length: 5 }, () => stream.next()))
    assert.deepEqual(
      results.map(({ done, value }) => (done ? 'end' : value.ip)),
      [...many(3), 'end', 'end'],
    )
  })

  test('once: another loop over the same stream gets the end', async (t) => {
    const { checker } = await startTestChecker(t)
    const stream = checker.checkStream(many(3))
    assert.equal((await drain(stream)).decisions.length, 3)
    assert.deepEqual(await drain(stream), { decisions: [] })
  })
})

describe('a source', () => {
  test('is not opened before the first decision is asked for', async (t) => {
    const { checker } = await startTestChecker(t)
    const opened = []
    const ips = { [Symbol.iterator]: () => opened.push(true) && many(1).values() }
    const stream = checker.checkStream(ips)
    assert.deepEqual(opened, [])
    await drain(stream)
    assert.deepEqual(opened, [true])
  })

  test('that is slow gets its decisions before it gives more', async (t) => {
    const { checker } = await startTestChecker(t)
    const known = []
    const stream = checker.checkStream({
      async *[Symbol.asyncIterator]() {
        for (const ip of many(20)) {
          yield ip
          await until(() => known.includes(ip))
        }
      },
    })
    for await (const { ip } of stream) known.push(ip)
    assert.deepEqual(known, many(20))
  })

  test('that trickles has at most four batches under way, and the next one grows', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.latencyMs = 200
    const ips = many(40)
    const stream = checker.checkStream({
      async *[Symbol.asyncIterator]() {
        for (const [position, ip] of ips.entries()) {
          yield ip
          if (position < 4) await until(() => api.requestCount() > position)
        }
      },
    })
    const decisions = []
    for await (const decision of stream) {
      if (decisions.length === 0) assert.ok(askedOf(api).length <= 4)
      decisions.push(decision)
    }
    assert.deepEqual(textsOf(decisions), ips)
  })

  for (const kind of KINDS) {
    test(`that is ${kind} is read only a little ahead of the one who takes the decisions`, async (t) => {
      const { checker } = await startTestChecker(t)
      await checker.check('192.0.2.1')
      const { ips, seen } = watchedSource(kind, () => '192.0.2.1')
      const stream = checker.checkStream(ips)[Symbol.asyncIterator]()
      for (let taken = 1; taken <= 12_345; taken++) {
        await stream.next()
        assert.ok(seen.read - taken <= MOST_AHEAD, `${seen.read} were read when ${taken} were taken`)
      }
      // All that was handed over is decided, and nobody asks for it: the source is left alone.
      const isDecided = () => checker.stats().policies.login.action.allow > seen.read
      await until(isDecided)
      const { read } = seen
      for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
      assert.ok(read > 12_345 && read <= 12_345 + MOST_AHEAD)
      assert.equal(seen.read, read)
      await stream.next()
      await stream.return()
      assert.ok(seen.askedAtOnce <= 1)
    })
  }
})

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

describe('in a process of its own', () => {
  const BEGIN = `
    const { RiskChecker } = require('ip-risk')
    const [endpoint] = process.argv.slice(1)
    const checker = new RiskChecker({ apiKey: 'test-key', endpoint, logger: false })
    process.on('unhandledRejection', (error) => { console.error(error); process.exit(99) })
  `

  test('200,000 addresses take no more memory than the first 20,000', async (t) => {
    const api = await startApi(t)
    const script = `${BEGIN}
      function* ips() {
        for (let position = 0; position < 200_000; position++) {
          yield '11.0.' + ((position >> 8) & 3) + '.' + (position % 250)
        }
      }
      async function main() {
        const sizes = []
        let taken = 0
        for await (const { source } of checker.checkStream(ips())) {
          if (++taken % 20_000 !== 0) continue
          gc()
          sizes.push(process.memoryUsage().heapUsed / 1024 / 1024)
        }
        await checker.close()
        console.log(JSON.stringify({ sizes, taken }))
      }
      main()`
    const { sizes, taken } = await runForJson(script, { args: [api.url], flags: ['--expose-gc'] })
    assert.equal(taken, 200_000)
    // One decision takes some 300 bytes: had they all been kept, 50 MB would show.
    assert.ok(Math.max(...sizes) - sizes[0] < 8, `MiB: ${sizes.map((size) => size.toFixed(1)).join(' ')}`)
  })

  test('streams that are left half-way keep neither the process nor themselves', async (t) => {
    const api = await startApi(t)
    const script = `${BEGIN}
      const streams = []
      async function leave(make) {
        const stream = checker.checkStream(make())
        streams.push(new WeakRef(stream))
        await stream[Symbol.asyncIterator]().next()
      }
      const ips = Array.from({ length: 20_000 }, (_, index) => '11.0.0.' + (index & 7))
      async function* later() { yield* ips }
      async function main() {
        for (let time = 0; time < 10; time++) await leave(time % 2 === 0 ? () => ips : later)
        await new Promise((resolve) => setTimeout(resolve, 100))
        gc()
        const kept = streams.filter((stream) => stream.deref() !== undefined).length
        console.log(JSON.stringify({ kept }))
      }
      main()`
    const { code, signal, stdout } = await runScript(script, { args: [api.url], flags: ['--expose-gc'] })
    assert.deepEqual([code, signal, stdout.trim()], [0, null, '{"kept":0}'])
  })

  test('a stream that ends in any way leaves no unhandled rejection', async (t) => {
    const api = await startApi(t)
    api.latencyMs = 5
    const script = `${BEGIN}
      async function* failing() { yield '11.0.0.1'; throw new Error('gone') }
      const controller = new AbortController()
      const { signal } = controller
      async function* unclosable() {
        try {
          yield '11.0.0.1'
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          yield '11.0.0.2'
        } finally {
          throw new Error('stuck')
        }
      }
      const ips = Array.from({ length: 9_000 }, (_, index) => '11.0.' + (index >> 8) + '.' + (index & 255))
      const start = (source) => checker.checkStream(source, { signal })[Symbol.asyncIterator]()
      async function main() {
        const streams = [failing(), unclosable(), ips, [5], ['11.0.0.1', 5]].map(start)
        for (const stream of streams) await stream.next().catch(() => {})
        controller.abort()
        checker.checkStream(ips)[Symbol.asyncIterator]().next().catch(() => {})
        await checker.close()
        await new Promise((resolve) => setTimeout(resolve, 100))
        console.log('done')
      }
      main()`
    const { code, stdout, stderr } = await runScript(script, { args: [api.url] })
    assert.deepEqual([code, stdout], [0, 'done\n'], stderr)
  })
})

test('several streams of one checker share their look-ups', async (t) => {
  const api = await startApi(t)
  const checker = makeChecker(t, api)
  api.latencyMs = 10
  const streams = Array.from({ length: 3 }, () => drain(checker.checkStream(many(300))))
  for (const { decisions } of await Promise.all(streams)) assert.deepEqual(textsOf(decisions), many(300))
  assert.equal(askedOf(api).length, 300)
})
