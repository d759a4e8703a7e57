/** The memory of a process stays flat, whatever its checkers do. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runForResult } from './support/checker-scripts.mjs'
import { startApi } from './support/start.mjs'

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
