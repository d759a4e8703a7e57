// A login route in TypeScript: IPGEO_API_KEY=... node out/server.mjs, after `tsc`.

import express, { type Request, type Response } from 'express'
import { RiskChecker, riskMiddleware, type IpRiskRequestFields, type RequestDecision } from 'ip-risk'

/** What the gate sets on a request that it lets through. */
type JudgedRequest = Request & IpRiskRequestFields

const checker = new RiskChecker({
  policies: {
    login: {
      // Partners' networks may be anything, but only until the contract ends.
      allow: [{ cidr: '198.18.0.0/15', owner: 'partners', reason: 'their scanner', expires: '2030-01-01' }],
      // A cloud that nobody logs in from: a rule of one's own, beside those that are shipped.
      rules: [
        { id: 'no_cloud', when: { is_cloud_provider: true }, atLeast: 'challenge', routes: ['/login'] },
      ],
    },
  },
})

const app = express()
app.set('trust proxy', 'loopback')

const gate = riskMiddleware<JudgedRequest, Response>({
  checker,
  // Statuses and bodies are yours; the decision is typed.
  onBlock: (request, response) => void response.status(403).json({ error: explain(request.ipRisk) }),
  onDecision: ({ action, wouldBe, reasons }) => console.log(action, wouldBe, reasons.join(' ')),
})

app.post('/login', gate, express.json(), (request: JudgedRequest, response) => {
  if (request.requireMfa) return void response.status(401).json({ error: 'second factor required' })
  response.json({ welcome: true, score: request.ipRisk?.score })
})

/** For the client: nothing that tells an attacker how to do better. */
function explain(decision: RequestDecision | undefined): string {
  return decision?.band === 'high' ? 'this network is not welcome here' : 'Request blocked'
}

const server = app.listen(Number(process.env['PORT'] ?? 3000), (error) => {
  if (error) throw error
  console.log('listening')
})

process.once('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await checker.close()
})
