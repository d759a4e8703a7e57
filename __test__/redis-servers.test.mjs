/** The Redis servers that other tests start: they are real, and nothing is left of them. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import { runScript } from './support/children.mjs'
import { startRedis } from './support/redis.mjs'
import { waitUntil } from './support/waiting.mjs'

const START = `import('./__test__/support/redis.mjs').then(({ startRedis }) => startRedis())`

/** Whether somebody listens on a port. */
function isTaken(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

test('one that is killed is gone, paused it says nothing, and started again it is there', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.close())
  await redis.command('SET', 'key', 'value')
  redis.pause()
  assert.equal(await redis.answers(), false)
  redis.resume()
  assert.equal(await redis.command('GET', 'key'), 'value')
  await redis.kill()
  assert.equal(await isTaken(redis.port), false)
  assert.throws(() => redis.pause())
  await redis.start()
  assert.equal(await redis.command('GET', 'key'), null)
  await redis.command('SET', 'key', 'value')
  await redis.restart()
  assert.equal(await redis.command('GET', 'key'), null)
})

test('without the program the message says what to install', async () => {
  const { code, stderr } = await runScript(START, { env: { PATH: '/nowhere' } })
  assert.equal(code, 1)
  assert.match(
    stderr,
    /`redis-server` cannot be started; install it \(Debian: `apt-get install redis-server`\)/,
  )
})

for (const [how, end] of [
  ['forgets them', ''],
  ['fails', `throw new Error('this test failed')`],
  ['is killed', `process.kill(process.pid, 'SIGKILL')`],
]) {
  test(`nothing is left when a process ${how}`, async () => {
    const script = `${START}.then(async (redis) => {
      const directory = (await redis.command('CONFIG', 'GET', 'dir'))[1]
      console.log(JSON.stringify({ port: redis.port, directory }))
      ${end}
    })`
    const { stdout } = await runScript(script)
    const { port, directory } = JSON.parse(stdout)
    await waitUntil('the server is gone', async () => !(await isTaken(port)))
    await waitUntil('its directory is gone', () => !existsSync(directory))
  })
}
