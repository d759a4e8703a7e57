// The golden vectors of `vectors/` through the Node face, as `crates/core/tests/vectors.rs` runs them through the core.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { after, before, describe, test } from 'node:test'
import ipRisk from '../lib/index.js'
import testing from '../lib/testing.js'

const { RiskChecker, riskMiddleware } = ipRisk
const { createTestChecker, startMockApi } = testing

/** The address that payloads, policies and failures are about. */
const ADDRESS = '198.51.100.7'

/** A busy machine must not turn an answer into a timeout. */
const PATIENT = { deadlineMs: 20_000, connectTimeoutMs: 20_000 }

/** Longer than the provider is left alone after any failure of the cases. */
const COOL_DOWN = 600_000

/** The cases of a file, which must not have lost them. */
function read(name, atLeast) {
  const cases = JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'))
  assert.ok(cases.length >= atLeast, `${name} has ${cases.length} cases`)
  return cases
}

/** What the stand-in answers for a case, byte for byte. */
function rawAnswer({ status = 200, security, body, text }) {
  if (text !== undefined) return { status, body: text }
  return { status, body: JSON.stringify(body ?? { ip: ADDRESS, security }) }
}

/** A decision about `ADDRESS` after a look-up that gets this answer. */
async function decide({ checker, api, advance }, answer, options) {
  advance(COOL_DOWN)
  api.answerRaw(ADDRESS, rawAnswer(answer))
  await checker.invalidate()
  return checker.check(ADDRESS, options)
}

describe('addresses', () => {
  const cases = read('addresses', 180)
  let api
  let checker
  let server

  /** What the middleware decides about a text that the framework gives it. */
  async function decideByMiddleware(place) {
    const response = await fetch(`http://127.0.0.1:${server.address().port}/${place}`)
    return response.json()
  }

  /** Asserts that the text became that address, and that nothing but what is judged of it left the process. */
  function assertAddress(decision, canonical, { judged, special }, asked) {
    assert.equal(decision.ip, canonical)
    if (canonical === null) assert.equal(decision.failure, 'ERR_IP_RISK_INVALID_ADDRESS')
    else assert.equal(decision.source, special === null ? 'api' : 'special')
    assert.deepEqual(asked, canonical === null || special !== null ? [] : [judged])
  }

  before(async () => {
    api = await startMockApi()
    checker = new RiskChecker({ apiKey: 'test-key', endpoint: api.url, logger: false, ...PATIENT })
    const clientIp = (request) => cases[Number(request.url.slice(1))].text
    const gate = riskMiddleware({ checker, clientIp, onHold: (_request, _response, next) => next() })
    server = http.createServer((request, response) => {
      gate(request, response, () => response.end(JSON.stringify(request.ipRisk)))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  after(async () => {
    server.close()
    server.closeAllConnections()
    await checker.close()
    await api.close()
  })

  for (const [place, vector] of cases.entries()) {
    test(JSON.stringify(vector.text), async () => {
      for (const [door, decideBy] of [
        ['plain', () => checker.check(vector.text)],
        ['framework', () => decideByMiddleware(place)],
      ]) {
        await checker.invalidate()
        const seen = api.requests.length
        const decision = await decideBy()
        const asked = api.requests.slice(seen).flatMap((request) => request.ips)
        assertAddress(decision, vector[door], vector, asked)
      }
    })
  }
})

describe('payloads', () => {
  let world

  before(async () => {
    world = await createTestChecker(PATIENT)
  })
  after(() => world.close())

  for (const vector of read('payloads', 45)) {
    test(vector.name, async () => {
      const decision = await decide(world, vector)
      assert.equal(decision.failure, vector.failure ?? null)
      assert.equal(decision.score, vector.score ?? 0)
      assert.deepEqual(decision.flags, vector.flags ?? {})
    })
  }
})

describe('policies', () => {
  const cases = read('policies', 70)
  let world

  before(async () => {
    const policies = Object.fromEntries(cases.map(({ policy }, place) => [`case-${place}`, policy]))
    world = await createTestChecker({ policies, ...PATIENT })
  })
  after(() => world.close())

  for (const [place, vector] of cases.entries()) {
    test(vector.name, async () => {
      const { security, route, action, wouldBe = action, reasons } = vector
      const decision = await decide(world, { security }, { policy: `case-${place}`, route })
      assert.deepEqual([decision.action, decision.wouldBe, decision.reasons], [action, wouldBe, reasons])
      assert.equal(decision.failure, null)
    })
  }
})

describe('failures', () => {
  let world

  before(async () => {
    const failing = ['open', 'challenge', 'closed'].map((mode) => [mode, { onFailure: mode }])
    world = await createTestChecker({ policies: Object.fromEntries(failing), ...PATIENT })
  })
  after(() => world.close())

  // What fails without an answer is tried where it can be made to fail.
  for (const vector of read('failures', 30).filter(({ answer }) => answer !== undefined)) {
    test(vector.name, async () => {
      for (const [policy, action] of Object.entries(vector.actions)) {
        const decision = await decide(world, vector.answer, { policy })
        assert.deepEqual([decision.failure, decision.action], [vector.code, action], policy)
        assert.deepEqual(
          [decision.failedOpen, decision.failedClosed],
          [action === 'allow', action === 'hold'],
        )
      }
    })
  }
})
