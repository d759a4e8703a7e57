// The golden vectors of `vectors/` through the Node face, as `crates/core/tests/vectors.rs` runs them through the core
// and `python/tests/test_vectors.py` through the Python face.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

describe('feeds', () => {
  let directory

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'ip-risk-vectors-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  for (const [number, vector] of read('feeds', 40).entries()) {
    test(vector.name, async () => {
      const files = vector.lists.map(({ lines, ...list }, place) => {
        const path = join(directory, `${number}-${place}.txt`)
        writeFileSync(path, lines.join('\n'))
        return { path, ...list }
      })
      const checker = new RiskChecker({ feeds: { files }, logger: false })
      const { score, band, action, reasons, flags } = await checker.check(vector.address)
      await checker.close()
      const expected = [vector.score, vector.band, vector.action, vector.reasons, vector.flags]
      assert.deepEqual([score, band, action, reasons, flags], expected)
    })
  }
})

/** What a client of a server gets whose only route is behind a gate with these options. */
async function fetchBehind(gate, headers = {}) {
  const server = http.createServer((request, response) => {
    gate(request, response, () => {
      const { ipRisk, requireMfa = null, holdForReview = null } = request
      response.end(JSON.stringify({ ipRisk, requireMfa, holdForReview }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const request = http.get({ port: server.address().port, host: '127.0.0.1', headers, agent: false })
    const [response] = await once(request, 'response')
    const text = (await response.setEncoding('utf8').toArray()).join('')
    return { status: response.statusCode, headers: response.headers, text }
  } finally {
    server.close()
  }
}

describe('answers', () => {
  let world

  before(async () => {
    world = await createTestChecker(PATIENT)
  })
  after(() => world.close())

  for (const vector of read('answers', 10)) {
    test(vector.name, async () => {
      const { checker, api, advance } = world
      const { on_failure: onFailure, ...policy } = vector.policy
      const security = vector.security
      advance(COOL_DOWN)
      api.answerRaw(ADDRESS, security === undefined ? { status: 500 } : rawAnswer({ security }))
      await checker.invalidate()
      const gate = riskMiddleware({ checker, clientIp: () => ADDRESS, onFailure, ...policy })
      const { status, headers, text } = await fetchBehind(gate)
      assert.equal(status, vector.status)
      for (const [name, value] of Object.entries(vector.headers ?? {})) assert.equal(headers[name], value)
      if (status !== 200) return assert.equal(text, vector.body)
      const { requireMfa, holdForReview } = JSON.parse(text)
      assert.deepEqual([requireMfa, holdForReview], [vector.require_mfa, vector.hold_for_review])
    })
  }
})

describe('forwarded headers', () => {
  for (const { header, provenance } of read('forwarded', 15)) {
    test(`${header}: ${provenance}`, async () => {
      const checker = new RiskChecker({ logger: false })
      const { text } = await fetchBehind(
        riskMiddleware({ checker }),
        header === null ? {} : { [header]: '8.8.8.8' },
      )
      await checker.close()
      assert.equal(JSON.parse(text).ipRisk.provenance, provenance)
    })
  }
})
