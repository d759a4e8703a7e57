/** What streams of decisions cost the process in which they run: memory, its end, rejections that nobody handles. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runForJson, runScript } from './support/children.mjs'
import { startApi } from './support/start.mjs'

describe('in a process of its own', () => {
  const BEGIN = `
    const { RiskChecker } = require('ip-risk')
    const [endpoint] = process.argv.slice(1)
    const checker = new RiskChecker({ apiKey: 'test-key', endpoint, logger: false })
    process.on('unhandledRejection', (error) => { console.error(error); process.exit(99) })
  `

  test('200,000 addresses take no more memory than the first 20,000', async (t) => {
    const api = await startApi(t)
    const script = `${BEGIN}
      function* ips() {
        for (let position = 0; position < 200_000; position++) {
          yield '11.0.' + ((position >> 8) & 3) + '.' + (position % 250)
        }
      }
      async function main() {
        const sizes = []
        let taken = 0
        for await (const { source } of checker.checkStream(ips())) {
          if (++taken % 20_000 !== 0) continue
          gc()
          sizes.push(process.memoryUsage().heapUsed / 1024 / 1024)
        }
        await checker.close()
        console.log(JSON.stringify({ sizes, taken }))
      }
      main()`
    const { sizes, taken } = await runForJson(script, { args: [api.url], flags: ['--expose-gc'] })
    assert.equal(taken, 200_000)
    // One decision takes some 300 bytes: had they all been kept, 50 MB would show.
    assert.ok(Math.max(...sizes) - sizes[0] < 8, `MiB: ${sizes.map((size) => size.toFixed(1)).join(' ')}`)
  })

  test('streams that are left half-way keep neither the process nor themselves', async (t) => {
    const api = await startApi(t)
    const script = `${BEGIN}
      const streams = []
      async function leave(make) {
        const stream = checker.checkStream(make())
        streams.push(new WeakRef(stream))
        await stream[Symbol.asyncIterator]().next()
      }
      const ips = Array.from({ length: 20_000 }, (_, index) => '11.0.0.' + (index & 7))
      async function* later() { yield* ips }
      async function main() {
        for (let time = 0; time < 10; time++) await leave(time % 2 === 0 ? () => ips : later)
        await new Promise((resolve) => setTimeout(resolve, 100))
        gc()
        const kept = streams.filter((stream) => stream.deref() !== undefined).length
        console.log(JSON.stringify({ kept }))
      }
      main()`
    const { code, signal, stdout } = await runScript(script, { args: [api.url], flags: ['--expose-gc'] })
    assert.deepEqual([code, signal, stdout.trim()], [0, null, '{"kept":0}'])
  })

  test('a stream that ends in any way leaves no unhandled rejection', async (t) => {
    const api = await startApi(t)
    api.latencyMs = 5
    const script = `${BEGIN}
      async function* failing() { yield '11.0.0.1'; throw new Error('gone') }
      const controller = new AbortController()
      const { signal } = controller
      async function* unclosable() {
        try {
          yield '11.0.0.1'
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          yield '11.0.0.2'
        } finally {
          throw new Error('stuck')
        }
      }
      const ips = Array.from({ length: 9_000 }, (_, index) => '11.0.' + (index >> 8) + '.' + (index & 255))
      const start = (source) => checker.checkStream(source, { signal })[Symbol.asyncIterator]()
      async function main() {
        const streams = [failing(), unclosable(), ips, [5], ['11.0.0.1', 5]].map(start)
        for (const stream of streams) await stream.next().catch(() => {})
        controller.abort()
        checker.checkStream(ips)[Symbol.asyncIterator]().next().catch(() => {})
        await checker.close()
        await new Promise((resolve) => setTimeout(resolve, 100))
        console.log('done')
      }
      main()`
    const { code, stdout, stderr } = await runScript(script, { args: [api.url] })
    assert.deepEqual([code, stdout], [0, 'done\n'], stderr)
  })
})
