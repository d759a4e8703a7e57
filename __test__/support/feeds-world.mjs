/** A server of feeds, and commands that run beside it. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { columns, runCommand, startCommand } from './cli.mjs'
import { FeedServer, recipe, writeCatalogue } from './feed-server.mjs'

/** Where, and what. */
export const PLACE = ['--dir', 'feeds', '--catalogue', 'catalogue.json']

/**
 * A server with feeds, `{ id: [answer, recipe] }`, and an empty directory in which commands run that may write only
 * into `feeds`.
 */
export async function startFeedsWorld(t, feeds = {}) {
  const server = await FeedServer.start()
  const cwd = mkdtempSync(join(tmpdir(), 'ip-risk-feeds-'))
  t.after(async () => {
    await server.close()
    rmSync(cwd, { recursive: true })
  })
  for (const name of ['home', 'tmp']) mkdirSync(join(cwd, name))
  const recipes = Object.entries(feeds).map(([id, [answer, own]]) => {
    server.answers[id] = answer
    return recipe(server.url, id, own)
  })
  writeCatalogue(cwd, recipes)
  const options = ({ env, ...rest } = {}) => ({
    cwd,
    env: { HOME: join(cwd, 'home'), TMPDIR: join(cwd, 'tmp'), ...env },
    ...rest,
  })
  return {
    server,
    cwd,
    directory: join(cwd, 'feeds'),
    start: (args, own) => startCommand(['feeds', ...args], options(own)),
    run: (args, own) => runCommand(['feeds', ...args], options(own)),
    update: (args = [], own) => runCommand(['feeds', 'update', ...PLACE, ...args], options(own)),
    import: (args, own) => runCommand(['feeds', 'import', ...PLACE, ...args], options(own)),
    check: (args, own) => runCommand(['check', ...args], options(own)),
    write: (name, content) => writeFileSync(join(cwd, name), content),
  }
}

/** What the command left in the directory in which it ran. */
export function written({ cwd }) {
  return readdirSync(cwd, { recursive: true })
    .filter((path) => !path.startsWith('feeds/'))
    .sort()
}

/** The lines that begin with an outcome, as `{ outcome: text }`. */
export function summary(stdout) {
  return Object.fromEntries(
    columns(stdout)
      .filter((row) => row.length === 2)
      .map(([outcome, text]) => [outcome, text]),
  )
}
