// What every side of a benchmark does in its own process.

/** Reads what a login handler reads, so that no side can leave it undone. */
export function readDecision({ score, flags, reasons, action, failedOpen }) {
  return score + reasons.length + action.length + (flags.is_vpn ? 1 : 0) + (failedOpen ? 1 : 0)
}

/**
 * Says that it is ready, and answers each `round` with the time of one of `calls` calls in nanoseconds.
 *
 * @param {string[]} addresses
 * @param {number} calls
 * @param {(ip: string) => unknown} call
 * @param {object} [facts] what the benchmark is told beforehand
 */
export function serve(addresses, calls, call, facts = {}) {
  let first = 0
  serveRounds(async () => {
    const nanoseconds = await time(addresses, first, calls, call)
    first += calls // a round goes on where the one before has ended, so that large sets are gone through
    return nanoseconds
  }, facts)
}

/**
 * Says that it is ready, and answers each `round` with what `round` gives.
 *
 * @param {() => unknown} round
 * @param {object} [facts] what the benchmark is told beforehand
 */
export function serveRounds(round, facts = {}) {
  process.on('message', async (message) => {
    if (message === 'round') process.send(await round())
    else process.exit()
  })
  process.on('disconnect', () => process.exit())
  process.send(facts)
}

async function time(addresses, first, calls, call) {
  const end = first + calls
  const start = process.hrtime.bigint()
  if (call.constructor.name === 'AsyncFunction') {
    for (let at = first; at < end; at++) await call(addresses[at % addresses.length])
  } else {
    for (let at = first; at < end; at++) call(addresses[at % addresses.length])
  }
  return Number(process.hrtime.bigint() - start) / calls
}
