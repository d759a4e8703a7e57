/** Pseudo-random choices that are the same in every run, so that a failure can be repeated. */
export function randomFrom(seed) {
  let state = seed >>> 0
  // xorshift32: short, and even enough to choose from lists.
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  const below = (limit) => next() % limit
  return { below, pick: (list) => list[below(list.length)] }
}
