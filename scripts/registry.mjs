// A registry on this machine, to install packages as users do, without a network and before they are published. It needs
// nothing but Node.js and `tar`.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import http from 'node:http'
import { basename, dirname, join, resolve } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MOST_BYTES = 256 * 1024 * 1024
/** Long ago: package managers wait for days until they take what is new. */
const PUBLISHED = '2020-01-01T00:00:00.000Z'

/**
 * @typedef {object} Source where a version of a package comes from: one of the two, or a directory and what was packed of it
 * @property {string} [directory] packed when somebody asks, unless there is a tarball
 * @property {string} [tarball]
 */

/**
 * What is installed in the checkout, which npm keeps a list of: what our packages are used with.
 *
 * @returns {Source[]}
 */
export function installedHere() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8'))
  return Object.keys(packages)
    .map((path) => ({ directory: join(ROOT, path) }))
    .filter(({ directory }) => existsSync(join(directory, 'package.json')))
}

/**
 * What was packed into a directory.
 *
 * @param {string} directory
 * @returns {Source[]}
 */
export function packedIn(directory) {
  const names = readdirSync(directory).filter((name) => name.endsWith('.tgz'))
  return names.map((name) => ({ tarball: resolve(directory, name) }))
}

/** All that is served, by name and version. */
function catalogue(sources) {
  const packages = new Map()
  for (const source of sources) {
    const manifest = manifestOf(source)
    const versions = packages.get(manifest.name) ?? new Map()
    packages.set(manifest.name, versions.set(manifest.version, { ...source, manifest }))
  }
  return packages
}

/** @param {Source} source */
function manifestOf({ directory, tarball }) {
  if (directory !== undefined) return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  // By its name alone: some `tar` take the colon of a drive for that of a host.
  const words = ['-xzOf', basename(tarball), 'package/package.json']
  const { status, stdout, stderr } = spawnSync('tar', words, { cwd: dirname(tarball), encoding: 'utf8' })
  if (status !== 0) throw new Error(`\`${tarball}\` is no package: ${stderr}`)
  return JSON.parse(stdout)
}

/** The bytes of a package's tarball. */
function bytesOf(entry) {
  entry.bytes ??= entry.tarball === undefined ? archive(entry.directory) : readFileSync(entry.tarball)
  return entry.bytes
}

function archive(directory) {
  // Installers take the first directory off, whatever its name is.
  const words = ['-czf', '-', '--exclude=node_modules', '-C', dirname(directory), basename(directory)]
  const { status, stdout, stderr } = spawnSync('tar', words, { maxBuffer: MOST_BYTES })
  if (status !== 0) throw new Error(`\`${directory}\` cannot be packed: ${stderr}`)
  return stdout
}

/** What a registry says of a package. */
function describe(name, versions, url) {
  const described = [...versions].map(([version, entry]) => {
    const tarball = `${url}/${name}/-/${basename(name)}-${version}.tgz`
    const hash = (algorithm, encoding) => createHash(algorithm).update(bytesOf(entry)).digest(encoding)
    const dist = { tarball, shasum: hash('sha1', 'hex'), integrity: `sha512-${hash('sha512', 'base64')}` }
    // The checkout's own hooks are not those of a release; nothing that is served here needs one.
    return [version, { ...entry.manifest, scripts: undefined, dist }]
  })
  const latest = [...versions.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  const time = Object.fromEntries(['created', 'modified', ...versions.keys()].map((key) => [key, PUBLISHED]))
  return { name, 'dist-tags': { latest }, versions: Object.fromEntries(described), time }
}

/**
 * Starts the registry on a port of loopback.
 *
 * @param {Source[]} sources what to serve
 */
export async function startRegistry(sources) {
  const packages = catalogue(sources)
  /** @type {string[]} the tarballs that were fetched */
  const fetched = []
  const server = http.createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://registry').pathname).slice(1)
    const [, name, version] = /^(.*)\/-\/[^/]*?-(\d[^/]*)\.tgz$/.exec(path) ?? [undefined, path, undefined]
    const versions = packages.get(name)
    const entry = versions?.get(version)
    if (version !== undefined && entry !== undefined) {
      fetched.push(name)
      return response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytesOf(entry))
    }
    const isKnown = version === undefined && versions !== undefined
    const answer = isKnown ? describe(name, versions, url) : { error: `there is no \`${path}\` here` }
    response
      .writeHead(isKnown ? 200 : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  return {
    url,
    fetched,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
