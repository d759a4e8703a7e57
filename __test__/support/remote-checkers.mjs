/** Checkers in processes and threads of their own, as one application has them. They have the methods of a checker. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

const PROGRAM = fileURLToPath(new URL('remote-checker.mjs', import.meta.url))
const METHODS = ['check', 'peek', 'checkMany', 'invalidate', 'stats', 'close']

/** One in another process, which ends with the test. */
export async function startInProcess(t, options) {
  const child = fork(PROGRAM, [JSON.stringify(options)])
  t.after(async () => {
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
  })
  await once(child, 'message')
  return remoteChecker(child, (message) => child.send(message))
}

/** One in a worker thread; `terminate()` ends the thread in the middle of what it does, as the end of the test does. */
export async function startInThread(t, options) {
  const worker = new Worker(PROGRAM, { workerData: options })
  t.after(() => worker.terminate())
  await once(worker, 'message')
  const checker = remoteChecker(worker, (message) => worker.postMessage(message))
  return { ...checker, terminate: () => worker.terminate() }
}

function remoteChecker(port, send) {
  const waiting = new Map()
  port.on('message', ({ number, value, error }) => {
    const { resolve, reject } = waiting.get(number)
    waiting.delete(number)
    if (error === undefined) resolve(value)
    else reject(Object.assign(new Error(error.message), error))
  })
  let next = 0
  const call = (method, words) =>
    new Promise((resolve, reject) => {
      const number = next++
      waiting.set(number, { resolve, reject })
      send({ number, method, words })
    })
  return Object.fromEntries(METHODS.map((method) => [method, (...words) => call(method, words)]))
}
