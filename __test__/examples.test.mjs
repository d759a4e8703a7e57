/** The examples, as they stand: each in a process of its own, against the stand-in of the Security API. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findTool } from '../benchmark/tools.mjs'
import { makeConsumer } from './support/consumer.mjs'
import { freePort } from './support/ports.mjs'
import { startInternet } from './support/snippets.mjs'
import { waitUntil } from './support/waiting.mjs'

const examples = fileURLToPath(new URL('../examples', import.meta.url))
/** What the stand-in says of these addresses of the provider's own examples. */
const CLEAN = '91.128.103.196'
const CHALLENGED = '37.120.202.92'
const BLOCKED = '2.56.188.34'
/** One for documentation, of which no provider knows anything. */
const UNKNOWN = '192.0.2.9'

const ends = []
let project, internet

before(async () => {
  project = makeConsumer()
  ends.unshift(() => project.remove())
  internet = await startInternet(project, (end) => ends.unshift(end))
})
after(async () => {
  for (const end of ends) await end()
})

/** Starts a program that listens on `port`, and ends it after the test. */
async function start(t, port, command, words, env = {}) {
  const child = spawn(command, words, { env: { ...internet, PORT: String(port), ...env } })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (words) => (said += words))
  const closed = once(child, 'close')
  t.after(async () => {
    child.kill('SIGTERM')
    await closed
  })
  await waitUntil(`${command} ${words.join(' ')} listens`, async () => {
    assert.equal(child.exitCode, null, said)
    return isListening(port)
  })
  return { said: () => said }
}

async function isListening(port) {
  const socket = net.connect(port, '127.0.0.1')
  const isOpen = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return isOpen
}

/** Sends a form as a client whose address a proxy wrote down. */
async function post(port, path, from, form = {}) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close', 'x-forwarded-for': from },
    body: JSON.stringify(form),
  })
  return [response.status, await response.json()]
}

test('every example is named with the test that runs it', () => {
  const named = [...readFileSync(join(examples, 'README.md'), 'utf8').matchAll(/^\| \[([\w-]+)\]/gm)]
  const there = readdirSync(examples, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  assert.deepEqual(named.map(([, name]) => name).sort(), there.map(({ name }) => name).sort())
})

test('express-typescript compiles strictly, and gates its login', async (t) => {
  cpSync(join(examples, 'express-typescript'), project.directory, { recursive: true })
  const { code, stdout } = await project.compile(['--project', 'tsconfig.json'])
  assert.equal(code, 0, stdout)
  const port = await freePort()
  const app = await start(t, port, process.execPath, [join(project.directory, 'out/server.mjs')])
  assert.deepEqual(await post(port, '/login', CLEAN), [200, { welcome: true, score: 0 }])
  assert.deepEqual(await post(port, '/login', CHALLENGED), [401, { error: 'second factor required' }])
  assert.deepEqual(await post(port, '/login', BLOCKED), [403, { error: 'this network is not welcome here' }])
  assert.match(app.said(), /^block block .*threshold_block/m)
})

test('payment holds what it cannot judge for a person, and says nothing to the client', async (t) => {
  const port = await freePort()
  await start(t, port, process.execPath, [join(examples, 'payment/server.js')])
  const order = 'A-1'
  assert.deepEqual(await post(port, '/pay', CLEAN, { order }), [200, { order, paid: true }])
  assert.deepEqual(await post(port, '/pay', CLEAN), [400, { error: 'an order is needed' }])
  assert.deepEqual(await post(port, '/pay', CHALLENGED, { order }), [
    401,
    { error: 'second factor required' },
  ])
  assert.deepEqual(await post(port, '/pay', CHALLENGED, { order, code: '123456' }), [
    200,
    { order, paid: true },
  ])
  assert.deepEqual(await post(port, '/pay', BLOCKED, { order }), [403, { error: 'Request blocked' }])
  const held = [202, { order, paid: false, review: true }]
  assert.deepEqual(await post(port, '/pay', UNKNOWN, { order }), held)
  const reviews = await (await fetch(`http://127.0.0.1:${port}/reviews`)).json()
  assert.deepEqual(
    reviews.map(({ ip, failure }) => [ip, failure]),
    [[UNKNOWN, 'ERR_IP_RISK_SPECIAL_USE']],
  )
})

const nginx = findTool('nginx')
const NO_NGINX = 'nginx IS NOT TESTED: it is not installed (Debian: apt-get install nginx)'

describe('nginx', { skip: nginx === undefined && process.env.CI === undefined && NO_NGINX }, () => {
  const PASSWORD = 'correct horse'
  let directory, ports

  before(async () => {
    assert.ok(nginx !== undefined, NO_NGINX)
    directory = mkdtempSync(join(tmpdir(), 'ip-risk-nginx-'))
    ends.unshift(() => rmSync(directory, { recursive: true }))
    ports = { 3000: await freePort(), 8080: await freePort(), 8081: await freePort() }
    const example = readFileSync(join(examples, 'nginx/login.conf'), 'utf8')
    const config = example.replaceAll(/\b(3000|8080|8081)\b/g, (port) => ports[port])
    writeFileSync(join(directory, 'login.conf'), config)
    writeFileSync(join(directory, 'nginx.conf'), AROUND)
  })

  /** What a distribution has around such a file, without its places of logs and temporary files. */
  const AROUND = `
    daemon off;
    pid nginx.pid;
    events {}
    http {
      access_log off;
      client_body_temp_path body;
      proxy_temp_path proxy;
      fastcgi_temp_path fastcgi;
      uwsgi_temp_path uwsgi;
      scgi_temp_path scgi;
      include login.conf;
    }`

  async function startBoth(t) {
    const app = await start(t, ports[3000], process.execPath, [join(examples, 'express-login/server.js')])
    await start(t, ports[8080], nginx, ['-p', directory, '-c', 'nginx.conf', '-e', 'stderr'])
    return app
  }

  /** Sends a login through the load balancer's door, which names the client before the request. */
  async function loginFrom(address, header = '') {
    const body = JSON.stringify({ password: PASSWORD })
    const socket = net.connect(ports[8081], '127.0.0.1')
    socket.write(
      `PROXY TCP4 ${address} 127.0.0.1 50000 8081\r\nPOST /login HTTP/1.1\r\nHost: any\r\nConnection: close\r\n` +
        `${header}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    const answer = await text(socket)
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)[1])
  }

  test('hands on who the client is, so that the app judges it', async (t) => {
    await startBoth(t)
    assert.equal(await loginFrom(CLEAN), 200)
    assert.equal(await loginFrom(CHALLENGED), 401)
    assert.equal(await loginFrom(BLOCKED), 403)
    // At the other door, through one more proxy on this machine, as this client is.
    assert.deepEqual(await post(ports[8080], '/login', CLEAN, { password: PASSWORD }), [200, { ok: true }])
    assert.deepEqual(await post(ports[8080], '/login', BLOCKED), [403, { error: 'Request blocked' }])
  })

  test('is not fooled by what a client writes into X-Forwarded-For', async (t) => {
    const app = await startBoth(t)
    assert.equal(await loginFrom(BLOCKED, `X-Forwarded-For: ${CLEAN}\r\n`), 403)
    assert.equal(await loginFrom(CLEAN, `X-Forwarded-For: ${BLOCKED}\r\n`), 200)
    assert.doesNotMatch(app.said(), /ERR_IP_RISK_TRUST_ALL/)
  })
})
