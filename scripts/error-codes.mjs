// Writes `docs/errors.md`, the reference of error codes, from where they are decided: what each means stands in
// `crates/core/src/error.rs`, what to do about it is what the built addon says. A test fails while it is not current.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)
export const REFERENCE = 'docs/errors.md'

/** What each code means, and which are limits that a caller can use up, out of the source of the core. */
function readCore() {
  const source = readFileSync(join(ROOT, 'crates/core/src/error.rs'), 'utf8')
  const [, table] = /^codes! \{\n([^]*?)^\}/m.exec(source)
  const entries = table.matchAll(/(?<doc>(?: *\/\/\/ .*\n)+) *(?<variant>\w+) = "(?<text>\w+)"/g)
  const [, limits] = /pub const fn class[^]*?match self \{([^]*?)=> \{?\s*FailureClass::Exhausted/.exec(
    source,
  )
  return [...entries].map(({ groups: { doc, variant, text } }) => ({
    code: `ERR_IP_RISK_${text}`,
    meaning: doc
      .replaceAll(/ *\/\/\/ /g, '')
      .trim()
      .replaceAll('\n', ' '),
    isLimit: new RegExp(`Self::${variant}\\b`).test(limits),
  }))
}

/** The reference as it has to be. */
export function errorReference() {
  const { codes, advice } = require('../lib/vocabulary.js')
  const known = readCore()
  const names = known.map(({ code }) => code)
  if (names.join() !== codes.join()) {
    throw new Error('the addon has other codes than `crates/core/src/error.rs`; run `npm run build`')
  }
  const rows = known.map(({ code, meaning, isLimit }, place) => {
    return `| \`${code}\` | ${meaning} | ${isLimit ? 'yes' : ''} | ${advice[place] || 'what the message says'} |`
  })
  return `${HEAD}${rows.join('\n')}\n`
}

const HEAD = `# Error codes

<!-- Written by \`node scripts/error-codes.mjs\`; change \`crates/core/src/error.rs\` instead. -->

Every code that stands in \`error.code\`, in \`decision.failure\` or in a warning, in both faces. A code is forever: its
message may change, its meaning does not, and more may be added. Which ones are thrown, which end in a decision and which
are warnings stands in the README, under [Error codes](../README.md#error-codes) and
[When something fails](../README.md#when-something-fails).

A limit is what a caller can use up on purpose: there \`onFailure.exhausted\` answers, and not \`onFailure.upstream\`.

| Code | What it means | Limit | What to do |
|---|---|---|---|
`

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(join(ROOT, REFERENCE), errorReference())
