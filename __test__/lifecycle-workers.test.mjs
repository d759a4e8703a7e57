/** Checkers in worker threads: many at once, and those that end in the middle of look-ups. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runForResult, runToEnd } from './support/checker-scripts.mjs'
import { runForJson, runScript } from './support/children.mjs'
import { publicAddress, startApi } from './support/start.mjs'

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
