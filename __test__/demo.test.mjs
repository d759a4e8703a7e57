import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeConsumer } from './support/consumer.mjs'
import { SURROUNDINGS } from './support/package.mjs'
import { startInternet } from './support/snippets.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What the demo says last. */
const LAST = '/signup -H'
/** The addresses of the vendor's published examples, which anybody may ask about. */
const EXAMPLES = [
  '1.1.1.1',
  '145.223.7.7',
  '165.227.0.1',
  '18.97.14.89',
  '2.56.188.34',
  '216.73.216.43',
  '2607:fb91:16c6:8860:e531:2d1d:4944:6c7c',
  '37.120.202.92',
  '8.8.8.8',
  '91.128.103.196',
  '94.237.40.1',
]
/** Addresses of large clouds, which the feeds in the package know by name. */
const CLOUDS = [
  ['52.95.110.1', 'Amazon.com, Inc.'],
  ['20.42.65.90', 'Microsoft Corporation'],
  ['34.64.0.1', 'Google LLC'],
  ['130.61.0.1', 'Oracle Corporation'],
  ['165.227.0.1', 'DigitalOcean, LLC'],
]
/** Ending has a second; a busy machine gets some more. */
const ENDING_MS = 3000

const inherited = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !SURROUNDINGS.includes(name)),
)

/** Starts a script, which ends with the test. */
function start(t, script, args, env) {
  const child = spawn(process.execPath, [join(root, script), ...args], {
    env: { ...inherited, PORT: '0', ...env },
  })
  const started = { child, stdout: '', stderr: '', closed: once(child, 'close') }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (started[name] += text))
  }
  t.after(() => child.kill('SIGKILL'))
  return started
}

/** Starts the demo as it is after setting up, which is tested below, on a project of its own. */
function startDemo(t, env) {
  return start(t, 'scripts/demo.mjs', ['--no-setup'], env)
}

/** Resolves when the script has said this. */
async function saying(started, text) {
  let hasEnded = false
  const ended = started.closed.then(() => (hasEnded = true))
  while (!started.stdout.includes(text)) {
    assert.ok(!hasEnded, `ended early: ${started.stdout}${started.stderr}`)
    await Promise.race([once(started.child.stdout, 'data'), ended])
  }
}

/** Ctrl-C, after which the script must end with 0 and without a word on standard error. */
async function interrupt(started) {
  const began = performance.now()
  started.child.kill('SIGINT')
  assert.deepEqual(await started.closed, [0, null])
  assert.equal(started.stderr, '')
  assert.ok(performance.now() - began < ENDING_MS)
}

/** Sends what a suggested `curl` line would send. */
async function curl(line) {
  const { url, address } = /(?<url>http\S+) -H 'X-Forwarded-For: (?<address>\S+)'/.exec(line).groups
  const body = / -d '(.*)'$/.exec(line)?.[1]
  const headers = { 'x-forwarded-for': address, 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body })
  await response.text()
  return response.status
}

describe('npm run demo', () => {
  test('shows every action, says what it counted, and stays up to be tried', async (t) => {
    const demo = startDemo(t, { DEMO_SECONDS: '1' })
    await saying(demo, LAST)
    assert.equal(demo.stderr, '')
    assert.ok(demo.stdout.split('\n\n')[0].split('\n').length <= 6, 'explains itself in at most six lines')
    for (const [address, cloud] of CLOUDS) {
      assert.match(demo.stdout, new RegExp(`login +log .* ${address} .*, cloud of ${cloud}  feeds$`, 'm'))
    }
    for (const line of [
      /^ +no key: scores come from offline feeds, which see clouds and hosting, but not VPNs, .*$/m,
      /login +allow .* 91\.128\.103\.196 +no_record  feeds$/m,
      /^\d\d:\d\d:\d\d  login +allow +\S+ +3  192\.0\.2\.3 +below_thresholds  api$/m,
      /login +log +\S+ +24  192\.0\.2\.24 +threshold_log/,
      /login +challenge +█{5}· *\S+ +50  37\.120\.202\.92 +threshold_challenge/,
      /\/login answered 401 {"error":"second factor required"}/,
      /login +block +\S+ +100  192\.0\.2\.100 +threshold_block/,
      /login +block +\S+ +\d+  2001:db8:0:85::1 +threshold_block/,
      /signup +allow +\S+ +90  145\.223\.7\.7 +would block: known_attacker, threshold_block/,
      /login +allow +\S+ +-  192\.0\.2\.9 +failed_open, ERR_IP_RISK_UPSTREAM_STATUS/,
      /payment +hold +\S+ +-  192\.0\.2\.9 +failed_closed, ERR_IP_RISK_UPSTREAM_STATUS/,
      /\/pay answered 503 {"error":"Request held for review"}/,
      /payment +allow +\S+ +9  192\.0\.2\.9 +below_thresholds  api/,
      /^ +low +guarded +elevated +high +allow +log +challenge +block +hold$/m,
      /^signup +1 +0 +0 +2 +3 +0 +0 +0 +0\nsignup, would be +0 +0 +1 +2 +0$/m,
    ]) {
      assert.match(demo.stdout, line)
    }
    const lines = demo.stdout.split('\n').filter((line) => line.startsWith('  curl '))
    assert.deepEqual(await Promise.all(lines.map(curl)), [200, 401, 403, 503, 201])
    await saying(demo, '198.51.100.1 ')
    await interrupt(demo)
  })

  test('ends at Ctrl-C in the middle of its script', async (t) => {
    const demo = startDemo(t, { DEMO_SECONDS: '2' })
    await saying(demo, 'login    block')
    await interrupt(demo)
    assert.ok(!demo.stdout.includes(LAST))
  })

  test('says that the port is taken', async (t) => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address()
    const demo = startDemo(t, { PORT: String(port) })
    assert.deepEqual(await demo.closed, [1, null])
    assert.match(demo.stderr, new RegExp(`^ip-risk demo: port ${port} is taken; choose another .*\\n$`))
  })

  test('with a key it asks the real API about example addresses, each once', async (t) => {
    const project = makeConsumer({ linked: [] })
    t.after(() => project.remove())
    const internet = await startInternet(project, (end) => t.after(end))
    const demo = startDemo(t, {
      ...internet,
      IPGEO_API_KEY: 'a-key-that-must-not-be-shown',
      DEMO_SECONDS: '1',
    })
    await saying(demo, LAST)
    const promised = /each once: (\d+) credits/.exec(demo.stdout)[1]
    assert.ok(Number(promised) <= 30)
    assert.match(demo.stdout, new RegExp(` calls to the Security API for ${promised} credits`))
    const decisions = demo.stdout.split('\n').filter((line) => /^\d\d:/.test(line))
    const others = decisions.filter((line) => !EXAMPLES.some((address) => line.includes(`  ${address} `)))
    assert.deepEqual(others, [])
    for (const line of [
      /login +challenge .* 37\.120\.202\.92 /,
      /login +block .* 2\.56\.188\.34 /,
      /signup +allow .* would block/,
      /payment +hold .* failed_closed, ERR_IP_RISK_CONNECT/,
    ]) {
      assert.match(demo.stdout, line)
    }
    await interrupt(demo)
    assert.ok(!(demo.stdout + demo.stderr).includes('a-key-that-must-not-be-shown'))
  })
})

test('the example app starts by itself, and ends at Ctrl-C', async (t) => {
  const app = start(t, 'examples/express-login/server.js', [], { IPGEO_API_KEY: 'any' })
  await saying(app, 'listening')
  const [port] = /\d+/.exec(app.stdout)
  // Loopback itself is judged without a look-up.
  const response = await fetch(`http://127.0.0.1:${port}/login`, { method: 'POST' })
  assert.deepEqual([response.status, await response.json()], [401, { error: 'wrong password' }])
  await interrupt(app)
})

describe('setting up', () => {
  const HOUR = 3600
  const SOURCES = [
    'Cargo.toml',
    'Cargo.lock',
    'build.rs',
    'src/lib.rs',
    'src/deep/module.rs',
    'crates/core/Cargo.toml',
    'crates/core/src/lib.rs',
    'crates/core/src/feeds/networks.csv',
    'scripts/seed.mjs',
  ]
  const SEED = 'seed.feeds'
  let project
  let bin

  before(() => {
    project = mkdtempSync(join(tmpdir(), 'ip-risk-setup-'))
    bin = join(project, 'bin')
    mkdirSync(bin)
    for (const file of [...SOURCES, 'package-lock.json']) write(file, '')
    write('Cargo.toml', '[workspace.package]\nrust-version = "1.91"\n')
    write('package.json', JSON.stringify({ napi: { binaryName: 'ip-risk' } }))
    writeTool('cargo', 'echo "cargo 1.91.0 (abcdef 2026-01-01)"')
    // What npm does, as far as it can be seen from outside.
    writeTool(
      'npm',
      `echo "$@" >> calls
       case "$1" in
         ci) mkdir -p node_modules && touch node_modules/.package-lock.json ;;
         run) touch ${addonName()} ${SEED} ;;
       esac`,
    )
  })
  after(() => rmSync(project, { recursive: true }))

  function write(file, text) {
    mkdirSync(dirname(join(project, file)), { recursive: true })
    writeFileSync(join(project, file), text)
  }

  function writeTool(name, commands) {
    write(`bin/${name}`, `#!/bin/sh\n${commands}\n`)
    chmodSync(join(bin, name), 0o755)
  }

  function addonName() {
    const { platform, arch } = process
    const libc = process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl'
    return `ip-risk.${platform}-${arch}${platform === 'linux' ? libc : ''}.node`
  }

  /** Makes everything as old as after a checkout, and the file that is named newer than what was made of it. */
  function changeLater(file) {
    const seconds = Date.now() / 1000
    for (const each of [
      ...SOURCES,
      'src',
      'src/deep',
      'crates/core/src',
      'crates/core/src/feeds',
      'package.json',
      'package-lock.json',
    ]) {
      utimesSync(join(project, each), seconds - 2 * HOUR, seconds - 2 * HOUR)
    }
    for (const made of [addonName(), SEED, 'node_modules/.package-lock.json']) {
      utimesSync(join(project, made), seconds - HOUR, seconds - HOUR)
    }
    if (file !== undefined) utimesSync(join(project, file), seconds, seconds)
  }

  /** Runs both steps, and returns what they said and what they ran. */
  async function setUp(path = `${bin}${delimiter}${inherited.PATH}`) {
    write('calls', '')
    const code = `import { buildAddon, installDependencies } from ${JSON.stringify(join(root, 'scripts/setup.mjs'))}
      installDependencies(${JSON.stringify(project)})
      buildAddon(${JSON.stringify(project)})`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      env: { ...inherited, PATH: path },
    })
    const result = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => (result[name] += text))
    }
    const [exitCode] = await once(child, 'close')
    return {
      ...result,
      code: exitCode,
      calls: readFileSync(join(project, 'calls'), 'utf8').split('\n').filter(Boolean),
    }
  }

  const INSTALL = 'ci --include=dev --no-audit --no-fund'
  const BUILD = 'run build'

  test('installs and builds in a fresh clone, with a line for each, and nothing twice', async () => {
    const first = await setUp()
    assert.deepEqual(first.calls, [INSTALL, BUILD])
    assert.match(first.stdout, /^setup: installing [^\n]+\nsetup: building [^\n]+\n$/)
    assert.deepEqual([first.code, first.stderr], [0, ''])
    assert.deepEqual(await setUp(), { code: 0, stdout: '', stderr: '', calls: [] })
    changeLater()
    assert.deepEqual((await setUp()).calls, [])
  })

  test('installs again when the lock file is newer', async () => {
    changeLater('package-lock.json')
    assert.deepEqual((await setUp()).calls, [INSTALL])
  })

  test('builds again when a source is newer, or one is gone', async () => {
    for (const file of [...SOURCES, 'src/deep']) {
      changeLater(file)
      assert.deepEqual((await setUp()).calls, [BUILD], file)
      assert.deepEqual((await setUp()).calls, [], `${file}, built`)
    }
  })

  test('builds again when the addon or the seed is gone', async () => {
    for (const made of [addonName(), SEED]) {
      changeLater()
      rmSync(join(project, made))
      assert.deepEqual((await setUp()).calls, [BUILD], made)
      assert.deepEqual((await setUp()).calls, [], `${made}, built`)
    }
  })

  test('builds again for the parts of package.json that the build reads, only', async () => {
    const napi = { binaryName: 'ip-risk' }
    const networks = (version) => ({ devDependencies: { '@ip-location-db/asn': version } })
    for (const [manifest, calls] of [
      [{ napi, version: '9.9.9' }, []],
      [{ napi: { ...napi, constEnum: false } }, [BUILD]],
      [{ napi: { ...napi, constEnum: false }, ...networks('2.3.1') }, [BUILD]],
      [{ napi: { ...napi, constEnum: false }, ...networks('2.3.2') }, [BUILD]],
      [{ napi: { ...napi, constEnum: false }, ...networks('2.3.2'), scripts: {} }, []],
    ]) {
      write('package.json', JSON.stringify(manifest))
      changeLater('package.json')
      assert.deepEqual((await setUp()).calls, calls, JSON.stringify(manifest))
    }
  })

  test('says what is wrong with cargo', async () => {
    changeLater('src/lib.rs')
    writeTool('cargo', 'echo "cargo 1.9.0 (abcdef 2016-01-01)"')
    const old = await setUp()
    assert.match(
      old.stderr,
      /^setup: `cargo` 1\.9\.0 is too old to build the addon; .*Rust 1\.91 or newer[^\n]*\n$/,
    )
    assert.deepEqual([old.code, old.calls], [1, []])

    rmSync(join(bin, 'cargo'))
    const missing = await setUp(bin)
    assert.match(missing.stderr, /^setup: [^\n]*`cargo` is not there[^\n]*https:\/\/rustup\.rs[^\n]*\n$/)
    assert.deepEqual([missing.code, missing.calls], [1, []])
  })

  test('shows the output of a step that fails, and goes no further', async () => {
    changeLater('package-lock.json')
    writeTool('npm', 'echo "on standard output"; echo "on standard error" >&2; exit 7')
    const { code, stderr } = await setUp()
    assert.match(
      stderr,
      /on standard output\non standard error\nsetup: `npm ci [^`]*` failed; its output is above\n$/,
    )
    assert.equal(code, 1)
  })
})
