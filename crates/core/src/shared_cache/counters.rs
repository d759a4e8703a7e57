//! What the shared cache did, for `stats()`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::shared_cache::circuit::{Skip, State};
use crate::shared_cache::entry::Unusable;
use crate::shared_cache::fault::Fault;

/// Whether Redis can be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheState {
    /// Nobody has asked yet, so that there is no connection.
    Idle,
    /// The first connection is being made.
    Connecting,
    /// There is a connection.
    Connected {
        /// Since when, in milliseconds since 1970.
        since: u64,
    },
    /// There is none, and nobody waits for it. A new one is tried about once a second.
    Away {
        /// Why the newest attempt failed.
        why: Fault,
        /// Since when, in milliseconds since 1970.
        since: u64,
    },
    /// It was closed.
    Closed,
}

impl CacheState {
    /// Its name, why it is away, and since when it is away or connected, in milliseconds since 1970.
    #[must_use]
    pub fn parts(self) -> (&'static str, Option<&'static str>, Option<u64>) {
        match self {
            Self::Idle => ("idle", None, None),
            Self::Connecting => ("connecting", None, None),
            Self::Connected { since } => ("connected", None, Some(since)),
            Self::Away { why, since } => ("away", Some(why.as_str()), Some(since)),
            Self::Closed => ("closed", None, None),
        }
    }
}

impl From<&State> for CacheState {
    fn from(state: &State) -> Self {
        match *state {
            State::Idle => Self::Idle,
            State::Connecting => Self::Connecting,
            State::Connected { since, .. } => Self::Connected { since },
            State::Away { why, since } => Self::Away { why, since },
            State::Closed => Self::Closed,
        }
    }
}

/// A reading of what the shared cache did since it was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedCacheStats {
    /// Whether Redis can be asked.
    pub state: CacheState,
    /// Look-ups that found fresh evidence.
    pub hits: u64,
    /// Look-ups that found none, though Redis answered.
    pub misses: u64,
    /// Look-ups that found stale evidence on the ladder.
    pub stale_hits: u64,
    /// Look-ups on the ladder that found none, though Redis answered.
    pub stale_misses: u64,
    /// Look-ups that did not ask, because Redis is away.
    pub not_asked: u64,
    /// Look-ups and writes that failed, by what was wrong.
    pub failures: Vec<(Fault, u64)>,
    /// Entries that were there and not used, by what is wrong with them.
    pub unusable: Vec<(Unusable, u64)>,
    /// Copies written; each answer has a fresh and a stale one.
    pub written: u64,
    /// Copies not written because Redis has a newer one.
    pub outdated: u64,
    /// Answers not written because Redis is away or too slow, or because they were invalidated meanwhile.
    pub dropped: u64,
    /// Invalidations that arrived, this process's own ones too.
    pub invalidations: u64,
    /// Connections made.
    pub connections: u64,
    /// Whether invalidations by others do not arrive, because the user may not subscribe.
    pub is_deaf: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale_hits: AtomicU64,
    stale_misses: AtomicU64,
    not_asked: AtomicU64,
    failures: [AtomicU64; Fault::ALL.len()],
    unusable: [AtomicU64; Unusable::ALL.len()],
    written: AtomicU64,
    outdated: AtomicU64,
    dropped: AtomicU64,
    invalidations: AtomicU64,
    connections: AtomicU64,
    is_deaf: AtomicBool,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The counts that are not zero, with what they count.
fn read<T: Copy>(names: &[T], counters: &[AtomicU64]) -> Vec<(T, u64)> {
    let counts = names.iter().zip(counters).map(|(name, counter)| (*name, load(counter)));
    counts.filter(|(_, count)| *count != 0).collect()
}

impl Counters {
    pub(super) fn fresh(&self, is_hit: bool) {
        add(if is_hit { &self.hits } else { &self.misses });
    }

    pub(super) fn stale(&self, is_hit: bool) {
        add(if is_hit { &self.stale_hits } else { &self.stale_misses });
    }

    pub(super) fn skipped(&self, skip: Skip) {
        match skip {
            Skip::NotAsked => add(&self.not_asked),
            Skip::Failed(fault) => self.failed(fault),
        }
    }

    pub(super) fn failed(&self, fault: Fault) {
        self.failures.get(fault as usize).inspect(|counter| add(counter));
    }

    pub(super) fn unusable(&self, why: Unusable) {
        self.unusable.get(why as usize).inspect(|counter| add(counter));
    }

    pub(super) fn wrote(&self, is_newest: bool) {
        add(if is_newest { &self.written } else { &self.outdated });
    }

    pub(super) fn dropped(&self) {
        add(&self.dropped);
    }

    pub(super) fn invalidated(&self) {
        add(&self.invalidations);
    }

    pub(super) fn connected(&self) {
        add(&self.connections);
    }

    pub(super) fn deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    pub(super) fn read(&self, state: CacheState) -> SharedCacheStats {
        SharedCacheStats {
            state,
            hits: load(&self.hits),
            misses: load(&self.misses),
            stale_hits: load(&self.stale_hits),
            stale_misses: load(&self.stale_misses),
            not_asked: load(&self.not_asked),
            failures: read(&Fault::ALL, &self.failures),
            unusable: read(&Unusable::ALL, &self.unusable),
            written: load(&self.written),
            outdated: load(&self.outdated),
            dropped: load(&self.dropped),
            invalidations: load(&self.invalidations),
            connections: load(&self.connections),
            is_deaf: self.is_deaf.load(Ordering::Relaxed),
        }
    }
}
