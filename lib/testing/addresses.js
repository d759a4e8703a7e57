'use strict'

const net = require('node:net')

/**
 * Private, reserved and documentation space, which the API calls bogon. After the IANA special-purpose registries;
 * of IPv6, everything outside 2000::/3 is refused at once.
 */
const BOGON_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]
const BOGON_IPV6 = ['2001::/32', '2001:2::/48', '2001:10::/28', '2001:db8::/32', '2002::/16', '3fff::/20']
const GLOBAL_IPV6 = ['2000::/3']

const bogonIpv4 = blockList(BOGON_IPV4, 'ipv4')
const bogonIpv6 = blockList(BOGON_IPV6, 'ipv6')
const globalIpv6 = blockList(GLOBAL_IPV6, 'ipv6')

/**
 * @param {string[]} prefixes
 * @param {'ipv4' | 'ipv6'} family
 */
function blockList(prefixes, family) {
  const list = new net.BlockList()
  for (const prefix of prefixes) {
    const [address, length] = prefix.split('/')
    list.addSubnet(address, Number(length), family)
  }
  return list
}

/**
 * One spelling for each address, IPv4-mapped ones as IPv4; null when the text is not an address.
 *
 * @param {string} text
 * @returns {string | null}
 */
function canonicalAddress(text) {
  if (net.isIPv4(text)) return text
  if (!net.isIPv6(text) || text.includes('%')) return null
  const { address } = new net.SocketAddress({ address: text, family: 'ipv6' })
  const embedded = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : ''
  return net.isIPv4(embedded) ? embedded : address
}

/** @param {string} address canonical */
function isBogon(address) {
  if (net.isIPv4(address)) return bogonIpv4.check(address, 'ipv4')
  return bogonIpv6.check(address, 'ipv6') || !globalIpv6.check(address, 'ipv6')
}

/**
 * The eight groups of an IPv6 address, without leading zeros.
 *
 * @param {string} address canonical
 * @returns {string[]}
 */
function ipv6Groups(address) {
  const [head, tail] = address.split('::').map((part) => (part === '' ? [] : part.split(':')))
  if (tail === undefined) return head
  return [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail]
}

/** @param {string} text */
function isHostName(text) {
  return text.length <= 253 && /^([a-z0-9_]([a-z0-9_-]{0,62})\.)*[a-z][a-z0-9-]{0,62}\.?$/i.test(text)
}

module.exports = { canonicalAddress, ipv6Groups, isBogon, isHostName }
