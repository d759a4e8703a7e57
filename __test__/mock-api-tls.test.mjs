/** The stand-in for the Security API over TLS, with HTTP/1.1 and HTTP/2. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import testing from '../lib/testing.js'
import {
  BULK,
  OTHER_IP,
  PUBLIC_IP,
  SINGLE,
  answerOf,
  assertMessage,
  closing,
  outcomeOf,
  request,
} from './support/mock-api.mjs'
import { WIRE_FAULTS } from './support/wire-faults.mjs'

const { startMockApi } = testing

/** One request on an HTTP/2 connection of its own. */
async function request2(url, ca, headers = {}, body = undefined) {
  const session = http2.connect(new URL(url).origin, { ca })
  session.on('error', () => {})
  try {
    return await stream2(session, url, headers, body)
  } finally {
    session.destroy()
  }
}

function stream2(session, url, headers, body) {
  return new Promise((resolve, reject) => {
    const { pathname, search } = new URL(url)
    const stream = session.request(
      { ':path': pathname + search, ...headers },
      { endStream: body === undefined },
    )
    const chunks = []
    let received
    stream.on('response', (head) => (received = head))
    stream.on('data', (chunk) => chunks.push(chunk))
    stream.on('error', (error) => reject(Object.assign(error, { status: received?.[':status'] })))
    stream.on('close', () => {
      if (received === undefined) reject(new Error('closed without an answer'))
      else resolve(answerOf(received[':status'], received, chunks))
    })
    if (body !== undefined) stream.end(body)
  })
}

describe('TLS', () => {
  let directory
  let ca
  let secure

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'mock-api-'))
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(directory, name))
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
    const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', ...curve, ...names, '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    })
    ca = readFileSync(cert, 'utf8')
    secure = await startMockApi({ tls: { key: readFileSync(key), cert: ca } })
  })
  afterEach(() => secure.reset())
  after(async () => {
    await secure.close()
    rmSync(directory, { recursive: true })
  })

  const target = () => `${secure.url}${SINGLE}?apiKey=top-secret&ip=${PUBLIC_IP}`

  test('serves HTTPS with HTTP/1.1', async () => {
    assert.equal(secure.url, `https://127.0.0.1:${secure.port}`)
    const answer = await request(target(), { ca })
    assert.equal(answer.json().ip, PUBLIC_IP)
    assert.equal(secure.requests[0].protocol, 'http/1.1')
  })

  test('serves HTTP/2, several requests on a connection', async () => {
    const session = http2.connect(secure.url, { ca })
    const answers = await Promise.all(
      [1, 2, 3].map(() => stream2(session, target(), { 'accept-encoding': 'gzip' })),
    )
    session.destroy()
    for (const { status, bytes, headers } of answers) {
      assert.equal(status, 200)
      assert.equal(headers['x-credits-charged'], '2')
      assert.equal(JSON.parse(gunzipSync(bytes)).ip, PUBLIC_IP)
    }
    assert.equal(secure.connections, 1)
    assert.equal(secure.credits, 6)
    assert.equal(secure.requests[0].protocol, 'h2')
    assert.deepEqual(secure.requests[0].ips, [PUBLIC_IP])
    assert.doesNotMatch(JSON.stringify(secure.requests), /top-secret/)
  })

  test('serves bulk over HTTP/2', async () => {
    const headers = { ':method': 'POST', 'content-type': 'application/json' }
    const body = JSON.stringify({ ips: [PUBLIC_IP, '10.0.0.1'] })
    const answer = await request2(`${secure.url}${BULK}?apiKey=k`, ca, headers, body)
    assert.equal(answer.json().length, 2)
    assert.equal(answer.headers['x-successful-record'], '1')
  })

  test('refuses over HTTP/2', async () => {
    assertMessage(await request2(`${secure.url}/elsewhere`, ca), 404)
    assertMessage(await request2(target(), ca, { ':method': 'PUT' }), 405)
    assert.equal((await request2(target(), ca, { ':method': 'HEAD' })).status, 405)
    secure.fault({ status: 204 })
    assert.equal((await request2(target(), ca)).status, 204)
    secure.fault({ status: 429, retryAfter: 3 })
    assert.equal((await request2(target(), ca)).headers['retry-after'], '3')
  })

  test('sends raw answers over HTTP/2', async () => {
    secure.answerRaw(PUBLIC_IP, { headers: { 'X-Odd': 'yes' }, body: 'raw' })
    const answer = await request2(target(), ca)
    assert.equal(answer.text, 'raw')
    assert.equal(answer.headers['x-odd'], 'yes')
  })

  const overHttp2 = {
    ...WIRE_FAULTS,
    'close-before-headers': ({ error }) => assert.equal(error.status, undefined),
    reset: ({ error }) => {
      assert.equal(error.code, 'ERR_HTTP2_STREAM_ERROR')
      assert.equal(error.status, undefined)
    },
    'reset-mid-body': ({ error }) => {
      assert.equal(error.code, 'ERR_HTTP2_STREAM_ERROR')
      assert.equal(error.status, 200)
    },
  }
  for (const kind of Object.keys(WIRE_FAULTS)) {
    test(`${kind} over HTTPS with HTTP/1.1`, async () => {
      secure.fault({ kind })
      WIRE_FAULTS[kind](await outcomeOf(request(target(), { ca })))
    })

    test(`${kind} over HTTP/2`, async () => {
      secure.fault({ kind })
      overHttp2[kind](await outcomeOf(request2(target(), ca)))
      secure.fault(null)
      assert.equal((await request2(target(), ca)).status, 200)
    })
  }

  test('a reset over HTTP/2 spares the other streams', async () => {
    const session = http2.connect(secure.url, { ca })
    secure.latencyMs = 30
    secure.fault({ kind: 'reset' }, { ip: OTHER_IP })
    const other = `${secure.url}${SINGLE}?apiKey=k&ip=${OTHER_IP}`
    const [good, bad] = await Promise.all([stream2(session, target()), outcomeOf(stream2(session, other))])
    assert.equal(good.status, 200)
    assert.equal(bad.error.code, 'ERR_HTTP2_STREAM_ERROR')
    session.destroy()
  })

  test('drip and hang over HTTP/2', async () => {
    secure.fault({ kind: 'drip', bytesPerSecond: 5000 })
    assert.equal((await request2(target(), ca)).json().ip, PUBLIC_IP)
    secure.fault({ kind: 'hang' })
    const session = http2.connect(secure.url, { ca })
    const hanging = outcomeOf(stream2(session, target()))
    const last = await Promise.race([hanging, sleep(100, 'still hanging')])
    assert.equal(last, 'still hanging')
    session.destroy()
    await hanging
  })

  test('survives nonsense instead of a handshake', async () => {
    for (const text of ['nonsense', 'GET / HTTP/1.1\r\n\r\n', '']) {
      const socket = net.connect(secure.port, '127.0.0.1').resume()
      const closed = closing(socket)
      socket.end(text)
      await closed
    }
    assert.equal((await request(target(), { ca })).status, 200)
  })

  test('closes with open connections of both protocols', async () => {
    const options = { key: readFileSync(join(directory, 'key.pem'), 'utf8'), cert: ca }
    const other = await startMockApi({ tls: options })
    other.fault({ kind: 'hang' })
    const url = `${other.url}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`
    const session = http2.connect(other.url, { ca }).on('error', () => {})
    const hanging = [outcomeOf(request(url, { ca })), outcomeOf(stream2(session, url))]
    while (other.requestCount() < 2) await sleep(5)
    await other.close()
    await other.close()
    for (const { error } of await Promise.all(hanging)) assert.ok(error)
  })
})
