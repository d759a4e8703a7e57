//! The time, so that tests can move it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in milliseconds since 1970.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The machine's clock plus what a test added to it.
#[derive(Debug, Default)]
pub struct AdjustableClock {
    added: AtomicU64,
}

impl AdjustableClock {
    /// Lets `milliseconds` pass at once.
    pub fn advance(&self, milliseconds: u64) {
        self.added.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for AdjustableClock {
    fn now(&self) -> u64 {
        SystemClock.now().saturating_add(self.added.load(Ordering::Relaxed))
    }
}
