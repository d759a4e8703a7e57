//! How many addresses the provider takes at once. Its limit in bytes is not published, so it is found by status 413.

use std::sync::{Mutex, PoisonError};

/// For how many milliseconds a refusal is remembered.
pub(crate) const REMEMBERED: u64 = 10 * 60 * 1_000;

/// The size of bulk calls: a chosen one, and for a while after a refusal a smaller one that may pass.
#[derive(Debug)]
pub(crate) struct CallSize {
    chosen: usize,
    refusal: Mutex<Option<Refusal>>,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// The size that may pass.
    size: usize,
    at: u64,
}

impl Refusal {
    /// A clock that was set back ends it too, so that it cannot last until the clock has caught up.
    fn is_remembered(&self, now: u64) -> bool {
        now.abs_diff(self.at) < REMEMBERED
    }
}

impl CallSize {
    /// At least one address at once.
    pub(crate) fn new(chosen: usize) -> Self {
        Self { chosen: chosen.max(1), refusal: Mutex::default() }
    }

    /// How many addresses a call may hold.
    pub(crate) fn at(&self, now: u64) -> usize {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *refusal = refusal.filter(|refusal| refusal.is_remembered(now));
        refusal.map_or(self.chosen, |refusal| refusal.size)
    }

    /// A call of `size` addresses was too large: until further notice, half of it.
    pub(crate) fn refused(&self, size: usize, now: u64) {
        let half = (size / 2).max(1).min(self.at(now));
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Refusal { size: half, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_halves_down_to_single_calls() {
        let size = CallSize::new(100);
        assert_eq!(size.at(0), 100);
        for (refused, left) in [(100, 50), (50, 25), (25, 12), (12, 6), (6, 3), (3, 1), (1, 1)] {
            size.refused(refused, 0);
            assert_eq!(size.at(0), left);
        }
    }

    #[test]
    fn a_late_refusal_of_a_larger_call_changes_nothing() {
        let size = CallSize::new(100);
        size.refused(40, 0);
        size.refused(100, 0);
        assert_eq!(size.at(0), 20);
    }

    #[test]
    fn a_refusal_is_forgotten_after_ten_minutes() {
        let size = CallSize::new(100);
        size.refused(100, 1_000);
        assert_eq!(size.at(1_000 + REMEMBERED - 1), 50);
        assert_eq!(size.at(1_000 + REMEMBERED), 100);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_a_refusal() {
        let size = CallSize::new(100);
        size.refused(100, 5 * REMEMBERED);
        assert_eq!(size.at(0), 100);
    }
}
