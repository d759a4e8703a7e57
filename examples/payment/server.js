'use strict'

// A payment route whose held requests wait for a person: IPGEO_API_KEY=... node examples/payment/server.js
//
// `payment` closes: what cannot be judged is held, and answered with 503 unless `onHold` does something better.

const express = require('express')
const { RiskChecker, riskMiddleware } = require('ip-risk')

const checker = new RiskChecker({
  // A payment may wait longer for its answer than a login, and its look-ups go first when a budget is short.
  deadlineMs: 3000,
  budget: { perSecond: 50, perDay: 20_000 },
})
const app = express()
app.set('trust proxy', 'loopback')

/** Stands for a queue that a person works through. */
const reviews = []

app.post(
  '/pay',
  riskMiddleware({ checker, policy: 'payment', onHold: (req, res, next) => next() }),
  express.json(),
  (req, res) => {
    const { order } = req.body ?? {}
    if (typeof order !== 'string') return res.status(400).json({ error: 'an order is needed' })
    if (req.holdForReview) return review(req, res, order)
    // Whoever was challenged shows with a second factor that it is them, and pays then.
    if (req.requireMfa && req.body.code !== '123456') {
      return res.status(401).json({ error: 'second factor required' })
    }
    res.json({ order, paid: true })
  },
)

/** What the person needs to decide; the client learns only that it takes a while. */
function review(req, res, order) {
  const { ip, failure, reasons, checkedAt } = req.ipRisk
  reviews.push({ order, ip, failure, reasons, checkedAt })
  res.status(202).json({ order, paid: false, review: true })
}

// For those who review, never for the public: put it behind your own sign-in.
app.get('/reviews', (req, res) => res.json(reviews))

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error
  console.log('listening')
})

process.once('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await checker.close()
})
