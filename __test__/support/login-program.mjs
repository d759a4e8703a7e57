/** A login behind a gate that is sent real requests, for whatever runs the package. */

/** A login behind a gate, whatever way `express`, `riskMiddleware` and `createTestChecker` came in. */
export const PROGRAM = `
async function main() {
  const { checker, close } = await createTestChecker()
  const app = express()
  app.set('trust proxy', 'loopback')
  app.post('/login', riskMiddleware({ checker }), (req, res) => {
    res.json({ score: req.ipRisk.score, mfa: req.requireMfa })
  })
  const server = app.listen(0, '127.0.0.1', async () => {
    const url = 'http://127.0.0.1:' + server.address().port + '/login'
    for (const from of ['192.0.2.0', '192.0.2.45', '192.0.2.80']) {
      const response = await fetch(url, { method: 'POST', headers: { 'x-forwarded-for': from } })
      console.log(response.status, await response.text())
    }
    server.close()
    server.closeAllConnections()
    await close()
  })
}
main()
`
/** What it prints. */
export const OUTPUT = [
  '200 {"score":0,"mfa":false}',
  '200 {"score":45,"mfa":true}',
  '403 {"error":"Request blocked"}',
  '',
].join('\n')

/** What brings the names of `PROGRAM` in, by kind of module. */
export const importsFor = (framework) => ({
  cjs: `
    const express = require('${framework}')
    const { riskMiddleware } = require('ip-risk')
    const { createTestChecker } = require('ip-risk/testing')
  `,
  mjs: `
    import express from '${framework}'
    import { riskMiddleware } from 'ip-risk'
    import { createTestChecker } from 'ip-risk/testing'
  `,
})
