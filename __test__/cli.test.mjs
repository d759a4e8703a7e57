import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import testing from '../lib/testing.js'
import { assertMistake, columns, onTerminal, runCommand, startCommand } from './support/cli.mjs'
import { startRedis } from './support/redis.mjs'

const KEY = 'a-key-that-must-never-be-printed'
const ATTACKER = '2.56.188.34'
const CLEAN = '91.128.103.196'
const VPN = '37.120.202.92'
const CLOUD = '165.227.0.1'
/** Nobody listens there, and the system hands it out to no other test. */
const UNREACHABLE = 'http://127.0.0.1:1'
/** Below the ports that the system hands out, for the same reason. */
const FREE_PORT = 20_000 + (process.pid % 10_000)
let api
let directory

before(async () => {
  api = await testing.startMockApi()
  directory = mkdtempSync(join(tmpdir(), 'ip-risk-cli-'))
})
afterEach(() => api.reset())
after(async () => {
  await api.close()
  rmSync(directory, { recursive: true })
})

/** Starts the command with a key. */
function start(args, { env = {}, ...options } = {}) {
  return startCommand(args, { cwd: directory, ...options, env: { IPGEO_API_KEY: KEY, ...env } })
}

/** Runs the command to its end. Whatever it does, it must not print the key. */
async function run(args, { env = {}, ...options } = {}) {
  const result = await runCommand(args, {
    cwd: directory,
    ...options,
    env: { IPGEO_API_KEY: KEY, ...env },
  })
  assert.ok(!(result.stdout + result.stderr).includes(KEY), 'the key was printed')
  return result
}

function check(args, options) {
  return run(['check', ...args, '--endpoint', api.url], options)
}

function doctor(args = [], options) {
  return run(['doctor', ...args, '--endpoint', api.url], options)
}

/** The findings of doctor by what they are about. */
function findings(stdout) {
  return Object.fromEntries(columns(stdout).map(([status, subject, text]) => [subject, { status, text }]))
}

function manyAddresses(count) {
  return Array.from({ length: count }, (_, index) => `9.9.${index >> 8}.${index & 255}`)
}

describe('ip-risk', () => {
  test('shows help and version', async () => {
    const help = await run(['--help'])
    assert.equal(help.code, 0)
    for (const text of [
      'check IP...',
      'feeds ',
      'doctor',
      'mock-api',
      'IPGEO_API_KEY',
      'IP_RISK_FEEDS',
      'Exit codes:',
    ]) {
      assert.ok(help.stdout.includes(text), text)
    }
    assert.deepEqual(await run(['-h']), help)
    const version = await run(['--version'])
    const { version: expected } = JSON.parse(
      readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
    )
    assert.deepEqual(version, { stdout: `${expected}\n`, stderr: '', code: 0 })
  })

  test('shows the help of each command', async () => {
    const documented = {
      check: ['--json', '--policy', '--endpoint', '--yes', '2 credits'],
      doctor: ['--offline', '--policy', '--endpoint', '2 credits'],
      'mock-api': ['--port', '--latency'],
    }
    for (const [command, texts] of Object.entries(documented)) {
      const help = await run([command, '--help'])
      assert.equal(help.code, 0)
      for (const text of [...texts, 'Exit codes:'])
        assert.ok(help.stdout.includes(text), `${command} ${text}`)
      assert.deepEqual(await run(['help', command]), help)
    }
  })

  test('without a command it shows how it is used', async () => {
    const { code, stdout, stderr } = await run([])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^Usage: ip-risk <command>/)
  })

  test('names the nearest command and option', async () => {
    assertMistake(await run(['chekc']), /`chekc` is not a command; did you mean `check`\?/)
    assertMistake(
      await run(['xyz']),
      /`xyz` is not a command; known are `check`, `feeds`, `doctor`, `mock-api`/,
    )
    assertMistake(await run(['--verson']), /`--verson` is not an option; did you mean `--version`\?/)
    assertMistake(await run(['check', CLEAN, '--jsn']), /`--jsn` is not an option; did you mean `--json`\?/)
    assertMistake(await run(['doctor', '--ofline']), /did you mean `--offline`\?/)
    assertMistake(await run(['mock-api', '--prot', '1']), /did you mean `--port`\?/)
    assertMistake(await run(['check', '--__proto__']), /`--__proto__` is not an option/)
  })

  test('refuses options and words that do not fit', async () => {
    assertMistake(await run(['check', CLEAN, '--policy']), /`--policy` needs a value/)
    assertMistake(await run(['check', CLEAN, '--policy', '--json']), /`--policy` needs a value/)
    assertMistake(await run(['check', CLEAN, '--json=yes']), /`--json` takes no value/)
    assertMistake(await run(['doctor', CLEAN]), /`doctor` takes no `91\.128\.103\.196`/)
    assertMistake(
      await run(['mock-api', '--port', '65536']),
      /`--port` must be a whole number from 0 to 65535/,
    )
    assertMistake(await run(['mock-api', '--latency', '1.5']), /`--latency` must be a whole number/)
  })
})

describe('ip-risk check', () => {
  test('prints a table', async () => {
    const { code, stdout, stderr } = await check([ATTACKER, CLEAN, VPN])
    assert.deepEqual(columns(stdout), [
      ['address', 'score', 'band', 'action', 'reasons', 'source'],
      [ATTACKER, '80', 'high', 'block', 'residential_proxy, known_attacker, threshold_block', 'api'],
      [CLEAN, '0', 'low', 'allow', 'below_thresholds', 'api'],
      [VPN, '50', 'elevated', 'challenge', 'threshold_challenge', 'api'],
    ])
    const starts = stdout.split('\n').map((line) => line.search(/ (score|80|0|50) /))
    assert.equal(new Set(starts.slice(0, 4)).size, 1, 'columns stand below each other')
    assert.equal(stderr, '')
    assert.equal(code, 0)
  })

  test('prints one decision per line as JSON', async () => {
    const { code, stdout, stderr } = await check([ATTACKER, '::ffff:8.8.8.8', '--json'])
    const decisions = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(
      decisions.map(({ ip, score, action, policy }) => [ip, score, action, policy]),
      [
        [ATTACKER, 80, 'block', 'login'],
        ['8.8.8.8', 5, 'allow', 'login'],
      ],
    )
    assert.equal(decisions[0].flags.is_residential_proxy, true)
    assert.deepEqual([code, stderr], [0, ''])
  })

  test('reads addresses from standard input, among others, in their order', async () => {
    const input = `\ufeff8.8.8.8\r\n\n  ${VPN}  \n${CLEAN}`
    const { code, stdout } = await check([ATTACKER, '-', ATTACKER, '-'], { input })
    const addresses = columns(stdout).map(([address]) => address)
    assert.deepEqual(addresses, ['address', ATTACKER, '8.8.8.8', VPN, CLEAN, ATTACKER])
    assert.equal(code, 0)
  })

  test('answers an empty standard input with nothing', async () => {
    assert.deepEqual(await check(['-']), { code: 0, stdout: '', stderr: '' })
  })

  test('needs an address', async () => {
    assertMistake(await check([]), /needs an address, or `-`/)
  })

  test('judges by another policy', async () => {
    api.fault({ status: 500 })
    const login = await check([CLEAN, '--json'])
    const payment = await check([CLEAN, '--json', '--policy', 'payment'])
    assert.deepEqual([JSON.parse(login.stdout).action, login.code], ['allow', 1])
    assert.deepEqual([JSON.parse(payment.stdout).action, payment.code], ['hold', 1])
    assertMistake(await check([CLEAN, '--policy', 'paymnt']), /`paymnt`.*ERR_IP_RISK_UNKNOWN_POLICY/)
  })

  test('says what log-only would have done', async () => {
    const { stdout } = await check([ATTACKER], { env: { IP_RISK_MODE: 'log-only' } })
    assert.match(stdout, /allow \(would block\)/)
  })

  test('shows what could not be scored, why, and ends with 1', async () => {
    const { code, stdout, stderr } = await check(['nonsense', '10.0.0.1', CLEAN])
    assert.deepEqual(columns(stdout), [
      ['address', 'score', 'band', 'action', 'reasons', 'source', 'failure'],
      ['nonsense', '-', '-', 'challenge', 'invalid_address', 'none', 'ERR_IP_RISK_INVALID_ADDRESS'],
      ['10.0.0.1', '-', '-', 'allow', 'failed_open, special_use', 'special', 'ERR_IP_RISK_SPECIAL_USE'],
      [CLEAN, '0', 'low', 'allow', 'below_thresholds', 'api'],
    ])
    assert.match(stderr, /^ip-risk: one address not looked up: [^\n]+ \(ERR_IP_RISK_INVALID_ADDRESS\)$/m)
    assert.match(stderr, /\(ERR_IP_RISK_SPECIAL_USE\)$/m)
    assert.equal(code, 1)
  })

  test('an address without a record is answered', async () => {
    api.answer(CLEAN, null)
    const { code, stdout } = await check([CLEAN])
    assert.deepEqual(columns(stdout)[1], [CLEAN, '-', '-', 'allow', 'unknown_address', 'api'])
    assert.equal(code, 0)
  })

  test('shows text from elsewhere without what a terminal would act on', async () => {
    const input = `\u001b]0;owned\u0007\u202e${'x'.repeat(5000)}\n`
    const { stdout } = await check(['-'], { input })
    for (const character of ['\u001b', '\u0007', '\u202e']) assert.ok(!stdout.includes(character))
    assert.ok(stdout.split('\n').every((line) => line.length < 250))
  })

  test('a wrong key is said once, without the key', async () => {
    const strict = await testing.startMockApi({ key: 'another' })
    const { code, stdout, stderr } = await run(['check', CLEAN, VPN, '--endpoint', strict.url])
    assert.equal(columns(stdout).filter((row) => row.at(-1) === 'ERR_IP_RISK_KEY_REFUSED').length, 2)
    assert.match(
      stderr,
      /^ip-risk: 2 addresses not looked up: [^\n]*IPGEO_API_KEY[^\n]* \(ERR_IP_RISK_KEY_REFUSED\)\n$/,
    )
    assert.equal(code, 1)
    await strict.close()
  })

  test('without a key it scores from feeds, for nothing, and says so in one line', async () => {
    const env = { IPGEO_API_KEY: undefined }
    const { code, stdout, stderr } = await check([CLOUD, CLEAN], { env })
    assert.deepEqual(columns(stdout), [
      ['address', 'score', 'band', 'action', 'reasons', 'source'],
      [CLOUD, '24', 'guarded', 'log', 'threshold_log', 'feeds'],
      [CLEAN, '-', '-', 'allow', 'no_record', 'feeds'],
    ])
    assert.match(stderr, /^ip-risk: no key: scores come from offline feeds, which see [^\n]+\n$/)
    assert.equal(code, 0)

    const many = await check(['-', '--json'], { env, input: manyAddresses(1001).join('\n') })
    assert.equal(many.stdout.trimEnd().split('\n').length, 1001)
    assert.deepEqual([many.code, many.stderr], [0, stderr])
    assert.equal(api.requestCount(), 0)
  })

  test('without a key, a policy that closes holds, and says what to do', async () => {
    const env = { IPGEO_API_KEY: undefined }
    const { code, stdout, stderr } = await check([CLEAN, '--policy', 'payment'], { env })
    assert.match(stdout, /hold +failed_closed/)
    assert.match(stderr, /set `IPGEO_API_KEY`.*\(ERR_IP_RISK_NO_SOURCE\)$/m)
    assert.equal(code, 1)
  })

  test('feeds that cannot be used are said, and do not stop anything', async () => {
    writeFileSync(join(directory, 'feeds.bin'), 'damaged')
    const { code, stdout, stderr } = await check([CLEAN], { env: { IP_RISK_FEEDS: directory } })
    assert.match(stdout, /below_thresholds +api/)
    assert.match(stderr, /^ip-risk: [^\n]*feeds\.bin[^\n]* \(ERR_IP_RISK_FEEDS\)\n$/)
    assert.equal(code, 0)
    rmSync(join(directory, 'feeds.bin'))
  })

  test('an endpoint that cannot be reached', async () => {
    const { code, stdout, stderr } = await run(['check', CLEAN, '--endpoint', UNREACHABLE])
    assert.match(stdout, /failed_open .*ERR_IP_RISK_CONNECT/)
    assert.match(stderr, /could not be reached; check .*\(ERR_IP_RISK_CONNECT\)/)
    assert.equal(code, 1)
  })

  test('an endpoint that would show the key is refused', async () => {
    const mistake = await run(['check', CLEAN, '--endpoint', 'http://api.example'])
    assertMistake(mistake, /`endpoint` must start with `https:\/\/`/)
  })

  test('more than 1,000 look-ups need --yes', async () => {
    const addresses = manyAddresses(1001)
    const input = addresses.join('\n')
    assertMistake(await check(['-'], { input }), /1,001 look-ups cost up to 2,002 credits; add `--yes`/)
    assert.equal(api.requestCount(), 0)

    const { code, stdout, stderr } = await check(['-', '--yes'], { input })
    assert.equal(stderr, 'ip-risk: 1,001 look-ups cost up to 2,002 credits\n')
    assert.deepEqual(
      columns(stdout)
        .map(([address]) => address)
        .slice(1),
      addresses,
    )
    assert.equal(api.credits, 2002)
    assert.equal(code, 0)
  })

  test('what costs nothing does not need --yes', async () => {
    const local = Array.from({ length: 600 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
    const repeated = Array.from({ length: 600 }, () => CLEAN)
    const input = [...local, ...repeated, 'nonsense'].join('\n')
    const { code, stdout } = await check(['-', '--json'], { input })
    assert.equal(stdout.trimEnd().split('\n').length, 1201)
    assert.equal(api.credits, 2)
    assert.equal(code, 1)
  })

  test('ends quietly when nobody reads on', async () => {
    const child = start(['check', '-', '--json', '--endpoint', api.url])
    let stderr = ''
    child.stderr.on('data', (text) => (stderr += text))
    child.stdin.end(manyAddresses(1000).join('\n'))
    await once(child.stdout, 'data')
    child.stdout.destroy()
    assert.deepEqual(await once(child, 'exit'), [0, null])
    assert.equal(stderr, '')
  })

  test('uses colours on a terminal only, and never with NO_COLOR', async () => {
    const escape = '\u001b['
    const piped = await check([ATTACKER], { env: { FORCE_COLOR: '1' } })
    const shown = await check([ATTACKER], { node: onTerminal('stdout') })
    const plain = await check([ATTACKER], { node: onTerminal('stdout'), env: { NO_COLOR: '1' } })
    assert.deepEqual(
      [piped, shown, plain].map(({ stdout }) => stdout.includes(escape)),
      [false, true, false],
    )
    assert.match(shown.stdout, /\[31mblock/)
  })

  test('does not load without the addon, and says why', async () => {
    assertMistake(await check([CLEAN], { node: ['--no-addons'] }), /--no-addons.*\(ERR_IP_RISK_NATIVE\)/)
  })
})

describe('ip-risk doctor', () => {
  test('finds nothing wrong', async () => {
    const { code, stdout, stderr } = await doctor()
    const found = findings(stdout)
    const statuses = Object.entries(found).map(([subject, { status }]) => [subject, status])
    assert.deepEqual(statuses, [
      ['Node.js', 'ok'],
      ['addon', 'ok'],
      ['key', 'ok'],
      ['policy', 'ok'],
      ['feeds', 'ok'],
      ['redis', 'skip'],
      ['endpoint', 'ok'],
      ['plan', 'ok'],
      ['TLS roots', found['TLS roots'].status],
      ['clock', 'ok'],
      ['proxy', 'ok'],
      ['proxy-addr', 'ok'],
    ])
    assert.ok(found['Node.js'].text.includes(process.versions.node))
    assert.ok(found.addon.text.includes(`${process.platform} ${process.arch}`))
    assert.match(found.policy.text, /`login`/)
    assert.match(found.endpoint.text, /status 200 over HTTP\/1\.1 in \d+ ms/)
    assert.match(found.plan.text, /accepted.* 2 credits/)
    assert.match(found['TLS roots'].text, /^\d+ bundled, \d+ of the system, 0 of/)
    assert.match(found['proxy-addr'].text, /no Express/)
    assert.equal(api.requestCount(), 1)
    assert.deepEqual([code, stderr], [0, ''])
  })

  test('makes no call with --offline', async () => {
    const { code, stdout } = await doctor(['--offline'])
    assert.equal(findings(stdout).provider.status, 'skip')
    assert.equal(api.requestCount(), 0)
    assert.equal(code, 0)
  })

  test('a shared Redis that answers, and one that cannot be used, which is no failure', async (t) => {
    const redis = await startRedis()
    t.after(() => redis.close())
    const { code, stdout } = await doctor([], { env: { REDIS_URL: redis.url } })
    assert.deepEqual([findings(stdout).redis, code], [{ status: 'ok', text: 'answers in time' }, 0])
    await redis.kill()
    const other = await doctor([], { env: { REDIS_URL: redis.url } })
    const { status, text } = findings(other.stdout).redis
    assert.deepEqual([status, other.code], ['warn', 0])
    assert.match(text, /^no connection; check the URL.*\(unreachable\); decisions go on without it$/)
  })

  test('a missing key, which feeds stand in for', async () => {
    const { code, stdout } = await doctor([], { env: { IPGEO_API_KEY: undefined } })
    const found = findings(stdout)
    assert.equal(found.key.status, 'warn')
    assert.match(found.key.text, /^no key: scores come from offline feeds, which see clouds and hosting, but/)
    assert.match(found.key.text, /`ip-risk feeds update`.*`IPGEO_API_KEY`/)
    assert.match(found.feeds.text, /the feeds in the package: [\d,]+ networks in \d+ feeds, \d+ days old$/)
    assert.deepEqual([found.policy.status, found.feeds.status, found.provider.status], ['ok', 'ok', 'skip'])
    assert.equal(found['proxy-addr'].status, 'ok')
    assert.equal(api.requestCount(), 0)
    assert.equal(code, 0)
  })

  test('a policy that a gate cannot use without a key', async () => {
    const env = { IPGEO_API_KEY: undefined }
    const { code, stdout } = await doctor(['--policy', 'payment'], { env })
    const { policy } = findings(stdout)
    assert.equal(policy.status, 'fail')
    assert.match(policy.text, /`payment` closes.*`feeds: { primary: true }`/)
    assert.equal(code, 1)
  })

  test('a file of feeds that is damaged, and a directory that is none', async () => {
    writeFileSync(join(directory, 'feeds.bin'), 'damaged')
    const damaged = await doctor([], { env: { IP_RISK_FEEDS: directory } })
    const { feeds } = findings(damaged.stdout)
    assert.match(feeds.text, /the feeds in the package: .*; the newest file is not in use: .*feeds\.bin/)
    assert.deepEqual([feeds.status, damaged.code], ['warn', 0])
    rmSync(join(directory, 'feeds.bin'))

    const nowhere = await doctor([], { env: { IP_RISK_FEEDS: join(directory, 'nowhere') } })
    assert.match(findings(nowhere.stdout).feeds.text, /`ip-risk feeds update --dir .*nowhere`/)
    assert.deepEqual([findings(nowhere.stdout).feeds.status, nowhere.code], ['warn', 0])
  })

  test('a key that may not be used', async () => {
    const failures = {
      401: 'ERR_IP_RISK_KEY_REFUSED',
      403: 'ERR_IP_RISK_KEY_FORBIDDEN',
      429: 'ERR_IP_RISK_QUOTA',
    }
    for (const [status, failure] of Object.entries(failures)) {
      api.fault({ status: Number(status) })
      const { code, stdout } = await doctor()
      const found = findings(stdout)
      assert.deepEqual([found.endpoint.status, found.plan.status, code], ['ok', 'fail', 1])
      assert.ok(found.plan.text.includes(failure), found.plan.text)
    }
  })

  test('an endpoint that cannot be reached, and one that is another', async () => {
    const closed = await run(['doctor', '--endpoint', UNREACHABLE])
    const { endpoint: unreachable, plan, clock } = findings(closed.stdout)
    assert.match(unreachable.text, /^no answer after \d+ ms: .*\(ERR_IP_RISK_CONNECT\)/)
    assert.deepEqual([unreachable.status, plan.status, clock.status], ['fail', 'skip', 'skip'])
    assert.equal(closed.code, 1)

    const other = await run(['doctor', '--endpoint', `${api.url}/elsewhere`])
    assert.match(findings(other.stdout).endpoint.text, /status 404 .*\(ERR_IP_RISK_ENDPOINT\)/)
    assert.equal(other.code, 1)
  })

  test('options that cannot be used', async () => {
    const { code, stdout } = await doctor([], { env: { IP_RISK_MODE: 'observe' } })
    assert.equal(findings(stdout).options.status, 'fail')
    assert.match(stdout, /`IP_RISK_MODE` must be `log-only`/)
    assert.equal(code, 1)
    assert.equal((await doctor(['--policy', 'paymnt'])).code, 2)
  })

  test('the kill switch', async () => {
    const { code, stdout } = await doctor(['--policy', 'payment'], { env: { IP_RISK_MODE: 'log-only' } })
    const { policy } = findings(stdout)
    assert.equal(policy.status, 'warn')
    assert.match(policy.text, /`payment` only watches: `IP_RISK_MODE=log-only`/)
    assert.equal(code, 0)
  })

  test('a clock that is wrong', async () => {
    const answerDated = (date) =>
      api.answerRaw('8.8.8.8', { headers: { date }, body: { security: { threat_score: 5 } } })
    for (const [skew, text] of [
      [-90_000, /^(89|90|91) s ahead of/],
      [90_000, /^(89|90|91) s behind/],
    ]) {
      answerDated(new Date(Date.now() + skew).toUTCString())
      const { code, stdout } = await doctor()
      const { clock } = findings(stdout)
      assert.equal(clock.status, 'warn')
      assert.match(clock.text, text)
      assert.equal(code, 0)
    }
  })

  test('trusted roots of the system that are missing', async () => {
    const nowhere = join(directory, 'nowhere.pem')
    const env = { SSL_CERT_FILE: nowhere, SSL_CERT_DIR: nowhere, NODE_EXTRA_CA_CERTS: undefined }
    const roots = findings((await doctor([], { env })).stdout)['TLS roots']
    assert.equal(roots.status, 'warn')
    assert.match(roots.text, / 0 of the system, .*`NODE_EXTRA_CA_CERTS`/)
  })

  test('extra roots that cannot be read', async () => {
    const env = { NODE_EXTRA_CA_CERTS: join(directory, 'nowhere.pem') }
    const roots = findings((await doctor([], { env })).stdout)['TLS roots']
    assert.equal(roots.status, 'warn')
    assert.match(roots.text, / 0 of `NODE_EXTRA_CA_CERTS`, although it is set/)
  })

  test('a proxy, whose address stays hidden', async () => {
    const value = 'http://user:hidden-password@proxy.example:3128'
    const used = await doctor([], { env: { https_proxy: value, NO_PROXY: 'internal.example' } })
    const { proxy } = findings(used.stdout)
    assert.equal(proxy.status, 'ok')
    assert.match(proxy.text, /through `HTTPS_PROXY`, except for what `NO_PROXY` names/)
    assert.doesNotMatch(used.stdout + used.stderr, /hidden-password|proxy\.example|internal\.example/)

    const ignored = await doctor([], { env: { HTTP_PROXY: value } })
    assert.equal(findings(ignored.stdout).proxy.status, 'warn')
    assert.doesNotMatch(ignored.stdout + ignored.stderr, /hidden-password|proxy\.example/)
  })

  test('the proxy-addr of the application', async () => {
    for (const [version, status] of [
      ['2.0.7', 'warn'],
      ['2.0.8', 'ok'],
      ['2.1.0', 'ok'],
    ]) {
      const { code, stdout } = await doctor(['--offline'], { cwd: applicationWith(version) })
      const found = findings(stdout)['proxy-addr']
      assert.equal(found.status, status)
      assert.ok(found.text.includes(`version ${version}`))
      assert.equal(code, 0)
    }
  })

  test('an addon that does not load', async () => {
    const { code, stdout } = await doctor([], { node: ['--no-addons'] })
    const found = findings(stdout)
    assert.equal(found.addon.status, 'fail')
    assert.match(found.addon.text, /--no-addons/)
    assert.equal(found['proxy-addr'].status, 'ok')
    assert.equal(code, 1)
  })
})

/** A directory with an Express that uses this version of proxy-addr. */
function applicationWith(version) {
  const root = join(directory, `application-${version}`)
  for (const [name, of] of Object.entries({ express: '5.0.0', 'proxy-addr': version })) {
    const home = join(root, 'node_modules', name)
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, 'package.json'), JSON.stringify({ name, version: of }))
    writeFileSync(join(home, 'index.js'), '')
  }
  return root
}

describe('ip-risk mock-api', () => {
  /** Starts the stand-in and waits until it has said everything. */
  async function startMock(args = []) {
    const child = start(['mock-api', ...args])
    const mock = { child, stdout: '' }
    child.stdout.setEncoding('utf8').on('data', (text) => (mock.stdout += text))
    while (!mock.stdout.includes('score-huge')) await once(child.stdout, 'data')
    mock.url = /http:\/\/127\.0\.0\.1:\d+/.exec(mock.stdout)[0]
    return mock
  }

  test('answers the cards that it prints until Ctrl-C, then ends with 0', async () => {
    const mock = await startMock()
    for (const text of ['endpoint', '198.51.100.4', '203.0.113.17', 'hang', ATTACKER]) {
      assert.ok(mock.stdout.includes(text), text)
    }
    const response = await fetch(`${mock.url}/v3/security?apiKey=any&ip=198.51.100.4`)
    const { security } = await response.json()
    assert.deepEqual([security.threat_score, security.is_tor], [70, true])
    const checked = await run(['check', ATTACKER, '--endpoint', mock.url])
    assert.match(checked.stdout, /\b80\b.*block/)

    // A request that never ends must not keep it; when the next one is answered, it has arrived.
    const hanging = assert.rejects(fetch(`${mock.url}/v3/security?apiKey=any&ip=203.0.113.17`))
    await fetch(`${mock.url}/elsewhere`)
    mock.child.kill('SIGINT')
    assert.deepEqual(await once(mock.child, 'close'), [0, null])
    assert.match(mock.stdout, /ended after \d+ requests, 4 credits charged\n$/)
    await hanging
  })

  test('listens where it is told, as slowly as it is told', async () => {
    const port = String(FREE_PORT)
    const mock = await startMock(['--port', port, '--latency', '150'])
    assert.equal(mock.url, `http://127.0.0.1:${port}`)
    const began = performance.now()
    await fetch(`${mock.url}/v3/security?apiKey=any&ip=${CLEAN}`)
    assert.ok(performance.now() - began >= 140)

    assertMistake(await run(['mock-api', '--port', port]), /already in use.*\(EADDRINUSE\)/)
    mock.child.kill('SIGTERM')
    assert.deepEqual(await once(mock.child, 'close'), [0, null])
  })
})
