/// <reference lib="esnext.disposable" />
// Types of what JavaScript adds to the addon. `npm run build` puts them in front of the generated part of
// `index.d.ts`; edit them in `src/dts-header.d.ts`.

/**
 * What the route should do. `allow` < `log` < `challenge` < `block`; `hold` stands outside that order.
 *
 * @example
 * ```ts
 * import type { Action } from 'ip-risk'
 *
 * const sentence: Record<Action, string> = {
 *   allow: 'welcome',
 *   log: 'welcome',
 *   challenge: 'one more step',
 *   block: 'no',
 *   hold: 'we will get back to you',
 * }
 * console.log(sentence.challenge)
 * ```
 */
export type Action = 'allow' | 'log' | 'challenge' | 'block' | 'hold'

/** Where a score lies: `low` 0-19, `guarded` 20-44, `elevated` 45-79, `high` 80-100. */
export type Band = 'low' | 'guarded' | 'elevated' | 'high'

/**
 * Which rung answered: the in-process cache, a shared cache, the provider, offline feeds, an allow or deny entry,
 * special-use address space, or nothing (the failure mode).
 */
export type Source = 'memory' | 'redis' | 'api' | 'feeds' | 'list' | 'special' | 'none'

/** `log-only` records what `enforce` would have done and lets every request through. */
export type Mode = 'enforce' | 'log-only'

/**
 * How the client address became known. `unverified` means that anybody could have written it: such a request is
 * at most challenged, matches no allow entry, and clears no closed policy.
 */
export type Provenance = 'application' | 'socket' | 'trusted-proxy' | 'custom' | 'unverified'

/** What a policy answers when nothing is known about an address. */
export type FailureMode = 'open' | 'challenge' | 'closed'

/**
 * Codes in `error.code`, `decision.failure` and warnings. The README says of each what to do. More may be added, so
 * a `switch` needs a default.
 */
export type ErrorCode =
  | 'ERR_IP_RISK_OPTION'
  | 'ERR_IP_RISK_UNKNOWN_OPTION'
  | 'ERR_IP_RISK_NO_SOURCE'
  | 'ERR_IP_RISK_ARGUMENT'
  | 'ERR_IP_RISK_CLOSED'
  | 'ERR_IP_RISK_UNKNOWN_POLICY'
  | 'ERR_IP_RISK_NATIVE'
  | 'ERR_IP_RISK_INTERNAL'
  | 'ERR_IP_RISK_INVALID_ADDRESS'
  | 'ERR_IP_RISK_SPECIAL_USE'
  | 'ERR_IP_RISK_TIMEOUT'
  | 'ERR_IP_RISK_CONNECT'
  | 'ERR_IP_RISK_TLS'
  | 'ERR_IP_RISK_KEY_REFUSED'
  | 'ERR_IP_RISK_KEY_FORBIDDEN'
  | 'ERR_IP_RISK_ENDPOINT'
  | 'ERR_IP_RISK_REQUEST_REFUSED'
  | 'ERR_IP_RISK_QUOTA'
  | 'ERR_IP_RISK_REDIRECT'
  | 'ERR_IP_RISK_UPSTREAM_STATUS'
  | 'ERR_IP_RISK_MALFORMED'
  | 'ERR_IP_RISK_BODY_TOO_LARGE'
  | 'ERR_IP_RISK_OVERLOADED'
  | 'ERR_IP_RISK_UNVERIFIED_LIMIT'
  | 'ERR_IP_RISK_BREAKER'
  | 'ERR_IP_RISK_BUDGET'
  | 'ERR_IP_RISK_REDIS'
  | 'ERR_IP_RISK_FEEDS'
  | 'ERR_IP_RISK_FEEDS_BUSY'
  | 'ERR_IP_RISK_TRUST_ALL'
  | 'ERR_IP_RISK_UNTRUSTED_FORWARDED'
  | 'ERR_IP_RISK_PROXY_ADDR'
  | 'ERR_IP_RISK_ROUTE'
  | 'ERR_IP_RISK_HOOK'

/**
 * A mistake in how the package is used. What happens to a look-up is never an error: see `Decision.failure`.
 *
 * @example
 * ```ts
 * import { RiskChecker, type IpRiskError } from 'ip-risk'
 *
 * try {
 *   new RiskChecker({ deadlineMs: -1 })
 * } catch (error) {
 *   const { code, message } = error as IpRiskError
 *   console.log(code, message)
 * }
 * ```
 */
export interface IpRiskError extends Error {
  /** Stable; branch on this and not on the message. */
  code: ErrorCode
}

/**
 * What a source says of an address, in the field names of the ipgeolocation.io Security API. A field that is left
 * out means that the source cannot tell; it is never `false` for "unknown". Scores are 0 to 100, dates `YYYY-MM-DD`.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * const { flags } = await new RiskChecker().check('37.120.202.92')
 * if (flags.is_vpn) console.log(flags.vpn_provider_names?.join(', '), flags.vpn_last_seen)
 * ```
 */
export interface Flags {
  /** The source's own score. */
  readonly threat_score?: number
  /** A Tor exit. */
  readonly is_tor?: boolean
  /** A proxy service. */
  readonly is_proxy?: boolean
  readonly proxy_provider_names?: readonly string[]
  readonly proxy_confidence_score?: number
  readonly proxy_last_seen?: string
  /** A proxy that leaves through somebody's home connection. */
  readonly is_residential_proxy?: boolean
  /** A commercial VPN. Nothing acts on this flag alone. */
  readonly is_vpn?: boolean
  readonly vpn_provider_names?: readonly string[]
  readonly vpn_confidence_score?: number
  readonly vpn_last_seen?: string
  /** A privacy relay such as iCloud Private Relay. */
  readonly is_relay?: boolean
  readonly relay_provider_name?: string
  /** VPN, proxy, Tor or relay. */
  readonly is_anonymous?: boolean
  /** Seen attacking. */
  readonly is_known_attacker?: boolean
  readonly is_bot?: boolean
  readonly bot_confidence_score?: number
  readonly bot_operator_name?: string
  readonly bot_type?: string
  /** A search engine or monitor; can be true beside `is_bot`. */
  readonly is_known_good_bot?: boolean
  readonly bot_last_seen?: string
  /** Seen sending spam. */
  readonly is_spam?: boolean
  /** A data centre. */
  readonly is_cloud_provider?: boolean
  readonly cloud_provider_name?: string
  /** The way out of a company's network, such as Zscaler. */
  readonly is_corporate_gateway?: boolean
  readonly corporate_gateway_type?: string
  readonly corporate_gateway_provider_name?: string
}

/**
 * The answer to one check: a flat, plain object that can be logged, cloned and sent.
 *
 * @example
 * ```ts
 * import { RiskChecker, type Decision } from 'ip-risk'
 *
 * function describe(decision: Decision): string {
 *   if (decision.failedOpen) return `nothing known (${decision.failure})`
 *   return `${decision.ip} ${decision.score} ${decision.action}: ${decision.reasons.join(', ')}`
 * }
 * console.log(describe(await new RiskChecker().check('2.56.188.34')))
 * ```
 */
export interface Decision {
  /** The address in its canonical spelling; null when the text was no address. */
  ip: string | null
  /** 0 to 100; 0 also when nothing is known, which `band` tells apart. */
  score: number
  /** Where the score lies; null when nothing is known. */
  band: Band | null
  /** What the source said; empty when nothing is known. Frozen, because equal evidence shares it. */
  flags: Readonly<Flags>
  /** What the route should do. */
  action: Action
  /** What `enforce` would have answered; differs from `action` only in log-only mode. */
  wouldBe: Action
  /** Why: stable codes, most important first. Ids of rules are among them. */
  reasons: readonly string[]
  /** Which rung answered. */
  source: Source
  /** Who said it, `ipgeolocation` or `feeds`; null when nobody did. */
  provider: string | null
  /** Whether the evidence is older than its time to live. */
  stale: boolean
  /** Whether the provider should have been asked and could not answer. */
  degraded: boolean
  /** When the provider answered, or the newest evidence of feeds was true, in milliseconds since 1970; else null. */
  checkedAt: number | null
  /** Whether the policy let the request through because nothing is known. */
  failedOpen: boolean
  /** Whether the policy held the request because nothing is known. */
  failedClosed: boolean
  /** What failed, or null. */
  failure: ErrorCode | null
  /** Whether the decision acts. */
  mode: Mode
  /** The policy that decided. */
  policy: string
}

/**
 * A decision about a request, with how its address became known.
 *
 * @example
 * ```ts
 * import { riskMiddleware, type RequestDecision } from 'ip-risk'
 *
 * riskMiddleware({
 *   onDecision: ({ ip, provenance }: RequestDecision) => {
 *     if (provenance === 'unverified') console.log('who is', ip)
 *   },
 * })
 * ```
 */
export interface RequestDecision extends Decision {
  provenance: Provenance
}

/**
 * Options of `new RiskChecker()`. Unknown keys are refused, and the nearest known one is named.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * new RiskChecker({ deadlineMs: 800, policies: { login: { mode: 'log-only' } }, logger: { addresses: 'full' } })
 * ```
 */
export interface RiskCheckerOptions {
  /**
   * The key of the ipgeolocation.io Security API. Default: the environment variable `IPGEO_API_KEY`. Without one, offline
   * feeds are the source.
   */
  apiKey?: string
  /**
   * Where the Security API is, without `/v3/security`. Plain http only for this machine, because the key travels in
   * the URL. Default: `https://api.ipgeolocation.io`.
   */
  endpoint?: string
  /**
   * How long one look-up may take in all, a second attempt included, in milliseconds, 1 to 60,000. Default 1,500. A call
   * about a list may take four times that.
   */
  deadlineMs?: number
  /** How long connecting may take, in milliseconds, 1 to 60,000. Default 1,000. */
  connectTimeoutMs?: number
  /**
   * Whether look-ups travel together when many are under way at once, and how. It costs no more credits. Default `true`;
   * `false` makes one call for each address.
   */
  batch?: boolean | BatchOptions
  /**
   * The cache that processes share: Redis 6 or newer, or Valkey; a URL, or an object for more. Default: the environment
   * variable `REDIS_URL`, and none without it. `false` does without. It is a help and never a need: when it is away, wrong
   * or slow, decisions go on without it. Needs a key: only what the provider said is shared.
   */
  redis?: string | RedisOptions | false
  /**
   * How many look-ups may be paid for. Default: no limit. Where processes share a Redis they share the budget of a day
   * and of a month; while it is away, look-ups beyond what is leased end with `ERR_IP_RISK_REDIS`.
   */
  budget?: BudgetOptions
  /** The in-process cache. It holds what the provider said, never decisions, so that a changed policy acts at once. */
  cache?: CacheOptions
  /**
   * Offline feeds, asked without a network. They are the source where there is no key, block what is known to be
   * criminal before a credit is spent, and stand in when the provider fails. Default `true`: what is in the package, or
   * in the directory that the environment variable `IP_RISK_FEEDS` names. `false` switches them off.
   */
  feeds?: boolean | FeedsOptions
  /** How many look-ups may be under way at once. Beyond it checks are `ERR_IP_RISK_OVERLOADED`. Default 1,000. */
  maxInFlight?: number
  /** Policies by name. `login` and `payment` exist; naming them here changes them. */
  policies?: Record<string, PolicyOptions>
  /**
   * Where lines go. Default: the console. Any logger with `info`, `warn` and `error` that take `(object, message)`, as
   * pino's do; `{ addresses: 'full' }` keeps the console and whole addresses; `false` is silent.
   */
  logger?: Logger | LoggerOptions | false
}

/**
 * When look-ups travel together. Light traffic makes single calls; a burst of new addresses takes few round trips.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * new RiskChecker({ batch: { threshold: 8, waitMs: 10, size: 500 } })
 * ```
 */
export interface BatchOptions {
  /** With more look-ups than that under way, new ones wait for company, 1 to 1,000,000. Default 32. */
  threshold?: number
  /** For how many milliseconds they wait at most, 0 to 1,000, and less than `deadlineMs`. Default 5. */
  waitMs?: number
  /** How many addresses one call holds at most, 2 to 1,000. Default 100. */
  size?: number
}

/**
 * Where the shared cache is: exactly one of `url`, `urls` with `cluster`, and `sentinel`.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * new RiskChecker({ redis: { url: 'rediss://cache.internal:6380/2', username: 'shop', password: 'secret' } })
 * ```
 */
export interface RedisOptions {
  /** One server, `redis://user:password@host:port/database`; `rediss` is TLS. */
  url?: string
  /** Some nodes of a cluster. */
  urls?: string[]
  /** Whether `urls` are nodes of a cluster. */
  cluster?: boolean
  /** Sentinels, which know the server that holds the data under the name `master`. */
  sentinel?: { master: string; urls: string[]; username?: string; password?: string }
  /** The ACL user. Wins over one in the URL. */
  username?: string
  /** Its password. Wins over one in the URL. */
  password?: string
  /** The number of the database. Default 0. */
  database?: number
  /** What stands before every key. Default: nothing, so that the entries are those of the tutorial. */
  keyPrefix?: string
  /** How long one question may take, in milliseconds, at most a quarter of `deadlineMs`. Default 50. */
  timeoutMs?: number
  /** More trusted authorities, as PEM text. */
  tls?: { ca?: string }
}

/**
 * How many look-ups may be paid for; a look-up costs two credits. Days and months are those of UTC. Spent, decisions go
 * down the ladder and then by the policy's `onFailure.exhausted`.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * new RiskChecker({ budget: { perMonth: 75_000, perDay: 5_000, perSecond: 50 } })
 * ```
 */
export interface BudgetOptions {
  /** How many may begin in one second, in each process. */
  perSecond?: number
  /** How many may be charged in one day, in all processes that share the Redis. */
  perDay?: number
  /** How many may be charged in one month, in all processes that share the Redis. */
  perMonth?: number
  /** The percentage of each that is kept for policies with `priority: 'high'`, 0 to 100. Default 20. */
  reserved?: number
}

/**
 * How long what the provider said is kept in the process, and how much of it.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * new RiskChecker({ cache: { ttlMs: 60 * 60 * 1000, maxEntries: 20_000, ipv6Prefix: 56 } })
 * ```
 */
export interface CacheOptions {
  /** For how many milliseconds it is fresh, less up to a tenth. Default 300,000 (5 minutes). */
  ttlMs?: number
  /** For how many milliseconds after that it is kept for when the provider fails. Default 86,400,000 (a day). */
  staleMs?: number
  /** How many addresses are kept, about 700 bytes each. Default 100,000. */
  maxEntries?: number
  /** How many bits of an IPv6 address share what is known, 32 to 128. Default 64. */
  ipv6Prefix?: number
}

/**
 * Which offline feeds are read, and what they may decide.
 *
 * @example
 * ```ts
 * import { mkdirSync, writeFileSync } from 'node:fs'
 * import { RiskChecker } from 'ip-risk'
 *
 * mkdirSync('feeds', { recursive: true }) // `npx ip-risk feeds update --dir feeds` makes it, and fills it
 * writeFileSync('partners.txt', '9.9.9.0/24 # their office\n')
 * new RiskChecker({
 *   feeds: { dir: 'feeds', files: [{ path: 'partners.txt', flags: ['is_corporate_gateway'] }] },
 * })
 * ```
 */
export interface FeedsOptions {
  /**
   * The directory that `ip-risk feeds update` writes; it must exist. What is in it replaces what is in the package, and
   * an update is picked up within about 10 seconds. Default: the environment variable `IP_RISK_FEEDS`.
   */
  dir?: string
  /** Files of your own, at most 32, which must exist. They are read again when they change. */
  files?: FeedFile[]
  /** Whether strict evidence (Spamhaus DROP grade) answers before the provider is asked. Default `true`. */
  prescreen?: boolean
  /**
   * Without a key: whether feeds may clear policies that close, such as `payment`. Otherwise those hold everybody whom no
   * feed blocks, and a gate with such a policy, or one that is written in `policies`, is refused when it is made. Default
   * `false`.
   */
  primary?: boolean
}

/**
 * A list of your own, or a database of a provider.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { RiskChecker } from 'ip-risk'
 *
 * writeFileSync('seen-attacking.txt', '9.9.9.9\n2620:fe::/48\n')
 * // A database says itself what its addresses are: { path: '/data/GeoIP2-Anonymous-IP.mmdb' }
 * const files = [{ path: 'seen-attacking.txt', flags: ['is_known_attacker' as const], weight: 70 }]
 * console.log((await new RiskChecker({ feeds: { files } }).check('9.9.9.9')).action)
 * ```
 */
export interface FeedFile {
  path: string
  /**
   * How it is read. `list` takes an address or a network on each line, with comments after `#` or `;`. `mmdb` takes
   * MaxMind's Anonymous IP, Anonymous Plus, Residential Proxy, IP Risk, ISP and ASN, and the security database of
   * ipgeolocation.io. Default: `mmdb` for files that end in `.mmdb`, else `list`.
   */
  format?:
    | 'list'
    | 'spamhaus'
    | 'aws'
    | 'azure'
    | 'gcp'
    | 'oracle'
    | 'geofeed'
    | 'ipsum'
    | 'asn-csv'
    | 'dshield'
    | 'tor-exit-addresses'
    | 'mmdb'
  /** What standing on the list means. A list needs at least one; a database says it itself. */
  flags?: (
    | 'is_tor'
    | 'is_proxy'
    | 'is_residential_proxy'
    | 'is_vpn'
    | 'is_relay'
    | 'is_known_attacker'
    | 'is_known_good_bot'
    | 'is_spam'
    | 'is_cloud_provider'
    | 'is_corporate_gateway'
  )[]
  /** What standing on it weighs, 0 to 100, however old the file is. Default: what its flags weigh. */
  weight?: number
}

/**
 * The scores from which an action is taken, 0 to 100, edge included. They must not fall.
 *
 * @example
 * ```ts
 * import { riskMiddleware } from 'ip-risk'
 *
 * riskMiddleware({ thresholds: { challenge: 60, block: 90 } }) // 60 is challenged, 59 is not
 * ```
 */
export interface Thresholds {
  /** Default 20. */
  log?: number
  /** Default 45. */
  challenge?: number
  /** Default 80. */
  block?: number
}

/** A condition on a number: at least `min`, at most `max`. */
export interface NumberRange {
  min?: number
  max?: number
}

/**
 * Conditions that must all hold, each on what a source said: a flag that is absent is neither true nor false.
 * Of several names one is enough, without regard to case.
 *
 * @example
 * ```ts
 * import type { Conditions } from 'ip-risk'
 *
 * const freshVpn: Conditions = {
 *   is_vpn: true,
 *   vpn_confidence_score: { min: 80 },
 *   vpn_last_seen: { withinDays: 7 },
 *   vpn_provider_names: ['Nord VPN', 'SurfShark VPN'],
 * }
 * console.log(freshVpn)
 * ```
 */
export type Conditions = {
  [Field in keyof Flags]?: NonNullable<Flags[Field]> extends boolean
    ? boolean
    : NonNullable<Flags[Field]> extends number
      ? NumberRange
      : Field extends `${string}_last_seen`
        ? { withinDays: number }
        : string | string[]
}

/**
 * A rule raises or caps an action. `atMost` never applies to a known attacker.
 *
 * @example
 * ```ts
 * import { riskMiddleware, type Rule } from 'ip-risk'
 *
 * const trustedCloud: Rule = {
 *   id: 'trusted_cloud',
 *   when: { cloud_provider_name: 'Google LLC' },
 *   atMost: 'log',
 *   routes: ['/health'],
 * }
 * riskMiddleware({ rules: [trustedCloud, { id: 'known_good_bot', enabled: false }] })
 * ```
 */
export interface Rule {
  /** `lower_snake`; stands in `reasons` when the rule applies. One that exists is replaced. */
  id: string
  when: Conditions
  /** The rule does not apply when these conditions all hold; of several, when one of them does. */
  unless?: Conditions | Conditions[]
  atLeast?: Exclude<Action, 'hold'>
  atMost?: Exclude<Action, 'hold'>
  /** The patterns of the routes that the rule is for. Default: all. */
  routes?: string[]
}

/** Switches a rule off, a shipped one or one of the policy that is extended. */
export interface RuleSwitch {
  id: string
  enabled: boolean
}

/**
 * An entry of an allow or deny list.
 *
 * @example
 * ```ts
 * import { riskMiddleware } from 'ip-risk'
 *
 * riskMiddleware({
 *   allow: [{ cidr: '9.9.9.0/24', owner: 'it', reason: 'office', expires: '2099-01-31' }],
 *   deny: ['8.8.4.4'],
 * })
 * ```
 */
export interface ListEntry {
  /** An address or a network, such as `198.51.100.0/24`. */
  cidr: string
  /** Who answers for the entry. */
  owner?: string
  /** Why it is there. */
  reason?: string
  /** When it ends. */
  expires?: string | Date
  /** The patterns of the routes that it is for. Default: all. */
  routes?: string[]
}

/**
 * What one kind of route does with a score, and without one.
 *
 * @example
 * ```ts
 * import { RiskChecker, riskMiddleware } from 'ip-risk'
 *
 * const checker = new RiskChecker({
 *   policies: {
 *     payout: { extends: 'payment', thresholds: { challenge: 30 }, maxStaleMs: 60 * 60 * 1000 },
 *     signup: { onFailure: 'challenge', maxAction: 'challenge' },
 *   },
 * })
 * riskMiddleware({ checker, policy: 'signup' })
 * ```
 */
export interface PolicyOptions {
  /** The policy to start from. Default: the shipped one of the same name, else `login`. */
  extends?: string
  /** Default `enforce`. The environment variable `IP_RISK_MODE=log-only` wins over it. */
  mode?: Mode
  thresholds?: Thresholds
  /** Added to the shipped rules. At most 44 in all. */
  rules?: (Rule | RuleSwitch)[]
  /** Let through whatever is known of them. Asked before `deny`. */
  allow?: (string | ListEntry)[]
  /** Refused whatever is known of them. */
  deny?: (string | ListEntry)[]
  /**
   * What happens when nothing is known. `upstream`: the provider could not answer; `exhausted`: a limit is used up that
   * a caller can use up on purpose. `login`: open and challenge; `payment`: closed for both.
   */
  onFailure?: FailureMode | { upstream?: FailureMode; exhausted?: FailureMode }
  /** The strictest action. `hold` is not capped. */
  maxAction?: Exclude<Action, 'hold'>
  /**
   * How old what was said may be, in milliseconds, to let a request through when the provider fails; older, it may
   * still raise the action. Default: any age that the cache keeps for open policies, none for closed ones.
   */
  maxStaleMs?: number
  /**
   * Whether look-ups may use the share of the `budget` that is reserved. Default: `normal`; `high` for `payment` and what
   * extends it.
   */
  priority?: 'normal' | 'high'
}

/**
 * Options of one `check`, and of one `checkStream`.
 *
 * @example
 * ```ts
 * import { RiskChecker } from 'ip-risk'
 *
 * const checker = new RiskChecker()
 * const signal = AbortSignal.timeout(5_000)
 * console.log(await checker.check('8.8.8.8', { policy: 'payment', route: '/pay', signal }))
 * ```
 */
export interface CheckOptions {
  /** The policy to judge by. Default `login`. */
  policy?: string
  /** The pattern of the route, for list entries and rules that name routes. */
  route?: string
  /** Gives up waiting: the promise, or the stream, rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Options of one `checkMany`. */
export type CheckManyOptions = CheckOptions

/**
 * A pino-like logger.
 *
 * @example
 * ```ts
 * import { RiskChecker, type Logger } from 'ip-risk'
 *
 * const logger: Logger = {
 *   info: (details, message) => console.log(JSON.stringify({ level: 'info', message, ...details })),
 *   warn: (details, message) => console.log(JSON.stringify({ level: 'warn', message, ...details })),
 *   error: (details, message) => console.log(JSON.stringify({ level: 'error', message, ...details })),
 * }
 * new RiskChecker({ logger })
 * ```
 */
export interface Logger {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
  /** Default `network`. */
  addresses?: 'network' | 'full'
}

/** The console, with another way to write addresses. */
export interface LoggerOptions {
  /** `network` (the default) writes the /24 or /48 of an address, `full` all of it. */
  addresses: 'network' | 'full'
}

export interface RiskChecker {
  /**
   * The decision, when it can be made without asking anybody: lists, special-use addresses, the cache, feeds where they
   * are the source, or strict; else null. Synchronous, about a microsecond; counts nothing, logs nothing. Throws
   * `ERR_IP_RISK_ARGUMENT`, `ERR_IP_RISK_UNKNOWN_POLICY` and `ERR_IP_RISK_CLOSED`.
   *
   * @example
   * ```ts
   * import { RiskChecker } from 'ip-risk'
   *
   * const checker = new RiskChecker()
   * const known = checker.peek('2.56.188.34')
   * if (known?.action === 'block') console.log('no need to look it up')
   * ```
   */
  peek(ip: string, options?: Pick<CheckOptions, 'policy' | 'route'>): Decision | null
  /**
   * Scores any number of addresses, in their order and in bounded memory. What fails for one address stands in its
   * decision. Addresses that are not in the cache are looked up, for 2 credits each.
   *
   * Takes anything that can be iterated, synchronous or not: arrays, sets, generators, streams of Node.js that give text.
   * Begins when the first decision is asked for, and reads at most 5,000 addresses ahead of the one who takes the
   * decisions; these may have been paid for when that one leaves. A source that is slow gets its decisions without waiting
   * for more addresses. The stream can be iterated once.
   *
   * Leaving the loop, and the signal, close the source and ask about no further address. An error of the source comes
   * after the decisions about what it gave before, and so do `ERR_IP_RISK_ARGUMENT` for an item that is not a string,
   * with its position, and `ERR_IP_RISK_CLOSED` when the checker closes meanwhile. Throws at once
   * `ERR_IP_RISK_ARGUMENT` when `ips` cannot be iterated or is one string, `ERR_IP_RISK_UNKNOWN_POLICY` and
   * `ERR_IP_RISK_CLOSED`.
   *
   * @example
   * ```ts
   * import { createReadStream, writeFileSync } from 'node:fs'
   * import { createInterface } from 'node:readline'
   * import { RiskChecker } from 'ip-risk'
   *
   * writeFileSync('addresses.txt', '2.56.188.34\n91.128.103.196\n')
   * const checker = new RiskChecker()
   * const lines = createInterface({ input: createReadStream('addresses.txt') })
   * for await (const { ip, score } of checker.checkStream(lines)) console.log(ip, score)
   * ```
   */
  checkStream(
    ips: (Iterable<string> & object) | AsyncIterable<string>,
    options?: CheckOptions,
  ): AsyncIterable<Decision>
  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What the middleware reads of a request: that of Express 4 and 5, and of anything shaped like it. */
export interface RequestLike {
  headers: Record<string, string | string[] | undefined>
  socket: { remoteAddress?: string | undefined; destroyed?: boolean | undefined }
  /** The client address under the framework's own trust settings. */
  ip?: string | undefined
  route?: unknown
  /** What a router that the gate is on is mounted at. */
  baseUrl?: string | undefined
  app?: unknown
}

/** What the middleware writes to. */
export interface ResponseLike {
  statusCode: number
  headersSent: boolean
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

/** What the middleware sets on a request. */
export interface IpRiskRequestFields {
  /** The decision. */
  ipRisk?: RequestDecision
  /** Whether a gate challenged the request: ask for a second factor. Once true it stays true. */
  requireMfa?: boolean
  /** Whether a gate held the request and `onHold` handed it on: put it in front of a person. */
  holdForReview?: boolean
}

/** Answers a request, or hands it on with `next()`. */
export type Hook<Request, Response> = (
  request: Request & IpRiskRequestFields,
  response: Response,
  next: (error?: unknown) => void,
) => unknown

/**
 * Options of `riskMiddleware()`. `mode`, `thresholds`, `rules`, `allow`, `deny`, `onFailure` and `maxAction` are
 * shorthand for a policy of this route's own, which extends `policy`.
 *
 * @example
 * ```ts
 * import { riskMiddleware } from 'ip-risk'
 *
 * riskMiddleware({
 *   policy: 'payment',
 *   skip: (request) => request.path === '/health',
 *   onHold: (request, response, next) => next(), // request.holdForReview is true
 * })
 * ```
 */
export interface MiddlewareOptions<Request = any, Response = any> extends Pick<
  PolicyOptions,
  'mode' | 'thresholds' | 'rules' | 'allow' | 'deny' | 'onFailure' | 'maxAction'
> {
  /** The checker to ask. Default: one that the process shares, made from the environment. */
  checker?: RiskChecker
  /** The policy to judge by. Default `login`. */
  policy?: string
  /** The route, for entries and rules that name routes. Default: the pattern that Express matched. */
  route?: string
  /** Finds the client address where the framework cannot. You answer for it: it counts as known. */
  clientIp?: (request: Request) => string | undefined
  /**
   * Requests to let through unjudged, such as health checks; only `true` skips. A promise is waited for without a limit.
   */
  skip?: (request: Request) => boolean | Promise<boolean>
  /** Also blocks addresses that anybody could have written. Default false. */
  blockUnverified?: boolean
  /** Instead of status 403. */
  onBlock?: Hook<Request, Response>
  /** Instead of `next()` with `requireMfa` set. */
  onChallenge?: Hook<Request, Response>
  /** Instead of status 503. */
  onHold?: Hook<Request, Response>
  /** Sees every decision, in log-only mode too. */
  onDecision?: (decision: RequestDecision, request: Request) => unknown
}

/** An Express request handler. */
export type RiskMiddleware = (request: any, response: any, next: (error?: unknown) => void) => void

/**
 * Makes an Express 4 or 5 middleware that judges the client address before the handler runs.
 *
 * Sets `req.ipRisk`, `req.requireMfa` and `req.holdForReview`. allow and log call `next()`; challenge sets
 * `requireMfa` and calls `next()`; block answers 403 and hold 503, both without a reason. What is known in the process
 * is decided in the same tick; otherwise the answer comes within `deadlineMs`. It never passes an error to `next()`.
 *
 * Policies compile, and the shared checker is made, when this is called: mistakes throw here, with the same codes as
 * `new RiskChecker()`, and never during a request. Without a key a policy that closes is such a mistake, unless
 * `feeds: { primary: true }` is written (`ERR_IP_RISK_NO_SOURCE`).
 *
 * Where the native part cannot be loaded, `ip-risk` itself throws `ERR_IP_RISK_NATIVE`. What `ip-risk/resilient` exports
 * under this name then answers the policy's failure mode, so that the application starts.
 *
 * @example
 * ```ts
 * import express from 'express'
 * import { riskMiddleware, type IpRiskRequestFields } from 'ip-risk'
 *
 * const app = express()
 * app.post('/login', riskMiddleware(), (req: express.Request & IpRiskRequestFields, res) => {
 *   res.json({ mfa: req.requireMfa, score: req.ipRisk?.score })
 * })
 * app.post('/pay', riskMiddleware({ policy: 'payment' }), (req, res) => res.json({ paid: true }))
 * ```
 */
export declare function riskMiddleware<Request = any, Response = any>(
  options?: MiddlewareOptions<Request, Response>,
): RiskMiddleware
