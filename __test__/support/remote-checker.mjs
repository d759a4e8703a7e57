/** A process or a worker thread with a checker of its own, which does what it is told by `remote-checkers.mjs`. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { RiskChecker } from './package.mjs'

const checker = new RiskChecker(isMainThread ? JSON.parse(process.argv[2]) : workerData)
const send = isMainThread ? (message) => process.send(message) : (message) => parentPort.postMessage(message)
const port = isMainThread ? process : parentPort

port.on('message', async ({ number, method, words }) => {
  send({ number, ...(await outcomeOf(method, words)) })
})
// Whoever started this process is gone, or has had enough.
process.on('disconnect', () => process.exit())
send('ready')

async function outcomeOf(method, words) {
  try {
    return { value: await checker[method](...words) }
  } catch ({ code, message }) {
    return { error: { code, message } }
  }
}
