//! The in-process cache. It holds evidence, never decisions.

use std::time::Duration;

use moka::sync::Cache;

use crate::address::CacheKey;
use crate::evidence::{Answer, Evidence};
use crate::jitter::Jitter;
use crate::options::CacheOptions;

/// How long "no record" is believed: newly listed addresses must not stay unknown for long.
const UNKNOWN_TTL: u64 = 10 * 60 * 1_000;
/// Up to a tenth of the time to live is taken off, so that what was learnt together does not expire together.
const JITTER_SHARE: u64 = 10;

#[derive(Clone, Debug)]
struct Record {
    answer: Answer,
    fresh_until: u64,
}

/// What an answer takes in the cache, beside what the cache itself needs for it: the benchmark compares with that.
pub const RECORD_BYTES: usize = size_of::<Record>();

/// Answers by cache key, bounded in number and time.
#[derive(Debug)]
pub(crate) struct MemoryCache {
    records: Cache<CacheKey, Record>,
    options: CacheOptions,
    jitter: Jitter,
}

impl MemoryCache {
    pub(crate) fn new(options: &CacheOptions) -> Self {
        let kept = options.ttl.max(UNKNOWN_TTL).saturating_add(options.stale);
        Self {
            // No eviction listener: with one, the cache's housekeeping would run it on the caller's thread.
            records: Cache::builder()
                .max_capacity(options.max_entries)
                .time_to_live(Duration::from_millis(kept))
                .build(),
            options: options.clone(),
            jitter: Jitter::default(),
        }
    }

    /// What is known and still fresh at `now`.
    pub(crate) fn fresh(&self, key: CacheKey, now: u64) -> Option<Answer> {
        self.records.get(&key).filter(|record| now < record.fresh_until).map(|record| record.answer)
    }

    /// Evidence however old, as long as it is kept. "No record" is never used when it is stale.
    pub(crate) fn stale(&self, key: CacheKey, now: u64) -> Option<Evidence> {
        let record = self.records.get(&key)?;
        match record.answer {
            Answer::Evidence(evidence) if now < record.fresh_until.saturating_add(self.options.stale) => {
                Some(evidence)
            }
            _ => None,
        }
    }

    /// Keeps `answer`, unless what is kept is newer. It is fresh for its time from when the source gave it. Whoever calls
    /// this sees to it that nobody else does at the same time.
    pub(crate) fn insert(&self, key: CacheKey, answer: Answer, now: u64) {
        let checked_at = answer.checked_at();
        // A clock that was set back must not keep what is from before.
        let is_newer = |kept: &Record| (checked_at + 1..=now).contains(&kept.answer.checked_at());
        if self.records.get(&key).is_some_and(|kept| is_newer(&kept)) {
            return;
        }
        let ttl = match answer {
            Answer::Evidence(_) => self.options.ttl,
            Answer::Unknown { .. } | Answer::Unroutable { .. } => UNKNOWN_TTL,
        };
        let jitter = self.jitter.up_to(ttl / JITTER_SHARE);
        self.records
            .insert(key, Record { answer, fresh_until: checked_at.min(now).saturating_add(ttl - jitter) });
    }

    pub(crate) fn remove(&self, key: CacheKey) {
        self.records.invalidate(&key);
    }

    pub(crate) fn clear(&self) {
        self.records.invalidate_all();
    }

    /// How many addresses are kept, as of the cache's last housekeeping.
    pub(crate) fn len(&self) -> u64 {
        self.records.run_pending_tasks();
        self.records.entry_count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Address;
    use crate::evidence::Provider;
    use crate::flags::tests::cases;
    use crate::flags::{Flags, Percentage};

    const NOW: u64 = 1_770_000_000_000;

    fn cache(ttl: u64, stale: u64) -> MemoryCache {
        MemoryCache::new(&CacheOptions { ttl, stale, max_entries: 1_000, ipv6_prefix: 64 })
    }

    fn key(number: u32) -> CacheKey {
        Address::parse(&std::net::Ipv4Addr::from_bits(number).to_string()).unwrap().cache_key(64)
    }

    fn evidence() -> Answer {
        let score = Percentage::ZERO;
        Answer::Evidence(Evidence {
            flags: Flags::default(),
            score,
            provider: Provider::Ipgeolocation,
            checked_at: NOW,
        })
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn evidence_is_fresh_for_its_time_less_a_tenth_and_then_stale_for_its_own(
            ttl in 1_u64..10_000_000, stale in 0_u64..10_000_000, number: u32,
        ) {
            let (cache, key) = (cache(ttl, stale), key(number));
            cache.insert(key, evidence(), NOW);
            let earliest = ttl - ttl / 10;
            prop_assert!(cache.fresh(key, NOW + earliest - 1).is_some());
            prop_assert!(cache.fresh(key, NOW + ttl).is_none());
            prop_assert!(cache.stale(key, NOW + earliest.saturating_add(stale).saturating_sub(1)).is_some());
            prop_assert!(cache.stale(key, NOW + ttl + stale).is_none());
        }

        #[test]
        fn no_record_is_fresh_for_ten_minutes_and_never_stale(
            ttl in 1_u64..10_000_000, stale in 0_u64..10_000_000, number: u32, is_unroutable: bool,
        ) {
            const MINUTE: u64 = 60_000;
            let (cache, key) = (cache(ttl, stale), key(number));
            let answer = if is_unroutable {
                Answer::Unroutable { checked_at: NOW }
            } else {
                Answer::Unknown { checked_at: NOW }
            };
            cache.insert(key, answer, NOW);
            prop_assert!(cache.fresh(key, NOW + 9 * MINUTE - 1).is_some());
            prop_assert!(cache.fresh(key, NOW + 10 * MINUTE).is_none());
            prop_assert!(cache.stale(key, NOW).is_none());
            prop_assert!(cache.stale(key, NOW + 10 * MINUTE).is_none());
        }
    }

    #[test]
    fn what_is_learnt_together_does_not_expire_together() {
        let cache = cache(1_000_000, 0);
        for number in 0..500 {
            cache.insert(key(number), evidence(), NOW);
        }
        let fresh_at =
            |age: u64| (0..500).filter(|number| cache.fresh(key(*number), NOW + age).is_some()).count();
        assert_eq!((fresh_at(899_999), fresh_at(1_000_000)), (500, 0));
        let halfway = fresh_at(950_000);
        assert!((150..350).contains(&halfway), "{halfway} of 500 in the middle of the last tenth");
    }

    #[test]
    fn the_newest_answer_counts_and_what_is_removed_is_gone() {
        let cache = cache(1_000, 1_000);
        cache.insert(key(1), evidence(), NOW);
        cache.insert(key(1), Answer::Unknown { checked_at: NOW }, NOW);
        assert!(matches!(cache.fresh(key(1), NOW), Some(Answer::Unknown { .. })));
        assert!(cache.stale(key(1), NOW).is_none());
        cache.insert(key(2), evidence(), NOW);
        cache.remove(key(1));
        assert!(cache.fresh(key(1), NOW).is_none() && cache.fresh(key(2), NOW).is_some());
        cache.clear();
        assert!(cache.fresh(key(2), NOW).is_none() && cache.stale(key(2), NOW).is_none());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        let cache = cache(1_000, 1_000);
        for number in 0..5_000 {
            cache.insert(key(number), evidence(), NOW);
        }
        assert!(cache.len() <= 1_000, "{}", cache.len());
    }
}
