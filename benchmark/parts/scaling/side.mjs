// Worker threads that ask about the same addresses: `side.mjs NAME WORKERS API_URL`. A round is all of them at once.

import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { serveRounds } from '../../serve.mjs'

const [name, count, api] = process.argv.slice(2)
const program = fileURLToPath(new URL('worker.mjs', import.meta.url))

const workers = []
for (let number = 0; number < Number(count); number++) {
  const worker = new Worker(program, { workerData: { name, api } })
  worker.on('error', (error) => {
    console.error(error)
    process.exit(1)
  })
  // One after the other: what the first has looked up, those that share it need not.
  await once(worker, 'message')
  workers.push(worker)
}

/** Calls per second, of all together and of each by itself. */
async function round() {
  const answers = workers.map((worker) => once(worker, 'message'))
  for (const worker of workers) worker.postMessage('round')
  const times = (await Promise.all(answers)).map(([time]) => time)
  const calls = times.reduce((sum, time) => sum + time.calls, 0)
  const first = Math.min(...times.map(({ start }) => start))
  const last = Math.max(...times.map(({ end }) => end))
  return {
    total: (calls / (last - first)) * 1e9,
    each: times.map((time) => (time.calls / (time.end - time.start)) * 1e9),
  }
}

serveRounds(round)
