/**
 * What the declarations must refuse: each line below `@ts-expect-error` is a mistake, and compiling fails where one is let
 * through. Compiled by `npm run types` and, resolved in every way, by `types.test.mjs`; never run.
 */
import type { Request, Response } from 'express'
import { RiskChecker, riskMiddleware } from 'ip-risk'
import * as resilient from 'ip-risk/resilient'
import { createTestChecker, startMockApi, type MockApi } from 'ip-risk/testing'
import type {
  Action,
  Band,
  Conditions,
  Decision,
  ErrorCode,
  FailureMode,
  FeedFile,
  IpRiskRequestFields,
  ListEntry,
  Logger,
  Mode,
  PolicyOptions,
  Provenance,
  RequestDecision,
  RiskCheckerOptions,
  Rule,
  Source,
  Stats,
  Thresholds,
} from 'ip-risk'

declare function accept<Type>(value: Type): void
declare const checker: RiskChecker
declare const decision: Decision
declare const request: Request & IpRiskRequestFields
declare const stats: Stats
declare const api: MockApi

// Words.
// @ts-expect-error an action that does not exist
accept<Action>('deny')
// @ts-expect-error a band that does not exist
accept<Band>('medium')
// @ts-expect-error a source that does not exist
accept<Source>('cache')
// @ts-expect-error a mode that does not exist
accept<Mode>('dry-run')
// @ts-expect-error a provenance that does not exist
accept<Provenance>('proxy')
// @ts-expect-error a failure mode that does not exist
accept<FailureMode>('fail-open')
// @ts-expect-error a code that does not exist
accept<ErrorCode>('ERR_IP_RISK_UNKNOWN')

// Options of a checker.
// @ts-expect-error an option that does not exist
accept<RiskCheckerOptions>({ apikey: 'any' })
// @ts-expect-error a key that is no text
accept<RiskCheckerOptions>({ apiKey: 5 })
// @ts-expect-error a duration as text
accept<RiskCheckerOptions>({ deadlineMs: '1500' })
// @ts-expect-error a logger that is only switched on
accept<RiskCheckerOptions>({ logger: true })
// @ts-expect-error a way to write addresses that does not exist
accept<RiskCheckerOptions>({ logger: { addresses: 'hashed' } })
// @ts-expect-error a Redis that is only switched on
accept<RiskCheckerOptions>({ redis: true })
// @ts-expect-error a Redis option that does not exist
accept<RiskCheckerOptions>({ redis: { url: 'redis://127.0.0.1', db: 1 } })
// @ts-expect-error a cache option that does not exist
accept<RiskCheckerOptions>({ cache: { ttl: 60 } })
// @ts-expect-error a budget by the hour
accept<RiskCheckerOptions>({ budget: { perHour: 10 } })
// @ts-expect-error a batch option that does not exist
accept<RiskCheckerOptions>({ batch: { waitms: 5 } })
// @ts-expect-error a feeds option that does not exist
accept<RiskCheckerOptions>({ feeds: { directory: '/data' } })
// @ts-expect-error policies as a list
accept<RiskCheckerOptions>({ policies: [{ mode: 'enforce' }] })
// @ts-expect-error a slip in a policy
accept<RiskCheckerOptions>({ policies: { payment: { onFailur: 'closed' } } })
// @ts-expect-error a key where options belong
accept<RiskChecker>(new RiskChecker('any'))
// @ts-expect-error a class is not called
accept<RiskChecker>(RiskChecker())
// @ts-expect-error a logger without levels
accept<Logger>({ info() {}, warn() {} })

// Policies.
// @ts-expect-error a failure mode that does not exist
accept<PolicyOptions>({ onFailure: 'close' })
// @ts-expect-error a failure that does not exist
accept<PolicyOptions>({ onFailure: { timeout: 'closed' } })
// @ts-expect-error holding is no cap
accept<PolicyOptions>({ maxAction: 'hold' })
// @ts-expect-error a priority that does not exist
accept<PolicyOptions>({ priority: 'low' })
// @ts-expect-error a policy to extend is named
accept<PolicyOptions>({ extends: { mode: 'log-only' } })
// @ts-expect-error allow has no threshold
accept<Thresholds>({ allow: 10 })
// @ts-expect-error a threshold as text
accept<Thresholds>({ block: '80' })
// @ts-expect-error a rule without an id
accept<Rule>({ when: { is_tor: true }, atLeast: 'block' })
// @ts-expect-error a rule without a condition
accept<Rule>({ id: 'no_tor', atLeast: 'block' })
// @ts-expect-error a rule cannot hold
accept<Rule>({ id: 'no_tor', when: { is_tor: true }, atLeast: 'hold' })
// @ts-expect-error one route instead of a list
accept<Rule>({ id: 'no_tor', when: { is_tor: true }, routes: '/login' })
// @ts-expect-error a flag that does not exist
accept<Conditions>({ is_vpm: true })
// @ts-expect-error a flag of the wrong type
accept<Conditions>({ is_vpn: 'yes' })
// @ts-expect-error a score is asked with a range
accept<Conditions>({ vpn_confidence_score: 80 })
// @ts-expect-error a range of other words
accept<Conditions>({ vpn_confidence_score: { from: 80 } })
// @ts-expect-error a date is asked by its age
accept<Conditions>({ vpn_last_seen: '2026-01-01' })
// @ts-expect-error an entry without its network
accept<ListEntry>({ owner: 'it' })
// @ts-expect-error an entry that ends at a number
accept<ListEntry>({ cidr: '192.0.2.1', expires: 1_800_000_000 })
// @ts-expect-error a file without a path
accept<FeedFile>({ weight: 50 })
// @ts-expect-error a format that does not exist
accept<FeedFile>({ path: 'list.json', format: 'json' })
// @ts-expect-error a flag that no list can set
accept<FeedFile>({ path: 'list.txt', flags: ['is_bot'] })

// Calls.
// @ts-expect-error no address
void checker.check()
// @ts-expect-error an address that is no text
void checker.check(42)
// @ts-expect-error several addresses
void checker.check(['192.0.2.1'])
// @ts-expect-error a request in place of its address
void checker.check(request)
// @ts-expect-error an address that may be missing
void checker.check(request.ip)
// @ts-expect-error a slip in an option
void checker.check('192.0.2.1', { polcy: 'payment' })
// @ts-expect-error a policy in place of its name
void checker.check('192.0.2.1', { policy: { mode: 'log-only' } })
// @ts-expect-error a controller in place of its signal
void checker.check('192.0.2.1', { signal: new AbortController() })
// @ts-expect-error a decision takes a while
accept<Decision>(checker.check('192.0.2.1'))
// @ts-expect-error one text is no list
void checker.checkMany('192.0.2.1')
// @ts-expect-error addresses that are no text
void checker.checkMany([1, 2])
// @ts-expect-error one text is no source of addresses
void checker.checkStream('192.0.2.1')
// @ts-expect-error addresses that are no text
void checker.checkStream([1, 2])
// @ts-expect-error a stream is read, not awaited
void checker.checkStream(['192.0.2.1']).then()
// @ts-expect-error nothing may be known
accept<Decision>(checker.peek('192.0.2.1'))
// @ts-expect-error there is nothing to wait for
checker.peek('192.0.2.1', { signal: AbortSignal.timeout(1) })
// @ts-expect-error an address that is no text
void checker.invalidate(42)
// @ts-expect-error what only tests have
checker.advanceClock(1)
// @ts-expect-error what only the package itself may call
checker.evaluator(new Uint32Array(12))

// Decisions.
// @ts-expect-error a field that does not exist
void decision.blocked
// @ts-expect-error an action that does not exist
if (decision.action === 'deny') void 0
// @ts-expect-error nothing may have failed
accept<ErrorCode>(decision.failure)
// @ts-expect-error the text may have been no address
accept<string>(decision.ip)
// @ts-expect-error nothing may be known
accept<Band>(decision.band)
// @ts-expect-error a flag that no source set is no `false`
accept<boolean>(decision.flags.is_vpn)
// @ts-expect-error flags are shared
decision.flags.is_vpn = false
// @ts-expect-error reasons are shared
decision.reasons.push('mine')
// @ts-expect-error only decisions about requests have a provenance
accept<RequestDecision>(decision)
// @ts-expect-error the gate may not have run
void request.ipRisk.action
// @ts-expect-error a second factor is asked for or not
request.requireMfa = 'sms'
// @ts-expect-error feeds may be off
void stats.feeds.prefixes
// @ts-expect-error there may have been no failure
void stats.upstream.lastFailure.code

// The gate.
// @ts-expect-error an option that does not exist
riskMiddleware({ onBlok() {} })
// @ts-expect-error a policy in place of the options
riskMiddleware('payment')
// @ts-expect-error a checker in place of the options
riskMiddleware(checker)
// @ts-expect-error something else in place of a checker
riskMiddleware({ checker: {} })
// @ts-expect-error a failure mode that does not exist
riskMiddleware({ onFailure: 'allow' })
// @ts-expect-error what only policies with a name have
riskMiddleware({ extends: 'payment' })
// @ts-expect-error what only policies with a name have
riskMiddleware({ priority: 'high' })
// @ts-expect-error a header in place of what reads it
riskMiddleware({ clientIp: 'x-real-ip' })
// @ts-expect-error an address that comes later
riskMiddleware({ clientIp: async () => '192.0.2.1' })
// @ts-expect-error a header that may be a list
riskMiddleware<Request, Response>({ clientIp: ({ headers }) => headers['x-client-ip'] })
// @ts-expect-error paths in place of what reads them
riskMiddleware({ skip: ['/health'] })
// @ts-expect-error only `true` skips
riskMiddleware({ skip: () => 'yes' })
// @ts-expect-error a status in place of what answers
riskMiddleware({ onBlock: 429 })
// @ts-expect-error a field that the request has not
riskMiddleware<Request, Response>({ onHold: ({ requireMFA }) => requireMFA })
// @ts-expect-error a field that the decision has not
riskMiddleware({ onDecision: ({ riskScore }) => riskScore })

// The other entries.
// @ts-expect-error a failure mode that does not exist
resilient.riskMiddleware({ onFailure: 'allow' })
// @ts-expect-error an option that does not exist
accept<resilient.RiskCheckerOptions>({ whenNotLoaded: 'open' })
// @ts-expect-error a test checker asks the stand-in only
void createTestChecker({ endpoint: 'https://api.ipgeolocation.io' })
// @ts-expect-error a test checker needs no key
void createTestChecker({ apiKey: 'any' })
// @ts-expect-error an option that does not exist
void startMockApi({ latency: 5 })
// @ts-expect-error a field that the API has not
api.answer('192.0.2.1', { is_vpm: true })
// @ts-expect-error a fault that does not exist
api.fault({ kind: 'explode' })
