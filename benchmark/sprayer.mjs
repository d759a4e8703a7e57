// A spray: many who ask at once, each about one new address after the other.

/** Addresses of 24.0.0.0/6, all different, each in a network of its own. Nothing is sent to them. */
export function addressOf(number) {
  const place = Math.imul(number, 0x9e3779b1) & 0x3ff_ffff
  return `${24 + (place >>> 24)}.${(place >>> 16) & 255}.${(place >>> 8) & 255}.${place & 255}`
}

/** Numbers from `first` on, `count` of them. */
export function range(first, count) {
  return Array.from({ length: count }, (_, index) => first + index)
}

/**
 * Has `callers` go through `items` together, and counts what `call` says of each; null is not counted.
 *
 * @template T
 * @param {number} callers
 * @param {T[]} items
 * @param {(item: T) => Promise<string | null>} call
 */
export async function spray(callers, items, call) {
  const counts = {}
  let next = 0
  async function ask() {
    while (next < items.length) {
      const said = await call(items[next++])
      if (said !== null) counts[said] = (counts[said] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: callers }, ask))
  return counts
}
