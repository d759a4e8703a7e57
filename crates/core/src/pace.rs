//! Whether bulk calls are worth it: how long one who asks waits for the provider, in a bulk call and alone.
//!
//! Compared are the medians of calls of the same few seconds, because in a rush a provider may be slower for everybody;
//! from the question to the answer. A bulk call counts whole, not divided by its addresses, because everybody in it waits
//! for all of it. The few milliseconds in which a batch gathers do not count: they are ours, and bounded. Nor do calls
//! that failed at once, which would look fast.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For how many milliseconds bulk calls stay switched off.
pub(crate) const OFF: u64 = 60_000;
/// For how many milliseconds a time says something.
const RECENT: u64 = 10_000;
/// How many times are kept of each kind.
const MOST_TIMES: usize = 32;
/// How many a verdict needs of each kind, so that one slow call is none.
const LEAST_TIMES: usize = 3;
/// A difference that nobody notices, and that the saved calls make up for.
const SMALL: Duration = Duration::from_millis(25);

/// The times of both kinds of calls, and whether bulk is switched off.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    single: Times,
    bulk: Times,
    off_since: Option<u64>,
    /// Whether times say nothing.
    is_patient: bool,
}

/// The newest times of one kind, each with when it was taken.
#[derive(Debug, Default)]
struct Times(VecDeque<(u64, Duration)>);

impl Times {
    fn add(&mut self, time: Duration, now: u64) {
        if self.0.len() == MOST_TIMES {
            self.0.pop_front();
        }
        self.0.push_back((now, time));
    }

    /// Nothing while there are too few.
    fn median(&self, now: u64) -> Option<Duration> {
        let is_recent = |(at, _): &&(u64, Duration)| now.abs_diff(*at) < RECENT;
        let mut sorted: Vec<Duration> = self.0.iter().filter(is_recent).map(|(_, time)| *time).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= LEAST_TIMES)
    }
}

impl Inner {
    fn is_off(&self, now: u64) -> bool {
        // A clock that was set back switches on again, instead of waiting until it has caught up.
        self.off_since.is_some_and(|since| now.abs_diff(since) < OFF)
    }

    fn switch_off(&mut self, now: u64) {
        self.off_since = Some(now);
        // What comes after is judged by itself.
        self.bulk = Times::default();
    }
}

impl Pace {
    /// For bulk calls that may take longer than single ones.
    pub(crate) fn patient() -> Self {
        Self { inner: Mutex::new(Inner { is_patient: true, ..Inner::default() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether single calls are to be made.
    pub(crate) fn is_off(&self, now: u64) -> bool {
        self.inner().is_off(now)
    }

    /// Single calls only, for a minute.
    pub(crate) fn switch_off(&self, now: u64) {
        self.inner().switch_off(now);
    }

    /// A single call was answered, or not in time.
    pub(crate) fn single_took(&self, time: Duration, now: u64) {
        self.inner().single.add(time, now);
    }

    /// Whether bulk calls cannot be judged, because there were too few single ones lately.
    pub(crate) fn lacks_singles(&self, now: u64) -> bool {
        let inner = self.inner();
        !inner.is_patient && inner.single.median(now).is_none()
    }

    /// A bulk call was answered, or not in time. Switches bulk off when it is more than twice as slow.
    pub(crate) fn bulk_took(&self, time: Duration, now: u64) {
        let mut inner = self.inner();
        // Calls that were under way when it was switched off say nothing new.
        if inner.is_patient || inner.is_off(now) {
            return;
        }
        inner.bulk.add(time, now);
        if let (Some(single), Some(bulk)) = (inner.single.median(now), inner.bulk.median(now))
            && bulk > single * 2
            && bulk > single + SMALL
        {
            inner.switch_off(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(single: u64, bulk: &[u64]) -> Pace {
        let pace = Pace::default();
        for _ in 0..LEAST_TIMES {
            pace.single_took(Duration::from_millis(single), 0);
        }
        for time in bulk {
            pace.bulk_took(Duration::from_millis(*time), 0);
        }
        pace
    }

    #[test]
    fn more_than_twice_as_slow_is_off() {
        assert!(!pace(50, &[100, 100, 100]).is_off(0));
        assert!(pace(50, &[101, 101, 101]).is_off(0));
    }

    #[test]
    fn a_few_milliseconds_are_not_slow() {
        assert!(!pace(1, &[26, 26, 26]).is_off(0));
        assert!(pace(1, &[27, 27, 27]).is_off(0));
    }

    #[test]
    fn one_slow_call_is_no_verdict() {
        assert!(!pace(50, &[1_500]).is_off(0));
        assert!(!pace(50, &[1_500, 1_500]).is_off(0));
        assert!(!pace(50, &[1_500, 60, 60]).is_off(0));
    }

    #[test]
    fn without_single_calls_there_is_nothing_to_compare() {
        let pace = Pace::default();
        for _ in 0..10 {
            pace.bulk_took(Duration::from_secs(1), 0);
        }
        assert!(!pace.is_off(0));
    }

    #[test]
    fn only_recent_calls_count() {
        let pace = pace(1_000, &[1_000, 1_000, 1_000]);
        for _ in 0..MOST_TIMES {
            pace.single_took(Duration::from_millis(10), 0);
        }
        assert!(!pace.is_off(0), "nothing was said of bulk since");
        pace.bulk_took(Duration::from_secs(1), 0);
        assert!(pace.is_off(0));
    }

    #[test]
    fn calls_of_a_quiet_hour_say_nothing_of_a_rush() {
        let pace = pace(50, &[]);
        assert!(!pace.lacks_singles(RECENT - 1));
        assert!(pace.lacks_singles(RECENT));
        for _ in 0..MOST_TIMES {
            pace.bulk_took(Duration::from_millis(130), RECENT);
        }
        assert!(!pace.is_off(RECENT));
        for _ in 0..LEAST_TIMES {
            assert!(pace.lacks_singles(RECENT));
            pace.single_took(Duration::from_millis(50), RECENT);
        }
        assert!(!pace.lacks_singles(RECENT));
        pace.bulk_took(Duration::from_millis(130), RECENT);
        assert!(pace.is_off(RECENT));
    }

    #[test]
    fn who_is_patient_compares_nothing() {
        assert!(!Pace::patient().lacks_singles(0));
    }

    #[test]
    fn it_is_on_again_after_a_minute_and_judged_anew() {
        let pace = pace(50, &[500, 500, 500]);
        pace.bulk_took(Duration::from_millis(500), OFF - 1);
        assert!(pace.is_off(OFF - 1));
        assert!(!pace.is_off(OFF));
        for _ in 0..LEAST_TIMES {
            pace.single_took(Duration::from_millis(50), OFF);
        }
        for now in [OFF, OFF + 1] {
            pace.bulk_took(Duration::from_millis(500), now);
            assert!(!pace.is_off(now), "two calls are no verdict");
        }
        pace.bulk_took(Duration::from_millis(500), OFF + 2);
        assert!(pace.is_off(OFF + 2));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_off() {
        let pace = Pace::default();
        pace.switch_off(10 * OFF);
        assert!(!pace.is_off(0));
    }
}
