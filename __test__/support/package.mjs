/** The public entries, found the way users find them: by name, through `exports` of package.json. */
import { createRequire } from 'node:module'

/** What a checker reads around it; tests that need one of these set it themselves. */
export const SURROUNDINGS = [
  'IPGEO_API_KEY',
  'REDIS_URL',
  'IP_RISK_FEEDS',
  'IP_RISK_MODE',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
  'NODE_EXTRA_CA_CERTS',
]
for (const name of SURROUNDINGS) delete process.env[name]

const require = createRequire(import.meta.url)

export const { RiskChecker, riskMiddleware } = require('ip-risk')
export const { CARDS, FAULT_CARDS, MockApi, createTestChecker, startMockApi } = require('ip-risk/testing')
