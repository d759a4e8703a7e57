// Shows that a binary loads and decides on the machine that this runs on: in the process, in a worker thread and in one
// that ends first. It needs nothing but Node.js, so that it runs in any image.
//
//   node scripts/check-load.mjs FILE     a binary of a build
//   node scripts/check-load.mjs ip-risk  the package as it is installed in the working directory

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker, isMainThread } from 'node:worker_threads'

/** One of a large cloud, which the feeds in the package know. */
const CLOUD = '52.95.110.1'

const [what] = process.argv.slice(2)
if (what === undefined) throw new Error('name the binary to load, or the package')
const isPackage = what === 'ip-risk'
const require = createRequire(isPackage ? join(process.cwd(), 'any.js') : import.meta.url)
if (!isPackage) process.env.NAPI_RS_NATIVE_LIBRARY_PATH = resolve(what)
for (const name of ['IPGEO_API_KEY', 'IP_RISK_FEEDS', 'IP_RISK_MODE', 'REDIS_URL']) delete process.env[name]

async function decide() {
  const { RiskChecker } = require(isPackage ? what : '../lib/index.js')
  // The generated loader goes on to other binaries when it cannot load this one.
  const loaded = Object.keys(require.cache).filter((path) => path.endsWith('.node'))
  if (!isPackage) assert.deepEqual(loaded, [resolve(what)])
  const checker = new RiskChecker({ logger: false })
  const { action, source } = await checker.check(CLOUD)
  await checker.close()
  assert.deepEqual({ action, source }, { action: 'log', source: 'feeds' })
  return loaded
}

async function decideInWorker() {
  const worker = new Worker(fileURLToPath(import.meta.url), { argv: [what] })
  const [code] = await once(worker, 'exit')
  assert.equal(code, 0)
}

if (isMainThread) {
  await decideInWorker()
  const [loaded] = await decide()
  await decideInWorker()
  const { glibcVersionRuntime } = process.report.getReport().header
  const libc =
    process.platform === 'linux' ? ` (${glibcVersionRuntime ? `glibc ${glibcVersionRuntime}` : 'musl'})` : ''
  console.log(`${loaded} decides on ${process.platform} ${process.arch}${libc}, Node.js ${process.version}`)
} else {
  await decide()
}
