//! How long something takes.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// What `work` gives, and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// How long `work` takes, in each of `rounds`. What it gives is thrown away outside of them.
pub fn times<T>(rounds: usize, mut work: impl FnMut() -> T) -> Vec<Duration> {
    (0..rounds).map(|_| timed(|| black_box(work())).1).collect()
}

/// How long `work` takes: the median of an odd number of `rounds`.
pub fn median<T>(rounds: usize, work: impl FnMut() -> T) -> Duration {
    let mut times = times(rounds, work);
    times.sort_unstable();
    times[rounds / 2]
}

/// In milliseconds.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
