/** What calls give, to the letter. Compiled like `misuse.ts`; never run. */
import { RiskChecker, riskMiddleware } from 'ip-risk'
import * as resilient from 'ip-risk/resilient'
import { createTestChecker } from 'ip-risk/testing'
import type { Decision, FailureMode, IpRiskError, PolicyOptions, RiskMiddleware, Stats } from 'ip-risk'

/** True where both are the same type, and not only assignable. */
type Same<One, Other> =
  (<Type>() => Type extends One ? 1 : 2) extends <Type>() => Type extends Other ? 1 : 2 ? true : false
declare function same<One, Other>(isSame: Same<One, Other>): void

const checker = new RiskChecker()
same<Awaited<ReturnType<typeof checker.check>>, Decision>(true)
same<ReturnType<typeof checker.peek>, Decision | null>(true)
same<Awaited<ReturnType<typeof checker.checkMany>>, Decision[]>(true)
same<ReturnType<typeof checker.checkStream>, AsyncIterable<Decision>>(true)
same<ReturnType<typeof checker.invalidate>, Promise<void>>(true)
same<ReturnType<typeof checker.stats>, Stats>(true)
same<ReturnType<typeof checker.close>, Promise<void>>(true)
same<ReturnType<typeof riskMiddleware>, RiskMiddleware>(true)
same<Decision['action'], 'allow' | 'log' | 'challenge' | 'block' | 'hold'>(true)
same<FailureMode, 'open' | 'challenge' | 'closed'>(true)
same<IpRiskError['code'], NonNullable<Decision['failure']>>(true)

// A comparison that always agreed would prove nothing.
same<Decision['score'], string>(false)
same<Decision, Decision | null>(false)

// One package, whatever entry it came in through.
same<typeof resilient.RiskChecker, typeof RiskChecker>(true)
same<typeof resilient.riskMiddleware, typeof riskMiddleware>(true)
same<resilient.PolicyOptions, PolicyOptions>(true)
riskMiddleware({ checker: new resilient.RiskChecker() })
void createTestChecker().then((world) => resilient.riskMiddleware({ checker: world.checker }))

export async function disposable(): Promise<void> {
  await using own = new RiskChecker({ logger: false })
  await own.check('192.0.2.1')
}
