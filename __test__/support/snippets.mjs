/** The code in the documents and declarations: found, type-checked in one run of the compiler, and run as users would. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { makeConsumer } from './consumer.mjs'
import { startMockApi } from './package.mjs'

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url))
const API_HOST = 'api.ipgeolocation.io'

/** What snippets that show one line use without saying where it comes from. */
const ASSUMED = {
  app: "import express from 'express'\nconst app = express()",
  handler: "/** @type {import('express').RequestHandler} */\nconst handler = (req, res) => void res.end()",
  assert: "import assert from 'node:assert/strict'",
  after: "import { after } from 'node:test'",
  afterEach: "import { afterEach } from 'node:test'",
  RiskChecker: "import { RiskChecker } from 'ip-risk'",
  riskMiddleware: "import { riskMiddleware } from 'ip-risk'",
  CARDS: "import { CARDS } from 'ip-risk/testing'",
  FAULT_CARDS: "import { FAULT_CARDS } from 'ip-risk/testing'",
  MockApi: "import { MockApi } from 'ip-risk/testing'",
  startMockApi: "import { startMockApi } from 'ip-risk/testing'",
  api: "declare const api: import('ip-risk/testing').MockApi",
}

const FENCES =
  /(?:<!-- runs(?<keyless> without a key)?(?<requests>(?:\n.*-> .*)*)\s*-->\n)?```(?<language>\w+)\n(?<code>[^]*?)```(?:\n\n```text\n(?<output>[^]*?)```)?/g
const REQUEST = /^(?<method>[A-Z]+) (?<path>\S+)(?: from (?<from>\S+))? -> (?<status>\d+) ?(?<body>.*)$/

/**
 * The JavaScript and TypeScript blocks of a document. `<!-- runs -->` before a block says that it can be run; a `text`
 * block behind it is what it prints. A server is marked with the requests that it is sent, one a line:
 * `METHOD /path [from ADDRESS] -> STATUS [body]`. `<!-- runs without a key` takes the key out of the environment.
 */
export function readBlocks(document, markdown) {
  return [...markdown.matchAll(FENCES)]
    .filter(({ groups }) => ['js', 'ts'].includes(groups.language))
    .map(({ index, groups: { keyless, requests, language, code, output } }) => ({
      ...snippet(
        document,
        lineOf(markdown, markdown.indexOf('```', index)),
        code,
        extensionOf(language, code),
      ),
      output,
      runs: requests !== undefined,
      isKeyless: keyless !== undefined,
      requests: (requests ?? '').trim().split('\n').filter(Boolean).map(readRequest),
    }))
}

function extensionOf(language, code) {
  if (language === 'ts') return '.mts'
  return code.includes('require(') ? '.cjs' : '.mjs'
}

function readRequest(line) {
  const { status, ...request } = REQUEST.exec(line).groups
  return { ...request, status: Number(status) }
}

/** The `@example` blocks of a declaration file. */
export function readExamples(file, declarations) {
  const examples = /@example\n(?<lines>[^]*?)(?=\n *\* @|\n? *\*\/)/g
  return [...declarations.matchAll(examples)].map(({ index, groups }) => {
    const code = groups.lines.replace(/^ *\* ?/gm, '').replace(/^```.*$/gm, '')
    return snippet(file, lineOf(declarations, index), code, '.mts')
  })
}

/** `title` says where a snippet stands; `source` is the file that it becomes. */
function snippet(file, line, code, extension) {
  const name = `${file.replaceAll(/\W/g, '-')}-${line}`
  return { title: `${file}:${line}`, name, source: `${name}${extension}`, code: completed(code, extension) }
}

/** The code as a module that can stand alone: with what it only assumes, and `require` of a `.d.ts` as `import`. */
function completed(code, extension) {
  if (extension === '.cjs') return code
  const imported = code.replace(/const (\{.*\}) = require\((.*)\)/g, 'import $1 from $2')
  const spoken = imported.replace(/\/\/ .*$/gm, '')
  const isMissing = (name) =>
    new RegExp(`(?<![./\\w])${name}\\b(?!:)`).test(spoken) &&
    !new RegExp(`(const|import) .*\\b${name}\\b.* (=|from) `).test(spoken)
  const lines = Object.keys(ASSUMED).filter(isMissing)
  return [...lines.map((name) => ASSUMED[name]), imported, 'export {}\n'].join('\n')
}

function lineOf(text, index) {
  return text.slice(0, index).split('\n').length
}

/** A project that holds snippets; it is removed when `onEnd` calls back. */
export function makeProject(snippets, onEnd) {
  const project = makeConsumer(onEnd)
  const linked = join(project.directory, 'node_modules/ioredis')
  symlinkSync(join(CHECKOUT, 'node_modules/ioredis'), linked, 'dir')
  for (const { source, code } of snippets) project.write(source, code)
  project.write('tsconfig.json', JSON.stringify(COMPILER))
  return project
}

/** Type-checks all snippets of a project and writes what can be run; resolves to what the compiler has to say. */
export async function compile(project) {
  const { stdout, stderr } = await project.compile(['--project', 'tsconfig.json'])
  return stdout + stderr
}

const COMPILER = {
  compilerOptions: {
    allowJs: true,
    checkJs: true,
    module: 'nodenext',
    outDir: 'out',
    rootDir: '.',
    skipLibCheck: true,
    strict: true,
    target: 'es2023',
    types: ['node'],
  },
  include: ['*.mjs', '*.cjs', '*.mts'],
}

/**
 * Starts what stands in for the internet: the stand-in of the Security API under the real one's name, with a
 * certificate for it, behind an egress proxy that connects to nothing else. So snippets run as they are written.
 */
export async function startInternet(project, onEnd) {
  const tls = selfSigned(API_HOST)
  const api = await startMockApi({ tls })
  const proxy = http.createServer()
  proxy.on('connect', (request, client) => {
    if (request.url !== `${API_HOST}:443`) return client.destroy()
    const upstream = net.connect(api.port, '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
    client.on('error', () => upstream.destroy()).pipe(upstream)
    upstream.on('error', () => client.destroy()).pipe(client)
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  onEnd(async () => {
    proxy.close()
    await api.close()
  })
  return {
    PATH: process.env.PATH,
    IPGEO_API_KEY: 'any',
    HTTPS_PROXY: `http://127.0.0.1:${proxy.address().port}`,
    NODE_EXTRA_CA_CERTS: project.write('roots.pem', tls.cert),
  }
}

/** Runs a compiled snippet to its end. */
export async function runToEnd(project, { name }, env) {
  const child = start(project, name, env)
  const [code] = await once(child.process, 'close')
  return { code, ...child.output }
}

/** Runs a compiled snippet that listens on `PORT`, sends it its requests, and ends it. */
export async function runServer(project, { name, requests }, env) {
  const port = await freePort()
  const child = start(project, name, { ...env, PORT: String(port) })
  const closed = once(child.process, 'close')
  try {
    await listening(port, child)
    const answers = []
    for (const { method, path, from } of requests) {
      const headers = { connection: 'close', ...(from && { 'x-forwarded-for': from }) }
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers })
      answers.push({ status: response.status, body: await response.text() })
    }
    return answers
  } finally {
    child.process.kill()
    await closed
  }
}

function start(project, name, env) {
  const file = join(project.directory, 'out', `${name}.mjs`)
  const child = spawn(process.execPath, [file], { cwd: project.directory, env, timeout: 10_000 })
  const output = { stdout: '', stderr: '' }
  for (const stream of Object.keys(output)) {
    child[stream].setEncoding('utf8').on('data', (text) => (output[stream] += text))
  }
  return { process: child, output }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await once(server.close(), 'close')
  return port
}

async function listening(port, child) {
  while (child.process.exitCode === null) {
    const socket = net.connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await sleep(20)
  }
  throw new Error(`the server ended before it listened: ${child.output.stderr}`)
}

/** A certificate that signs itself, for one host name and one day. Nothing in Node.js makes one. */
function selfSigned(host) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex')) // ecdsa-with-SHA256
  const commonName = der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(host)))
  const name = der(0x30, der(0x31, commonName))
  const day = 24 * 60 * 60 * 1000
  const validity = der(0x30, ...[-day, day].map((offset) => utcTime(Date.now() + offset)))
  const hosts = der(0x04, der(0x30, der(0x82, Buffer.from(host))))
  const extensions = der(0xa3, der(0x30, der(0x30, Buffer.from('0603551d11', 'hex'), hosts)))
  const serial = der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)]))
  const version = der(0xa0, der(0x02, Buffer.of(2)))
  const key = publicKey.export({ type: 'spki', format: 'der' })
  const content = der(0x30, version, serial, algorithm, name, validity, name, key, extensions)
  const signature = der(0x03, Buffer.of(0), sign('sha256', content, privateKey))
  const body = der(0x30, content, algorithm, signature)
    .toString('base64')
    .match(/.{1,64}/g)
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: ['-----BEGIN CERTIFICATE-----', ...body, '-----END CERTIFICATE-----', ''].join('\n'),
  }
}

function utcTime(milliseconds) {
  const digits = new Date(milliseconds).toISOString().replaceAll(/\D/g, '')
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`))
}

/** One value in ASN.1's DER. */
function der(tag, ...contents) {
  const content = Buffer.concat(contents)
  const { length } = content
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), content])
}
