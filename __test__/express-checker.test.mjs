/** The checker behind the gates: the one that the process shares, and one that is closed. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'
import { assertBlocked, assertHeld } from './support/express-answers.mjs'
import { onEachExpress, scoring, startGate, turns, until } from './support/express-app.mjs'
import { riskMiddleware } from './support/package.mjs'

describe('the checker that the process shares', () => {
  let consumer
  before(() => {
    consumer = makeConsumer()
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(consumer.directory, name))
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
    const names = ['-subj', '/CN=api.ipgeolocation.io', '-addext', 'subjectAltName=DNS:api.ipgeolocation.io']
    // Not the certificate of an authority: that may not stand for a server.
    const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE']
    const args = ['req', '-x509', ...curve, ...names, ...leaf, '-keyout', key, '-out', cert]
    execFileSync('openssl', args, { stdio: 'pipe' })
  })
  after(() => consumer.remove())

  /** Starts, in a process of its own, the provider under its real name behind a proxy; then an application. */
  const application = `
    const { readFileSync } = require('node:fs')
    const http = require('node:http')
    const net = require('node:net')
    const { once } = require('node:events')
    const express = require('express')
    const { startMockApi } = require('ip-risk/testing')

    async function main() {
      const tls = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }
      const api = await startMockApi({ tls, key: 'key-of-the-environment' })
      const proxy = http.createServer().on('connect', (request, socket) => {
        if (request.url !== 'api.ipgeolocation.io:443') return socket.destroy()
        const upstream = net.connect(api.port, '127.0.0.1', () => {
          socket.write('HTTP/1.1 200 OK\\r\\n\\r\\n')
          upstream.pipe(socket).pipe(upstream)
        })
        for (const end of [socket, upstream]) end.on('error', () => {})
      })
      proxy.listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      process.env.HTTPS_PROXY = 'http://127.0.0.1:' + proxy.address().port

      const { riskMiddleware } = require('ip-risk')
      const app = express()
      app.set('trust proxy', 'loopback')
      app.post('/login', riskMiddleware(), (req, res) => res.json({ mfa: req.requireMfa }))
      app.post('/signup', riskMiddleware(), (req, res) => res.json({}))
      app.post('/pay', riskMiddleware({ policy: 'payment', mode: 'enforce' }), (req, res) => res.json({}))
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const statusOf = async (path, from) => {
        const url = 'http://127.0.0.1:' + server.address().port + path
        return (await fetch(url, { method: 'POST', headers: { 'x-forwarded-for': from } })).status
      }
      const statuses = []
      for (const path of ['/login', '/pay']) {
        for (const from of ['2.56.188.34', '1.1.1.1']) statuses.push(await statusOf(path, from))
      }
      console.log(JSON.stringify({ statuses, keys: api.requests.map((request) => request.keyAccepted) }))
      api.fault({ status: 503 })
      for (const path of ['/login', '/signup']) await statusOf(path, '9.9.9.9')
      process.exit()
    }
    main()
  `
  const env = (directory) => ({
    IPGEO_API_KEY: 'key-of-the-environment',
    NODE_EXTRA_CA_CERTS: join(directory, 'cert.pem'),
  })

  test('is made from the environment, once', async () => {
    const { code, stdout, stderr } = await consumer.runText('app.cjs', application, {
      env: env(consumer.directory),
    })
    assert.equal(code, 0, stderr)
    const found = { statuses: [403, 200, 403, 200], keys: [true, true] }
    assert.deepEqual(
      JSON.parse(stdout),
      found,
      'each address costs one call, with the key of the environment',
    )
    assert.equal(stderr.match(/failed open/g)?.length, 1, 'one checker says it for both routes')
  })

  test('only watches under `IP_RISK_MODE=log-only`, whatever the code says', async () => {
    const watching = { ...env(consumer.directory), IP_RISK_MODE: 'log-only' }
    const { code, stdout, stderr } = await consumer.runText('app.cjs', application, { env: watching })
    assert.equal(code, 0, stderr)
    const [said, found] = stdout.trim().split('\n')
    assert.match(said, /^ip-risk: `IP_RISK_MODE=log-only` is set/)
    assert.deepEqual(JSON.parse(found).statuses, [200, 200, 200, 200])
  })

  test('needs no key for a policy that opens, and `riskMiddleware()` refuses one that closes', async () => {
    const source = `
      const { riskMiddleware } = require('ip-risk')
      for (const options of [{}, { policy: 'payment' }, { onFailure: 'closed' }, { mode: 'log-only' }]) {
        try { console.log(typeof riskMiddleware(options)) }
        catch (error) { console.log(error.code, error.message) }
      }
    `
    const { code, stdout, stderr } = await consumer.runText('keyless.cjs', source)
    assert.equal(code, 0, stderr)
    const [said, login, payment, inline, watching] = stdout.trim().split('\n')
    assert.match(said, /^ip-risk: no key: scores come from offline feeds, which see clouds and hosting/)
    assert.deepEqual([login, watching], ['function', 'function'])
    for (const line of [payment, inline]) {
      assert.match(line, /^ERR_IP_RISK_NO_SOURCE .*`IPGEO_API_KEY`.*`feeds: \{ primary: true \}`/)
    }
  })

  test('is not needed where a checker is given', async () => {
    const source = `
      const { riskMiddleware } = require('ip-risk')
      const { createTestChecker } = require('ip-risk/testing')
      createTestChecker().then(async ({ checker, close }) => {
        console.log(typeof riskMiddleware({ checker }))
        await close()
      })
    `
    const { stdout, stderr } = await consumer.runText('given.cjs', source)
    assert.equal(stdout, 'function\n', stderr)
  })
})

onEachExpress('a closed checker', (express) => {
  test('makes no new gate', async (t) => {
    const { checker } = await startGate(t, express)
    await checker.close()
    for (const options of [{}, { policy: 'payment' }, { onFailure: 'closed' }]) {
      assert.throws(() => riskMiddleware({ checker, ...options }), { code: 'ERR_IP_RISK_CLOSED' })
    }
  })

  test('keeps the application up', async (t) => {
    for (const [gate, status, requireMfa] of [
      [{}, 200, false],
      [{ policy: 'payment' }, 503],
      [{ onFailure: 'challenge' }, 200, true],
      [{ onFailure: 'closed' }, 503],
    ]) {
      const { ask, checker } = await startGate(t, express, { gate })
      assert.equal((await ask(scoring(0))).status, 200)
      await checker.close()
      const answer = await ask(scoring(0))
      assert.equal(answer.status, status)
      assert.equal(answer.json.requireMfa, requireMfa)
      assert.equal(answer.decision.failure, 'ERR_IP_RISK_CLOSED')
      assert.equal(answer.decision.failedClosed, status === 503)
      if (status === 503) assertHeld(answer)
    }
  })

  test('only watches where the policy only watches', async (t) => {
    const { ask, checker } = await startGate(t, express, { gate: { policy: 'payment', mode: 'log-only' } })
    await checker.close()
    const { status, json } = await ask(scoring(0))
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(json), ['ipRisk'])
    assert.deepEqual([json.ipRisk.action, json.ipRisk.wouldBe], ['allow', 'hold'])
  })

  test('lets through what is skipped', async (t) => {
    const gate = { policy: 'payment', skip: () => true }
    const { ask, checker } = await startGate(t, express, { gate })
    await checker.close()
    const answer = await ask(scoring(0))
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(answer.json.ipRisk.reasons, ['skipped'])
  })

  test('still answers what was under way', async (t) => {
    const { ask, api, checker, decisions } = await startGate(t, express)
    api.latencyMs = 100
    const asked = ask(scoring(80))
    await until(() => api.requestCount() === 1)
    await checker.close()
    await turns(1)
    assert.deepEqual(
      decisions.map(({ action }) => action),
      ['block'],
      '`close()` waits for it',
    )
    assertBlocked(await asked)
  })
})
