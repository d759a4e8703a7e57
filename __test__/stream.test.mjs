/** What a stream of decisions gives, and how far its source is read ahead. */
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { assertDecision } from './support/decisions.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker, until } from './support/start.mjs'
import { KINDS, MOST_AHEAD, askedOf, drain, many, textsOf, watchedSource } from './support/streams.mjs'

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

test('several streams of one checker share their look-ups', async (t) => {
  const api = await startApi(t)
  const checker = makeChecker(t, api)
  api.latencyMs = 10
  const streams = Array.from({ length: 3 }, () => drain(checker.checkStream(many(300))))
  for (const { decisions } of await Promise.all(streams)) assert.deepEqual(textsOf(decisions), many(300))
  assert.equal(askedOf(api).length, 300)
})
