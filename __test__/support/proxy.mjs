/** A CONNECT proxy as companies have them. */
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'

/**
 * Starts a proxy that tunnels everything, or answers `status` instead. `connects` holds `[target, credentials]` of
 * each tunnel that was asked for; `others` holds the requests that it was asked to make itself.
 */
export async function startProxy(t, { status = 200 } = {}) {
  const proxy = { connects: [], others: [] }
  const sockets = new Set()
  const server = http.createServer((request, response) => {
    proxy.others.push(request.url)
    response.writeHead(502).end()
  })
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})))
  server.on('connect', (request, socket) => {
    proxy.connects.push([request.url, request.headers['proxy-authorization']])
    if (status === 200) tunnel(request.url, socket, sockets)
    else socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return Object.assign(proxy, { host: `127.0.0.1:${server.address().port}` })
}

function tunnel(target, socket, sockets) {
  const { hostname, port } = new URL(`http://${target}`)
  const upstream = net.connect(Number(port || 80), hostname, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    upstream.pipe(socket).pipe(upstream)
  })
  sockets.add(upstream.on('error', () => socket.destroy()))
}
