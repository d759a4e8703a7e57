//! What was declared forgotten, and when: evidence from before is neither believed nor written again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::address::CacheKey;
use crate::shared_cache::keys::Invalidation;

/// How many addresses are remembered, the newest: more than Redis keeps for those who come later.
const MOST_KEYS: usize = 1_000;

/// Times in milliseconds since 1970. One short lock for each look-up.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    all: u64,
    keys: HashMap<CacheKey, u64>,
}

impl Forgotten {
    fn times(&self) -> MutexGuard<'_, Times> {
        // Valid after every statement, so a panic elsewhere does not spoil it.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that this was forgotten at `time`. Says whether that is news.
    pub(super) fn note(&self, what: Invalidation, time: u64) -> bool {
        let mut times = self.times();
        let known = match what {
            Invalidation::AllUntil(_) => &mut times.all,
            Invalidation::Key(key) => times.keys.entry(key).or_default(),
        };
        let is_news = *known < time;
        *known = time.max(*known);
        if times.keys.len() > MOST_KEYS
            && let Some(oldest) = times.keys.iter().min_by_key(|(_, time)| **time).map(|(key, _)| *key)
        {
            times.keys.remove(&oldest);
        }
        is_news
    }

    /// Whether what was learnt about `key` at `time` is forgotten.
    pub(super) fn covers(&self, key: CacheKey, time: u64) -> bool {
        let times = self.times();
        time <= times.all || times.keys.get(&key).is_some_and(|forgotten| time <= *forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn key(number: u32) -> CacheKey {
        Address::parse(&std::net::Ipv4Addr::from_bits(number).to_string()).unwrap().cache_key(64)
    }

    #[test]
    fn what_was_learnt_before_is_covered_and_what_is_learnt_later_is_not() {
        let forgotten = Forgotten::default();
        assert!(!forgotten.covers(key(1), 1));
        assert!(forgotten.note(Invalidation::Key(key(1)), 10));
        assert!(!forgotten.note(Invalidation::Key(key(1)), 10));
        assert!(!forgotten.note(Invalidation::Key(key(1)), 9));
        assert!(
            forgotten.covers(key(1), 10) && !forgotten.covers(key(1), 11) && !forgotten.covers(key(2), 10)
        );
        assert!(forgotten.note(Invalidation::AllUntil(20), 20));
        assert!(!forgotten.note(Invalidation::AllUntil(19), 19));
        assert!(
            forgotten.covers(key(1), 20) && forgotten.covers(key(2), 20) && !forgotten.covers(key(2), 21)
        );
    }

    #[test]
    fn the_newest_keys_are_remembered() {
        let forgotten = Forgotten::default();
        for number in 1..=1_500 {
            forgotten.note(Invalidation::Key(key(number)), number.into());
        }
        assert_eq!(forgotten.times().keys.len(), MOST_KEYS);
        assert!(!forgotten.covers(key(500), 1) && forgotten.covers(key(501), 1));
    }
}
