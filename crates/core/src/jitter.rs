//! Random parts of waits, so that processes which failed together do not come back together.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Draws numbers that differ from process to process. Spread, not secret: nothing is guarded by them.
#[derive(Debug, Default)]
pub struct Jitter {
    keys: RandomState,
    drawn: AtomicU64,
}

impl Jitter {
    /// A number from 0 to `most`, each about equally likely. Costs some nanoseconds.
    #[must_use]
    pub fn up_to(&self, most: u64) -> u64 {
        let drawn = self.keys.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed));
        most.checked_add(1).map_or(drawn, |bound| drawn % bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_reach_both_ends_and_no_further() {
        let jitter = Jitter::default();
        let mut drawn: Vec<u64> = (0..1_000).map(|_| jitter.up_to(9)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, (0..=9).collect::<Vec<_>>());
        assert_eq!(jitter.up_to(0), 0);
        let _ = jitter.up_to(u64::MAX);
    }

    #[test]
    fn two_processes_draw_differently() {
        let draw = || {
            let jitter = Jitter::default();
            (0..8).map(|_| jitter.up_to(u64::MAX)).collect::<Vec<_>>()
        };
        assert_ne!(draw(), draw());
    }
}
