// How long processes and threads have had a processor, as Linux tells it.

import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

/** The unit of `/proc`, which is the same on all systems that Node.js runs on. */
const TICK_MS = 10

/** @param {string} file a `stat` below `/proc` */
function readTicks(file) {
  const stat = readFileSync(file, 'utf8')
  // The name before it may hold blanks. User and system time are the fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/**
 * The milliseconds of one thread, to the nanosecond, or in ticks where the kernel does not count them.
 *
 * @param {string} thread its directory below `/proc`
 */
function readThreadMs(thread) {
  try {
    return Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ', 1)[0]) / 1e6
  } catch {
    return readTicks(`${thread}/stat`)
  }
}

/** The milliseconds of a process. */
export function processMs(pid) {
  return readTicks(`/proc/${pid}/stat`)
}

/** The milliseconds of the threads that a process has now, to the nanosecond: for one whose threads stay. */
export function threadsMs(pid) {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.reduce((sum, thread) => sum + readThreadMs(`/proc/${pid}/task/${thread}`), 0)
}

/** The milliseconds of the thread that runs JavaScript. */
export function mainThreadMs() {
  return readThreadMs(`/proc/self/task/${process.pid}`)
}

/** The milliseconds of everything on this machine, all processors together. */
export function machineMs() {
  const [user, nice, system, , , interrupts, softInterrupts, stolen] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .split(/ +/)
    .slice(1)
    .map(Number)
  return (user + nice + system + interrupts + softInterrupts + stolen) * TICK_MS
}

/** For how many seconds `quiet` waits at most. */
const LONGEST_WAIT = 60
let waitsInVain = false

/**
 * Waits until this machine has done next to nothing for a second, and says whether it ever did. Where it never came to rest
 * it is not waited for again.
 */
export async function quiet() {
  for (let second = 0; !waitsInVain && second < LONGEST_WAIT; second++) {
    const before = machineMs()
    await wait(1_000)
    if (machineMs() - before < 100) return true
  }
  if (!waitsInVain) console.error('something else runs on this machine; figures are rough')
  waitsInVain = true
  return false
}

/** Processes that only compute, as many as wanted, until they are ended or who started them is gone. */
export function occupy(count) {
  const compute = 'const parent = process.ppid; while (process.ppid === parent);'
  const children = Array.from({ length: count }, () => spawn(process.execPath, ['-e', compute]))
  return {
    ms: () => children.reduce((sum, { pid }) => sum + processMs(pid), 0),
    close: () => children.forEach((child) => child.kill()),
  }
}
