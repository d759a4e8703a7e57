// One side of the look-ups of `feeds.mjs`, in a process of its own: `side.mjs NAME SET DIRECTORY`.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { BlockList } from 'node:net'
import { join } from 'node:path'
import { readDecision, serve } from '../../serve.mjs'
import { SortedArray } from '../../sides/sorted-array.mjs'

const require = createRequire(import.meta.url)

const CALLS = 200_000
/** `net.BlockList` goes through all its rules. */
const CALLS_TO_1K = 20_000
const CALLS_TO_10K = 2_000

const [name, set, directory] = process.argv.slice(2)
let sink = 0

function readLines(file) {
  return readFileSync(join(directory, file), 'utf8').split('\n')
}

function readNumbers(file) {
  const { buffer, byteOffset, byteLength } = readFileSync(join(directory, file))
  return new Uint32Array(buffer.slice(byteOffset, byteOffset + byteLength))
}

function makeChecker() {
  const { RiskChecker } = require('../../../lib/index.js')
  return new RiskChecker({ feeds: { dir: directory }, logger: false })
}

function makeBlockList(rules, calls) {
  const list = new BlockList()
  for (const rule of rules) list.addRange(...rule.split(' '))
  return [calls, (ip) => (sink += list.check(ip) ? 1 : 0)]
}

/** Each side makes ready, and gives how often it is called in a round, the call, and what it finds as a number. */
const sides = {
  peek() {
    const checker = makeChecker()
    return [CALLS, (ip) => (sink += readDecision(checker.peek(ip)))]
  },
  evaluate() {
    const checker = makeChecker()
    const { addon } = require('../../../lib/judge.js')
    const { words: length } = require('../../../lib/vocabulary.js')
    const words = new Uint32Array(length)
    const evaluate = addon.evaluator.call(checker, words)
    return [CALLS, (ip) => (sink += evaluate(ip, 0, 0) + words[0])]
  },
  array() {
    const array = new SortedArray(readNumbers('firsts.u32'), readNumbers('signals.u32'))
    return [CALLS, (ip) => (sink += array.get(ip))]
  },
  async maxmind() {
    // As its manual has it: with its cache of 10,000 records, which holds all that this database has.
    const reader = await require('maxmind').open(join(directory, 'signals.mmdb'))
    return [CALLS, (ip) => (sink += reader.get(ip)?.signals ?? 0)]
  },
  blockList1k() {
    return makeBlockList(rules.slice(0, 1_000), CALLS_TO_1K)
  },
  blockList10k() {
    return makeBlockList(rules, CALLS_TO_10K)
  },
}

const addresses = readLines(`${set}.txt`)
const rules = name.startsWith('blockList') ? readLines('rules.txt') : []
const before = process.memoryUsage.rss()
const start = process.hrtime.bigint()
const [calls, call] = await sides[name]()
const readyMs = Number(process.hrtime.bigint() - start) / 1e6
const rssBytes = process.memoryUsage.rss()
for (const address of addresses.slice(0, calls)) call(address)
serve(addresses, calls, call, { readyMs, rssBytes, grownBytes: rssBytes - before, sum: sink })
