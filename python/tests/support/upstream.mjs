// The stand-in of the Security API for the Python tests: one call of its methods on each line of the input, as
// `[name, ...arguments]`, and the answer on a line of the output. It ends with the input.
import { createInterface } from 'node:readline'
import testing from '../../../lib/testing.js'

const api = await testing.startMockApi({ keepAlive: true })
const say = (value) => process.stdout.write(`${JSON.stringify(value ?? null)}\n`)
const others = {
  latency: (milliseconds) => void (api.latencyMs = milliseconds),
  requests: () => api.requests.map(({ ips }) => ips),
}

say(api.url)
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = JSON.parse(line)
  say(others[name] === undefined ? api[name](...words) : others[name](...words))
}
process.exit()
