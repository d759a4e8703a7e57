/** The declarations, from a project that uses the package: what they refuse, and what calls give. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { makeConsumer } from './support/consumer.mjs'

const read = (name) => readFileSync(new URL(`types/${name}.ts`, import.meta.url), 'utf8')
const TEXTS = { misuse: read('misuse'), shapes: read('shapes') }

/** As strict as the compiler can be, declarations included. */
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
}
const OUTPUT = { lib: ['es2024', 'esnext.disposable'], noEmit: true, target: 'es2023', types: ['node'] }

for (const [resolution, extensions, options] of [
  ['node16', ['mts', 'cts'], { module: 'node16' }],
  ['nodenext', ['mts', 'cts'], { module: 'nodenext' }],
  ['bundler', ['ts'], { module: 'esnext', moduleResolution: 'bundler' }],
]) {
  describe(`resolved as ${resolution}`, () => {
    let project
    before(() => (project = makeConsumer()))
    after(() => project.remove())

    async function complaintsAbout(texts) {
      const files = Object.entries(texts).flatMap(([name, text]) =>
        extensions.map((extension) => {
          project.write(`${name}.${extension}`, text)
          return `${name}.${extension}`
        }),
      )
      const compilerOptions = { ...options, ...STRICT, ...OUTPUT }
      project.write('tsconfig.json', JSON.stringify({ compilerOptions, files }))
      const { stdout, stderr } = await project.compile(['--project', 'tsconfig.json'])
      return (stdout + stderr).split('\n').filter(Boolean)
    }

    test('every misuse is refused, and calls give what they say', async () => {
      assert.deepEqual(await complaintsAbout(TEXTS), [])
    })

    test('a misuse that is no longer refused is seen', async () => {
      const allowed = TEXTS.misuse.replace("accept<Action>('deny')", "accept<Action>('allow')")
      const complaints = await complaintsAbout({ misuse: allowed })
      assert.equal(complaints.length, extensions.length)
      for (const complaint of complaints) assert.match(complaint, /TS2578: Unused '@ts-expect-error'/)
    })
  })
}

test('the declarations need no types of Node.js', async (t) => {
  const project = makeConsumer()
  t.after(() => project.remove())
  project.write(
    'app.mts',
    "import { RiskChecker } from 'ip-risk'\nawait using checker = new RiskChecker()\nvoid checker\n",
  )
  const compilerOptions = { ...STRICT, module: 'nodenext', target: 'es2022', types: [], noEmit: true }
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['app.mts'] }))
  const { stdout, stderr } = await project.compile(['--project', 'tsconfig.json'])
  assert.equal(stdout + stderr, '')
})
