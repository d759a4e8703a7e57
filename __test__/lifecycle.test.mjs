/** How processes with a checker end, and what closing it waits for. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BEGIN, runForResult, runToEnd } from './support/checker-scripts.mjs'
import { runScript } from './support/children.mjs'
import { startApi } from './support/start.mjs'

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
