/** Whatever is sent to the stand-in for the Security API: what is counted of it, and what it must survive. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  BULK,
  OTHER_IP,
  PUBLIC_IP,
  SINGLE,
  closing,
  lookUp,
  lookUpMany,
  request,
  startForAllTests,
} from './support/mock-api.mjs'

const api = await startForAllTests()

describe('what is counted', () => {
  test('requests, without their key', async () => {
    const start = Date.now()
    const headers = { 'X-Client': 'tests', authorization: 'Bearer top-secret', 'x-near': 'top-secrets' }
    await request(`${api.url}${SINGLE}?apiKey=top-secret&ip=${PUBLIC_IP}`, { headers })
    await lookUpMany(api, [PUBLIC_IP, OTHER_IP, 'foo'])
    await request(`${api.url}/elsewhere?x=1`, { method: 'PUT' })
    assert.equal(api.requests.length, 3)
    const [single, bulk, other] = api.requests
    assert.equal(single.method, 'GET')
    assert.equal(single.path, SINGLE)
    assert.deepEqual(single.ips, [PUBLIC_IP])
    assert.ok(single.at >= start && single.at <= Date.now())
    assert.equal(single.protocol, 'http/1.1')
    assert.equal(single.keyAccepted, true)
    assert.equal(single.headers['x-client'], 'tests')
    assert.equal(single.headers.authorization, 'Bearer [key]')
    assert.equal(single.headers['x-near'], 'top-secrets')
    assert.deepEqual(bulk.ips, [PUBLIC_IP, OTHER_IP, 'foo'])
    assert.deepEqual(
      [other.method, other.path, other.ips, other.keyAccepted],
      ['PUT', '/elsewhere', [], false],
    )
    assert.equal(api.requestCount(), 3)
    assert.equal(api.requestCount(PUBLIC_IP), 2)
    assert.equal(api.requestCount(`::ffff:${OTHER_IP}`), 1)
    assert.equal(api.requestCount('foo'), 1)
    assert.equal(api.requestCount('9.9.9.9'), 0)
  })

  test('connections, not requests', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    for (let round = 0; round < 3; round += 1) {
      const [response] = await once(
        http.get(`${api.url}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`, { agent }),
        'response',
      )
      response.resume()
      await once(response, 'end')
    }
    agent.destroy()
    assert.equal(api.connections, 1)
    await lookUp(api, PUBLIC_IP)
    assert.equal(api.connections, 2)
    api.reset()
    assert.deepEqual([api.connections, api.credits, api.requestCount(), api.requests.length], [0, 0, 0, 0])
  })

  test('only the last 10,000 requests are kept', async () => {
    const socket = net.connect(api.port, '127.0.0.1').resume()
    const head = `GET /path HTTP/1.1\r\nHost: test\r\n\r\n`
    const last = `GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`
    socket.write(head.repeat(10_004) + last)
    await once(socket, 'close')
    assert.equal(api.requestCount(), 10_005)
    assert.equal(api.requests.length, 10_000)
    assert.equal(api.requests.at(-1).path, '/last')
  })
})

describe('hostile and odd requests', () => {
  const texts = {
    nonsense: '\x00\x01\x02nonsense\r\n\r\n',
    'a half request': 'GET /v3/security?apiKey=k&ip=8.8',
    'a half body': `POST ${BULK}?apiKey=k HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"ips":`,
    'a bad chunk': `POST ${BULK}?apiKey=k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    'an absolute target': `GET http://other.test${SINGLE}?apiKey=k HTTP/1.1\r\nHost: a\r\n\r\n`,
    'a bare asterisk': 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
    CONNECT: 'CONNECT other.test:443 HTTP/1.1\r\nHost: a\r\n\r\n',
    'an upgrade': `GET ${SINGLE} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    'a huge header': `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
    'a bad escape': `GET ${SINGLE}?apiKey=%ZZ&ip=%E0%A4%A HTTP/1.1\r\nHost: a\r\n\r\n`,
    'HTTP/1.0': `GET ${SINGLE}?apiKey=k&ip=${PUBLIC_IP} HTTP/1.0\r\n\r\n`,
    HEAD: `HEAD ${SINGLE}?apiKey=k&ip=${PUBLIC_IP} HTTP/1.1\r\nHost: a\r\n\r\n`,
    'a prototype name': `GET ${SINGLE}?__proto__=1&apiKey=k&ip=constructor HTTP/1.1\r\nHost: a\r\n\r\n`,
  }
  for (const [name, text] of Object.entries(texts)) {
    test(`survives ${name}`, async () => {
      const socket = net.connect(api.port, '127.0.0.1').resume()
      const closed = closing(socket)
      socket.end(text)
      await closed
      assert.equal((await lookUp(api, PUBLIC_IP)).status, 200)
    })
  }

  test('survives clients that leave in the middle of every fault', async () => {
    for (const fault of [
      { kind: 'drip' },
      { kind: 'oversized' },
      { kind: 'gzip-bomb' },
      { kind: 'hang' },
      { kind: 'reset-mid-body' },
    ]) {
      api.fault(fault)
      const socket = net.connect(api.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`GET ${SINGLE}?apiKey=k&ip=${PUBLIC_IP} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await sleep(20)
      socket.resetAndDestroy()
    }
    api.fault(null)
    assert.equal((await lookUp(api, PUBLIC_IP)).status, 200)
  })
})
