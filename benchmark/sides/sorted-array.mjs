/** What a careful programmer writes without any package: where signals change, searched by halves. IPv4 alone. */
export class SortedArray {
  #firsts
  #signals

  /**
   * @param {Uint32Array} firsts the first address of each run, ascending, from 0 on
   * @param {Uint32Array} signals what holds for each run
   */
  constructor(firsts, signals) {
    this.#firsts = firsts
    this.#signals = signals
  }

  /** @param {string} ip a well-formed IPv4 address */
  get(ip) {
    const address = parse(ip)
    const firsts = this.#firsts
    let low = 0
    let high = firsts.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (firsts[middle] <= address) low = middle
      else high = middle
    }
    return this.#signals[low]
  }
}

/** @param {string} ip */
function parse(ip) {
  let address = 0
  let part = 0
  for (let at = 0; at < ip.length; at++) {
    const code = ip.charCodeAt(at)
    if (code === 46) {
      address = (address << 8) | part
      part = 0
    } else {
      part = part * 10 + code - 48
    }
  }
  return ((address << 8) | part) >>> 0
}
