// One side of `express`, a server in a process of its own: `side.mjs NAME API_URL REDIS_URL`. A round says what processor
// time it has had so far.

import express from 'express'
import { makeChecker, makeGate } from '../../sides/ip-risk.mjs'
import { createPaste } from '../../sides/paste.mjs'
import { createTutorial } from '../../sides/tutorial.mjs'
import { serveRounds } from '../../serve.mjs'

/** So that known addresses stay known while it is measured. */
const HOUR = 3_600

const [name, api, redisUrl] = process.argv.slice(2)

const gates = {
  bare: () => undefined,
  gate: () => makeGate({ checker: makeChecker(api, { cache: { ttlMs: HOUR * 1e3 } }) }),
  paste: () => createPaste(api, { ttl: HOUR * 1e3 }).gate,
  tutorial: () => createTutorial(api, redisUrl, { ttl: HOUR }).gate,
}

/** What a login handler does with what the gate says, before it looks at the password. */
function handleLogin(request, response) {
  const risk = request.ipRisk
  const isVpn = risk?.flags.is_vpn === true
  response.json({ ok: true, score: risk?.score ?? 0, isVpn, mfa: request.requireMfa === true })
}

const app = express()
app.set('trust proxy', 'loopback')
app.post('/login', ...[gates[name](), handleLogin].filter((handler) => handler !== undefined))
const server = app.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  serveRounds(() => process.cpuUsage(), { port })
})
