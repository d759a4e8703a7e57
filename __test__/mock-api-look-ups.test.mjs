/** Look-ups at the stand-in for the Security API, of one address and of many: their form, and what is refused. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import testing from '../lib/testing.js'
import {
  BULK,
  FIELDS,
  OTHER_IP,
  PUBLIC_IP,
  SINGLE,
  assertMessage,
  lookUp,
  lookUpMany,
  request,
  startForAllTests,
} from './support/mock-api.mjs'

const { startMockApi } = testing
const api = await startForAllTests()

describe('single look-ups', () => {
  test('answer the documented shape', async () => {
    const answer = await lookUp(api, PUBLIC_IP)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.equal(answer.headers['x-credits-charged'], '2')
    assert.equal(answer.headers['content-encoding'], undefined)
    const { ip, security } = answer.json()
    assert.equal(ip, PUBLIC_IP)
    assert.equal(Object.keys(security).length, FIELDS)
    assert.ok(Object.values(security).every((value) => [0, false, ''].includes(value) || value.length === 0))
    assert.equal(api.credits, 2)
  })

  const compressions = [
    ['gzip', true],
    ['deflate, gzip;q=0.5', true],
    ['*', true],
    ['gzip;q=0', false],
    ['br', false],
    ['xgzip', false],
  ]
  for (const [acceptEncoding, compressed] of compressions) {
    test(`${compressed ? 'compress' : 'do not compress'} for \`${acceptEncoding}\``, async () => {
      const answer = await lookUp(api, PUBLIC_IP, { headers: { 'accept-encoding': acceptEncoding } })
      assert.equal(answer.headers['content-encoding'], compressed ? 'gzip' : undefined)
      const text = compressed ? gunzipSync(answer.bytes) : answer.bytes
      assert.equal(JSON.parse(text).ip, PUBLIC_IP)
    })
  }

  test('are read by fetch, compressed', async () => {
    const response = await fetch(`${api.url}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`)
    assert.equal(response.headers.get('content-encoding'), 'gzip')
    assert.equal((await response.json()).security.threat_score, 0)
  })

  const refusals = [
    ['405 for another method', 405, `${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`, { method: 'POST' }],
    ['404 for an address in the path', 404, `${SINGLE}/8.8.8.8?apiKey=k`, {}],
    ['404 for a wrong path', 404, '/v3/securty?apiKey=k', {}],
    ['404 for the root', 404, '/', {}],
    ['401 without a key', 401, `${SINGLE}?ip=${PUBLIC_IP}`, {}],
    ['401 for a blank key', 401, `${SINGLE}?apiKey=%20&ip=${PUBLIC_IP}`, {}],
    ['401 for a key under another name', 401, `${SINGLE}?apikey=k&ip=${PUBLIC_IP}`, {}],
    ['401 for a host name', 401, `${SINGLE}?apiKey=k&ip=example.com`, {}],
    ['400 for an invalid address', 400, `${SINGLE}?apiKey=k&ip=999.999.999.999`, {}],
    ['400 for octal numbers', 400, `${SINGLE}?apiKey=k&ip=010.8.8.8`, {}],
    ['400 for a zone', 400, `${SINGLE}?apiKey=k&ip=${encodeURIComponent('fe80::1%eth0')}`, {}],
    ['400 for blanks around the address', 400, `${SINGLE}?apiKey=k&ip=%208.8.8.8`, {}],
    ['400 for a repeated address', 400, `${SINGLE}?apiKey=k&ip=8.8.8.8&ip=1.1.1.1`, {}],
    ['423 without an address, which is the caller', 423, `${SINGLE}?apiKey=k`, {}],
    ['423 for an empty address', 423, `${SINGLE}?apiKey=k&ip=`, {}],
    ['423 for a blank address', 423, `${SINGLE}?apiKey=k&ip=%20`, {}],
    ['423 for 10.0.0.1', 423, `${SINGLE}?apiKey=k&ip=10.0.0.1`, {}],
    ['423 for a documentation address without a card', 423, `${SINGLE}?apiKey=k&ip=192.0.2.101`, {}],
    ['423 for one of IPv6', 423, `${SINGLE}?apiKey=k&ip=2001:db8:1::1`, {}],
    ['423 for hexadecimal in the place of a score', 423, `${SINGLE}?apiKey=k&ip=2001:db8:0:4a::1`, {}],
    ['423 for a unique local address', 423, `${SINGLE}?apiKey=k&ip=fd00::1`, {}],
    ['423 for a private address mapped to IPv6', 423, `${SINGLE}?apiKey=k&ip=::ffff:10.0.0.1`, {}],
  ]
  for (const [name, status, target, options] of refusals) {
    test(`answer ${name}`, async () => {
      assertMessage(await request(`${api.url}${target}`, options), status)
      assert.equal(api.credits, 0)
    })
  }

  test('tell a wrong path from an unknown address', async () => {
    const wrongPath = await request(`${api.url}/v3/securty?apiKey=k`)
    assert.equal(wrongPath.json().message, 'No endpoint GET /v3/securty.')
    api.answer(PUBLIC_IP, null)
    const unknown = await lookUp(api, PUBLIC_IP)
    assertMessage(unknown, 404)
    assert.doesNotMatch(unknown.json().message, /^No endpoint/)
  })

  test('accept only the given key', async () => {
    const strict = await startMockApi({ key: 'right' })
    assertMessage(await request(`${strict.url}${SINGLE}?apiKey=wrong&ip=${PUBLIC_IP}`), 401)
    assertMessage(await request(`${strict.url}${SINGLE}?apiKey=right&apiKey=right&ip=${PUBLIC_IP}`), 401)
    assert.equal((await request(`${strict.url}${SINGLE}?apiKey=right&ip=${PUBLIC_IP}`)).status, 200)
    assert.deepEqual(
      strict.requests.map(({ keyAccepted }) => keyAccepted),
      [false, false, true],
    )
    await strict.close()
  })
})

describe('bulk look-ups', () => {
  test('keep the order, mark failures and charge for the valid', async () => {
    const ips = [OTHER_IP, '10.0.0.1', '2.56.188.34', 'nonsense!', OTHER_IP, 'example.com', '203.0.113.4']
    const answer = await lookUpMany(api, ips)
    assert.equal(answer.status, 200)
    const entries = answer.json()
    assert.deepEqual(
      entries.map(({ ip }) => ip ?? null),
      [OTHER_IP, null, '2.56.188.34', null, OTHER_IP, null, null],
    )
    for (const index of [1, 3, 5, 6]) assert.deepEqual(Object.keys(entries[index]), ['message'])
    assert.equal(entries[2].security.threat_score, 80)
    assert.equal(answer.headers['x-credits-charged'], '6')
    assert.equal(answer.headers['x-successful-record'], '3')
    assert.equal(api.credits, 6)
  })

  test('say nothing of failures when there are none', async () => {
    const answer = await lookUpMany(api, [PUBLIC_IP, '2607:fb91:16c6:8860:e531:2d1d:4944:6c7c'])
    assert.equal(answer.headers['x-credits-charged'], '4')
    assert.equal(answer.headers['x-successful-record'], undefined)
  })

  test('take 50,000 addresses', async () => {
    const ips = Array.from(
      { length: 50_000 },
      (_, index) => `9.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
    )
    const answer = await lookUpMany(api, ips)
    assert.deepEqual(
      answer.json().map(({ ip }) => ip),
      ips,
    )
    assertMessage(await lookUpMany(api, [...ips, '9.9.9.9']), 400)
  })

  test('take a charset beside the content type', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    assert.equal((await lookUpMany(api, [PUBLIC_IP], { headers })).status, 200)
  })

  const bodies = [
    '',
    'nonsense',
    '{"ips":',
    'null',
    '[]',
    '7',
    '{}',
    '{"ips":null}',
    '{"ips":[]}',
    '{"ips":"8.8.8.8"}',
  ]
  for (const body of bodies) {
    test(`answer 400 to the body \`${body}\``, async () => {
      assertMessage(await lookUpMany(api, [], { body }), 400)
    })
  }

  test('fail entries that are not texts', async () => {
    const answer = await lookUpMany(api, [null, 7, { toString: 1 }, [[]], '', PUBLIC_IP])
    assert.equal(answer.headers['x-successful-record'], '1')
    assert.deepEqual(api.requests.at(-1).ips, ['', PUBLIC_IP])
  })

  test('answer 405, 415 and 401', async () => {
    assertMessage(await request(`${api.url}${BULK}?apiKey=k`), 405)
    assertMessage(await lookUpMany(api, [PUBLIC_IP], { headers: {} }), 415)
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    assertMessage(await lookUpMany(api, [PUBLIC_IP], { headers: form }), 415)
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ ips: [PUBLIC_IP] })
    assertMessage(await request(`${api.url}${BULK}`, { method: 'POST', headers, body }), 401)
  })

  test('answer an HTML page to a body that is too large', async () => {
    const small = await startMockApi({ maxBodyBytes: 100 })
    const fits = JSON.stringify({ ips: [PUBLIC_IP] }).padEnd(100)
    assert.equal((await lookUpMany(small, [], { body: fits })).status, 200)
    for (const body of [`${fits} `, 'x'.repeat(1_000_000)]) {
      const answer = await lookUpMany(small, [], { body })
      assert.equal(answer.status, 413)
      assert.equal(answer.headers['content-type'], 'text/html')
      assert.match(answer.text, /^<html>/)
    }
    await small.close()
  })

  test('answer 413 beyond 4 MiB', async () => {
    assert.equal((await lookUpMany(api, [], { body: 'x'.repeat(4 * 1024 * 1024 + 1) })).status, 413)
  })
})
