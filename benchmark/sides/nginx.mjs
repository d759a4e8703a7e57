// An upstream that costs next to nothing: nginx with one answer for whatever address, which is repeated in it as the
// API does.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../../__test__/support/ports.mjs'
import { findTool } from '../tools.mjs'

/** Ends nginx, and removes its directory, when the input ends: so also when who started it is gone. */
const KEEPER = `
"$@" & server=$!
echo "$server"
read -r _
kill "$server"
wait "$server"
rm -rf "$0"
`

/** One worker does; more would take the processors away from what is measured. */
function configure(port, body) {
  return `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    default_type application/json;
    location / { return 200 '${body}'; }
  }
}
`
}

/**
 * Starts it.
 *
 * @param {object} security what it says of every address
 */
export async function startNginx(security) {
  const directory = mkdtempSync(join(tmpdir(), 'ip-risk-nginx-'))
  const port = await freePort()
  writeFileSync(join(directory, 'nginx.conf'), configure(port, JSON.stringify({ ip: '$arg_ip', security })))
  const words = [findTool('nginx'), '-p', directory, '-c', 'nginx.conf', '-e', 'stderr']
  const child = spawn('sh', ['-c', KEEPER, directory, ...words], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const pid = Number((await once(child.stdout, 'data'))[0])
  await listening(port, child)
  return {
    url: `http://127.0.0.1:${port}`,
    pid,
    async close() {
      child.stdin.end()
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Waits until it takes connections. */
async function listening(port, child) {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    await wait(20)
  }
  throw new Error('nginx ended; what it said stands above')
}
