//! The clock of a checker for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use ip_risk_core::clock::{AdjustableClock, Clock};

/// Can be moved, and panics when it is told to, as a defect anywhere would.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    clock: AdjustableClock,
    failures: AtomicU64,
}

impl TestClock {
    pub(crate) fn advance(&self, milliseconds: u64) {
        self.clock.advance(milliseconds);
    }

    /// Fails so many times from now on.
    pub(crate) fn fail(&self, times: u64) {
        self.failures.store(times, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        let fail = |left: u64| left.checked_sub(1);
        let fails = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail).is_ok();
        assert!(!fails, "the clock fails, as it was told to");
        self.clock.now()
    }
}
