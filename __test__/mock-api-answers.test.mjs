/** What the stand-in for the Security API knows of an address: built-in answers, and own ones. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import testing from '../lib/testing.js'
import {
  FIELDS,
  PUBLIC_IP,
  SINGLE,
  lookUp,
  lookUpMany,
  request,
  startForAllTests,
} from './support/mock-api.mjs'

const { CARDS, FAULT_CARDS } = testing
const api = await startForAllTests()

describe('built-in answers', () => {
  const examples = [
    [
      '2.56.188.34',
      80,
      ['is_vpn', 'is_proxy', 'is_residential_proxy', 'is_known_attacker', 'is_cloud_provider'],
    ],
    ['37.120.202.92', 50, ['is_vpn', 'is_proxy', 'is_cloud_provider']],
    ['94.237.40.1', 50, ['is_vpn', 'is_proxy', 'is_cloud_provider']],
    ['145.223.7.7', 90, ['is_vpn', 'is_known_attacker', 'is_spam', 'is_cloud_provider']],
    ['91.128.103.196', 0, []],
    ['2607:fb91:16c6:8860:e531:2d1d:4944:6c7c', 0, []],
    ['18.97.14.89', 5, ['is_cloud_provider']],
    ['216.73.216.43', 5, ['is_cloud_provider']],
    ['8.8.8.8', 5, ['is_cloud_provider']],
    ['1.1.1.1', 5, ['is_cloud_provider']],
    ['165.227.0.1', 5, ['is_cloud_provider']],
  ]
  for (const [ip, score, flags] of examples) {
    test(`${ip} scores ${score}`, async () => {
      const { security } = (await lookUp(api, ip)).json()
      assert.equal(security.threat_score, score)
      assert.equal(Object.keys(security).length, FIELDS)
      const set = Object.keys(security).filter(
        (field) => security[field] === true && field !== 'is_anonymous',
      )
      assert.deepEqual(set.sort(), [...flags].sort())
      assert.equal(security.is_anonymous, security.is_vpn || security.is_proxy)
    })
  }

  test('192.0.2.N and 2001:db8:0:N::/64 score N', async () => {
    const scores = Array.from({ length: 101 }, (_, score) => score)
    for (const address of [
      (n) => `192.0.2.${n}`,
      (n) => `2001:db8:0:${n}::1`,
      (n) => `2001:DB8:0:${n}:a:b:c:d`,
    ]) {
      const entries = (await lookUpMany(api, scores.map(address))).json()
      assert.deepEqual(
        entries.map(({ security }) => security.threat_score),
        scores,
      )
      const { threat_score: _ignored, ...rest } = entries[100].security
      assert.ok(Object.values(rest).every((value) => value === false || !Number(value)))
    }
  })

  test('cards answer as the table says', async () => {
    const clean = (await lookUp(api, PUBLIC_IP)).json().security
    for (const { address, score, flags } of CARDS) {
      const { ip, security } = (await lookUp(api, address)).json()
      assert.equal(ip, address)
      assert.deepEqual(security, { ...clean, ...flags, threat_score: score })
    }
  })

  test('tables have unique rows and cannot be changed', () => {
    const rows = [...CARDS, ...FAULT_CARDS]
    assert.equal(new Set(rows.map(({ address }) => address)).size, rows.length)
    assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length)
    assert.throws(() => CARDS.push({}), TypeError)
    assert.throws(() => (CARDS[0].score = 1), TypeError)
    assert.throws(() => (CARDS.at(-1).flags.is_vpn = false), TypeError)
    assert.throws(() => (FAULT_CARDS[0].fault.status = 200), TypeError)
  })

  test('every flag has a card', () => {
    const flags = new Set(
      CARDS.flatMap((card) => Object.keys(card.flags).filter((field) => field.startsWith('is_'))),
    )
    assert.equal(flags.size, 12)
  })
})

describe('own answers', () => {
  test('win over every built-in one, in any spelling', async () => {
    for (const ip of [
      '2.56.188.34',
      '192.0.2.7',
      '203.0.113.17',
      '10.0.0.1',
      '127.0.0.1',
      '2001:db8::7',
      PUBLIC_IP,
    ]) {
      api.answer(ip, { threat_score: 33, is_tor: true })
      const { security } = (await lookUp(api, ip)).json()
      assert.equal(security.threat_score, 33)
      assert.equal(security.is_tor, true)
      assert.equal(security.is_vpn, false)
      assert.equal(Object.keys(security).length, FIELDS)
    }
    assert.equal((await lookUp(api, '2001:0DB8:0::7')).json().security.threat_score, 33)
    assert.equal((await lookUp(api, `::ffff:${PUBLIC_IP}`)).json().security.threat_score, 33)
    assert.equal((await request(`${api.url}${SINGLE}?apiKey=k`)).json().ip, '127.0.0.1')
  })

  test('leave out what is undefined, and end with reset()', async () => {
    api.answer(PUBLIC_IP, { is_known_good_bot: undefined })
    assert.equal('is_known_good_bot' in (await lookUp(api, PUBLIC_IP)).json().security, false)
    api.reset()
    assert.equal((await lookUp(api, PUBLIC_IP)).json().security.is_known_good_bot, false)
  })

  test('may be raw', async () => {
    api.answerRaw(PUBLIC_IP, { status: 418, headers: { 'X-Teapot': 'short' }, body: 'stout' })
    const teapot = await lookUp(api, PUBLIC_IP, { headers: { 'accept-encoding': 'gzip' } })
    assert.deepEqual([teapot.status, teapot.headers['x-teapot'], teapot.text], [418, 'short', 'stout'])
    api.answerRaw(PUBLIC_IP, { body: { ip: 7 }, headers: { 'X-Credits-Charged': '9' } })
    assert.deepEqual((await lookUp(api, PUBLIC_IP)).json(), { ip: 7 })
    assert.equal(api.credits, 9)
    api.answerRaw(PUBLIC_IP, { body: Buffer.from([0xff, 0xfe]), headers: { 'content-type': 'text/plain' } })
    const bytes = await lookUp(api, PUBLIC_IP)
    assert.deepEqual([...bytes.bytes], [0xff, 0xfe])
    assert.equal(bytes.headers['content-type'], 'text/plain')
  })

  test('may be raw in bulk', async () => {
    api.answerRaw('9.9.9.9', { body: { ip: '9.9.9.9', security: 'odd' } })
    api.answerRaw('9.9.9.10', { status: 500, body: 'out of order' })
    const answer = await lookUpMany(api, ['9.9.9.9', '9.9.9.10'])
    assert.deepEqual(answer.json(), [{ ip: '9.9.9.9', security: 'odd' }, { message: 'out of order' }])
    assert.equal(answer.headers['x-successful-record'], '1')
  })

  test('are checked', () => {
    assert.throws(() => api.answer('foo', {}), { name: 'TypeError', message: /ip is `foo`: pass an IPv4/ })
    assert.throws(() => api.answer(PUBLIC_IP, undefined), /pass an object/)
    assert.throws(() => api.answer(PUBLIC_IP, { is_vnp: true }), /no `is_vnp`: use `threat_score`/)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { status: 100 }), RangeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { headers: { 'a b': 'c' } }), TypeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { headers: { a: 'b\nc' } }), TypeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { code: 200 }), /no `code`/)
  })
})
