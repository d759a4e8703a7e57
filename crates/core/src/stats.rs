//! Counts. All are relaxed atomics: they are read for people, and the hot path pays one addition each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::breaker::Health;
use crate::budget::Status;
use crate::decision::{Action, Decision, Source};
use crate::error::Code;
use crate::feeds::feed_source::FeedStats;
use crate::shared_cache::SharedCacheStats;

const ACTIONS: usize = Action::ALL.len();
const BINS: usize = 101;

/// What one policy decided since it was made.
#[derive(Debug)]
pub(crate) struct PolicyCounters {
    histogram: [AtomicU64; BINS],
    /// By `action` and then by `would_be`, so that a decision is one addition.
    actions: [[AtomicU64; ACTIONS]; ACTIONS],
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

impl Default for PolicyCounters {
    fn default() -> Self {
        Self {
            histogram: [const { AtomicU64::new(0) }; BINS],
            actions: [const { [const { AtomicU64::new(0) }; ACTIONS] }; ACTIONS],
        }
    }
}

impl PolicyCounters {
    pub(crate) fn record(&self, decision: &Decision) {
        if decision.band.is_some() {
            add(&self.histogram[usize::from(decision.score.value())]);
        }
        add(&self.actions[decision.action as usize][decision.would_be as usize]);
    }

    pub(crate) fn read(&self) -> PolicyStats {
        // Read once, so that both sums are of the same decisions.
        let actions: Vec<Vec<u64>> = self.actions.iter().map(|counters| read(counters)).collect();
        PolicyStats {
            histogram: read(&self.histogram),
            action: actions.iter().map(|counts| counts.iter().sum()).collect(),
            would_be: (0..ACTIONS).map(|place| actions.iter().map(|counts| counts[place]).sum()).collect(),
        }
    }
}

/// What a decision stands on, from the best to none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rung {
    /// Fresh evidence of the in-process cache.
    Memory,
    /// Fresh evidence of the shared cache.
    Redis,
    /// The provider.
    Api,
    /// Evidence of the in-process cache that is older than its time to live.
    StaleMemory,
    /// The same of the shared cache.
    StaleRedis,
    /// Offline feeds.
    Feeds,
    /// Under pressure, the newest evidence about a neighbour.
    Neighbour,
    /// An allow or deny entry.
    List,
    /// What special-use space is by itself.
    Special,
    /// Nothing: the failure mode, or a request that was not judged.
    None,
}

impl Rung {
    /// All rungs, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Memory,
        Self::Redis,
        Self::Api,
        Self::StaleMemory,
        Self::StaleRedis,
        Self::Feeds,
        Self::Neighbour,
        Self::List,
        Self::Special,
        Self::None,
    ];

    /// What `decision` stands on.
    #[must_use]
    pub const fn of(decision: &Decision) -> Self {
        match decision.source {
            Source::Memory if decision.stale => Self::StaleMemory,
            // Only a neighbour's evidence is fresh and yet not the answer that was wanted.
            Source::Memory if decision.degraded => Self::Neighbour,
            Source::Memory => Self::Memory,
            Source::Redis if decision.stale => Self::StaleRedis,
            Source::Redis => Self::Redis,
            Source::Api => Self::Api,
            Source::Feeds => Self::Feeds,
            Source::List => Self::List,
            Source::Special => Self::Special,
            Source::None => Self::None,
        }
    }
}

/// How long the newest calls took.
#[derive(Debug, Default)]
struct Times(Mutex<VecDeque<Duration>>);

/// How many calls the percentiles are of.
const MOST_TIMES: usize = 1_024;

impl Times {
    fn add(&self, time: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == MOST_TIMES {
            times.pop_front();
        }
        times.push_back(time);
    }

    /// The time that so many percent of the calls stayed within; nothing before the first.
    fn percentiles<const COUNT: usize>(&self, percents: [usize; COUNT]) -> Option<[Duration; COUNT]> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut sorted: Vec<Duration> = times.into();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(percents.map(|percent| sorted[(sorted.len() * percent / 100).min(last)]))
    }
}

/// What an engine did since it began.
#[derive(Debug, Default)]
pub(crate) struct EngineCounters {
    rungs: [AtomicU64; Rung::ALL.len()],
    times: Times,
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
    /// How many decisions stand on each rung, in the order of [`Rung::ALL`].
    pub rungs: Vec<u64>,
    /// Checks that joined a call which was already under way.
    pub coalesced: u64,
    /// Calls made to the provider.
    pub calls: u64,
    /// How many of them were about several addresses.
    pub batches: u64,
    /// Calls that were made once more.
    pub retries: u64,
    /// Within which time half and 99 % of the newest 1,024 calls ended; nothing before the first.
    pub latency: Option<[Duration; 2]>,
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
    /// The shared cache, where there is one.
    pub shared: Option<SharedCacheStats>,
    /// Every limit of the budget, shortest period first.
    pub budget: Vec<Status>,
}

impl EngineCounters {
    pub(crate) fn answered(&self, rung: Rung) {
        add(&self.rungs[rung as usize]);
    }

    /// A call to the provider ended after `time`.
    pub(crate) fn took(&self, time: Duration) {
        self.times.add(time);
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

    /// The counts; what else an engine knows of itself is left out.
    pub(crate) fn read(&self) -> EngineStats {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            entries: 0,
            rungs: read(&self.rungs),
            latency: self.times.percentiles([50, 99]),
            coalesced: load(&self.coalesced),
            calls: load(&self.calls),
            batches: load(&self.batches),
            retries: load(&self.retries),
            health: None,
            in_flight: 0,
            credits: load(&self.credits),
            failures: failures.by_code,
            last_failure: failures.last,
            last_success: failures.last_success,
            feeds: None,
            shared: None,
            budget: Vec::new(),
        }
    }
}
