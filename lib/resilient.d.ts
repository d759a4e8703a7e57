/**
 * `ip-risk/resilient`: `ip-risk`, for applications that must start even where its native part cannot be loaded.
 *
 * `ip-risk` then throws `ERR_IP_RISK_NATIVE`. This entry gives a process warning with that code, and an error to loggers
 * of your own; every policy then answers its failure mode, with `failure: 'ERR_IP_RISK_NATIVE'`: `login` lets everybody
 * in (`failedOpen`), `payment` holds everybody. Nothing is judged: no score, no feed, no rule, no allow or deny list.
 * Where the native part is loaded, there is no difference.
 *
 * @example
 * import express from 'express'
 * import { riskMiddleware } from 'ip-risk/resilient'
 *
 * const app = express()
 * app.post('/login', riskMiddleware(), (req, res) => void res.json({ welcome: true }))
 * app.post('/pay', riskMiddleware({ policy: 'payment' }), (req, res) => void res.json({ paid: true }))
 *
 * @packageDocumentation
 */

export * from '../index.js'
