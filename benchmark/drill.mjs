// A drill: Redis and the provider fail in every way while people log in and pay: `npm run drill`. What it asserts and what
// it showed stands in README.md beside this. Ends with 1 when a promise was broken.
//
// `npm run drill -- --short` plays the form that is part of the tests.

import { FULL, SHORT } from './drill/forms.mjs'
import { judge } from './drill/promises.mjs'
import { introduction, table, verdict } from './drill/report.mjs'
import { runDrill } from './drill/run.mjs'

const form = process.argv.includes('--short') ? SHORT : FULL
console.log(introduction(form))
const acts = await runDrill(form, (act) => console.log(table(act)))
const judged = judge(acts, form)
console.log(verdict(judged))
process.exitCode = [...judged.values()].flat().length > 0 ? 1 : 0
