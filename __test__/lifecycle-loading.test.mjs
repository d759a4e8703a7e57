/** Loading the package: again, in copies, and where its native part cannot be loaded. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runForResult } from './support/checker-scripts.mjs'
import { runForJson, runScript } from './support/children.mjs'
import { startApi } from './support/start.mjs'

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
