/** Writes the smallest databases in the MaxMind DB format: IPv4 networks that all have one record. */

const METADATA_FOLLOWS = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1')
const DATA = Symbol('data')
const TEXT = 2
/** Numbers without a sign, in two, four and eight bytes. */
const SHORT = 5
const NUMBER = 6
const LONG = 9
const OBJECT = 7
const LIST = 11
const BOOLEAN = 14

/** The bytes of a database of that type, in which each of `networks` (`a.b.c.d/length`) has `record`. */
export function makeDatabase(type, networks, record) {
  const nodes = [[undefined, undefined]]
  for (const network of networks) addNetwork(nodes, network)
  const metadata = {
    database_type: type,
    description: { en: 'a test' },
    languages: ['en'],
    binary_format_major_version: number(SHORT, 2),
    binary_format_minor_version: number(SHORT, 0),
    ip_version: number(SHORT, 4),
    record_size: number(SHORT, 24),
    node_count: number(NUMBER, nodes.length),
    build_epoch: number(LONG, Math.floor(Date.now() / 1000)),
  }
  const tree = nodes.flat().map((child) => pointer(child, nodes.length))
  return Buffer.concat([...tree, Buffer.alloc(16), encode(record), METADATA_FOLLOWS, encode(metadata)])
}

/** Adds what leads to a network: a node has for each bit the number of the next one, or `DATA`, or nothing. */
function addNetwork(nodes, network) {
  const [address, length] = network.split('/')
  const bits = address
    .split('.')
    .flatMap((part) => [...Number(part).toString(2).padStart(8, '0')].map(Number))
  const last = Number(length) - 1
  let node = nodes[0]
  for (const bit of bits.slice(0, last)) {
    node[bit] ??= nodes.push([undefined, undefined]) - 1
    node = nodes[node[bit]]
  }
  node[bits[last]] = DATA
}

function pointer(child, count) {
  if (child === undefined) return bigEndian(count, 3)
  return bigEndian(child === DATA ? count + 16 : child, 3)
}

function bigEndian(number, bytes) {
  const buffer = Buffer.alloc(bytes)
  const written = Math.min(bytes, 6)
  buffer.writeUIntBE(number, bytes - written, written)
  return buffer
}

function number(type, value) {
  const bytes = { [SHORT]: 2, [NUMBER]: 4, [LONG]: 8 }[type]
  return Buffer.concat([header(type, bytes), bigEndian(value, bytes)])
}

/** A buffer is encoded already. */
function encode(value) {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'string') return Buffer.concat([header(TEXT, value.length), Buffer.from(value)])
  if (typeof value === 'number') return number(NUMBER, value)
  if (typeof value === 'boolean') return header(BOOLEAN, Number(value))
  if (Array.isArray(value)) return Buffer.concat([header(LIST, value.length), ...value.map(encode)])
  const entries = Object.entries(value)
  return Buffer.concat([header(OBJECT, entries.length), ...entries.flat().map(encode)])
}

/** The type and the size that a value begins with; none here is longer than 284. */
function header(type, size) {
  const low = Math.min(size, 29)
  const start = type > 7 ? [low, type - 7] : [(type << 5) | low]
  return Buffer.from(size < 29 ? start : [...start, size - 29])
}
