//! The latest outcomes of calls, and whether so many of them failed that calling on is pointless.

/// How many seconds count: long enough for ten calls of 1.5 seconds, short enough that what is over is forgotten.
const SECONDS: usize = 10;
/// With fewer calls in that time, a share says nothing.
const LEAST_CALLS: u32 = 20;
/// A gate with few calls a minute never has that many; it trips on failures in a row, however far apart.
const MOST_IN_A_ROW: u32 = 5;
/// One broken connection fails all calls on it at once. Failures that do not lie that far apart, in milliseconds, are
/// one event.
const LEAST_SPREAD: u64 = 1_000;

/// What ended within one second.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    second: u64,
    successes: u32,
    failures: u32,
}

/// Outcomes of the last [`SECONDS`] seconds, and how many failures stand in a row.
#[derive(Debug, Default)]
pub(super) struct Window {
    buckets: [Bucket; SECONDS],
    in_a_row: u32,
    row_began: u64,
}

impl Window {
    pub(super) fn succeeded(&mut self, now: u64) {
        self.in_a_row = 0;
        let bucket = self.bucket(now);
        bucket.successes = bucket.successes.saturating_add(1);
    }

    pub(super) fn failed(&mut self, now: u64) {
        if self.in_a_row == 0 {
            self.row_began = now;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let bucket = self.bucket(now);
        bucket.failures = bucket.failures.saturating_add(1);
    }

    /// Whether at least half of the calls failed, or the last ones all did.
    pub(super) fn is_failing(&self, now: u64) -> bool {
        let is_row = self.in_a_row >= MOST_IN_A_ROW && now.abs_diff(self.row_began) >= LEAST_SPREAD;
        is_row || self.is_share_too_large(now)
    }

    fn is_share_too_large(&self, now: u64) -> bool {
        let (mut successes, mut failures, mut failing_seconds) = (0_u32, 0_u32, 0);
        let is_recent = |bucket: &&Bucket| {
            (now / 1_000).checked_sub(bucket.second).is_some_and(|age| age < SECONDS as u64)
        };
        for bucket in self.buckets.iter().filter(is_recent) {
            successes = successes.saturating_add(bucket.successes);
            failures = failures.saturating_add(bucket.failures);
            failing_seconds += u32::from(bucket.failures > 0);
        }
        failing_seconds > 1 && failures >= successes && failures.saturating_add(successes) >= LEAST_CALLS
    }

    fn bucket(&mut self, now: u64) -> &mut Bucket {
        let second = now / 1_000;
        let bucket = &mut self.buckets[(second % SECONDS as u64) as usize];
        if bucket.second != second {
            *bucket = Bucket { second, ..Bucket::default() };
        }
        bucket
    }
}
