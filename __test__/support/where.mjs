/**
 * Where the package is that is tested: this checkout, or a project into which it was installed, which `IP_RISK_INSTALLED`
 * names. `scripts/test.mjs` sets that for tests of what is published.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url))

const installed = process.env.IP_RISK_INSTALLED

/** A directory from which `ip-risk` is found by its name. */
export const USER = installed ?? CHECKOUT

/** The directory of the package. */
export const PACKAGE = installed === undefined ? CHECKOUT : join(installed, 'node_modules', 'ip-risk')
