//! The in-process cache. It holds evidence, never decisions.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use moka::sync::Cache;

use crate::address::CacheKey;
use crate::evidence::{Answer, Evidence};
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

/// Answers by cache key, bounded in number and time.
#[derive(Debug)]
pub(crate) struct MemoryCache {
    records: Cache<CacheKey, Record>,
    options: CacheOptions,
    jitter: RandomState,
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
            jitter: RandomState::new(),
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

    pub(crate) fn insert(&self, key: CacheKey, answer: Answer, now: u64) {
        let ttl = match answer {
            Answer::Evidence(_) => self.options.ttl,
            Answer::Unknown { .. } | Answer::Unroutable { .. } => UNKNOWN_TTL,
        };
        let jitter = self.jitter.hash_one((key, now)) % (ttl / JITTER_SHARE + 1);
        self.records.insert(key, Record { answer, fresh_until: now.saturating_add(ttl - jitter) });
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
