/** Mistakes in the set-up that requests show: what is said of them on the console, each once per process. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'
import { scoring } from './support/express-app.mjs'

describe('warnings about the set-up', () => {
  let consumer
  before(() => (consumer = makeConsumer()))
  after(() => consumer.remove())

  /**
   * Runs an application in a process of its own and sends `requests` to it, each a set of headers, once for each of a
   * list of loggers. Gives the lines on the console that carry a code, by their codes.
   */
  async function warningsOf({
    trustProxy,
    requests,
    framework = 'express',
    loggers = 'undefined',
    gate = '{}',
    mount = 'post',
    path = '/',
    router = '',
    listen = "0, '127.0.0.1'",
  }) {
    const source = `
      const { once } = require('node:events')
      const http = require('node:http')
      const express = require('${framework}')
      const { riskMiddleware } = require('ip-risk')
      const { createTestChecker } = require('ip-risk/testing')
      async function main() {
        for (const logger of [${loggers}]) {
          const { checker, close } = await createTestChecker({ logger })
          const app = express()
          app.set('trust proxy', ${trustProxy})
          const routes = ${router === '' ? 'app' : 'express.Router()'}
          if (routes !== app) app.use('${router}', routes)
          routes.${mount}('${path}', riskMiddleware({ checker, ...${gate} }), (req, res) => res.end())
          const server = app.listen(${listen})
          await once(server, 'listening')
          const address = server.address()
          const to = typeof address === 'string' ? { socketPath: address } : { host: '127.0.0.1', port: address.port }
          for (const headers of ${JSON.stringify(requests)}) {
            const [answer] = await once(http.request({ ...to, path: '${router}${path}', headers, method: 'POST', agent: false }).end(), 'response')
            await once(answer.resume(), 'end')
          }
          server.close()
          server.closeAllConnections()
          await close()
        }
      }
      main()
    `
    const { code, stdout, stderr } = await consumer.runText('app.cjs', source)
    assert.equal(code, 0, stderr)
    return codedLines(`${stdout}${stderr}`)
  }

  const codedLines = (output) => output.split('\n').filter((line) => line.includes('code=ERR_IP_RISK_'))
  const codesOf = (lines) => lines.map((line) => /code=(\w+)/.exec(line)[1])
  const forwarding = [scoring(0), scoring(1), scoring(2)].map((from) => ({ 'x-forwarded-for': from }))
  const twoCheckers = 'undefined, undefined'

  for (const framework of ['express', 'express4']) {
    test(`trusting everybody is said once per process, with what to set (${framework})`, async () => {
      const set = { trustProxy: 'true', requests: [{}, ...forwarding], framework, loggers: twoCheckers }
      const lines = await warningsOf(set)
      assert.deepEqual(codesOf(lines), ['ERR_IP_RISK_TRUST_ALL'])
      assert.match(lines[0], /^ip-risk: .*`trust proxy`.*`app\.set\('trust proxy', /)
    })

    test(`a header that is not trusted is said once per process, with what to set (${framework})`, async () => {
      const set = { trustProxy: 'false', requests: forwarding, framework, loggers: twoCheckers }
      const lines = await warningsOf(set)
      assert.deepEqual(codesOf(lines), ['ERR_IP_RISK_UNTRUSTED_FORWARDED'])
      assert.match(lines[0], /^ip-risk: .*set `trust proxy` to the addresses of your proxies/)
    })
  }

  test('a special-use address from a trusted proxy is warned about', async () => {
    const set = { trustProxy: "'loopback'", requests: [{ 'x-forwarded-for': '10.0.0.9' }] }
    assert.deepEqual(codesOf(await warningsOf(set)), ['ERR_IP_RISK_UNTRUSTED_FORWARDED'])
  })

  test('requests that a proxy sends over a Unix socket are warned about, and not those without a proxy', async () => {
    const listen = JSON.stringify(join(consumer.directory, 'app.sock'))
    for (const [headers, codes] of [
      [{ 'x-real-ip': scoring(0) }, ['ERR_IP_RISK_UNTRUSTED_FORWARDED']],
      [{}, []],
    ]) {
      const lines = await warningsOf({ trustProxy: "'loopback'", requests: [headers], listen })
      const setUp = codesOf(lines).filter((code) => code !== 'ERR_IP_RISK_INVALID_ADDRESS')
      assert.deepEqual(setUp, codes)
    }
  })

  test('a client that hangs up is not taken for a proxy behind a Unix socket', async () => {
    const source = `
      const { once } = require('node:events')
      const net = require('node:net')
      const express = require('express')
      const { riskMiddleware } = require('ip-risk')
      const { createTestChecker } = require('ip-risk/testing')
      createTestChecker({ logger: undefined }).then(async ({ checker, close }) => {
        const app = express()
        app.set('trust proxy', 'loopback')
        const gone = (req, res, next) => req.socket.once('close', () => next())
        const judged = new Promise((resolve) => app.use(gone, riskMiddleware({ checker }), resolve))
        const server = app.listen(0, '127.0.0.1')
        await once(server, 'listening')
        const socket = net.connect(server.address().port, '127.0.0.1')
        socket.write('POST / HTTP/1.1\\r\\nhost: a\\r\\nx-forwarded-for: 192.0.2.1\\r\\n\\r\\n')
        await once(server, 'request')
        socket.destroy()
        const { ipRisk } = await judged
        console.log(ipRisk.ip)
        server.close()
        await close()
      })
    `
    const { code, stdout, stderr } = await consumer.runText('gone.cjs', source)
    assert.deepEqual([code, codesOf(codedLines(stdout + stderr))], [0, []], stderr)
  })

  test('a trusted proxy that forwards no address speaks for itself', async () => {
    const requests = [{ 'x-forwarded-proto': 'https' }, { via: '1.1 mesh' }]
    assert.deepEqual(await warningsOf({ trustProxy: "'loopback'", requests }), [])
    const lines = await warningsOf({ trustProxy: 'false', requests })
    assert.deepEqual(codesOf(lines), ['ERR_IP_RISK_UNTRUSTED_FORWARDED'])
  })

  test('a correct set-up is not warned about', async () => {
    const set = { trustProxy: "'loopback'", requests: [{}, ...forwarding] }
    assert.deepEqual(await warningsOf(set), [])
  })

  test('`clientIp` makes trusting everybody harmless', async () => {
    const gate = "{ clientIp: (req) => req.headers['x-forwarded-for'] }"
    assert.deepEqual(await warningsOf({ trustProxy: 'true', requests: forwarding, gate }), [])
  })

  test('a checker that is silent leaves the warning to one that is not', async () => {
    const set = { trustProxy: 'true', requests: forwarding, loggers: 'false, undefined' }
    assert.deepEqual(codesOf(await warningsOf(set)), ['ERR_IP_RISK_TRUST_ALL'])
  })

  test('a gate in front of all routes says that its entries for routes do not apply, one on a route does not', async () => {
    const denying = (route) => `{ deny: [{ cidr: '198.51.100.1', routes: ['${route}'] }] }`
    for (const [mount, gate, codes] of [
      ['use', denying('/'), ['ERR_IP_RISK_ROUTE']],
      ['post', denying('/'), []],
    ]) {
      const lines = await warningsOf({ trustProxy: "'loopback'", requests: forwarding, gate, mount })
      assert.deepEqual(codesOf(lines), codes, mount)
    }
  })

  test('a gate on a mounted router says that names with its prefix do not apply', async () => {
    const gate = "{ deny: [{ cidr: '198.51.100.1', routes: ['/api/login'] }] }"
    const set = { trustProxy: "'loopback'", requests: forwarding, gate, path: '/login', router: '/api' }
    assert.deepEqual(codesOf(await warningsOf(set)), ['ERR_IP_RISK_ROUTE'])
  })

  test('routes that were most likely meant for a gate, and are not its pattern, are said not to apply', async () => {
    for (const [path, route, codes] of [
      ['/login', 'POST /login', ['ERR_IP_RISK_ROUTE']],
      ['/login', 'login', ['ERR_IP_RISK_ROUTE']],
      ['/login', '/login/', ['ERR_IP_RISK_ROUTE']],
      ['/login', '/sign-up', []],
      ['/login', '/admin/login', []],
      ['/', '/login', []],
      ['/login', '/login', []],
    ]) {
      const gate = `{ deny: [{ cidr: '198.51.100.1', routes: ['${route}'] }] }`
      const lines = await warningsOf({ trustProxy: "'loopback'", requests: forwarding, gate, path })
      assert.deepEqual(codesOf(lines), codes, route)
    }
  })

  for (const [version, isOld] of [
    ['2.0.7', true],
    ['1.1.5', true],
    ['2.0.8', false],
    ['2.1.0', false],
    ['3.0.0', false],
  ]) {
    test(`proxy-addr ${version} is ${isOld ? 'said to be old, once' : 'not warned about'}`, async (t) => {
      const old = makeConsumer({ linked: [] })
      t.after(() => old.remove())
      for (const [name, of] of [
        ['express', '5.0.0'],
        ['proxy-addr', version],
      ]) {
        const directory = join(old.directory, 'node_modules', name)
        mkdirSync(directory)
        writeFileSync(
          join(directory, 'package.json'),
          JSON.stringify({ name, version: of, main: 'index.js' }),
        )
        writeFileSync(join(directory, 'index.js'), '')
      }
      const source = `
        const { riskMiddleware } = require('ip-risk')
        const { createTestChecker } = require('ip-risk/testing')
        createTestChecker({ logger: undefined }).then(({ checker, close }) => {
          riskMiddleware({ checker })
          riskMiddleware({ checker, policy: 'payment' })
          return close()
        })
      `
      // As a service starts it, too.
      for (const cwd of [old.directory, '/']) {
        const { stderr } = await old.runText('app.cjs', source, { cwd })
        const lines = codedLines(stderr)
        assert.deepEqual(codesOf(lines), isOld ? ['ERR_IP_RISK_PROXY_ADDR'] : [], cwd)
        if (isOld) assert.match(lines[0], /^ip-risk: .*2\.0\.8.*update/)
      }
    })
  }
})
