// One of the application's processes: an Express server with a login and a payment route behind gates. It is forked,
// with the options of its checker as JSON, and says on which port it listens.

import { once } from 'node:events'
import { createRequire } from 'node:module'
import express from 'express'

const require = createRequire(import.meta.url)
const { RiskChecker, riskMiddleware } = require('ip-risk')

const checker = new RiskChecker(JSON.parse(process.argv[2]))

/** The drill reads each decision where it belongs, beside the answer to its request. */
function onDecision(decision, { res }) {
  res.set('x-decision', JSON.stringify(decision))
}

function answer({ requireMfa }, response) {
  response.json({ passed: true, requireMfa })
}

const app = express()
app.set('env', 'test')
app.set('trust proxy', 'loopback')
app.post('/login', riskMiddleware({ checker, onDecision }), answer)
app.post('/payment', riskMiddleware({ checker, policy: 'payment', onDecision }), answer)

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
// Whoever started this is gone, or has had enough.
process.on('disconnect', () => process.exit())
process.send(server.address().port)
