/**
 * `ip-risk/testing`: a stand-in of the ipgeolocation.io Security API for tests.
 *
 * It is a real HTTP server in your own process, listening on loopback. It speaks the documented protocol, answers
 * test addresses with fixed scores, and fails in every way an upstream can fail, on request.
 *
 * @example
 * import { startMockApi } from 'ip-risk/testing'
 *
 * const api = await startMockApi()
 * api.answer('8.8.8.8', { threat_score: 90, is_known_attacker: true })
 * const response = await fetch(`${api.url}/v3/security?apiKey=any&ip=8.8.8.8`)
 * console.log((await response.json()).security.threat_score) // 90
 * await api.close()
 *
 * @packageDocumentation
 */

import type { RiskChecker, RiskCheckerOptions } from '../index.js'

/**
 * What the API says of one address: the 27 fields of its `security` object, in its own names. A field about which
 * nothing is known is `false`, `0`, `''` or `[]`, never absent. Scores are from 0 to 100; dates are `YYYY-MM-DD`.
 *
 * @example
 * api.answer('8.8.8.8', { threat_score: 50, is_vpn: true, is_anonymous: true })
 */
export interface Security {
  /** Overall risk, 0 to 100. */
  threat_score: number
  /** A Tor exit. */
  is_tor: boolean
  /** A proxy service. */
  is_proxy: boolean
  /** May be empty although `is_proxy` is true. */
  proxy_provider_names: readonly string[]
  /** 0 to 100; means something only when `is_proxy` is true. */
  proxy_confidence_score: number
  /** May be empty although `is_proxy` is true. */
  proxy_last_seen: string
  /** A proxy on somebody's home connection. */
  is_residential_proxy: boolean
  /** A VPN exit. */
  is_vpn: boolean
  /** Display names in free form. */
  vpn_provider_names: readonly string[]
  /** 0 to 100; means something only when `is_vpn` is true. */
  vpn_confidence_score: number
  /** The day the VPN was last seen at the address. */
  vpn_last_seen: string
  /** A privacy relay, such as iCloud Private Relay. */
  is_relay: boolean
  /** One name, not a list. */
  relay_provider_name: string
  /** VPN, proxy, Tor or relay. {@link MockApi.answer} does not derive it: write it beside them. */
  is_anonymous: boolean
  /** Seen attacking. */
  is_known_attacker: boolean
  /** Automated traffic. */
  is_bot: boolean
  /** 0 to 100; means something only when `is_bot` is true. */
  bot_confidence_score: number
  /** Who runs the bot. */
  bot_operator_name: string
  /** An open set, such as `credential_stuffing` or `ai_crawler`; compare without regard to case. */
  bot_type: string
  /** A bot that is welcome on most sites; may be true together with `is_bot`. */
  is_known_good_bot: boolean
  /** The day the bot was last seen at the address. */
  bot_last_seen: string
  /** A source of spam. */
  is_spam: boolean
  /** Hosting or a data centre. */
  is_cloud_provider: boolean
  /** Who runs the data centre. */
  cloud_provider_name: string
  /** The egress of a corporate web gateway. */
  is_corporate_gateway: boolean
  /** Such as `secure_web_gateway` or `browser_isolation`. */
  corporate_gateway_type: string
  /** Who runs the gateway. */
  corporate_gateway_provider_name: string
}

/**
 * Part of a {@link Security} object, laid over the clean answer. A field written as `undefined` is left out of the
 * answer, as an older API would.
 *
 * @example
 * api.answer('8.8.8.8', { threat_score: 20, is_known_good_bot: undefined })
 */
export type PartialSecurity = { readonly [Field in keyof Security]?: Security[Field] | undefined }

/**
 * A test address with a fixed answer, like a payment test card.
 *
 * @example
 * const card = CARDS.find(({ name }) => name === 'tor')
 * console.log(card?.address, card?.score, card?.flags.is_tor) // 198.51.100.4 70 true
 */
export interface Card {
  /** In the documentation ranges (RFC 5737, RFC 3849), so that it is nobody's address. */
  readonly address: string
  /** Short and unique, such as `vpn` or `score-45`. */
  readonly name: string
  /** The `threat_score` of the answer, 0 to 100. */
  readonly score: number
  /** What differs from the clean answer, the score apart. */
  readonly flags: PartialSecurity
}

/**
 * A test address at which the stand-in fails. Exactly one of `fault` and `body` is there.
 *
 * @example
 * const hang = FAULT_CARDS.find(({ name }) => name === 'hang')
 * const response = fetch(`${api.url}/v3/security?apiKey=any&ip=${hang?.address}`) // never answered
 */
export interface FaultCard {
  /** In `203.0.113.0/24`. */
  readonly address: string
  /** Short and unique, such as `429` or `reset`. */
  readonly name: string
  /** What happens to the request. */
  readonly fault?: Fault
  /** The JSON value that is answered with status 200. */
  readonly body?: unknown
}

/**
 * The test addresses that answer. Besides the rows of the table, every address of the first two ranges is a card:
 *
 * - `192.0.2.N` scores N, for N from 0 to 100, without a flag.
 * - `2001:db8:0:N::/64` scores N, N being read as decimal: `2001:db8:0:45::1` scores 45.
 * - `198.51.100.N` is one card for each flag and for the combinations that matter to a policy.
 *
 * An address of these ranges without a card is private, as for the real API: 423. The `*_last_seen` dates are
 * yesterday's, so that rules on recent sightings match, but for the card `vpn-long-ago`.
 *
 * @example
 * for (const { address, name, score } of CARDS) console.log(address, name, score)
 */
export const CARDS: readonly Card[]

/**
 * The test addresses that fail. In a bulk request, the cards of status 400, 404 and 423 and those with a `body` are
 * faults of their own entry only; every other one strikes the whole request (the first such entry decides).
 *
 * @example
 * for (const { address, name } of FAULT_CARDS) console.log(address, name)
 */
export const FAULT_CARDS: readonly FaultCard[]

/**
 * An HTTP answer with the API's error body, `{"message": "..."}`; 413 is an HTML page, as from the real one.
 *
 * @example
 * api.fault({ status: 429, retryAfter: 30 })
 */
export interface StatusFault {
  /** 200 to 599. */
  readonly status: number
  /** Instead of the stand-in's own text; free form. */
  readonly message?: string
  /** The `Retry-After` header: seconds, or an HTTP date. The real API sends none. */
  readonly retryAfter?: number | string
}

/**
 * A fault in the manner of answering:
 *
 * | kind | what the client meets |
 * |---|---|
 * | `hang` | no answer; the connection stays open |
 * | `close-before-headers` | the connection is closed without an answer (HTTP/2: with its other streams) |
 * | `reset` | a TCP reset instead of an answer (HTTP/2: `RST_STREAM`) |
 * | `reset-mid-body` | status, headers, half the body, then as `reset` |
 * | `truncated` | half the body that `Content-Length` announces, then an orderly end |
 * | `drip` | the body at `bytesPerSecond` (default 10), headers at once |
 * | `oversized` | the true answer behind 64 MiB of blanks |
 * | `gzip-bomb` | the same, compressed to about 64 KiB |
 * | `bad-gzip` | `Content-Encoding: gzip` on a body that is not |
 * | `html` | status 200 and an HTML page |
 * | `empty` | status 200 and no body |
 * | `not-json` | status 200, the JSON content type and a text that is not JSON |
 * | `wrong-types` | status 200 and every field of a type that makes no sense |
 * | `redirect` | 302 to `location` (default: `/redirected` on the stand-in, so that following shows in `requests`) |
 * | `wrong-endpoint` | the 404 of a wrong path, which is not the 404 of an unknown address |
 * | `bulk-short` | a bulk answer without its last entry |
 * | `bulk-long` | a bulk answer with one entry too many |
 * | `bulk-reordered` | a bulk answer in reverse order |
 * | `bulk-nulls` | a bulk answer of as many `null` as there are addresses |
 * | `bulk-object` | a bulk answer that is an object, with the entries under their places |
 *
 * The bulk kinds strike bulk requests only; single ones pass.
 *
 * @example
 * api.fault({ kind: 'reset' }, { times: 2 })
 */
export type FaultKind =
  | 'hang'
  | 'close-before-headers'
  | 'reset'
  | 'reset-mid-body'
  | 'truncated'
  | 'drip'
  | 'oversized'
  | 'gzip-bomb'
  | 'bad-gzip'
  | 'html'
  | 'empty'
  | 'not-json'
  | 'wrong-types'
  | 'redirect'
  | 'wrong-endpoint'
  | 'bulk-short'
  | 'bulk-long'
  | 'bulk-reordered'
  | 'bulk-nulls'
  | 'bulk-object'

/**
 * A fault of one of the kinds of {@link FaultKind}.
 *
 * @example
 * api.fault({ kind: 'drip', bytesPerSecond: 50 })
 */
export interface KindFault {
  readonly kind: FaultKind
  /** Only for `drip`: more than 0; default 10. */
  readonly bytesPerSecond?: number
  /** Only for `redirect`: the `Location` header. */
  readonly location?: string
}

/**
 * What can go wrong with a request: an HTTP status, or a fault in the manner of answering.
 *
 * @example
 * api.script([{ status: 500 }, { kind: 'hang' }, null])
 */
export type Fault = StatusFault | KindFault

/**
 * Which requests suffer a fault.
 *
 * @example
 * api.fault({ status: 503 }, { ip: '8.8.8.8', times: 1 })
 */
export interface FaultOptions {
  /** Only requests that ask about this address, in any spelling. */
  readonly ip?: string
  /** Only requests to this endpoint, so that bulk calls can fail or be slow where single ones are well. */
  readonly endpoint?: 'single' | 'bulk'
  /** How many requests, at least 1; default: all, until cleared. */
  readonly times?: number
}

/**
 * An answer written byte for byte. It is never compressed, and charges only what an `X-Credits-Charged` header says.
 *
 * @example
 * api.answerRaw('8.8.8.8', { status: 200, body: '{"security": NaN}' })
 */
export interface RawAnswer {
  /** 200 to 599; default 200. */
  readonly status?: number
  /** Default: the JSON content type. */
  readonly headers?: Readonly<Record<string, string>>
  /** Text or bytes, sent as they are; anything else is sent as JSON. Default: nothing. */
  readonly body?: unknown
}

/**
 * What the stand-in keeps of a request. The API key is not in it, wherever the client put it.
 *
 * @example
 * const last = api.requests.at(-1)
 * console.log(last?.method, last?.path, last?.ips)
 */
export interface RecordedRequest {
  readonly method: string
  /** Without the query string. */
  readonly path: string
  /** The addresses asked about, as the client wrote them; empty when it named none. */
  readonly ips: readonly string[]
  /** When the request was complete, in milliseconds since the epoch. */
  readonly at: number
  /** `h2`, `http/1.1` or `http/1.0`. */
  readonly protocol: string
  /** Names in lower case, as Node.js gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Whether the request carried a key that the stand-in accepts. */
  readonly keyAccepted: boolean
}

/**
 * How the stand-in listens. Nothing is required.
 *
 * @example
 * const api = await startMockApi({ key: 'test-key', port: 8787 })
 */
export interface MockApiOptions {
  /** The address to listen on; default `127.0.0.1`. Anything but loopback lets other machines in. */
  readonly host?: string
  /** 0 to 65535; default 0, any free one. */
  readonly port?: number
  /** The only key that is accepted, others get 401; default: any that is not empty. */
  readonly key?: string
  /** PEM texts. With them the stand-in serves HTTPS, with HTTP/2 and HTTP/1.1. */
  readonly tls?: { readonly key: string | Uint8Array; readonly cert: string | Uint8Array }
  /** The largest request body in bytes, at least 1; larger ones get 413. Default 4 MiB. */
  readonly maxBodyBytes?: number
  /** Whether the listening stand-in keeps the process alive; default false: one that was forgotten does not. */
  readonly keepAlive?: boolean
}

/**
 * A running stand-in of the Security API; {@link startMockApi} makes it.
 *
 * What a request gets is decided in this order: the script, a fault set for its address, a fault set for all, your
 * own `answer()` or `answerRaw()`, the built-in answer of a test card or of an address of the vendor's own examples
 * (such as `2.56.188.34`, which scores 80), 423 for a private address, and a clean answer with score 0.
 *
 * @example
 * const api = await startMockApi()
 * console.log(api instanceof MockApi) // true
 */
export class MockApi {
  private constructor()

  /**
   * What to give as `endpoint`, without a slash at the end.
   * @example
   * const checker = new RiskChecker({ apiKey: 'any', endpoint: api.url })
   */
  readonly url: string

  /**
   * The port it listens on.
   * @example
   * console.log(`listening on ${api.port}`)
   */
  readonly port: number

  /**
   * The last 10,000 requests, newest last.
   * @example
   * assert.deepEqual(api.requests.at(-1)?.ips, ['8.8.8.8'])
   */
  readonly requests: readonly RecordedRequest[]

  /**
   * Credits charged so far: the sum of the `X-Credits-Charged` headers sent.
   * @example
   * assert.equal(api.credits, 2)
   */
  readonly credits: number

  /**
   * Connections opened so far.
   * @example
   * assert.equal(api.connections, 1) // keep-alive works
   */
  readonly connections: number

  /**
   * How long every request waits before it is answered or fails, in milliseconds; default 0. Setting anything but a
   * finite number of at least 0 throws a `RangeError`.
   * @example
   * api.latencyMs = 50
   */
  latencyMs: number

  /**
   * How many requests came in; with an address, how many of those in `requests` asked about it, in any spelling.
   * @example
   * assert.equal(api.requestCount('8.8.8.8'), 1) // coalesced
   */
  requestCount(ip?: string): number

  /**
   * Fixes the answer for an address, until `reset()`. The given fields are laid over the clean answer; `null` means
   * that there is no record: 404. Replaces an earlier answer. Throws a `TypeError` when `ip` is not an address or a
   * field is not one of the 27; for other bodies there is `answerRaw()`.
   * @example
   * api.answer('8.8.8.8', { threat_score: 55, is_residential_proxy: true })
   * api.answer('2001:db8::7', null)
   */
  answer(ip: string, security: PartialSecurity | null): void

  /**
   * Fixes the answer for an address byte for byte, until `reset()`. In a bulk request its entry is the body when that
   * is JSON, else an error with the body as its message. Throws a `TypeError` when `ip` is not an address or a header
   * is not valid, a `RangeError` for an impossible status.
   * @example
   * api.answerRaw('8.8.8.8', { status: 418, headers: { 'x-teapot': '1' }, body: { message: 'short and stout' } })
   */
  answerRaw(ip: string, answer: RawAnswer): void

  /**
   * Makes requests fail: all, or those `options` names. There is one fault for each address and one for all
   * addresses, and the same again for each endpoint; setting it again replaces it. `null` clears the fault of
   * `options.ip` and `options.endpoint`, and without both every fault and the script. Throws a `TypeError` or `RangeError` that names the mistake.
   * @example
   * api.fault({ status: 503 }, { times: 3 })
   * api.fault({ kind: 'hang' }, { ip: '8.8.8.8' })
   * api.fault({ status: 413 }, { endpoint: 'bulk' })
   * api.fault(null)
   */
  fault(fault: Fault | null, options?: FaultOptions): void

  /**
   * Plays a list of faults, one for each request; `null` is a request that gets its true answer. After the list,
   * faults set by `fault()` apply again. Replaces what is left of an earlier script. Throws as `fault()` does.
   * @example
   * api.script([{ status: 500 }, null, { kind: 'reset' }])
   */
  script(faults: readonly (Fault | null)[]): void

  /**
   * Forgets answers, faults, script, latency, recorded requests and counts. Connections stay open, and requests that
   * hang go on hanging.
   * @example
   * afterEach(() => api.reset())
   */
  reset(): void

  /**
   * Closes every connection, answered or not, and frees the port. Calling it again does no harm.
   * @example
   * after(() => api.close())
   */
  close(): Promise<void>
}

/**
 * Starts a stand-in and resolves when it listens. It does not keep the process alive unless `keepAlive` is true: a
 * script that forgets `close()` still ends.
 *
 * Rejects with a `TypeError` or `RangeError` for a bad option, and with an `Error` that has the system's code (such as
 * `EADDRINUSE`) when it cannot listen.
 *
 * @example
 * const api = await startMockApi({ key: 'test-key' })
 * try {
 *   await fetch(`${api.url}/v3/security?apiKey=test-key&ip=8.8.8.8`)
 *   console.log(api.requestCount()) // 1
 * } finally {
 *   await api.close()
 * }
 */
export function startMockApi(options?: MockApiOptions): Promise<MockApi>

/** Options of {@link createTestChecker}: those of a checker, except where it finds the API. */
export interface CreateTestCheckerOptions extends Omit<RiskCheckerOptions, 'apiKey' | 'endpoint'> {
  /** The stand-in to ask. Default: one of its own, which `close()` ends. */
  api?: MockApi | undefined
}

/** A checker for tests, with what moves its world. */
export interface TestChecker {
  /** Give it to `riskMiddleware({ checker })`. It does not log unless `logger` is written. */
  readonly checker: RiskChecker
  /** The stand-in that it asks. */
  readonly api: MockApi
  /**
   * Lets time pass for the cache, expiring entries and limits, without waiting. Look-ups keep real time.
   *
   * @param milliseconds a whole number, 0 or more
   */
  advance(milliseconds: number): void
  /** Closes the checker, and the stand-in when it is the checker's own. */
  close(): Promise<void>
}

/**
 * Makes a checker that asks the stand-in, and scores the documentation addresses of {@link CARDS} and
 * {@link FAULT_CARDS}, which every other checker answers as special-use space. Refuses `endpoint` and `apiKey`, so that
 * no test can reach the real API.
 *
 * Rejects with the same codes as `new RiskChecker()`.
 *
 * @example
 * import { createTestChecker } from 'ip-risk/testing'
 *
 * const { checker, close } = await createTestChecker()
 * console.log((await checker.check('192.0.2.80')).action) // block: the last number is the score
 * console.log((await checker.check('203.0.113.11')).failedOpen) // true: the API answers 503
 * await close()
 */
export function createTestChecker(options?: CreateTestCheckerOptions): Promise<TestChecker>
