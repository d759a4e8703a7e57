// A process that has only loaded something: `idle.mjs NAME`. A round tells how large it is.

import { createRequire } from 'node:module'
import { setTimeout as wait } from 'node:timers/promises'
import { serveRounds } from '../../serve.mjs'

const require = createRequire(import.meta.url)

/** Until what was begun at the start has ended. */
const SETTLED_MS = 500

const load = () => require('../../../lib/index.js')
const make = (options) => new (load().RiskChecker)({ logger: false, ...options })

const sides = {
  bare: () => undefined,
  loaded: load,
  keyless: () => make({}),
  keyed: () => make({ apiKey: 'benchmark', endpoint: 'http://127.0.0.1:1' }),
}

globalThis.kept = sides[process.argv[2]]()
await wait(SETTLED_MS)
serveRounds(() => process.memoryUsage.rss())
