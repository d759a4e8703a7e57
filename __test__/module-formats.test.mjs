/** The package as each kind of project uses it, in a directory of its own. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'
import { OUTPUT, PROGRAM, importsFor } from './support/login-program.mjs'

/** What each entry exports, sorted. */
const EXPORTS = {
  'ip-risk': ['RiskChecker', '__napiBindingTarget', 'riskMiddleware'],
  'ip-risk/resilient': ['RiskChecker', '__napiBindingTarget', 'riskMiddleware'],
  'ip-risk/testing': ['CARDS', 'FAULT_CARDS', 'MockApi', 'createTestChecker', 'startMockApi'],
}

let consumer
before(() => (consumer = makeConsumer()))
after(() => consumer.remove())

async function assertRuns(name, text, output = OUTPUT) {
  const { code, stdout, stderr } = await consumer.runText(name, text)
  assert.equal(stderr, '')
  assert.deepEqual([code, stdout], [0, output])
}

for (const framework of ['express', 'express4']) {
  describe(`JavaScript with ${framework}`, () => {
    test('CommonJS', () => assertRuns('app.cjs', importsFor(framework).cjs + PROGRAM))

    test('an ES module with named imports', () => assertRuns('app.mjs', importsFor(framework).mjs + PROGRAM))

    test('an ES module with default imports', async () => {
      const imports = `
        import express from '${framework}'
        import ipRisk from 'ip-risk'
        import testing from 'ip-risk/testing'
        const { riskMiddleware } = ipRisk
        const { createTestChecker } = testing
      `
      await assertRuns('app.mjs', imports + PROGRAM)
    })

    test('an ES module with namespace and dynamic imports', async () => {
      const imports = `
        import express from '${framework}'
        import * as ipRisk from 'ip-risk'
        const { createTestChecker } = await import('ip-risk/testing')
        const { riskMiddleware } = ipRisk
      `
      await assertRuns('app.mjs', imports + PROGRAM)
    })
  })
}

describe('exports', () => {
  for (const [entry, names] of Object.entries(EXPORTS)) {
    test(`${entry} has the same in both formats`, async () => {
      const text = `
        import { createRequire } from 'node:module'
        import * as namespace from '${entry}'
        const required = createRequire(import.meta.url)('${entry}')
        const added = ['default', 'module.exports']
        console.log(Object.keys(namespace).filter((name) => !added.includes(name)).sort().join())
        console.log(Object.keys(required).sort().join())
        console.log(Object.keys(required).every((name) => namespace[name] === required[name]))
        console.log(namespace.default === required)
      `
      const list = names.join()
      await assertRuns('names.mjs', text, `${list}\n${list}\ntrue\ntrue\n`)
    })
  }

  test('a class of one format is that of the other', async () => {
    const text = `
      import { createRequire } from 'node:module'
      import { RiskChecker } from 'ip-risk'
      import { createTestChecker } from 'ip-risk/testing'
      const require = createRequire(import.meta.url)
      const { checker, close } = await createTestChecker()
      console.log(checker instanceof RiskChecker, checker instanceof require('ip-risk').RiskChecker)
      require('ip-risk').riskMiddleware({ checker })
      await close()
    `
    await assertRuns('classes.mjs', text, 'true true\n')
  })

  const REFUSED = [
    'ip-risk/lib/index.js',
    'ip-risk/lib/checker.js',
    'ip-risk/lib/native.js',
    'ip-risk/lib/testing.js',
    'ip-risk/lib/without-addon.js',
    'ip-risk/index.js',
    'ip-risk/index.d.ts',
    'ip-risk/testing.js',
    'ip-risk/testing/mock-api.js',
    'ip-risk/ip-risk.linux-x64-gnu.node',
  ]

  test('nothing else can be reached', async () => {
    const text = `
      import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      const codes = new Set()
      for (const path of ${JSON.stringify(REFUSED)}) {
        try {
          require(path)
          console.log('required', path)
        } catch (error) { codes.add(error.code) }
        await import(path).then(() => console.log('imported', path), (error) => codes.add(error.code))
      }
      console.log(...codes)
    `
    await assertRuns('deep.mjs', text, 'ERR_PACKAGE_PATH_NOT_EXPORTED\n')
  })

  test('but package.json', async () => {
    const text = `
      const manifest = require('ip-risk/package.json')
      console.log(manifest.name, Object.keys(manifest.exports).join())
    `
    await assertRuns('manifest.cjs', text, 'ip-risk .,./testing,./resilient,./package.json\n')
  })
})

/** A typed application. What must not compile says so with `@ts-expect-error`, which fails when it compiles. */
const TYPED_PROGRAM = `
type Seen = Request & IpRiskRequestFields

const review: Hook<Request, Response> = (request, _response, next) => {
  const held: boolean | undefined = request.holdForReview
  next(held ? undefined : new Error('not held'))
}

const options: MiddlewareOptions<Request, Response> = {
  policy: 'payment',
  thresholds: { block: 90 },
  rules: [
    { id: 'trusted_cloud', when: { cloud_provider_name: ['Google LLC'] }, atMost: 'log', routes: ['/health'] },
    { id: 'recent_vpn', when: { vpn_last_seen: { withinDays: 7 }, vpn_confidence_score: { min: 50 } }, atLeast: 'log' },
    { id: 'known_good_bot', enabled: false },
  ],
  allow: ['198.51.100.0/24', { cidr: '192.0.2.99', owner: 'ops', expires: new Date(Date.now() + 1000) }],
  onFailure: { upstream: 'closed' },
  clientIp: (request) => request.ip,
  skip: async (request) => request.path === '/health',
  onBlock: (_request, response) => response.status(403).json({ error: 'no' }),
  onHold: review,
  onDecision: (decision) => void decision.provenance.length,
}

const settings: RiskCheckerOptions = { policies: { admin: { extends: 'payment' } }, logger: false }

// @ts-expect-error an option that does not exist
const wrongOption: MiddlewareOptions = { onBlok: () => {} }
// @ts-expect-error an action that does not exist
const wrongAction: Action = 'deny'
// @ts-expect-error a flag of the wrong type
const wrongRule: Rule = { id: 'x', when: { is_vpn: 'yes' }, atLeast: 'log' }
// @ts-expect-error a flag that does not exist
const unknownFlag: Rule = { id: 'x', when: { is_vpm: true }, atLeast: 'log' }
// @ts-expect-error decisions may be absent: the gate may not have run
const always = (request: Seen): number => request.ipRisk.score
// @ts-expect-error flags are shared
const change = (flags: Flags): void => { flags.is_vpn = true }
// @ts-expect-error a test checker cannot ask the real API
void (() => createTestChecker({ endpoint: 'https://api.ipgeolocation.io' }))
// @ts-expect-error the address is text
void ((checker: RiskChecker) => checker.check(42))
// @ts-expect-error one text is not a source of addresses
void ((checker: RiskChecker) => checker.checkStream('192.0.2.1'))
void [wrongOption, wrongAction, wrongRule, unknownFlag, always, change]

async function main(): Promise<void> {
  const { checker, api, advance, close } = await createTestChecker(settings)
  const decision: Decision = await checker.check('192.0.2.80', { policy: 'admin', signal: AbortSignal.timeout(5000) })
  const { flags }: { flags: Readonly<Flags> } = decision
  const failure: ErrorCode | null = decision.failure
  const stats: Stats = checker.stats()
  console.log(decision.action, flags.is_vpn, failure, stats.policies.admin?.action.block, api.requestCount())
  const peeked: Decision | null = checker.peek('192.0.2.80')
  const many: Decision[] = await checker.checkMany(['192.0.2.0', '192.0.2.20'])
  console.log(peeked?.source, many.map(({ band }) => band).join())
  const sources = [['192.0.2.0'], new Set(['192.0.2.0']), ['192.0.2.0'].values(), Readable.from(['192.0.2.0'])]
  const streams: AsyncIterable<Decision>[] = sources.map((ips) => checker.checkStream(ips, { policy: 'admin' }))
  const bands: (Band | null)[] = []
  for (const stream of streams) for await (const { band } of stream) bands.push(band)
  console.log(bands.join())
  advance(1000)

  const app = express()
  app.set('trust proxy', 'loopback')
  app.post('/login', riskMiddleware({ checker }), (request: Seen, response: Response) => {
    const score: number | undefined = request.ipRisk?.score
    const mfa: boolean | undefined = request.requireMfa
    response.json({ score, mfa })
  })
  app.post('/pay', riskMiddleware<Request, Response>({ ...options, checker }), (_request, response) => {
    response.end()
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = async (path: string, from: string): Promise<string> => {
    const headers = { 'x-forwarded-for': from }
    const response = await fetch(\`http://127.0.0.1:\${port}\${path}\`, { method: 'POST', headers })
    return \`\${response.status} \${await response.text()}\`
  }
  console.log(await ask('/login', '192.0.2.45'), await ask('/pay', '203.0.113.11'), await ask('/pay', '192.0.2.95'))
  server.close()
  server.closeAllConnections()
  await close()
}
void main()
`

const NODE_IMPORTS = `
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
`
const TYPES =
  'Action, Band, Decision, ErrorCode, Flags, Hook, IpRiskRequestFields, MiddlewareOptions, RiskCheckerOptions, Rule, Stats'
const NAMED_IMPORTS = `
import express, { type Request, type Response } from 'express'
import { RiskChecker, riskMiddleware } from 'ip-risk'
import type { ${TYPES} } from 'ip-risk'
import { createTestChecker } from 'ip-risk/testing'
${NODE_IMPORTS}
`
const DEFAULT_IMPORTS = `
import express, { type Request, type Response } from 'express'
import ipRisk, { type RiskChecker } from 'ip-risk'
import type { ${TYPES} } from 'ip-risk'
import testing from 'ip-risk/testing'
${NODE_IMPORTS}
const { riskMiddleware } = ipRisk
const { createTestChecker } = testing
`
const COMMONJS_IMPORTS = `
import express = require('express')
import ipRisk = require('ip-risk')
import testing = require('ip-risk/testing')
import type { Request, Response } from 'express'
import type { RiskChecker, ${TYPES} } from 'ip-risk'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
const { riskMiddleware } = ipRisk
const { createTestChecker } = testing
`
const TYPED_OUTPUT = [
  'block false null 1 1',
  'memory low,guarded',
  'low,low,low,low',
  '200 {"score":45,"mfa":true} 200  403 {"error":"no"}',
  '',
].join('\n')

/** What the compiler must refuse as Node.js does. */
const DEEP_IMPORTS = `
// @ts-expect-error not exported
import type {} from 'ip-risk/lib/checker.js'
// @ts-expect-error not exported
import type {} from 'ip-risk/lib/testing.js'
// @ts-expect-error not exported
import type {} from 'ip-risk/index.js'
`

const NODE_FILES = {
  'named.mts': NAMED_IMPORTS + TYPED_PROGRAM,
  'default.mts': DEFAULT_IMPORTS + TYPED_PROGRAM,
  'named.cts': NAMED_IMPORTS + TYPED_PROGRAM,
  'require.cts': COMMONJS_IMPORTS + TYPED_PROGRAM,
  'deep.mts': DEEP_IMPORTS,
  'deep.cts': DEEP_IMPORTS,
}
const BUNDLER_FILES = {
  'named.ts': NAMED_IMPORTS + TYPED_PROGRAM,
  'default.ts': DEFAULT_IMPORTS + TYPED_PROGRAM,
  'deep.ts': DEEP_IMPORTS,
}

/** As strict as the compiler can be, declarations included. */
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
}

/** Compiles these files in the current project and gives what the compiler says. */
async function complaintsAbout(project, files, { module, moduleResolution = module }) {
  const names = Object.keys(files)
  for (const name of names) project.write(name, files[name])
  const output = { target: 'es2022', types: ['node'], rootDir: '.', outDir: 'out' }
  const compilerOptions = { module, moduleResolution, ...STRICT, ...output }
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: names }))
  const { stdout, stderr } = await project.compile(['--project', 'tsconfig.json'])
  return stdout + stderr
}

for (const [resolution, files, options] of [
  ['node16', NODE_FILES, { module: 'node16' }],
  ['nodenext', NODE_FILES, { module: 'nodenext' }],
  ['bundler', BUNDLER_FILES, { module: 'esnext', moduleResolution: 'bundler' }],
]) {
  describe(`TypeScript, resolved as ${resolution}`, () => {
    let project, complaints
    before(async () => {
      project = makeConsumer()
      project.write(
        'package.json',
        JSON.stringify({ type: resolution === 'bundler' ? 'module' : 'commonjs' }),
      )
      complaints = await complaintsAbout(project, files, options)
    })
    after(() => project.remove())

    test('the strict compiler has nothing to say', () => assert.equal(complaints, ''))

    for (const file of Object.keys(files).filter((name) => !name.startsWith('deep'))) {
      test(`${file} runs`, async () => {
        const { code, stdout, stderr } = await project.run(`out/${file.replace(/ts$/, 'js')}`)
        assert.deepEqual([stderr, code, stdout], ['', 0, TYPED_OUTPUT])
      })
    }
  })
}

test('every value that the types export exists when the program runs', async () => {
  const lists = Object.entries(EXPORTS).map(([entry, names]) => {
    const keys = names.map((name) => `${name}: true`)
    return `void ({ ${keys} } satisfies Record<keyof typeof import('${entry}'), true>)`
  })
  const files = { 'values.mts': [...lists, 'export {}'].join('\n') }
  assert.equal(await complaintsAbout(consumer, files, { module: 'nodenext' }), '')
})
