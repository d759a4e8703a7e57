/** A server of feeds on this machine, and the catalogue that names what it has. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'

const HOUR = 3_600_000

/** So many different addresses, one a line, out of a network that is nobody's cloud. */
export function list(count, network = '31.13') {
  return Array.from({ length: count }, (_, row) => `${network}.${row >> 7}.${(row & 127) * 2}\n`).join('')
}

/** Rows as Spamhaus writes them; its last line tells how many there are, and what has to be shown. */
export function spamhaus(cidrs, copyright = '(c) 2026 The Spamhaus Project SLU') {
  const rows = cidrs.map((cidr, index) => ({ cidr, sblid: `SBL${index}`, rir: 'ripencc' }))
  const timestamp = Math.floor(Date.now() / 1000)
  const last = {
    type: 'metadata',
    timestamp,
    size: 1,
    records: cidrs.length,
    copyright,
    terms: 'https://a.example',
  }
  return [...rows, last].map((row) => `${JSON.stringify(row)}\n`).join('')
}

/** Answers for feeds by their ids: a text, or a function `(request, response)`. Texts have an ETag. */
export class FeedServer {
  /** @type {Record<string, string | ((request: any, response: any) => void)>} */
  answers = {}
  /** The ids of what was asked for, in order. */
  requests = []

  static async start() {
    const server = new FeedServer()
    server.http = http.createServer((request, response) => server.#answer(request, response))
    server.http.listen(0, '127.0.0.1')
    await once(server.http, 'listening')
    server.url = `http://127.0.0.1:${server.http.address().port}`
    return server
  }

  async close() {
    this.http.close()
    this.http.closeAllConnections()
    await once(this.http, 'close')
  }

  /** Resolves when this feed has been asked for. */
  async asked(id) {
    while (!this.requests.includes(id)) await once(this.http, 'request')
  }

  #answer(request, response) {
    const id = request.url.slice(1)
    this.requests.push(id)
    const answer = this.answers[id]
    if (typeof answer === 'function') return answer(request, response)
    if (answer === undefined) return response.writeHead(404).end()
    const etag = `"${createHash('sha1').update(answer).digest('hex')}"`
    if (request.headers['if-none-match'] === etag) return response.writeHead(304).end()
    const length = Buffer.byteLength(answer)
    response.writeHead(200, { etag, 'content-type': 'text/plain', 'content-length': length }).end(answer)
  }
}

/** The recipe of a feed, for a catalogue. */
export function recipe(url, id, own = {}) {
  return {
    id,
    title: `The feed ${id}`,
    operator: `Operator of ${id}`,
    url: `${url}/${id}`,
    format: 'list',
    signal: 'attack',
    profile: 'minimal',
    intervalMinutes: 60,
    minIntervalMinutes: 30,
    maxBytes: 1_000_000,
    rows: [1, 100_000],
    ...own,
    licence: { name: 'CC0', commercial: true, redistribute: true, ...own.licence },
  }
}

/** Writes a catalogue and returns its path. */
export function writeCatalogue(directory, feeds) {
  const path = join(directory, 'catalogue.json')
  writeFileSync(path, JSON.stringify({ version: 1, feeds }))
  return path
}

/** Lets hours pass for a directory of feeds: all that it remembers is that much older. */
export function letHoursPass(directory, hours) {
  const path = join(directory, 'state.json')
  const isTime = (key, value) => typeof value === 'number' && value > 0 && /(at|since)$/i.test(key)
  const older = (key, value) => (isTime(key, value) ? value - hours * HOUR : value)
  writeFileSync(path, JSON.stringify(JSON.parse(readFileSync(path, 'utf8'), older)))
}
