//! Whether a call that failed is made once more, and after how long.
//!
//! Pure. A call that is repeated takes its own leave from the breaker; what both cost is settled together.

use std::time::Duration;

use crate::error::Code;
use crate::jitter::Jitter;

/// The longest wait before the second call, in milliseconds; the shortest is none ("full jitter"). Long enough to spread
/// calls that failed together, short enough to leave most of a deadline of 1.5 seconds.
pub const LONGEST_WAIT: u64 = 100;
/// With less than that left after the wait, in milliseconds, a second call is not worth making: three round trips across
/// an ocean for a new connection, and one for the answer.
pub const LEAST_LEFT: u64 = 400;

/// A call that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// What failed.
    pub code: Code,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Whether this was already the second call, or the probe of the breaker: neither is repeated.
    pub is_last: bool,
    /// What is left of the deadline.
    pub left: Duration,
}

/// How long to wait before the call is made once more; nothing when it should not be made.
///
/// Only what may pass by itself is repeated: no connection, one that broke before there was a status, a status of 5xx.
/// An answer of 200 that is damaged or comes too late is not: it was charged.
#[must_use]
pub fn wait(failed: Failed, jitter: &Jitter) -> Option<Duration> {
    let is_transient = match failed.code {
        Code::Connect => failed.status.is_none(),
        // The first with 504; a time that ran out here has left nothing of itself.
        Code::Timeout | Code::UpstreamStatus => failed.status.is_some_and(is_server_error),
        _ => false,
    };
    let left = u64::try_from(failed.left.as_millis()).unwrap_or(u64::MAX);
    let spare = left.checked_sub(LEAST_LEFT).filter(|_| is_transient && !failed.is_last)?;
    Some(Duration::from_millis(jitter.up_to(spare.min(LONGEST_WAIT))))
}

fn is_server_error(status: u16) -> bool {
    (500..600).contains(&status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flags::tests::cases;

    const AMPLE: Duration = Duration::from_millis(1_400);

    fn is_repeated(code: Code, status: Option<u16>) -> bool {
        wait(Failed { code, status, is_last: false, left: AMPLE }, &Jitter::default()).is_some()
    }

    #[test]
    fn only_what_may_pass_by_itself_is_repeated() {
        for code in Code::ALL {
            assert_eq!(is_repeated(*code, None), *code == Code::Connect, "{code}");
            let as_server_error = matches!(code, Code::UpstreamStatus | Code::Timeout);
            for status in [500, 502, 503, 504, 505, 599] {
                assert_eq!(is_repeated(*code, Some(status)), as_server_error, "{code} {status}");
            }
            for status in (100..500).chain([600, u16::MAX]) {
                assert!(!is_repeated(*code, Some(status)), "{code} {status}");
            }
        }
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn the_second_call_keeps_enough_of_the_deadline_and_there_is_no_third(left in 0_u64..3_000, is_last: bool) {
            let failed =
                Failed { code: Code::Connect, status: None, is_last, left: Duration::from_millis(left) };
            let waits: Vec<_> = (0..50).map(|_| wait(failed, &Jitter::default())).collect();
            prop_assert!(waits.iter().all(|wait| wait.is_some() == (!is_last && left >= 400)));
            for wait in waits.into_iter().flatten() {
                let wait = u64::try_from(wait.as_millis()).unwrap();
                prop_assert!(wait <= 100 && left - wait >= 400, "{wait} of {left}");
            }
        }
    }

    #[test]
    fn waits_are_spread_from_none_to_the_longest() {
        let jitter = Jitter::default();
        let failed = Failed { code: Code::Connect, status: None, is_last: false, left: AMPLE };
        let mut waits: Vec<_> = (0..2_000).map(|_| wait(failed, &jitter).unwrap().as_millis()).collect();
        waits.sort_unstable();
        assert!(waits[100] < 15 && waits[1_900] > 85, "{} {}", waits[100], waits[1_900]);
    }
}
