import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeCertificates } from './support/certificates.mjs'
import { runForJson, runScript } from './support/children.mjs'
import { assertDecision } from './support/decisions.mjs'
import { CONNECT, MFA, assertFailure, checkByAll } from './support/failures.mjs'
import { startProxy } from './support/proxy.mjs'
import { addressOf, makeChecker, publicAddress, startApi, startTestChecker } from './support/start.mjs'

const TLS = 'ERR_IP_RISK_TLS'
/** Leaves no time for a second attempt. */
const SINGLE_ATTEMPT = { deadlineMs: 390 }

let certificates
before(() => (certificates = makeCertificates()))
after(() => certificates.remove())

/** Checks the first address and then the others, all at once, and writes what was decided. */
const CHECK = `
  const { RiskChecker } = require('ip-risk')
  const [endpoint, first, ...others] = process.argv.slice(1)
  const checker = new RiskChecker({ apiKey: 'test-key', endpoint, logger: false, deadlineMs: 5_000 })
  async function main() {
    const decisions = [await checker.check(first), ...(await Promise.all(others.map((ip) => checker.check(ip))))]
    console.log(JSON.stringify(decisions.map(({ failure, source }) => failure ?? source)))
  }
  main()`

/** What became of one check, or of those of `ips`, in a process that trusts our authority unless `env` says not. */
function check(endpoint, { env = {}, ips = [publicAddress(1)] } = {}) {
  const trusting = { NODE_EXTRA_CA_CERTS: certificates.authorityPath }
  return runForJson(CHECK, { args: [endpoint, ...ips], env: { ...trusting, ...env } })
}

/** An https server that knows HTTP/1.1 only. */
async function startHttp1Server(t, tls) {
  const server = https.createServer(tls, (request, response) => {
    server.versions.push(request.httpVersion)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ security: { threat_score: 45 } }))
  })
  server.versions = []
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return server
}

describe('connecting', () => {
  test('to a port that refuses is a failure at once', async (t) => {
    const { checker, api } = await startTestChecker(t, { policies: MFA })
    await api.close()
    for (const [policy, decision] of Object.entries(await checkByAll(checker, addressOf('vpn')))) {
      assertFailure(decision, policy, CONNECT)
    }
  })

  test('to a name that cannot be resolved is a failure', async (t) => {
    // No resolver is asked about a label this long.
    const checker = makeChecker(t, { url: `https://${'a'.repeat(64)}.example` })
    assertFailure(await checker.check(publicAddress(1)), 'login', CONNECT)
  })

  test('to a server that does not take the connection ends at `connectTimeoutMs`', async (t) => {
    const port = await startDeafServer(t)
    const checker = makeChecker(
      t,
      { url: `http://127.0.0.1:${port}` },
      { connectTimeoutMs: 300, deadlineMs: 9_000 },
    )
    const began = performance.now()
    assertFailure(await checker.check(publicAddress(1)), 'login', CONNECT)
    const took = performance.now() - began
    assert.ok(took >= 290 && took < 3_000, `${took} ms`)
  })

  test('is done once for many checks, one after the other', async (t) => {
    const { checker, api } = await startTestChecker(t)
    for (let score = 0; score <= 100; score++) await checker.check(`192.0.2.${score}`)
    assert.deepEqual([api.requestCount(), api.connections], [101, 1])
  })

  test('is done again after the server closed the connection', async (t) => {
    const { checker, api } = await startTestChecker(t, SINGLE_ATTEMPT)
    await checker.check(addressOf('close-before-headers'))
    assertDecision(await checker.check(addressOf('vpn')), { failure: null })
    assert.equal(api.connections, 2)
  })
})

/**
 * The port of a server that listens and never accepts: its process sleeps, so that connections beyond the few that
 * the kernel keeps for it hang.
 */
async function startDeafServer(t) {
  const script = `
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000)
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [text] = await once(child.stdout, 'data')
  const port = Number(text)
  const sockets = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => {}))
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  await once(sockets[0], 'connect')
  return port
}

describe('https', () => {
  const startSecureApi = (t) => startApi(t, { tls: certificates.tls })

  test('trusts what NODE_EXTRA_CA_CERTS adds, for names and for addresses', async (t) => {
    const api = await startSecureApi(t)
    assert.deepEqual(await check(`https://127.0.0.1:${api.port}`), ['api'])
    assert.deepEqual(await check(`https://localhost:${api.port}`), ['api'])
    assert.equal(api.requestCount(), 2)
  })

  test('does not trust an unknown authority', async (t) => {
    const api = await startSecureApi(t)
    assert.deepEqual(await check(api.url, { env: { NODE_EXTRA_CA_CERTS: '' } }), [TLS])
    assert.equal(api.requestCount(), 0)
  })

  test('does not trust it either because Node.js was told to trust everybody', async (t) => {
    const api = await startSecureApi(t)
    const env = { NODE_EXTRA_CA_CERTS: '', NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    assert.deepEqual(await check(api.url, { env }), [TLS])
  })

  test('does not trust a certificate for another name', async (t) => {
    // This machine by another address, for which the certificate is not.
    const api = await startApi(t, { tls: certificates.tls, host: '127.0.0.2' })
    assert.deepEqual(await check(api.url), [TLS])
    assert.equal(api.requestCount(), 0)
  })

  test('to a server that does not speak it is a failure', async (t) => {
    const plain = await startApi(t)
    const [failure] = await check(`https://127.0.0.1:${plain.port}`)
    assert.ok([TLS, CONNECT].includes(failure), failure)
    assert.equal(plain.requestCount(), 0)
  })

  test('works with the roots of the package alone, where the machine has none', async (t) => {
    const api = await startSecureApi(t)
    const empty = join(certificates.directory, 'empty.pem')
    writeFileSync(empty, '')
    for (const [SSL_CERT_FILE, SSL_CERT_DIR] of [
      [empty, certificates.directory],
      ['/nonexistent/file.pem', '/nonexistent/directory'],
    ]) {
      assert.deepEqual(await check(api.url, { env: { SSL_CERT_FILE, SSL_CERT_DIR } }), ['api'])
      assert.deepEqual(await check(api.url, { env: { SSL_CERT_FILE, NODE_EXTRA_CA_CERTS: '' } }), [TLS])
    }
  })

  test('trusts what the machine trusts', async (t) => {
    const api = await startSecureApi(t)
    const env = { SSL_CERT_FILE: certificates.authorityPath, NODE_EXTRA_CA_CERTS: '' }
    assert.deepEqual(await check(api.url, { env }), ['api'])
  })

  test('goes on without a file of NODE_EXTRA_CA_CERTS that cannot be read or holds nothing', async (t) => {
    const api = await startSecureApi(t)
    const garbage = join(certificates.directory, 'garbage.pem')
    writeFileSync(
      garbage,
      '-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n\0',
    )
    for (const path of ['/nonexistent/authority.pem', garbage]) {
      assert.deepEqual(await check(api.url, { env: { NODE_EXTRA_CA_CERTS: path } }), [TLS])
    }
    const env = { NODE_EXTRA_CA_CERTS: '/nonexistent/authority.pem' }
    const { stderr } = await runScript(CHECK, { args: [api.url, publicAddress(1)], env })
    assert.match(stderr, /ip-risk: the file that `NODE_EXTRA_CA_CERTS` names cannot be read/)
  })

  test('uses HTTP/2 where it is offered, over one connection for all', async (t) => {
    const api = await startSecureApi(t)
    const ips = Array.from({ length: 100 }, (_, index) => publicAddress(index))
    assert.deepEqual(new Set(await check(api.url, { ips })), new Set(['api']))
    assert.deepEqual(new Set(api.requests.map(({ protocol }) => protocol)), new Set(['h2']))
    const asked = api.requests.flatMap((request) => request.ips)
    assert.deepEqual([asked.length, new Set(asked).size, api.connections], [100, 100, 1])
  })

  test('uses HTTP/1.1 where nothing else is offered', async (t) => {
    const server = await startHttp1Server(t, certificates.tls)
    const ips = [publicAddress(1), publicAddress(2)]
    assert.deepEqual(await check(`https://127.0.0.1:${server.address().port}`, { ips }), ['api', 'api'])
    assert.deepEqual(server.versions, ['1.1', '1.1'])
  })
})

describe('plain http', () => {
  test('to this machine uses HTTP/1.1', async (t) => {
    const api = await startApi(t)
    assert.deepEqual(await check(api.url), ['api'])
    assert.equal(api.requests[0].protocol, 'http/1.1')
  })

  test('to this machine never goes through a proxy', async (t) => {
    const [api, proxy] = [await startApi(t), await startProxy(t)]
    const url = `http://${proxy.host}`
    const names = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']
    const env = Object.fromEntries(names.map((name) => [name, url]))
    assert.deepEqual(await check(api.url, { env }), ['api'])
    assert.deepEqual([proxy.connects, proxy.others], [[], []])
  })
})

describe('a proxy', () => {
  async function start(t, options) {
    const api = await startApi(t, { tls: certificates.tls })
    const proxy = await startProxy(t, options)
    return { api, proxy, target: `127.0.0.1:${api.port}`, url: `http://${proxy.host}` }
  }

  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    test(`of \`${name}\` is used for https`, async (t) => {
      const { api, proxy, target, url } = await start(t)
      assert.deepEqual(await check(api.url, { env: { [name]: url } }), ['api'])
      assert.deepEqual(proxy.connects, [[target, undefined]])
      assert.equal(api.requests[0].protocol, 'h2')
    })
  }

  test('is not used for https when only HTTP_PROXY names it', async (t) => {
    const { api, proxy, url } = await start(t)
    assert.deepEqual(await check(api.url, { env: { HTTP_PROXY: url, http_proxy: url } }), ['api'])
    assert.deepEqual(proxy.connects, [])
  })

  test('gets the name and the password of its URL', async (t) => {
    const { api, proxy, target } = await start(t)
    const env = { HTTPS_PROXY: `http://user:pass%20word@${proxy.host}` }
    assert.deepEqual(await check(api.url, { env }), ['api'])
    const credentials = Buffer.from('user:pass word').toString('base64')
    assert.deepEqual(proxy.connects, [[target, `Basic ${credentials}`]])
  })

  test('may be written without a scheme', async (t) => {
    const { api, proxy } = await start(t)
    assert.deepEqual(await check(api.url, { env: { HTTPS_PROXY: proxy.host } }), ['api'])
    assert.equal(proxy.connects.length, 1)
  })

  for (const [host, noProxy, isUsed] of [
    ['127.0.0.1', '127.0.0.1', false],
    ['127.0.0.1', '127.0.0.0/8', false],
    ['127.0.0.1', 'localhost, 127.0.0.1 ,example.com', false],
    ['127.0.0.1', '*', false],
    ['127.0.0.1', 'localhost', true],
    ['127.0.0.1', '', true],
    ['localhost', 'localhost', false],
    ['localhost', 'example.com,localhost', false],
    ['localhost', '*', false],
    ['localhost', '127.0.0.1,host', true],
  ]) {
    test(`is ${isUsed ? '' : 'not '}used for ${host} with NO_PROXY=\`${noProxy}\``, async (t) => {
      const { api, proxy, url } = await start(t)
      const endpoint = `https://${host}:${api.port}`
      assert.deepEqual(await check(endpoint, { env: { HTTPS_PROXY: url, NO_PROXY: noProxy } }), ['api'])
      assert.equal(proxy.connects.length, isUsed ? 1 : 0)
    })
  }

  test('that cannot be reached or refuses is a failure of connecting', async (t) => {
    for (const status of [403, 407, 502]) {
      const { api, url } = await start(t, { status })
      assert.deepEqual(await check(api.url, { env: { HTTPS_PROXY: url } }), [CONNECT], `status ${status}`)
      assert.equal(api.requestCount(), 0)
    }
    const { api } = await start(t)
    assert.deepEqual(await check(api.url, { env: { HTTPS_PROXY: 'http://127.0.0.1:1' } }), [CONNECT])
  })

  test('whose URL cannot be used stops the start', async (t) => {
    const { api } = await start(t)
    const env = { HTTPS_PROXY: 'http://user:secret@[' }
    const { code, stderr } = await runScript(CHECK, { args: [api.url, publicAddress(1)], env })
    assert.equal(code, 1)
    assert.match(stderr, /`HTTPS_PROXY` must be an http or https URL such as `http:\/\/proxy\.internal:3128`/)
    assert.match(stderr, /ERR_IP_RISK_OPTION/)
  })
})

/** Forwards connections to `port` until `freeze()`; those that are open then stay open and carry nothing any more. */
async function startForwarder(t, port) {
  const sockets = new Set()
  const forward = (from, to) => from.on('data', (data) => from.isFrozen || to.isFrozen || to.write(data))
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}))
    forward(client, upstream)
    forward(upstream, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: server.address().port, freeze: () => sockets.forEach((socket) => (socket.isFrozen = true)) }
}

/** Checks new addresses until one is answered again after the parent has frozen the connection. */
const CHECK_UNTIL_RECOVERED = `
  const { RiskChecker } = require('ip-risk')
  const checker = new RiskChecker({ apiKey: 'k', endpoint: process.argv[1], logger: false, deadlineMs: 200 })
  let number = 0
  // While the provider is left alone checks are refused at once.
  const pause = () => new Promise((resolve) => setTimeout(resolve, 20))
  const check = () => checker.check('11.0.' + (++number >> 8) + '.' + (number & 255))
  async function main() {
    const first = await check()
    await fetch(process.argv[2])
    const frozen = await check()
    const began = Date.now()
    let last = frozen
    while (last.failure !== null && Date.now() - began < 12_000) {
      await pause()
      last = await check()
    }
    console.log(JSON.stringify([first.failure, frozen.failure, last.failure]))
  }
  main()`

test('a connection that has died without a word is left, though calls keep coming', async (t) => {
  const api = await startApi(t, { tls: certificates.tls })
  const forwarder = await startForwarder(t, api.port)
  const signal = http.createServer((request, response) => {
    forwarder.freeze()
    response.end()
  })
  signal.listen(0, '127.0.0.1')
  await once(signal, 'listening')
  t.after(() => signal.close())
  const args = [`https://127.0.0.1:${forwarder.port}`, `http://127.0.0.1:${signal.address().port}`]
  const env = { NODE_EXTRA_CA_CERTS: certificates.authorityPath }
  const outcomes = await runForJson(CHECK_UNTIL_RECOVERED, { args, env })
  assert.deepEqual(outcomes, [null, 'ERR_IP_RISK_TIMEOUT', null])
  assert.equal(api.requests[0].protocol, 'h2')
})
