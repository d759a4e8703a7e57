import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import testing from '../lib/testing.js'

const { CARDS, FAULT_CARDS, MockApi, startMockApi } = testing

const SINGLE = '/v3/security'
const BULK = '/v3/security-bulk'
const PUBLIC_IP = '93.184.216.34'
const OTHER_IP = '203.0.114.9'
const FIELDS = 27

/** One request on a connection of its own. Rejects when the answer does not arrive whole. */
function request(url, { method = 'GET', headers = {}, body, ca, signal } = {}) {
  return new Promise((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http
    let status
    const fail = (error) => reject(Object.assign(error, { status }))
    const outgoing = client.request(url, { method, headers, ca, signal, agent: false }, (response) => {
      const chunks = []
      status = response.statusCode
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => resolve(answerOf(status, response.headers, chunks)))
    })
    outgoing.on('error', fail)
    outgoing.end(body)
  })
}

function answerOf(status, headers, chunks) {
  const bytes = Buffer.concat(chunks)
  return { status, headers, bytes, text: bytes.toString(), json: () => JSON.parse(bytes.toString()) }
}

function lookUp(api, ip, options) {
  return request(`${api.url}${SINGLE}?apiKey=test-key&ip=${encodeURIComponent(ip)}`, options)
}

function lookUpMany(api, ips, options = {}) {
  return request(`${api.url}${BULK}?apiKey=test-key`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ips }),
    ...options,
  })
}

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

/** Unlike `once(socket, 'close')`, content with an error before it. */
function closing(socket) {
  socket.on('error', () => {})
  return new Promise((resolve) => socket.once('close', resolve))
}

async function outcomeOf(promise) {
  try {
    return { answer: await promise }
  } catch (error) {
    return { error }
  }
}

function assertMessage(answer, status) {
  assert.equal(answer.status, status)
  assert.equal(answer.headers['content-type'], 'application/json')
  assert.equal(answer.headers['x-credits-charged'], undefined)
  assert.deepEqual(Object.keys(answer.json()), ['message'])
  assert.ok(answer.json().message.length > 0)
}

/** What each fault that ends in no good answer looks like from outside; `check` gets answer or error. */
const WIRE_FAULTS = {
  'close-before-headers': ({ error }) => assert.equal(error.message, 'socket hang up'),
  reset: ({ error }) => assert.match(error.message, /read ECONNRESET/),
  'reset-mid-body': ({ error }) => assert.equal(error.status, 200),
  truncated: ({ error }) => assert.equal(error.status, 200),
  oversized: ({ answer }) => {
    assert.ok(answer.bytes.length > 64 * 1024 * 1024)
    assert.equal(JSON.parse(answer.text.slice(-2000)).security.threat_score, 0)
  },
  'gzip-bomb': ({ answer }) => {
    assert.equal(answer.headers['content-encoding'], 'gzip')
    assert.ok(answer.bytes.length < 200 * 1024)
    assert.ok(gunzipSync(answer.bytes).length > 64 * 1024 * 1024)
  },
  'bad-gzip': ({ answer }) => {
    assert.equal(answer.headers['content-encoding'], 'gzip')
    assert.throws(() => gunzipSync(answer.bytes))
  },
  html: ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.match(answer.headers['content-type'], /^text\/html/)
  },
  empty: ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.equal(answer.bytes.length, 0)
  },
  'not-json': ({ answer }) => {
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.throws(() => answer.json(), SyntaxError)
  },
  'wrong-types': ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.equal(typeof answer.json().security.threat_score, 'object')
    assert.equal(typeof answer.json().security.is_vpn, 'object')
  },
  'wrong-endpoint': ({ answer }) => {
    assertMessage(answer, 404)
    assert.match(answer.json().message, /^No endpoint GET \/v3\/security\.$/)
  },
}

let api
before(async () => {
  api = await startMockApi()
})
afterEach(() => api.reset())
after(() => api.close())

describe('starting', () => {
  test('listens on loopback at a free port', () => {
    assert.ok(api instanceof MockApi)
    assert.equal(api.url, `http://127.0.0.1:${api.port}`)
    assert.ok(api.port > 0)
  })

  test('exports what the declarations say', () => {
    const declared = readFileSync(new URL('../lib/testing.d.ts', import.meta.url), 'utf8')
    const names = [...declared.matchAll(/^export (?:const|class|function) (\w+)/gm)].map(([, name]) => name)
    for (const name of names) assert.ok(name in testing, name)
  })

  test('refuses a port in use and says what to do', async () => {
    await assert.rejects(startMockApi({ port: api.port }), {
      code: 'EADDRINUSE',
      message: `port \`${api.port}\` of \`127.0.0.1\` is already in use: choose another, or 0 for any free one`,
    })
  })

  test('refuses a host that is not this machine', async () => {
    await assert.rejects(startMockApi({ host: '192.0.2.1' }), {
      code: 'EADDRNOTAVAIL',
      message: /192\.0\.2\.1/,
    })
  })

  const badOptions = [
    [null, /pass an object/],
    [{ prot: 1 }, /no `prot`: use `host`, `port`/],
    [{ host: '' }, /`host` is ``/],
    [{ host: 7 }, /`host` is `7`/],
    [{ port: 70_000 }, /`port` is `70000`: pass an integer from 0 to 65535/],
    [{ port: '80' }, /`port` is `80`/],
    [{ key: '' }, /`key` is ``/],
    [{ maxBodyBytes: 0 }, /`maxBodyBytes` is `0`/],
    [{ keepAlive: 1 }, /`keepAlive` is `1`: pass true or false/],
    [{ tls: true }, /`tls` is `true`/],
    [{ tls: { cert: 'x', key: 'y', ca: 'z' } }, /`tls` has no `ca`/],
    [{ tls: { cert: 'x', key: 'y' } }, /`tls` is not usable/],
    [{ tls: { cert: 'x' } }, /`tls` is not usable/],
  ]
  for (const [options, message] of badOptions) {
    test(`refuses ${JSON.stringify(options)}`, () => assert.rejects(startMockApi(options), message))
  }

  test('brackets an IPv6 host', async () => {
    const ipv6 = await startMockApi({ host: '::1' })
    assert.equal(ipv6.url, `http://[::1]:${ipv6.port}`)
    assert.equal((await lookUp(ipv6, PUBLIC_IP)).status, 200)
    await ipv6.close()
  })
})

describe('closing', () => {
  test('cuts open requests, frees the port and is idempotent', async () => {
    const other = await startMockApi()
    other.fault({ kind: 'hang' })
    const hanging = outcomeOf(lookUp(other, PUBLIC_IP))
    while (other.requestCount() === 0) await sleep(5)
    await Promise.all([other.close(), other.close()])
    await other.close()
    assert.equal((await hanging).error.code, 'ECONNRESET')
    const again = await startMockApi({ port: other.port })
    await again.close()
  })

  test('cuts idle keep-alive connections', async () => {
    const other = await startMockApi()
    const agent = new http.Agent({ keepAlive: true })
    const outgoing = http.get(`${other.url}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`, { agent })
    const [response] = await once(outgoing, 'response')
    response.resume()
    await once(response, 'end')
    await other.close()
    agent.destroy()
  })
})

describe('the process', () => {
  const library = fileURLToPath(new URL('../lib/testing.js', import.meta.url))

  function run(script) {
    return spawn(
      process.execPath,
      ['-e', `const { startMockApi } = require(${JSON.stringify(library)});${script}`],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
  }

  test('ends although a stand-in was forgotten', async () => {
    const child = run(`startMockApi().then(async (api) => {
      await (await fetch(api.url + '/v3/security?apiKey=k&ip=8.8.8.8')).text()
      api.latencyMs = 60000
      api.fault({ kind: 'hang' })
      require('node:net').connect(api.port, '127.0.0.1').unref()
      console.log('done')
    })`)
    const [output] = await once(child.stdout, 'data')
    assert.equal(String(output), 'done\n')
    const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(3000) })
    assert.equal(code, 0)
  })

  test('lives until a closing stand-in is closed', async () => {
    const child = run(`(async () => {
      const api = await startMockApi()
      await (await fetch(api.url + '/v3/security?apiKey=k&ip=8.8.8.8')).text()
      await api.close()
      console.log('closed')
    })()`)
    const [output] = await once(child.stdout, 'data')
    assert.equal(String(output), 'closed\n')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  test('goes on with keepAlive', async () => {
    const child = run(`startMockApi({ keepAlive: true }).then((api) => console.log(api.url))`)
    const [output] = await once(child.stdout, 'data')
    await sleep(100)
    assert.equal(child.exitCode, null)
    const answer = await request(`${String(output).trim()}${SINGLE}?apiKey=k&ip=${PUBLIC_IP}`)
    assert.equal(answer.status, 200)
    child.kill()
    await once(child, 'exit')
  })
})

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

describe('built-in answers', () => {
  const examples = [
    [
      '2.56.188.34',
      80,
      ['is_vpn', 'is_proxy', 'is_residential_proxy', 'is_known_attacker', 'is_cloud_provider'],
    ],
    ['37.120.202.92', 50, ['is_vpn', 'is_proxy', 'is_cloud_provider']],
    ['94.237.40.1', 50, ['is_vpn', 'is_proxy', 'is_cloud_provider']],
    ['145.223.7.7', 90, ['is_vpn', 'is_known_attacker', 'is_spam', 'is_cloud_provider']],
    ['91.128.103.196', 0, []],
    ['2607:fb91:16c6:8860:e531:2d1d:4944:6c7c', 0, []],
    ['18.97.14.89', 5, ['is_cloud_provider']],
    ['216.73.216.43', 5, ['is_cloud_provider']],
    ['8.8.8.8', 5, ['is_cloud_provider']],
    ['1.1.1.1', 5, ['is_cloud_provider']],
    ['165.227.0.1', 5, ['is_cloud_provider']],
  ]
  for (const [ip, score, flags] of examples) {
    test(`${ip} scores ${score}`, async () => {
      const { security } = (await lookUp(api, ip)).json()
      assert.equal(security.threat_score, score)
      assert.equal(Object.keys(security).length, FIELDS)
      const set = Object.keys(security).filter(
        (field) => security[field] === true && field !== 'is_anonymous',
      )
      assert.deepEqual(set.sort(), [...flags].sort())
      assert.equal(security.is_anonymous, security.is_vpn || security.is_proxy)
    })
  }

  test('192.0.2.N and 2001:db8:0:N::/64 score N', async () => {
    const scores = Array.from({ length: 101 }, (_, score) => score)
    for (const address of [
      (n) => `192.0.2.${n}`,
      (n) => `2001:db8:0:${n}::1`,
      (n) => `2001:DB8:0:${n}:a:b:c:d`,
    ]) {
      const entries = (await lookUpMany(api, scores.map(address))).json()
      assert.deepEqual(
        entries.map(({ security }) => security.threat_score),
        scores,
      )
      const { threat_score: _ignored, ...rest } = entries[100].security
      assert.ok(Object.values(rest).every((value) => value === false || !Number(value)))
    }
  })

  test('cards answer as the table says', async () => {
    const clean = (await lookUp(api, PUBLIC_IP)).json().security
    for (const { address, score, flags } of CARDS) {
      const { ip, security } = (await lookUp(api, address)).json()
      assert.equal(ip, address)
      assert.deepEqual(security, { ...clean, ...flags, threat_score: score })
    }
  })

  test('tables have unique rows and cannot be changed', () => {
    const rows = [...CARDS, ...FAULT_CARDS]
    assert.equal(new Set(rows.map(({ address }) => address)).size, rows.length)
    assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length)
    assert.throws(() => CARDS.push({}), TypeError)
    assert.throws(() => (CARDS[0].score = 1), TypeError)
    assert.throws(() => (CARDS.at(-1).flags.is_vpn = false), TypeError)
    assert.throws(() => (FAULT_CARDS[0].fault.status = 200), TypeError)
  })

  test('every flag has a card', () => {
    const flags = new Set(
      CARDS.flatMap((card) => Object.keys(card.flags).filter((field) => field.startsWith('is_'))),
    )
    assert.equal(flags.size, 12)
  })
})

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

describe('own answers', () => {
  test('win over every built-in one, in any spelling', async () => {
    for (const ip of [
      '2.56.188.34',
      '192.0.2.7',
      '203.0.113.17',
      '10.0.0.1',
      '127.0.0.1',
      '2001:db8::7',
      PUBLIC_IP,
    ]) {
      api.answer(ip, { threat_score: 33, is_tor: true })
      const { security } = (await lookUp(api, ip)).json()
      assert.equal(security.threat_score, 33)
      assert.equal(security.is_tor, true)
      assert.equal(security.is_vpn, false)
      assert.equal(Object.keys(security).length, FIELDS)
    }
    assert.equal((await lookUp(api, '2001:0DB8:0::7')).json().security.threat_score, 33)
    assert.equal((await lookUp(api, `::ffff:${PUBLIC_IP}`)).json().security.threat_score, 33)
    assert.equal((await request(`${api.url}${SINGLE}?apiKey=k`)).json().ip, '127.0.0.1')
  })

  test('leave out what is undefined, and end with reset()', async () => {
    api.answer(PUBLIC_IP, { is_known_good_bot: undefined })
    assert.equal('is_known_good_bot' in (await lookUp(api, PUBLIC_IP)).json().security, false)
    api.reset()
    assert.equal((await lookUp(api, PUBLIC_IP)).json().security.is_known_good_bot, false)
  })

  test('may be raw', async () => {
    api.answerRaw(PUBLIC_IP, { status: 418, headers: { 'X-Teapot': 'short' }, body: 'stout' })
    const teapot = await lookUp(api, PUBLIC_IP, { headers: { 'accept-encoding': 'gzip' } })
    assert.deepEqual([teapot.status, teapot.headers['x-teapot'], teapot.text], [418, 'short', 'stout'])
    api.answerRaw(PUBLIC_IP, { body: { ip: 7 }, headers: { 'X-Credits-Charged': '9' } })
    assert.deepEqual((await lookUp(api, PUBLIC_IP)).json(), { ip: 7 })
    assert.equal(api.credits, 9)
    api.answerRaw(PUBLIC_IP, { body: Buffer.from([0xff, 0xfe]), headers: { 'content-type': 'text/plain' } })
    const bytes = await lookUp(api, PUBLIC_IP)
    assert.deepEqual([...bytes.bytes], [0xff, 0xfe])
    assert.equal(bytes.headers['content-type'], 'text/plain')
  })

  test('may be raw in bulk', async () => {
    api.answerRaw('9.9.9.9', { body: { ip: '9.9.9.9', security: 'odd' } })
    api.answerRaw('9.9.9.10', { status: 500, body: 'out of order' })
    const answer = await lookUpMany(api, ['9.9.9.9', '9.9.9.10'])
    assert.deepEqual(answer.json(), [{ ip: '9.9.9.9', security: 'odd' }, { message: 'out of order' }])
    assert.equal(answer.headers['x-successful-record'], '1')
  })

  test('are checked', () => {
    assert.throws(() => api.answer('foo', {}), { name: 'TypeError', message: /ip is `foo`: pass an IPv4/ })
    assert.throws(() => api.answer(PUBLIC_IP, undefined), /pass an object/)
    assert.throws(() => api.answer(PUBLIC_IP, { is_vnp: true }), /no `is_vnp`: use `threat_score`/)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { status: 100 }), RangeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { headers: { 'a b': 'c' } }), TypeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { headers: { a: 'b\nc' } }), TypeError)
    assert.throws(() => api.answerRaw(PUBLIC_IP, { code: 200 }), /no `code`/)
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
