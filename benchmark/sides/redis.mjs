// A real redis-server of the benchmark's own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function isListening(port) {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Starts a server that keeps nothing on disk, and waits until it answers. */
export async function startRedis() {
  const port = await freePort()
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn('redis-server', options, { stdio: 'ignore' })
  const failed = once(server, 'error').then(([error]) => {
    throw new Error('`redis-server` cannot be started; install it (Debian: `apt-get install redis-server`)', {
      cause: error,
    })
  })
  const started = (async () => {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (await isListening(port)) return
      await wait(50)
    }
    throw new Error('`redis-server` did not start within five seconds')
  })()
  await Promise.race([started, failed])
  return {
    url: `redis://127.0.0.1:${port}`,
    async close() {
      server.kill()
      await once(server, 'exit')
    },
  }
}
