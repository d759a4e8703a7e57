/** What is taken for an answer of the provider, and what of it is read. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runForJson } from './support/children.mjs'
import { assertDecision } from './support/decisions.mjs'
import {
  COOL_DOWN,
  ENDPOINT,
  MALFORMED,
  REDIRECT,
  REFUSED,
  STATUS,
  TOO_LARGE,
  assertFailure,
} from './support/failures.mjs'
import { addressOf, publicAddress, startApi, startTestChecker } from './support/start.mjs'

describe('an answer', () => {
  test('that redirects is not followed', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const elsewhere = await startApi(t)
    for (const location of [`${elsewhere.url}/v3/security?ip=8.8.8.8`, '/v3/security?apiKey=a&ip=8.8.8.8']) {
      api.fault({ kind: 'redirect', location })
      assertFailure(await checker.check(addressOf('vpn')), 'login', REDIRECT)
    }
    assert.deepEqual([api.requestCount(), elsewhere.requestCount()], [2, 0])
  })

  test('with any status of a redirect is none', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const body = { security: { threat_score: 0 } }
    for (const status of [300, 301, 302, 303, 304, 307, 308]) {
      api.answerRaw(publicAddress(1), { status, headers: { location: '/redirected' }, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', REDIRECT)
    }
  })

  test('with another status than 200 is none, even with a good body', async (t) => {
    const { checker, api, advance } = await startTestChecker(t)
    const body = { ip: publicAddress(1), security: { threat_score: 7 } }
    for (const [status, code] of [
      [201, STATUS],
      [202, STATUS],
      [203, STATUS],
      [206, STATUS],
      [405, REFUSED],
      [413, REFUSED],
      [415, REFUSED],
      [418, STATUS],
      [451, STATUS],
      [501, STATUS],
      [599, STATUS],
    ]) {
      api.answerRaw(publicAddress(1), { status, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', code, `status ${status}`)
      advance(COOL_DOWN)
    }
  })

  test('404 and 423 without the message of the api are faults of the endpoint', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (const body of [
      '',
      '<html></html>',
      '{}',
      '{"message": 5}',
      '[]',
      '{"message": "No endpoint GET /x."}',
    ]) {
      api.answerRaw(publicAddress(1), { status: 404, body })
      assertFailure(await checker.check(publicAddress(1)), 'login', ENDPOINT, body)
    }
    api.answerRaw(publicAddress(1), { status: 423, body: '<html></html>' })
    assertFailure(await checker.check(publicAddress(1)), 'login', STATUS)
  })

  test('about the IPv4 in another spelling is about that address', async (t) => {
    const { checker, api } = await startTestChecker(t)
    api.answerRaw(publicAddress(1), { body: { ip: '::ffff:11.0.0.1', security: { threat_score: 45 } } })
    assertDecision(await checker.check(publicAddress(1)), { score: 45, failure: null })
  })

  test('with values of the wrong type has flags left out, and true or a number as text taken', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const strange = { is_tor: 1, is_bot: null, vpn_confidence_score: 101, bot_last_seen: 'soon', bot_type: 7 }
    const asText = { is_vpn: 'TRUE', is_spam: 'false', proxy_confidence_score: '80', is_proxy: true }
    const names = {
      proxy_provider_names: ['A', '', 5, null, 'B'],
      cloud_provider_name: '',
      unknown_field: true,
    }
    const security = { threat_score: '30', ...strange, ...asText, ...names }
    api.answerRaw(publicAddress(1), { body: { security } })
    const { flags } = await checker.check(publicAddress(1))
    assert.deepEqual(flags, {
      threat_score: 30,
      is_proxy: true,
      proxy_provider_names: ['A', 'B'],
      proxy_confidence_score: 80,
      is_vpn: true,
      is_spam: false,
    })
  })

  test('that is far too large is refused without taking the memory for it', async (t) => {
    const api = await startApi(t)
    for (const [index, kind] of ['oversized', 'gzip-bomb'].entries()) {
      api.fault({ kind }, { ip: publicAddress(index) })
    }
    const { codes, grownKiB } = await runForJson(TAKE_LARGE_ANSWERS, {
      args: [api.url, '11.0.0.0', '11.0.0.1'],
    })
    assert.deepEqual(
      codes,
      Array.from({ length: 20 }, () => TOO_LARGE),
    )
    assert.ok(grownKiB < 24 * 1024, `the process grew by ${grownKiB} KiB`)
  })

  test('of the largest size that is taken is taken', async (t) => {
    const { checker, api } = await startTestChecker(t)
    const text = JSON.stringify({ security: { threat_score: 45 } })
    api.answerRaw(publicAddress(1), { body: text.padEnd(64 * 1024) })
    assertDecision(await checker.check(publicAddress(1)), { score: 45 })
    api.answerRaw(publicAddress(2), { body: text.padEnd(64 * 1024 + 1) })
    assertFailure(await checker.check(publicAddress(2)), 'login', TOO_LARGE)
  })
})

/** Twenty look-ups of answers of 64 MiB each; the peak of the memory shows whether one was held. */
const TAKE_LARGE_ANSWERS = `
  const { RiskChecker } = require('ip-risk')
  const [endpoint, ...ips] = process.argv.slice(1)
  const checker = new RiskChecker({ apiKey: 'test-key', endpoint, logger: false, deadlineMs: 5_000 })
  const peak = () => process.resourceUsage().maxRSS
  let good = 0
  async function main() {
    await checker.check('11.1.1.1')
    const before = peak()
    const codes = []
    for (let round = 0; round < 10; round++) {
      for (const ip of ips) {
        codes.push((await checker.check(ip)).failure)
        // Most answers are good ones, so that the provider is not left alone.
        for (let time = 0; time < 2; time++) await checker.check('11.2.2.' + good++)
      }
    }
    console.log(JSON.stringify({ codes, grownKiB: peak() - before }))
  }
  main()`

test('a 404 that is not the API’s own is never an address without a record', async (t) => {
  const { checker, api } = await startTestChecker(t)
  const others = [
    '{"message":"no Route matched with those values"}',
    '{"message":"Not Found"}',
    '{"message":"Cannot GET /v3/security","error":"Not Found","statusCode":404}',
    '{"message":"this address has no record","path":"/v3/security"}',
    '{"message":"No endpoint GET /v3/security for this address."}',
    '{"message":"The requested address http://api/v3/security was not found on this server."}',
    '<html>404</html>',
    '',
  ]
  for (const body of others) {
    // An address that no feed knows, so that nothing but the failure mode is left.
    const address = publicAddress(1)
    api.answerRaw(address, { status: 404, headers: { 'content-type': 'application/json' }, body })
    const { failure, failedOpen } = await checker.check(address)
    assert.deepEqual([failure, failedOpen], [ENDPOINT, true], body)
  }
})

test('a body that is not compressed as it says is malformed, not a broken connection', async (t) => {
  const { checker, api } = await startTestChecker(t)
  const body = gzipSync(JSON.stringify({ security: { threat_score: 5 } }))
  body.fill(0xff, 12, 20) // the header stays as it was
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  api.answerRaw('8.8.8.8', { status: 200, headers, body })
  assert.equal((await checker.check('8.8.8.8')).failure, MALFORMED)
})
