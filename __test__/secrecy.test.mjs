import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { makeCertificates } from './support/certificates.mjs'
import { runScript } from './support/children.mjs'
import { FAULT_CARDS, RiskChecker, createTestChecker, riskMiddleware } from './support/package.mjs'
import { startProxy } from './support/proxy.mjs'
import { publicAddress, startApi, withEnvironment } from './support/start.mjs'

const KEY = 'q7Zk-never-to-be-seen-x93Lw'
const PASSWORD = 'Vb41-never-to-be-seen-either'

/** Every form in which the key could be written somewhere. */
const FORMS = [KEY, PASSWORD].flatMap((secret) => [
  secret,
  Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  Buffer.from(secret).toString('base64url'),
  Buffer.from(secret).toString('hex'),
  [...Buffer.from(secret)].join(', '),
  [...secret].reverse().join(''),
])

function assertSecret(text, what) {
  for (const form of FORMS) assertWithout(text, form, what)
}

/** Neither a secret nor a URL, its query or the host that was asked. */
function assertNoTrace(text, what) {
  assertSecret(text, what)
  for (const part of ['apiKey=', 'http://', 'https://', '/v3/', 'localhost', '127.0.0.1', 'example.com']) {
    assertWithout(text, part, what)
  }
}

function assertWithout(text, part, what) {
  const at = text.toLowerCase().indexOf(part.toLowerCase())
  assert.ok(at < 0, `${what} shows \`${part}\`: ...${text.slice(Math.max(0, at - 80), at + 120)}...`)
}

/** All that can be read of an error: itself, its hidden properties, and every cause. */
function everythingOf(error) {
  const parts = []
  for (let link = error; link !== undefined && link !== null; link = link.cause) {
    parts.push(inspect(link, { depth: null, showHidden: true }), String(link), link.stack, link.message)
    parts.push(JSON.stringify(link), JSON.stringify(Object.getOwnPropertyDescriptors(link)))
  }
  return parts.join('\n')
}

/**
 * Checks every address under every policy and writes all that an application could write: what it gets, what it
 * listens to and what it catches. Lines of the package itself go to the console beside it.
 */
const TELL_ALL = `
  const { inspect } = require('node:util')
  const { subscribe } = require('node:diagnostics_channel')
  const { RiskChecker } = require('ip-risk')
  const [endpoint, ...ips] = process.argv.slice(1)
  const tell = (what) => {
    console.log(inspect(what, { depth: null, showHidden: true, getters: true, maxStringLength: null }))
    console.log(JSON.stringify(what), String(what))
  }
  subscribe('ip-risk:decision', tell)
  process.on('warning', tell)
  process.on('unhandledRejection', (error) => { tell(error); process.exitCode = 3 })
  async function main() {
    const policies = { mfa: { onFailure: 'challenge' }, watch: { mode: 'log-only', onFailure: 'closed' } }
    // Other options are another engine: a provider that is left alone after one fault would not show the next.
    const make = (maxInFlight) =>
      new RiskChecker({ endpoint, deadlineMs: 400, policies, logger: { addresses: 'full' }, maxInFlight })
    let checker = make(1_000)
    tell(checker)
    for (const [index, ip] of ips.entries()) {
      await checker.close()
      checker = make(index + 1_001)
      for (const policy of ['login', 'payment', 'mfa', 'watch']) tell(await checker.check(ip, { policy }))
      tell(checker.peek(ip))
    }
    tell(await checker.checkMany(ips))
    tell(checker.stats())
    for (const mistake of [
      () => checker.check(), () => checker.check('11.0.0.1', { policy: 'none' }), () => checker.checkMany([1]),
      () => checker.check('11.0.0.1', { signal: AbortSignal.abort() }), () => checker.invalidate(5),
    ]) await mistake().catch(tell)
    await checker.close()
    await checker.check('11.0.0.1').catch(tell)
    tell(checker)
  }
  main()`

/** What the script above wrote, with the key in its environment. */
async function tellAll(endpoint, ips, env = {}) {
  const { code, stdout, stderr } = await runScript(TELL_ALL, {
    args: [endpoint, ...ips],
    env: { IPGEO_API_KEY: KEY, ...env },
  })
  assert.equal(code, 0, stderr)
  return `${stdout}\n${stderr}`
}

/** Makes the stand-in fail at a public address as it does at the card's own, which a real checker never sends. */
function setUp(api, { fault, body }, ip) {
  if (fault) api.fault(withKeyInIt(fault), { ip })
  else api.answerRaw(ip, { body })
}

/** A hostile or careless server may send back what it was sent. */
function withKeyInIt(fault) {
  if ('status' in fault)
    return { ...fault, message: `apiKey=${KEY} at https://example.com/v3/security is wrong` }
  return fault.kind === 'redirect' ? { ...fault, location: `https://example.com/?apiKey=${KEY}` } : fault
}

describe('neither the key nor a URL is shown', () => {
  test('whatever fault the provider has', async (t) => {
    const api = await startApi(t, { key: KEY })
    const ips = FAULT_CARDS.map((card, index) => {
      setUp(api, card, publicAddress(index))
      return publicAddress(index)
    })
    const written = await tellAll(api.url, [...ips, publicAddress(1_000), 'foo', '10.0.0.1'])
    assertNoTrace(written, 'the output')
    assert.ok(api.requests.every(({ keyAccepted }) => keyAccepted))
    for (const code of ['KEY_REFUSED', 'QUOTA', 'TIMEOUT', 'CONNECT', 'ENDPOINT', 'REDIRECT', 'MALFORMED']) {
      assert.ok(written.includes(`ERR_IP_RISK_${code}`), code)
    }
    for (const line of [
      'ip-risk: failed open',
      'ip-risk: hold',
      'ip-risk: challenge',
      'ip-risk: would hold',
    ]) {
      assert.ok(written.includes(line), line)
    }
  })

  test('when nobody listens', async () => {
    const written = await tellAll('http://127.0.0.1:1', [publicAddress(1)])
    assertNoTrace(written, 'the output')
    assert.ok(written.includes('ERR_IP_RISK_CONNECT'))
  })

  describe('over https', () => {
    let certificates
    before(() => (certificates = makeCertificates()))
    after(() => certificates.remove())

    test('when the certificate is not trusted', async (t) => {
      const api = await startApi(t, { tls: certificates.tls })
      const written = await tellAll(api.url, [publicAddress(1)])
      assertNoTrace(written, 'the output')
      assert.ok(written.includes('ERR_IP_RISK_TLS'))
    })

    test('when all is well', async (t) => {
      const api = await startApi(t, { tls: certificates.tls, key: KEY })
      const env = { NODE_EXTRA_CA_CERTS: certificates.authorityPath }
      const written = await tellAll(api.url, [publicAddress(1)], env)
      assertNoTrace(written, 'the output')
      assert.ok(written.includes("source: 'api'"))
      assert.equal(api.requests[0].keyAccepted, true)
    })

    test('nor the password of a proxy, whether it refuses or cannot be used', async (t) => {
      const api = await startApi(t, { tls: certificates.tls })
      const proxy = await startProxy(t, { status: 407 })
      for (const host of [proxy.host, '127.0.0.1:1']) {
        const env = { HTTPS_PROXY: `http://user:${PASSWORD}@${host}` }
        const written = await tellAll(api.url, [publicAddress(1)], env)
        assertNoTrace(written, 'the output')
        assert.ok(written.includes('ERR_IP_RISK_CONNECT'))
      }
    })

    test('in a warning about NODE_EXTRA_CA_CERTS', async (t) => {
      const api = await startApi(t, { tls: certificates.tls })
      const env = { NODE_EXTRA_CA_CERTS: '/nonexistent/authority.pem' }
      const written = await tellAll(api.url, [publicAddress(1)], env)
      assertNoTrace(written, 'the output')
      assert.match(written, /NODE_EXTRA_CA_CERTS/)
    })
  })
})

describe('the key is not shown when construction fails', () => {
  const construct = (options) => () => new RiskChecker(options)
  const endpoint = 'http://127.0.0.1:1'

  for (const [what, act] of [
    ['it stands in place of the options', construct(KEY)],
    ['it stands alone in an array', construct([KEY])],
    ['it stands in place of the options of the middleware', () => riskMiddleware(KEY)],
    ['it ends in a blank', construct({ apiKey: `${KEY} ` })],
    ['it ends in a line end', construct({ apiKey: `${KEY}\n` })],
    ['it is too long', construct({ apiKey: KEY.repeat(30) })],
    ['it is in a list', construct({ apiKey: [KEY] })],
    ['it is in an object', construct({ apiKey: { value: KEY } })],
    ['it is bytes', construct({ apiKey: Buffer.from(KEY) })],
    ['it is a String object in a list', construct({ apiKey: [new String(KEY)] })],
    ['a function returns it', construct({ apiKey: () => KEY })],
    ['its option is misspelt', construct({ apikey: KEY })],
    ['its option is called like the variable', construct({ IPGEO_API_KEY: KEY })],
    ['it is in the query of the endpoint', construct({ endpoint: `https://example.com/?apiKey=${KEY}` })],
    ['it is in the fragment of the endpoint', construct({ endpoint: `https://example.com/#${KEY}` })],
    ['it is the user of the endpoint', construct({ endpoint: `https://${KEY}@example.com` })],
    ['it is the password of the endpoint', construct({ endpoint: `https://user:${KEY}@example.com` })],
    ['it is in an endpoint that is no URL', construct({ endpoint: `example.com/${KEY}` })],
    ['it is in an endpoint of plain http', construct({ endpoint: `http://example.com/${KEY}` })],
    ['it is in a list in place of the endpoint', construct({ endpoint: [KEY] })],
    ['another option is wrong', construct({ apiKey: KEY, endpoint, deadlineMs: 0 })],
    ['another option is not known', construct({ apiKey: KEY, endpoint, unknown: 1 })],
    ['a policy is wrong', construct({ apiKey: KEY, endpoint, policies: { login: { maxAction: 'hold' } } })],
    ['the logger is wrong', construct({ apiKey: KEY, endpoint, logger: 5 })],
  ]) {
    test(`because ${what}`, () => assertThrowsSecret(act))
  }

  for (const [what, environment] of [
    ['the key holds a blank', { IPGEO_API_KEY: `${KEY} ${KEY}` }],
    ['the mode is wrong', { IPGEO_API_KEY: KEY, IP_RISK_MODE: 'off' }],
    ['the key stands where the mode should', { IPGEO_API_KEY: 'other', IP_RISK_MODE: KEY }],
    ['the proxy is wrong', { IPGEO_API_KEY: KEY, HTTPS_PROXY: `http://user:${PASSWORD}@[` }],
  ]) {
    test(`because in the environment ${what}`, () => {
      withEnvironment(environment, () => assertThrowsSecret(construct({})))
    })
  }

  for (const options of [{ apiKey: KEY }, { api: { key: KEY } }, { api: [KEY] }, { apikey: KEY }]) {
    test(`of a test checker with ${Object.keys(options)[0]}`, async () => {
      const error = await createTestChecker(options).then(assert.fail, (error) => error)
      assertSecret(everythingOf(error), 'the error')
    })
  }
})

function assertThrowsSecret(act) {
  let error
  assert.throws(act, (thrown) => {
    error = thrown
    return thrown.code.startsWith('ERR_IP_RISK_')
  })
  assertSecret(everythingOf(error), 'the error')
}

describe('the key', () => {
  test('travels in the query of the look-up and nowhere else', async (t) => {
    const api = await startApi(t, { key: KEY })
    const checker = new RiskChecker({ apiKey: KEY, endpoint: api.url, logger: false })
    t.after(() => checker.close())
    await checker.check(publicAddress(1))
    const [{ method, path, headers, keyAccepted }] = api.requests
    assert.deepEqual([method, path, keyAccepted], ['GET', '/v3/security', true])
    // The stand-in strikes a key out of the headers that it keeps.
    assertSecret(JSON.stringify(headers), 'the headers')
    assert.ok(!JSON.stringify(headers).includes('[key]'))
    assert.deepEqual(Object.keys(headers).sort(), ['accept', 'accept-encoding', 'host', 'user-agent'])
  })

  test('cannot be read from a checker', async (t) => {
    const api = await startApi(t, { key: KEY })
    const checker = new RiskChecker({ apiKey: KEY, endpoint: api.url, logger: false })
    t.after(() => checker.close())
    await checker.check(publicAddress(1))
    const seen = []
    for (let object = checker; object !== null; object = Object.getPrototypeOf(object)) {
      seen.push(
        inspect(Object.getOwnPropertyDescriptors(object), { depth: null, showHidden: true, getters: true }),
      )
      for (const name of Reflect.ownKeys(object)) seen.push(String(name))
    }
    seen.push(JSON.stringify(checker), inspect(structuredClone({ ...checker })))
    assertNoTrace(seen.join('\n'), 'the checker')
  })
})
