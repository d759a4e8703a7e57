//! Counts. All are relaxed atomics: they are read for people, and the hot path pays one addition each.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::breaker::Health;
use crate::decision::{Action, Decision};
use crate::error::Code;
use crate::feeds::feed_source::FeedStats;

const ACTIONS: usize = Action::ALL.len();
const BINS: usize = 101;

/// What one policy decided since it was made.
#[derive(Debug)]
pub(crate) struct PolicyCounters {
    histogram: [AtomicU64; BINS],
    action: [AtomicU64; ACTIONS],
    would_be: [AtomicU64; ACTIONS],
}

/// A reading of one policy's counts.
#[derive(Clone, Debug)]
pub struct PolicyStats {
    /// How many decisions had each score from 0 to 100. Only real scores: failing open is not a score of 0.
    pub histogram: Vec<u64>,
    /// How many decisions had each action, in the order of [`Action::ALL`].
    pub action: Vec<u64>,
    /// How many decisions would have had each action under `enforce`.
    pub would_be: Vec<u64>,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counters: &[AtomicU64]) -> Vec<u64> {
    counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect()
}

impl PolicyCounters {
    pub(crate) fn new() -> Self {
        Self {
            histogram: [const { AtomicU64::new(0) }; BINS],
            action: [const { AtomicU64::new(0) }; ACTIONS],
            would_be: [const { AtomicU64::new(0) }; ACTIONS],
        }
    }

    pub(crate) fn record(&self, decision: &Decision) {
        if decision.band.is_some() {
            add(&self.histogram[usize::from(decision.score.value())]);
        }
        add(&self.action[decision.action as usize]);
        add(&self.would_be[decision.would_be as usize]);
    }

    pub(crate) fn read(&self) -> PolicyStats {
        PolicyStats {
            histogram: read(&self.histogram),
            action: read(&self.action),
            would_be: read(&self.would_be),
        }
    }
}

/// What an engine did since it began.
#[derive(Debug, Default)]
pub(crate) struct EngineCounters {
    memory_hits: AtomicU64,
    stale_answers: AtomicU64,
    coalesced: AtomicU64,
    calls: AtomicU64,
    batches: AtomicU64,
    retries: AtomicU64,
    credits: AtomicU64,
    failures: Mutex<Failures>,
}

#[derive(Clone, Debug, Default)]
struct Failures {
    by_code: Vec<(Code, u64)>,
    last: Option<(Code, u64)>,
    last_success: Option<u64>,
}

/// A reading of an engine's counts.
#[derive(Clone, Debug)]
pub struct EngineStats {
    /// Addresses in the in-process cache.
    pub entries: u64,
    /// Checks that the in-process cache answered.
    pub memory_hits: u64,
    /// Checks that stale evidence answered.
    pub stale_answers: u64,
    /// Checks that joined a call which was already under way.
    pub coalesced: u64,
    /// Calls made to the provider.
    pub calls: u64,
    /// How many of them were about several addresses.
    pub batches: u64,
    /// Calls that were made once more.
    pub retries: u64,
    /// Whether the provider is asked now, and why not; nothing without a provider.
    pub health: Option<Health>,
    /// Calls under way.
    pub in_flight: usize,
    /// Credits that the provider says it charged.
    pub credits: u64,
    /// Failed calls by code.
    pub failures: Vec<(Code, u64)>,
    /// The newest failed call: its code, and when it ended in milliseconds since 1970.
    pub last_failure: Option<(Code, u64)>,
    /// When the newest call that succeeded ended.
    pub last_success: Option<u64>,
    /// The offline feeds in use, unless they are switched off.
    pub feeds: Option<FeedStats>,
}

impl EngineCounters {
    pub(crate) fn memory_hit(&self) {
        add(&self.memory_hits);
    }

    pub(crate) fn stale_answer(&self) {
        add(&self.stale_answers);
    }

    pub(crate) fn coalesced(&self) {
        add(&self.coalesced);
    }

    pub(crate) fn called(&self) {
        add(&self.calls);
    }

    pub(crate) fn batched(&self) {
        add(&self.batches);
    }

    pub(crate) fn retried(&self) {
        add(&self.retries);
    }

    pub(crate) fn charged(&self, credits: Option<u64>) {
        self.credits.fetch_add(credits.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, failure: Option<Code>, now: u64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(code) = failure else {
            failures.last_success = Some(now);
            return;
        };
        failures.last = Some((code, now));
        match failures.by_code.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => failures.by_code.push((code, 1)),
        }
    }

    pub(crate) fn read(
        &self,
        entries: u64,
        in_flight: usize,
        feeds: Option<FeedStats>,
        health: Option<Health>,
    ) -> EngineStats {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            entries,
            memory_hits: load(&self.memory_hits),
            stale_answers: load(&self.stale_answers),
            coalesced: load(&self.coalesced),
            calls: load(&self.calls),
            batches: load(&self.batches),
            retries: load(&self.retries),
            health,
            in_flight,
            credits: load(&self.credits),
            failures: failures.by_code,
            last_failure: failures.last,
            last_success: failures.last_success,
            feeds,
        }
    }
}
