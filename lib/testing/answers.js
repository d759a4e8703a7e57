'use strict'

const net = require('node:net')
const { canonicalAddress, ipv6Groups } = require('./addresses.js')

/** @import { Card, Fault, FaultCard, PartialSecurity, Security } from '../testing.js' */

/** @type {Security} */
const CLEAN = {
  threat_score: 0,
  is_tor: false,
  is_proxy: false,
  proxy_provider_names: [],
  proxy_confidence_score: 0,
  proxy_last_seen: '',
  is_residential_proxy: false,
  is_vpn: false,
  vpn_provider_names: [],
  vpn_confidence_score: 0,
  vpn_last_seen: '',
  is_relay: false,
  relay_provider_name: '',
  is_anonymous: false,
  is_known_attacker: false,
  is_bot: false,
  bot_confidence_score: 0,
  bot_operator_name: '',
  bot_type: '',
  is_known_good_bot: false,
  bot_last_seen: '',
  is_spam: false,
  is_cloud_provider: false,
  cloud_provider_name: '',
  is_corporate_gateway: false,
  corporate_gateway_type: '',
  corporate_gateway_provider_name: '',
}

const SECURITY_FIELDS = Object.keys(CLEAN)

/**
 * A whole answer, from what differs from the clean one.
 *
 * @param {PartialSecurity} partial
 */
function securityOf(partial) {
  return { ...CLEAN, ...partial }
}

/** A rule on recent sightings must match whenever the tests run. */
const YESTERDAY = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)

const VPN = {
  is_vpn: true,
  vpn_provider_names: ['Example VPN'],
  vpn_confidence_score: 99,
  vpn_last_seen: YESTERDAY,
  is_anonymous: true,
}
const PROXY = {
  is_proxy: true,
  proxy_provider_names: ['Example Proxy'],
  proxy_confidence_score: 99,
  proxy_last_seen: YESTERDAY,
  is_anonymous: true,
}
const RESIDENTIAL_PROXY = { ...PROXY, is_residential_proxy: true }
const TOR = { is_tor: true, is_anonymous: true }
const RELAY = { is_relay: true, relay_provider_name: 'Example Relay', is_anonymous: true }
const ATTACKER = { is_known_attacker: true }
const BOT = {
  is_bot: true,
  bot_confidence_score: 95,
  bot_type: 'credential_stuffing',
  bot_last_seen: YESTERDAY,
}
const GOOD_BOT = {
  ...BOT,
  bot_operator_name: 'Example Search',
  bot_type: 'SEARCH_ENGINE',
  is_known_good_bot: true,
}
const SPAM = { is_spam: true }
const CLOUD = { is_cloud_provider: true, cloud_provider_name: 'Example Cloud' }
const GOOGLE_CLOUD = { is_cloud_provider: true, cloud_provider_name: 'Google LLC' }
const GATEWAY = {
  is_corporate_gateway: true,
  corporate_gateway_type: 'secure_web_gateway',
  corporate_gateway_provider_name: 'Example Gateway',
}

/** The edges of the bands `low`, `guarded`, `elevated` and `high`. */
const BAND_EDGES = [0, 19, 20, 44, 45, 79, 80, 100]

/** @type {readonly Card[]} */
const CARDS = deepFreeze([
  ...BAND_EDGES.map((score) => card(`192.0.2.${score}`, `score-${score}`, score, {})),
  ...BAND_EDGES.map((score) => card(ipv6ScoreAddress(score), `ipv6-score-${score}`, score, {})),
  card('198.51.100.1', 'vpn', 50, VPN),
  card('198.51.100.2', 'proxy', 50, PROXY),
  card('198.51.100.3', 'residential-proxy', 60, RESIDENTIAL_PROXY),
  card('198.51.100.4', 'tor', 70, TOR),
  card('198.51.100.5', 'relay', 30, RELAY),
  card('198.51.100.6', 'relay-high', 85, RELAY),
  card('198.51.100.7', 'known-attacker', 40, ATTACKER),
  card('198.51.100.8', 'bot', 40, BOT),
  card('198.51.100.9', 'known-good-bot', 50, GOOD_BOT),
  card('198.51.100.10', 'spam', 60, SPAM),
  card('198.51.100.11', 'cloud-provider', 5, CLOUD),
  card('198.51.100.12', 'corporate-gateway', 60, GATEWAY),
  card('198.51.100.13', 'corporate-gateway-attacker', 60, { ...GATEWAY, ...ATTACKER }),
  card('198.51.100.14', 'residential-proxy-low', 10, RESIDENTIAL_PROXY),
  card('198.51.100.15', 'vpn-low', 10, VPN),
  card('198.51.100.16', 'vpn-long-ago', 50, { ...VPN, vpn_last_seen: '2020-01-01' }),
  card('198.51.100.17', 'vpn-proxy-cloud', 50, { ...VPN, ...PROXY, ...CLOUD }),
  card('198.51.100.18', 'known-good-bot-high', 90, GOOD_BOT),
  card('198.51.100.19', 'corporate-gateway-high', 90, GATEWAY),
  card('198.51.100.20', 'relay-attacker', 85, { ...RELAY, ...ATTACKER }),
  card('198.51.100.21', 'relay-spam', 85, { ...RELAY, ...SPAM }),
  card('198.51.100.22', 'google-cloud', 60, GOOGLE_CLOUD),
  card('198.51.100.23', 'google-cloud-attacker', 60, { ...GOOGLE_CLOUD, ...ATTACKER }),
  card('198.51.100.24', 'everything', 80, {
    ...VPN,
    ...RESIDENTIAL_PROXY,
    ...TOR,
    ...RELAY,
    ...ATTACKER,
    ...GOOD_BOT,
    ...SPAM,
    ...CLOUD,
    ...GATEWAY,
  }),
])

/**
 * @param {string} address
 * @param {string} name
 * @param {number} score
 * @param {PartialSecurity} flags
 * @returns {Card}
 */
function card(address, name, score, flags) {
  return { address, name, score, flags }
}

/**
 * In the canonical spelling, which is the one a decision shows.
 *
 * @param {number} score
 */
function ipv6ScoreAddress(score) {
  return String(canonicalAddress(`2001:db8:0:${score}::1`))
}

/** Values that a tolerant reader cannot mistake for a boolean, a number, a text or a list of texts. */
const WRONG_TYPES = Object.fromEntries(
  Object.entries(CLEAN).map(([field, value]) => [field, typeof value === 'boolean' ? [field] : { field }]),
)

/** @type {readonly FaultCard[]} */
const FAULT_CARDS = deepFreeze([
  faultCard(1, '400', { status: 400 }),
  faultCard(2, '401', { status: 401 }),
  faultCard(3, '403', { status: 403 }),
  faultCard(4, '404', { status: 404 }),
  faultCard(5, '423', { status: 423 }),
  faultCard(6, '429', { status: 429 }),
  faultCard(7, '429-retry-after', { status: 429, retryAfter: 30 }),
  faultCard(8, '499', { status: 499 }),
  faultCard(9, '500', { status: 500 }),
  faultCard(10, '502', { status: 502 }),
  faultCard(11, '503', { status: 503 }),
  faultCard(12, '503-retry-after', { status: 503, retryAfter: 30 }),
  faultCard(13, '504', { status: 504 }),
  faultCard(14, '505', { status: 505 }),
  faultCard(15, 'wrong-endpoint', { kind: 'wrong-endpoint' }),
  faultCard(16, 'redirect', { kind: 'redirect' }),
  faultCard(17, 'hang', { kind: 'hang' }),
  faultCard(18, 'close-before-headers', { kind: 'close-before-headers' }),
  faultCard(19, 'reset', { kind: 'reset' }),
  faultCard(20, 'reset-mid-body', { kind: 'reset-mid-body' }),
  faultCard(21, 'truncated', { kind: 'truncated' }),
  faultCard(22, 'drip', { kind: 'drip' }),
  faultCard(23, 'oversized', { kind: 'oversized' }),
  faultCard(24, 'gzip-bomb', { kind: 'gzip-bomb' }),
  faultCard(25, 'bad-gzip', { kind: 'bad-gzip' }),
  faultCard(26, 'html', { kind: 'html' }),
  faultCard(27, 'empty', { kind: 'empty' }),
  faultCard(28, 'not-json', { kind: 'not-json' }),
  bodyCard(40, 'wrong-types', (ip) => ({ ip, security: WRONG_TYPES })),
  bodyCard(41, 'security-missing', (ip) => ({ ip })),
  bodyCard(42, 'security-null', (ip) => ({ ip, security: null })),
  bodyCard(43, 'security-empty', (ip) => ({ ip, security: {} })),
  bodyCard(44, 'security-list', (ip) => ({ ip, security: [securityOf({})] })),
  bodyCard(45, 'body-null', () => null),
  bodyCard(46, 'body-list', () => []),
  bodyCard(47, 'body-empty', () => ({})),
  bodyCard(48, 'other-address', () => ({ ip: '8.8.8.8', security: securityOf({}) })),
  bodyCard(50, 'score-missing', (ip) => ({ ip, security: withoutScore(securityOf({})) })),
  scoreCard(51, 'score-null', null),
  scoreCard(52, 'score-101', 101),
  scoreCard(53, 'score-negative', -1),
  scoreCard(54, 'score-fraction', 49.5),
  scoreCard(55, 'score-nan', 'NaN'),
  scoreCard(56, 'score-text', '55'),
  scoreCard(57, 'score-boolean', true),
  scoreCard(58, 'score-huge', 1e300),
])

/**
 * @param {number} last the last number of the address
 * @param {string} name
 * @param {Fault} fault
 * @returns {FaultCard}
 */
function faultCard(last, name, fault) {
  return { address: `203.0.113.${last}`, name, fault }
}

/**
 * @param {number} last the last number of the address
 * @param {string} name
 * @param {(ip: string) => unknown} bodyFor
 * @returns {FaultCard}
 */
function bodyCard(last, name, bodyFor) {
  const address = `203.0.113.${last}`
  return { address, name, body: bodyFor(address) }
}

/** @param {Partial<Security>} security */
function withoutScore({ threat_score: _left, ...rest }) {
  return rest
}

/**
 * @param {number} last the last number of the address
 * @param {string} name
 * @param {unknown} score
 */
function scoreCard(last, name, score) {
  return bodyCard(last, name, (ip) => ({ ip, security: { ...CLEAN, threat_score: score } }))
}

/**
 * The addresses of the vendor's published examples, with the facts published about them.
 *
 * @type {Readonly<Record<string, PartialSecurity>>}
 */
const EXAMPLES = {
  '2.56.188.34': {
    threat_score: 80,
    is_proxy: true,
    proxy_provider_names: ['Zyte Proxy'],
    proxy_confidence_score: 80,
    proxy_last_seen: '2025-12-12',
    is_residential_proxy: true,
    is_vpn: true,
    vpn_provider_names: ['Nord VPN'],
    vpn_confidence_score: 80,
    vpn_last_seen: '2026-01-19',
    is_anonymous: true,
    is_known_attacker: true,
    is_cloud_provider: true,
    cloud_provider_name: 'Packethub S.A.',
  },
  '37.120.202.92': {
    threat_score: 50,
    is_proxy: true,
    proxy_confidence_score: 99,
    proxy_last_seen: '2026-09-08',
    is_vpn: true,
    vpn_provider_names: ['Private Internet Access VPN'],
    vpn_confidence_score: 99,
    vpn_last_seen: '2026-09-28',
    is_anonymous: true,
    is_cloud_provider: true,
    cloud_provider_name: 'M247',
  },
  '94.237.40.1': {
    threat_score: 50,
    is_proxy: true,
    proxy_confidence_score: 99,
    is_vpn: true,
    vpn_provider_names: ['Browsec VPN'],
    vpn_confidence_score: 99,
    vpn_last_seen: '2026-08-27',
    is_anonymous: true,
    is_cloud_provider: true,
    cloud_provider_name: 'UpCloud Ltd',
  },
  '145.223.7.7': {
    threat_score: 90,
    is_vpn: true,
    vpn_provider_names: ['Browsec VPN'],
    vpn_confidence_score: 80,
    vpn_last_seen: '2026-06-25',
    is_anonymous: true,
    is_known_attacker: true,
    is_spam: true,
    is_cloud_provider: true,
    cloud_provider_name: 'SIA Digitalas Ekonomikas Attistibas Centrs',
  },
  '91.128.103.196': {},
  '2607:fb91:16c6:8860:e531:2d1d:4944:6c7c': {},
  '18.97.14.89': cleanCloud('Amazon.com, Inc.'),
  '216.73.216.43': cleanCloud('Amazon.com, Inc.'),
  '8.8.8.8': cleanCloud('Google LLC'),
  '1.1.1.1': cleanCloud('Cloudflare, Inc.'),
  '165.227.0.1': cleanCloud('DigitalOcean, LLC'),
}

/** @param {string} name */
function cleanCloud(name) {
  return { threat_score: 5, is_cloud_provider: true, cloud_provider_name: name }
}

/** @type {Map<string, PartialSecurity>} */
const securityByAddress = new Map([
  ...Object.entries(EXAMPLES),
  ...CARDS.map(
    ({ address, score, flags }) =>
      /** @type {[string, PartialSecurity]} */ ([address, { ...flags, threat_score: score }]),
  ),
])

const faultCardByAddress = new Map(FAULT_CARDS.map((fault) => [fault.address, fault]))

/**
 * The built-in answer for an address, null when there is none.
 *
 * @param {string} address canonical
 * @returns {PartialSecurity | null}
 */
function builtInSecurity(address) {
  const security = securityByAddress.get(address)
  if (security) return security
  const score = scoreInAddress(address)
  return score === null ? null : { threat_score: score }
}

/**
 * The N of `192.0.2.N` and `2001:db8:0:N::/64`.
 *
 * @param {string} address canonical
 * @returns {number | null}
 */
function scoreInAddress(address) {
  const text = net.isIPv4(address) ? ipv4ScoreText(address) : ipv6ScoreText(address)
  return /^[0-9]{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) : null
}

/** @param {string} address canonical IPv4 */
function ipv4ScoreText(address) {
  return address.startsWith('192.0.2.') ? address.slice('192.0.2.'.length) : ''
}

/** @param {string} address canonical IPv6 */
function ipv6ScoreText(address) {
  if (!address.startsWith('2001:db8:')) return ''
  const groups = ipv6Groups(address)
  return groups[2] === '0' ? groups[3] : ''
}

/**
 * @param {string} address canonical
 * @returns {FaultCard | undefined}
 */
function faultCardFor(address) {
  return faultCardByAddress.get(address)
}

/**
 * @template T
 * @param {T} value
 * @returns {T}
 */
function deepFreeze(value) {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}

module.exports = {
  CARDS,
  FAULT_CARDS,
  SECURITY_FIELDS,
  WRONG_TYPES,
  builtInSecurity,
  faultCardFor,
  securityOf,
}
