'use strict'

const express = require('express')
const { riskMiddleware } = require('ip-risk')

/**
 * The policies of this app, to be given to its checker. `login` and `payment` are there without being written.
 * `signup` is new, so it only watches at first: `checker.stats().policies.signup` says what it would have done.
 */
const policies = { signup: { mode: 'log-only' } }

/** Stand for your own users, and for the code that you send to their phones. */
const PASSWORD = 'correct horse'
const CODE = '123456'

/**
 * A little login app with a gate in front of each route.
 *
 * @param {import('ip-risk').RiskChecker} checker with the policies above
 */
function createApp(checker) {
  const app = express()
  // Whose X-Forwarded-For counts: that of your own proxies. Never `true`, which lets any client choose its address.
  app.set('trust proxy', 'loopback')

  // The gate stands before the body is read, so that a blocked request costs next to nothing.
  app.post('/login', riskMiddleware({ checker }), express.json(), login)
  app.post('/signup', riskMiddleware({ checker, policy: 'signup' }), (req, res) => {
    res.status(201).json({ ok: true })
  })
  app.post('/pay', riskMiddleware({ checker, policy: 'payment' }), express.json(), pay)
  return app
}

function login(req, res) {
  const { password } = req.body ?? {}
  if (password !== PASSWORD) return res.status(401).json({ error: 'wrong password' })
  if (needsCode(req)) return askForCode(res)
  res.json({ ok: true })
}

function pay(req, res) {
  if (needsCode(req)) return askForCode(res)
  res.json({ paid: true })
}

/** `requireMfa` is what a gate sets when it challenges the request. */
function needsCode(req) {
  return req.requireMfa && req.body?.code !== CODE
}

function askForCode(res) {
  res.status(401).json({ error: 'second factor required' })
}

module.exports = { CODE, PASSWORD, createApp, policies }
