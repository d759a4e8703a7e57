import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runForJson, runScript } from './support/children.mjs'
import { publicAddress, startApi } from './support/start.mjs'

/** In front of every script: a checker for the endpoint that it is given, and what must never happen. */
const BEGIN = `
  const { RiskChecker } = require('ip-risk')
  const { Worker } = require('node:worker_threads')
  const { setTimeout: sleep } = require('node:timers/promises')
  const [endpoint] = process.argv.slice(1)
  const options = { apiKey: 'test-key', endpoint, logger: false }
  const make = (more) => new RiskChecker({ ...options, ...more })
  process.on('unhandledRejection', (error) => { console.error('unhandled rejection', error); process.exit(99) })
`

/** Runs a script against the stand-in and asserts that it ended by itself with `code`, in time. */
async function runToEnd(api, script, { code = 0, withinMs = 5_000, ...options } = {}) {
  const began = performance.now()
  const result = await runScript(BEGIN + script, { args: [api.url], ...options })
  const took = performance.now() - began
  assert.deepEqual([result.code, result.signal], [code, null], result.stderr)
  assert.ok(took < withinMs, `ended after ${took} ms`)
  return result.stdout.trim()
}

function runForResult(api, script, options) {
  return runForJson(BEGIN + script, { args: [api.url], ...options })
}

describe('a process ends by itself', () => {
  test('with a checker that nobody closed', async (t) => {
    const api = await startApi(t)
    const script = `
      const checker = make()
      checker.check('11.0.0.1').then(({ failure }) => console.log(failure))`
    assert.equal(await runToEnd(api, script), 'null')
  })

  test('with a checker that was never used', async (t) => {
    assert.equal(await runToEnd(await startApi(t), 'make(); console.log("made")'), 'made')
  })

  test('when the package was only loaded', async (t) => {
    assert.equal(await runToEnd(await startApi(t), ''), '')
  })

  test('with a checker that counts how often it failed open', async (t) => {
    const api = await startApi(t)
    api.fault({ status: 503 })
    const script = `
      const checker = make({ logger: undefined })
      checker.checkMany(['11.0.0.1', '11.0.0.2']).then((all) => console.log(all.length))`
    assert.match(await runToEnd(api, script), /2$/)
  })

  test('with an aborted check, as soon as its look-up is over', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      const checker = make({ deadlineMs: 300 })
      checker.check('11.0.0.1', { signal: AbortSignal.timeout(50) }).catch(({ name }) => console.log(name))`
    assert.equal(await runToEnd(api, script), 'TimeoutError')
  })

  test('but not before a check that is awaited has its answer', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      make({ deadlineMs: 500 }).check('11.0.0.1').then(({ failure }) => console.log(failure))`
    assert.equal(await runToEnd(api, script), 'ERR_IP_RISK_TIMEOUT')
  })

  test('after close(), with nothing left open', async (t) => {
    const api = await startApi(t)
    const script = `
      async function main() {
        const checker = make()
        await checker.check('11.0.0.1')
        await checker.close()
        await sleep(100)
        const sockets = require('node:fs').readdirSync('/proc/self/fd').map((fd) => {
          try { return require('node:fs').readlinkSync('/proc/self/fd/' + fd) } catch { return '' }
        })
        const { readFileSync } = require('node:fs')
        const port = Number(new URL(endpoint).port).toString(16).toUpperCase().padStart(4, '0')
        const open = readFileSync('/proc/self/net/tcp', 'utf8').split('\\n').map((line) => line.trim().split(/\\s+/))
          .filter((row) => row[2]?.endsWith(':' + port) && sockets.includes('socket:[' + row[9] + ']'))
        console.log(JSON.stringify({ open: open.length, resources: process.getActiveResourcesInfo() }))
      }
      main()`
    const { open, resources } = await runForResult(api, script)
    assert.equal(open, 0, 'connections to the provider are still open')
    assert.deepEqual(
      resources.filter((name) => !['PipeWrap', 'TTYWrap'].includes(name)),
      [],
    )
  })

  for (const how of ['process.exit(7)', 'process.exitCode = 7; process.emit("beforeExit"); process.exit()']) {
    test(`with its own exit code while look-ups hang: ${how}`, async (t) => {
      const api = await startApi(t)
      api.fault({ kind: 'hang' })
      const script = `
        const checker = make({ deadlineMs: 60_000, batch: false })
        for (let last = 1; last <= 50; last++) checker.check('11.0.0.' + last)
        setTimeout(() => { ${how} }, 200)`
      await runToEnd(api, script, { code: 7 })
      assert.equal(api.requestCount(), 50)
    })
  }

  test('with the exit code of an uncaught error while look-ups hang', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      make({ deadlineMs: 60_000 }).check('11.0.0.1')
      setTimeout(() => { throw new Error('of the application') }, 200)`
    await runToEnd(api, script, { code: 1 })
  })

  test('when it exits in the very moment answers arrive, a hundred times', async (t) => {
    const api = await startApi(t)
    const script = `
      const checker = make()
      for (let last = 1; last <= 100; last++) checker.check('11.0.0.' + last)
      const delay = Number(process.argv[2])
      setTimeout(() => process.exit(0), delay)`
    const exit = async (delay) => {
      const { code, signal, stderr } = await runScript(BEGIN + script, { args: [api.url, String(delay)] })
      assert.deepEqual([code, signal], [0, null], stderr)
    }
    for (let time = 0; time < 50; time++) await Promise.all([exit(time % 20), exit(time % 25)])
  })
})

describe('worker threads', () => {
  /** The start of a script that runs in a worker; `make` and `endpoint` are as above. */
  const WORKER = `
    const { RiskChecker } = require('ip-risk')
    const { parentPort, workerData } = require('node:worker_threads')
    const checker = new RiskChecker({ ...workerData, deadlineMs: 2_000 })
  `
  const startWorker = (body) =>
    `new Worker(${JSON.stringify(WORKER + body)}, { eval: true, workerData: { ...options } })`

  test('may be the only ones that load the package', async (t) => {
    const api = await startApi(t)
    const script = `
      const { Worker } = require('node:worker_threads')
      const [endpoint] = process.argv.slice(1)
      const options = { apiKey: 'test-key', endpoint, logger: false }
      const worker = ${startWorker(`checker.check('11.0.0.1').then(({ source }) => parentPort.postMessage(source))`)}
      worker.on('message', (source) => console.log(JSON.stringify(source)))
      worker.on('error', (error) => { throw error })`
    assert.equal(await runForJson(script, { args: [api.url] }), 'api')
  })

  test('may be in the middle of look-ups when the main thread, which never loaded it, exits', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      const { Worker } = require('node:worker_threads')
      const [endpoint] = process.argv.slice(1)
      const options = { apiKey: 'test-key', endpoint, logger: false }
      const worker = ${startWorker(`
        for (let last = 1; last <= 20; last++) checker.check('11.0.0.' + last)
        parentPort.postMessage('ready')`)}
      worker.on('message', () => process.exit(7))`
    for (let time = 0; time < 10; time++) {
      const { code, signal, stderr } = await runScript(script, { args: [api.url] })
      assert.deepEqual([code, signal], [7, null], stderr)
    }
  })

  test('may load it one after the other, and the main thread after them', async (t) => {
    const api = await startApi(t)
    const script = `
      const { Worker } = require('node:worker_threads')
      const [endpoint] = process.argv.slice(1)
      const options = { apiKey: 'test-key', endpoint, logger: false }
      const work = () => new Promise((resolve, reject) => {
        const worker = ${startWorker(`checker.check('11.0.0.1').then(({ failure }) => parentPort.postMessage(failure))`)}
        let seen
        worker.on('message', (failure) => (seen = failure))
        worker.on('error', reject)
        worker.on('exit', () => resolve(seen))
      })
      async function main() {
        const seen = []
        for (let time = 0; time < 5; time++) seen.push(await work())
        const { RiskChecker } = require('ip-risk')
        seen.push((await new RiskChecker(options).check('11.0.0.2')).failure)
        console.log(JSON.stringify(seen))
      }
      main()`
    assert.deepEqual(
      await runForJson(script, { args: [api.url] }),
      Array.from({ length: 6 }, () => null),
    )
  })

  test('may be 20 at once', async (t) => {
    const api = await startApi(t)
    const script = `
      const work = (place) => new Promise((resolve, reject) => {
        const worker = ${startWorker(`
          parentPort.once('message', async (place) => {
            const ips = Array.from({ length: 20 }, (_, index) => '11.0.' + place + '.' + index)
            const decisions = await checker.checkMany(ips)
            await checker.close()
            parentPort.postMessage(decisions.filter(({ failure }) => failure === null).length)
          })`)}
        worker.once('message', (count) => { seen = count })
        let seen
        worker.on('error', reject)
        worker.on('exit', (code) => resolve([code, seen]))
        worker.postMessage(place)
      })
      Promise.all(Array.from({ length: 20 }, (_, place) => work(place))).then((all) => console.log(JSON.stringify(all)))`
    const expected = Array.from({ length: 20 }, () => [0, 20])
    assert.deepEqual(await runForResult(api, script), expected)
    const asked = api.requests.flatMap(({ ips }) => ips)
    assert.deepEqual([asked.length, new Set(asked).size], [400, 400])
  })

  test('may be terminated while look-ups are under way, and the others go on', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' }, { ip: publicAddress(1) })
    const script = `
      const terminate = () => new Promise((resolve) => {
        const worker = ${startWorker(`
          for (let time = 0; time < 20; time++) checker.check('11.0.0.1')
          parentPort.postMessage('ready')`)}
        worker.on('message', () => worker.terminate().then(resolve))
      })
      async function main() {
        const checker = make()
        for (let round = 0; round < 5; round++) await Promise.all([terminate(), terminate()])
        const { failure, source } = await checker.check('11.0.0.2')
        console.log(JSON.stringify({ failure, source }))
      }
      main()`
    assert.deepEqual(await runForResult(api, script), { failure: null, source: 'api' })
  })

  test('may be terminated in the very moment answers arrive', async (t) => {
    const api = await startApi(t)
    const script = `
      const terminate = (delay) => new Promise((resolve, reject) => {
        const worker = ${startWorker(`
          for (let place = 0; place < 100; place++) checker.check('11.0.0.' + place).then(() => checker.invalidate())
          parentPort.postMessage('ready')`)}
        worker.on('error', reject)
        worker.on('message', () => setTimeout(() => worker.terminate().then(resolve), delay))
      })
      async function main() {
        for (let delay = 0; delay < 20; delay++) await terminate(delay)
        console.log('ended')
      }
      main()`
    assert.equal(await runToEnd(api, script, { withinMs: 15_000 }), 'ended')
  })

  test('end by themselves with a checker that nobody closed', async (t) => {
    const api = await startApi(t)
    const script = `
      const worker = ${startWorker(`checker.check('11.0.0.1')`)}
      worker.on('exit', (code) => console.log('exit ' + code))`
    assert.equal(await runToEnd(api, script), 'exit 0')
  })

  test('keep the answers of one another when the one that asked first ends', async (t) => {
    const api = await startApi(t)
    api.latencyMs = 400
    const script = `
      const worker = ${startWorker(`checker.check('11.0.0.1'); parentPort.postMessage('ready')`)}
      worker.on('message', async () => {
        const joined = make({ deadlineMs: 2_000 }).check('11.0.0.1')
        await worker.terminate()
        const { failure, source } = await joined
        console.log(JSON.stringify({ failure, source }))
      })`
    assert.deepEqual(await runForResult(api, script), { failure: null, source: 'api' })
    assert.equal(api.requestCount(), 1)
  })
})

describe('loading', () => {
  test('twice gives the same classes', async (t) => {
    const api = await startApi(t)
    const script = `
      const again = () => {
        for (const path of Object.keys(require.cache)) if (!path.endsWith('.node')) delete require.cache[path]
        return require('ip-risk')
      }
      async function main() {
        const same = require('ip-risk').RiskChecker === RiskChecker
        const imported = await import('ip-risk')
        const Other = again().RiskChecker
        const other = new Other(options)
        const one = await make().check('11.0.0.1')
        const { source } = await other.check('11.0.0.1')
        console.log(JSON.stringify({ same, imported: imported.RiskChecker === RiskChecker, source }))
      }
      main()`
    assert.deepEqual(await runForResult(api, script), { same: true, imported: true, source: 'memory' })
  })

  test('the same addon, or a copy of it, again gives classes that work beside the first ones', async (t) => {
    const api = await startApi(t)
    const directory = mkdtempSync(join(tmpdir(), 'ip-risk-copy-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const script = `
      const addon = Object.keys(require.cache).find((path) => path.endsWith('.node'))
      const again = () => {
        for (const path of Object.keys(require.cache)) delete require.cache[path]
        return require('ip-risk').RiskChecker
      }
      async function main() {
        const Same = again()
        const copy = require('node:path').join(process.argv[2], 'copy.node')
        require('node:fs').copyFileSync(addon, copy)
        process.env.NAPI_RS_NATIVE_LIBRARY_PATH = copy
        const Copied = again()
        const sources = []
        for (const Class of [RiskChecker, Same, Copied]) {
          const checker = new Class(options)
          for (const ip of ['11.0.0.1', '11.0.0.1']) sources.push((await checker.check(ip)).source)
          await checker.close()
        }
        console.log(JSON.stringify([new Set([RiskChecker, Same, Copied]).size, sources]))
      }
      main()`
    const sources = ['api', 'memory']
    const expected = [3, [...sources, ...sources, ...sources]]
    assert.deepEqual(await runForResult(api, script, { args: [api.url, directory] }), expected)
  })

  test('adds at most two threads, which using it does not change once they are idle', async (t) => {
    const api = await startApi(t)
    const script = `
      const { readdirSync } = require('node:fs')
      const count = () => readdirSync('/proc/self/task').length
      const before = count()
      const { RiskChecker } = require('ip-risk')
      const loaded = count()
      async function main() {
        const checker = new RiskChecker({ apiKey: 'test-key', endpoint: process.argv[1], logger: false })
        await checker.checkMany(Array.from({ length: 200 }, (_, index) => '11.0.0.' + index))
        console.log(JSON.stringify({ atLoad: loaded - before, inUse: count() - before }))
      }
      main()`
    const { atLoad, inUse } = await runForJson(script, { args: [api.url] })
    assert.ok(atLoad <= 2, `${atLoad} threads after loading`)
    assert.ok(inUse <= 2, `${inUse} threads after look-ups`)
  })

  for (const [what, options] of [
    ['--no-addons', { flags: ['--no-addons'] }],
    ['--no-addons in NODE_OPTIONS', { env: { NODE_OPTIONS: '--no-addons' } }],
  ]) {
    test(`with ${what} fails with a code and says so`, async () => {
      const { code, message } = await runForJson(LOAD, options)
      assert.equal(code, 'ERR_IP_RISK_NATIVE')
      assert.match(message, /`--no-addons`.*start it without/)
    })
  }

  test('without the native part fails with a code and says what to do', async () => {
    const env = { NAPI_RS_NATIVE_LIBRARY_PATH: '/nonexistent/ip-risk.node' }
    const { code, message, hasCause } = await runForJson(LOAD, { env })
    assert.equal(code, 'ERR_IP_RISK_NATIVE')
    assert.match(message, /cannot be loaded on linux \w+ with (glibc [\d.]+|musl), Node\.js v\d+/)
    assert.match(
      message,
      /`NAPI_RS_NATIVE_LIBRARY_PATH` names `\/nonexistent\/ip-risk\.node`.*correct or unset it/,
    )
    assert.equal(hasCause, true)
  })

  test('under the permission model fails with a code and says which permission it needs', async () => {
    const isOld = !process.allowedNodeEnvironmentFlags.has('--permission')
    const flags = [isOld ? '--experimental-permission' : '--permission', '--allow-fs-read=*']
    const { code, message } = await runForJson(LOAD, { flags })
    assert.equal(code, 'ERR_IP_RISK_NATIVE')
    assert.match(message, /permission model.*`--allow-addons`/)
  })

  test('writes nothing', async () => {
    const script = `require('ip-risk'); require('ip-risk/testing')`
    assert.deepEqual(await runScript(script), { code: 0, signal: null, stdout: '', stderr: '' })
  })
})

/** Loads the package and writes the error. */
const LOAD = `
  try { require('ip-risk') }
  catch ({ code, message, cause }) { console.log(JSON.stringify({ code, message, hasCause: cause !== undefined })) }`

describe('close', () => {
  test('waits for the checks that are under way, and for no longer', async (t) => {
    const api = await startApi(t)
    api.latencyMs = 300
    const script = `
      async function main() {
        const checker = make()
        const seen = []
        checker.check('11.0.0.1').then(({ source }) => seen.push(source))
        checker.checkMany(['11.0.0.2', '11.0.0.3']).then((all) => seen.push(...all.map(({ source }) => source)))
        await Promise.all([checker.close(), checker.close()])
        console.log(JSON.stringify(seen))
      }
      main()`
    assert.deepEqual(await runForResult(api, script), ['api', 'api', 'api'])
  })

  test('takes at most the deadline', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      async function main() {
        const checker = make({ deadlineMs: 300 })
        const check = checker.check('11.0.0.1')
        const began = performance.now()
        await checker.close()
        console.log(JSON.stringify({ took: performance.now() - began, failure: (await check).failure }))
      }
      main()`
    const { took, failure } = await runForResult(api, script)
    assert.equal(failure, 'ERR_IP_RISK_TIMEOUT')
    assert.ok(took >= 250 && took < 2_000, `${took} ms`)
  })
})

describe('memory stays flat', () => {
  /** Measures the resident memory after each of some equal rounds; the first ones fill caches and heaps. */
  const MEASURE = `
    async function measure(rounds, round) {
      const sizes = []
      for (let time = 0; time < rounds; time++) {
        await round()
        gc()
        await sleep(5)
        // What V8 has set aside for itself and does not use comes and goes in steps.
        const { rss, heapTotal, heapUsed } = process.memoryUsage()
        sizes.push((rss - heapTotal + heapUsed) / 1024)
      }
      return sizes
    }
  `

  /** By how much the last third of the rounds is above the one before, in KiB. */
  function growth(sizes) {
    const third = Math.floor(sizes.length / 3)
    const least = (part) => Math.min(...part)
    return least(sizes.slice(-third)) - least(sizes.slice(third, 2 * third))
  }

  /** Rounds are so long that what this lets pass is a few bytes a call. */
  async function assertFlat(api, script, mostKiB = 2 * 1024) {
    // A young generation of one size: that it grows to the next one, once, is no leak.
    const flags = ['--expose-gc', '--max-semi-space-size=1']
    const sizes = await runForResult(api, MEASURE + script, { flags, timeoutMs: 60_000 })
    assert.ok(growth(sizes) < mostKiB, `grew by ${growth(sizes)} KiB: ${sizes.map(Math.round).join(' ')}`)
  }

  test('over 2,000,000 cached checks', async (t) => {
    const script = `
      async function main() {
        const checker = make()
        const ips = Array.from({ length: 100 }, (_, index) => '11.0.0.' + index)
        await checker.checkMany(ips)
        const round = async () => {
          for (let time = 0; time < 1_000; time++) for (const ip of ips) await checker.check(ip)
        }
        console.log(JSON.stringify(await measure(21, round)))
      }
      main()`
    await assertFlat(await startApi(t), script)
  })

  test('over 200,000 look-ups that the provider answers', async (t) => {
    const script = `
      async function main() {
        const checker = make({ cache: { maxEntries: 1_000 } })
        const listOf = (_, list) => Array.from({ length: 200 }, (_, last) => '11.0.' + list + '.' + last)
        const lists = Array.from({ length: 50 }, listOf)
        const round = async () => {
          for (const ips of lists) await checker.checkMany(ips)
        }
        console.log(JSON.stringify(await measure(21, round)))
      }
      main()`
    await assertFlat(await startApi(t), script)
  })

  /** Rounds of 50,000 calls of `call`, which has their number, 100 at a time: over 1,000,000 in all. */
  const manyTimes = (call) => `
    async function main() {
      const checker = make()
      const call = ${call}
      const round = async () => {
        for (let place = 0; place < 50_000; place += 100) {
          await Promise.all(Array.from({ length: 100 }, (_, index) => call(checker, place + index)))
        }
      }
      console.log(JSON.stringify(await measure(21, round)))
    }
    main()`

  test('over 1,000,000 checks that the breaker refuses', async (t) => {
    const api = await startApi(t)
    api.fault({ status: 503 })
    await assertFlat(
      api,
      manyTimes("(checker, number) => checker.check('11.0.' + (number >> 8) + '.' + (number & 255))"),
    )
  })

  test('over 1,000,000 checks of what is no address', async (t) => {
    await assertFlat(
      await startApi(t),
      manyTimes("(checker, number) => checker.check('no address ' + number)"),
    )
  })

  test('over 1,000,000 checks that reject', async (t) => {
    const call = "(checker, number) => checker.check('11.0.0.1', { policy: 'none' + number }).catch(() => {})"
    await assertFlat(await startApi(t), manyTimes(call))
  })

  test('over 5,000 failing checks', async (t) => {
    const api = await startApi(t)
    api.fault({ status: 503 })
    const script = `
      async function main() {
        const checker = make()
        let next = 0
        const round = async () => {
          const ips = Array.from({ length: 420 }, () => '11.0.' + (next >> 8) + '.' + (next++ & 255))
          await checker.checkMany(ips)
        }
        console.log(JSON.stringify(await measure(12, round)))
      }
      main()`
    await assertFlat(api, script)
  })

  test('over many checkers that are made and closed', async (t) => {
    const script = `
      async function main() {
        const round = async () => {
          for (let time = 0; time < 10; time++) {
            const checker = make({ maxInFlight: 100 + time })
            await checker.check('11.0.0.1')
            await checker.close()
          }
        }
        console.log(JSON.stringify(await measure(12, round)))
      }
      main()`
    await assertFlat(await startApi(t), script, 8 * 1024)
  })

  test('over many checkers that are made and forgotten', async (t) => {
    const script = `
      async function main() {
        const round = async () => {
          for (let time = 0; time < 10; time++) await make({ maxInFlight: 100 + time }).check('11.0.0.1')
        }
        console.log(JSON.stringify(await measure(12, round)))
      }
      main()`
    await assertFlat(await startApi(t), script, 8 * 1024)
  })
})

describe('an unhandled rejection', () => {
  test('never comes from a check that nobody awaits', async (t) => {
    const api = await startApi(t)
    api.script([{ status: 500 }, { kind: 'reset' }, { kind: 'hang' }, { kind: 'not-json' }, null])
    const script = `
      async function main() {
        const checker = make({ deadlineMs: 200 })
        for (let last = 1; last <= 5; last++) checker.check('11.0.0.' + last)
        checker.checkMany(['11.0.0.6', 'foo'])
        checker.check('foo', { policy: 'payment' })
        await sleep(50)
        checker.close()
        await sleep(400)
      }
      main()`
    await runToEnd(api, script)
  })

  test('does not come beside the rejection that the caller handles', async (t) => {
    const api = await startApi(t)
    api.fault({ kind: 'hang' })
    const script = `
      async function main() {
        const checker = make({ deadlineMs: 200 })
        const controller = new AbortController()
        const { signal } = controller
        const calls = [checker.check('11.0.0.1', { signal }), checker.checkMany(['11.0.0.1'], { signal })]
        calls.push(checker.check(5), checker.check('11.0.0.1', { policy: 'none' }), checker.checkMany(5))
        controller.abort()
        const results = await Promise.allSettled(calls)
        await checker.close()
        results.push(...(await Promise.allSettled([checker.check('11.0.0.1'), checker.checkMany([])])))
        await sleep(300)
        console.log(JSON.stringify(results.map(({ status }) => status)))
      }
      main()`
    const expected = Array.from({ length: 7 }, () => 'rejected')
    assert.deepEqual(await runForResult(api, script), expected)
  })
})
