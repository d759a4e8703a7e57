/** A worker thread that answers each address it is sent with the decision of its own checker. */
import { parentPort, workerData } from 'node:worker_threads'
import { RiskChecker } from './package.mjs'

const checker = new RiskChecker(workerData.options)
parentPort.on('message', async (ip) => parentPort.postMessage(await checker.check(ip)))
parentPort.postMessage('ready')
