/** The stand-in for the Security API as it starts, closes, and lets its process end. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import testing from '../lib/testing.js'
import { PUBLIC_IP, SINGLE, lookUp, outcomeOf, request, startForAllTests } from './support/mock-api.mjs'

const { MockApi, startMockApi } = testing
const api = await startForAllTests()

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
