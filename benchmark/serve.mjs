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
  process.on('message', async (message) => {
    if (message === 'round') process.send(await round(addresses, calls, call))
    else process.exit()
  })
  process.send(facts)
}

async function round(addresses, calls, call) {
  const start = process.hrtime.bigint()
  if (call.constructor.name === 'AsyncFunction') {
    for (let at = 0; at < calls; at++) await call(addresses[at % addresses.length])
  } else {
    for (let at = 0; at < calls; at++) call(addresses[at % addresses.length])
  }
  return Number(process.hrtime.bigint() - start) / calls
}
