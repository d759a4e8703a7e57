/** The public entries, found the way users find them: by name, through `exports` of package.json. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { USER } from './where.mjs'

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

const require = createRequire(join(USER, 'package.json'))

export const { RiskChecker, riskMiddleware } = require('ip-risk')
export const { CARDS, FAULT_CARDS, MockApi, createTestChecker, startMockApi } = require('ip-risk/testing')
