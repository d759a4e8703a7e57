import { once } from 'node:events'
import net from 'node:net'

/** Below the ports that systems give to connections, so that nobody else gets one in between. */
const FIRST = 11_000
const COUNT = 8_000
/** How much higher the bus of a node of a Redis cluster listens. */
const BUS = 10_000

let next = process.pid % COUNT

/** A port of loopback that is free, as is the one 10,000 higher. No two calls get the same. */
export async function freePort() {
  for (;;) {
    const port = FIRST + (next++ % COUNT)
    if ((await isFree(port)) && (await isFree(port + BUS))) return port
  }
}

async function isFree(port) {
  const server = net.createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
