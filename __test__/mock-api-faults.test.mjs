/** Faults of the stand-in for the Security API: on cards, by status and kind, planned, and late answers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { describe, test } from 'node:test'
import testing from '../lib/testing.js'
import {
  OTHER_IP,
  PUBLIC_IP,
  SINGLE,
  assertMessage,
  lookUp,
  lookUpMany,
  outcomeOf,
  request,
  startForAllTests,
} from './support/mock-api.mjs'
import { WIRE_FAULTS } from './support/wire-faults.mjs'

const { FAULT_CARDS } = testing
const api = await startForAllTests()

describe('fault cards', () => {
  for (const { address, name, fault, body } of FAULT_CARDS) {
    test(`${address} is ${name}`, async () => {
      if (body !== undefined) {
        const answer = await lookUp(api, address)
        assert.equal(answer.status, 200)
        assert.deepEqual(answer.json(), body)
      } else if (fault.status !== undefined) {
        const answer = await lookUp(api, address)
        assertMessage(answer, fault.status)
        assert.equal(answer.headers['retry-after'], fault.retryAfter?.toString())
      } else if (name === 'hang' || name === 'drip') {
        const signal = AbortSignal.timeout(120)
        assert.equal((await outcomeOf(lookUp(api, address, { signal }))).error.name, 'AbortError')
      } else if (name === 'redirect') {
        assert.equal((await lookUp(api, address)).status, 302)
      } else {
        WIRE_FAULTS[name](await outcomeOf(lookUp(api, address)))
      }
    })
  }

  test('in bulk strike the whole request, or their entry only', async () => {
    assertMessage(await lookUpMany(api, [PUBLIC_IP, '203.0.113.9', '203.0.113.6']), 500)
    const answer = await lookUpMany(api, ['203.0.113.5', '203.0.113.52', PUBLIC_IP])
    const entries = answer.json()
    assert.deepEqual(Object.keys(entries[0]), ['message'])
    assert.equal(entries[1].security.threat_score, 101)
    assert.equal(entries[2].ip, PUBLIC_IP)
    assert.equal(answer.headers['x-credits-charged'], '4')
  })
})

describe('status faults', () => {
  for (const status of [401, 403, 404, 405, 415, 423, 429, 499, 500, 502, 503, 504, 505, 418]) {
    test(`answer ${status}`, async () => {
      api.fault({ status })
      assertMessage(await lookUp(api, PUBLIC_IP), status)
      assertMessage(await lookUpMany(api, [PUBLIC_IP]), status)
      assert.equal(api.credits, 0)
    })
  }

  test('answer 413 as an HTML page', async () => {
    api.fault({ status: 413 })
    const answer = await lookUpMany(api, [PUBLIC_IP])
    assert.equal(answer.status, 413)
    assert.equal(answer.headers['content-type'], 'text/html')
  })

  test('take a message and Retry-After', async () => {
    api.fault({ status: 429, message: 'slow down', retryAfter: 30 })
    const answer = await lookUp(api, PUBLIC_IP)
    assert.equal(answer.json().message, 'slow down')
    assert.equal(answer.headers['retry-after'], '30')
    api.fault({ status: 503, retryAfter: 'Wed, 21 Oct 2026 07:28:00 GMT' })
    assert.equal((await lookUp(api, PUBLIC_IP)).headers['retry-after'], 'Wed, 21 Oct 2026 07:28:00 GMT')
  })

  test('answer statuses without a body', async () => {
    api.fault({ status: 204 })
    assert.equal((await lookUp(api, PUBLIC_IP)).bytes.length, 0)
  })
})

describe('kinds of faults', () => {
  for (const [kind, check] of Object.entries(WIRE_FAULTS)) {
    test(kind, async () => {
      api.fault({ kind })
      check(await outcomeOf(lookUp(api, PUBLIC_IP)))
      api.fault(null)
      assert.equal((await lookUp(api, PUBLIC_IP)).status, 200)
    })
  }

  test('hang', async () => {
    api.fault({ kind: 'hang' })
    const { error } = await outcomeOf(lookUp(api, PUBLIC_IP, { signal: AbortSignal.timeout(100) }))
    assert.equal(error.name, 'AbortError')
    assert.equal(api.credits, 0)
  })

  test('drip', async () => {
    api.fault({ kind: 'drip', bytesPerSecond: 4000 })
    const start = performance.now()
    const answer = await lookUp(api, PUBLIC_IP)
    assert.ok(performance.now() - start > 150)
    assert.equal(answer.json().ip, PUBLIC_IP)
  })

  test('drip sends the headers at once', async () => {
    api.fault({ kind: 'drip', bytesPerSecond: 1 })
    const outgoing = http.get(`${api.url}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`, { agent: false })
    const [response] = await once(outgoing, 'response', { signal: AbortSignal.timeout(2000) })
    assert.equal(response.statusCode, 200)
    response.on('error', () => {})
    outgoing.destroy()
  })

  test('redirect', async () => {
    api.fault({ kind: 'redirect' })
    const answer = await lookUp(api, PUBLIC_IP)
    assert.equal(answer.status, 302)
    assert.equal(answer.headers.location, `${api.url}/redirected`)
    api.fault({ kind: 'redirect', location: 'http://127.0.0.1:9/elsewhere' })
    assert.equal((await lookUp(api, PUBLIC_IP)).headers.location, 'http://127.0.0.1:9/elsewhere')
  })

  test('bulk-short, bulk-long, bulk-reordered', async () => {
    const ips = [PUBLIC_IP, OTHER_IP, '9.9.9.9']
    const expected = {
      'bulk-short': ips.slice(0, 2),
      'bulk-long': [...ips, PUBLIC_IP],
      'bulk-reordered': [...ips].reverse(),
    }
    for (const [kind, answered] of Object.entries(expected)) {
      api.fault({ kind }, { times: 1 })
      assert.equal((await lookUp(api, PUBLIC_IP)).json().ip, PUBLIC_IP)
      const answer = await lookUpMany(api, ips)
      assert.deepEqual(
        answer.json().map(({ ip }) => ip),
        answered,
      )
    }
  })

  test('bulk-nulls, bulk-object', async () => {
    const ips = [PUBLIC_IP, OTHER_IP]
    api.fault({ kind: 'bulk-nulls' })
    assert.deepEqual((await lookUpMany(api, ips)).json(), [null, null])
    api.fault({ kind: 'bulk-object' })
    assert.equal((await lookUp(api, PUBLIC_IP)).json().ip, PUBLIC_IP)
    const answer = await lookUpMany(api, ips)
    assert.deepEqual(Object.keys(answer.json()), ['0', '1'])
    assert.equal(answer.json()[1].ip, OTHER_IP)
    assert.equal(answer.headers['x-credits-charged'], '4')
  })

  test('strike refused and bulk requests too', async () => {
    api.fault({ kind: 'bulk-short' })
    assertMessage(await lookUpMany(api, []), 400)
    api.fault({ kind: 'wrong-types' })
    assert.equal((await lookUpMany(api, [PUBLIC_IP, OTHER_IP])).json().length, 2)
    assert.equal((await request(`${api.url}${SINGLE}`)).status, 200)
    api.fault({ kind: 'truncated' })
    assert.equal((await outcomeOf(lookUpMany(api, [PUBLIC_IP]))).error.status, 200)
  })
})

describe('planning faults', () => {
  async function statuses(...ips) {
    const answers = []
    for (const ip of ips) answers.push((await lookUp(api, ip)).status)
    return answers
  }

  test('times', async () => {
    api.fault({ status: 500 }, { times: 2 })
    assert.deepEqual(await statuses(PUBLIC_IP, PUBLIC_IP, PUBLIC_IP), [500, 500, 200])
  })

  test('an address, before every address', async () => {
    api.fault({ status: 503 })
    api.fault({ status: 429 }, { ip: '2001:DB8::7', times: 1 })
    assert.deepEqual(await statuses('2001:db8:0::7', '2001:db8::7', OTHER_IP), [429, 503, 503])
    api.fault({ status: 500 }, { ip: PUBLIC_IP })
    assertMessage(await lookUpMany(api, [OTHER_IP, PUBLIC_IP]), 500)
    api.fault(null, { ip: PUBLIC_IP })
    assert.deepEqual(await statuses(PUBLIC_IP), [503])
    api.fault(null)
    assert.deepEqual(await statuses(PUBLIC_IP), [200])
  })

  test('an endpoint, before every endpoint', async () => {
    const bulkStatus = async (...ips) => (await lookUpMany(api, ips)).status
    api.fault({ status: 413 }, { endpoint: 'bulk' })
    assert.deepEqual([await bulkStatus(PUBLIC_IP), await statuses(PUBLIC_IP)], [413, [200]])
    api.fault({ status: 503 })
    assert.deepEqual([await bulkStatus(PUBLIC_IP), await statuses(PUBLIC_IP)], [413, [503]])
    api.fault({ status: 500 }, { ip: OTHER_IP, endpoint: 'single', times: 1 })
    assert.deepEqual(await statuses(OTHER_IP, OTHER_IP), [500, 503])
    api.fault({ status: 429 }, { ip: OTHER_IP })
    assert.deepEqual([await bulkStatus(PUBLIC_IP, OTHER_IP), await statuses(OTHER_IP)], [429, [429]])
    api.fault(null, { endpoint: 'bulk' })
    assert.deepEqual([await bulkStatus(PUBLIC_IP), await bulkStatus(OTHER_IP)], [503, 429])
    api.fault(null)
    assert.equal(await bulkStatus(PUBLIC_IP, OTHER_IP), 200)
  })

  test('a script, before all others', async () => {
    api.fault({ status: 503 })
    api.script([{ status: 500 }, null, { kind: 'bulk-short' }, { status: 429 }])
    assert.deepEqual(await statuses(...Array(5).fill(PUBLIC_IP)), [500, 200, 200, 429, 503])
    api.script([{ status: 500 }, { status: 500 }])
    api.script([{ status: 429 }])
    assert.deepEqual(await statuses(PUBLIC_IP, PUBLIC_IP), [429, 503])
    api.script([{ status: 500 }])
    api.fault(null)
    assert.deepEqual(await statuses(PUBLIC_IP), [200])
  })

  test('faults are copied', async () => {
    const fault = { status: 500 }
    api.fault(fault)
    fault.status = 502
    assert.deepEqual(await statuses(PUBLIC_IP), [500])
  })

  const mistakes = [
    [{}, {}, /either a `status` or a `kind`/],
    [{ status: 500, kind: 'hang' }, {}, /either a `status` or a `kind`/],
    [undefined, {}, /fault is `undefined`: pass an object/],
    ['hang', {}, /fault is `hang`: pass an object/],
    [{ status: 99 }, {}, /`status` is `99`: pass an integer from 200 to 599/],
    [{ status: '500' }, {}, RangeError],
    [{ status: 500, message: 7 }, {}, /`message` is `7`/],
    [{ status: 500, retryAfter: 'a\nb' }, {}, TypeError],
    [{ status: 500, location: '/' }, {}, /no `location`: use `status`/],
    [{ kind: 'hag' }, {}, /there is no fault `hag`: use `hang`/],
    [{ kind: 'hang', bytesPerSecond: 1 }, {}, /no `bytesPerSecond`/],
    [{ kind: 'drip', bytesPerSecond: 0 }, {}, /`bytesPerSecond` is `0`: pass a number above 0/],
    [{ kind: 'drip', speed: 1 }, {}, /no `speed`/],
    [{ kind: 'redirect', location: 'a\nb' }, {}, TypeError],
    [{ status: 500 }, { times: 0 }, /`times` is `0`/],
    [{ status: 500 }, { ip: 'foo' }, /ip is `foo`/],
    [{ status: 500 }, { endpoint: 'both' }, /`endpoint` is `both`: use `single`, `bulk`/],
    [{ status: 500 }, { address: 'foo' }, /no `address`: use `ip`, `endpoint`, `times`/],
  ]
  for (const [fault, options, error] of mistakes) {
    test(`refuses ${JSON.stringify(fault)} ${JSON.stringify(options)}`, () => {
      assert.throws(() => api.fault(fault, options), error)
    })
  }

  test('refuses a bad script', () => {
    assert.throws(() => api.script({ status: 500 }), /pass a list of faults/)
    assert.throws(() => api.script([{ kind: 'hag' }]), /no fault `hag`/)
  })
})

describe('latency', () => {
  test('delays answers and faults', async () => {
    api.latencyMs = 60
    assert.equal(api.latencyMs, 60)
    for (const fault of [null, { status: 500 }]) {
      api.fault(fault)
      const start = performance.now()
      await lookUp(api, PUBLIC_IP)
      assert.ok(performance.now() - start >= 55)
    }
    api.reset()
    assert.equal(api.latencyMs, 0)
  })

  test('is checked', () => {
    for (const value of [-1, NaN, Infinity, '5']) {
      assert.throws(() => (api.latencyMs = value), { name: 'RangeError', message: /latencyMs is/ })
    }
  })
})
