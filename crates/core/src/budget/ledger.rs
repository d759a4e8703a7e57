//! How processes share one budget: each leases chunks of it from a ledger and spends them by itself.
//!
//! A chunk is what a process has in hand at most. When less than half of it is left it is filled up in the background, so
//! that nobody waits for the ledger while there still is something to take. A process that dies takes at most one chunk
//! of each period along; so do those that are idle while others could spend more.
//!
//! While the ledger cannot be asked, what is leased may be spent and nothing else: the budget is a promise about money.
//!
//! It holds as long as somebody remembers. A ledger that forgot goes on from the most that those who ask it know. So the
//! whole budget is given once more when Redis restarts without having saved anything and no process is left that knew:
//! let it save (`appendonly yes`). And what was leased in the last moments before a failover may be given twice, about a
//! chunk for each process, because a new primary may not have heard of it.

use std::future::Future;

use super::CREDITS_PER_LOOK_UP;
use super::period::Period;

/// A chunk is the 200th part of a limit, so that ten processes leave at most 5 % of it unspent.
const CHUNK_SHARE: u64 = 200;
/// But at least so many look-ups, so that small budgets need no round trip for each of them either. Ten processes may then
/// leave 40 look-ups unspent: of 100 a day, 40 %.
const SMALLEST_CHUNK: u64 = 4;
/// And at most so many: at a hundred a second, two round trips a second.
const LARGEST_CHUNK: u64 = 100;

/// For how many milliseconds a ledger that failed is not asked again: its own time limit is paid once a second, and
/// not by every look-up.
const LEDGER_REST: u64 = 1_000;

/// The size of a chunk, of a limit, both in credits.
pub(super) fn chunk(limit: u64) -> u64 {
    (limit / CREDITS_PER_LOOK_UP / CHUNK_SHARE).clamp(SMALLEST_CHUNK, LARGEST_CHUNK) * CREDITS_PER_LOOK_UP
}

/// What a process asks a ledger for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseRequest {
    /// Which budget.
    pub period: Period,
    /// Which one of that period: `1770000000`, `2026-11-23` or `2026-11`, in UTC. Part of the key.
    pub name: String,
    /// How many credits, at most.
    pub count: u64,
    /// Up to how many credits may be given out in all for this request: the limit, less what is kept for others.
    pub ceiling: u64,
    /// How many credits this process knows to have been given out. A ledger that has forgotten goes on from there.
    pub known: u64,
    /// The process that asks: 16 hexadecimal digits, different for each.
    pub holder: String,
    /// Counts the requests of this process for this period. A request that may have been answered is sent again with
    /// the same number, and gets the same answer.
    pub sequence: u64,
    /// For how many milliseconds after this request the ledger must remember it.
    pub kept: u64,
    /// Which one of that period, as a number.
    pub(super) number: u64,
}

/// What a ledger gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// How many credits, from none to what was asked for.
    pub granted: u64,
    /// How many it has given out in all, with these.
    pub total: u64,
}

/// What all processes lease from.
///
/// On Redis it is one hash for each period: see `shared_cache/ledger.rs`.
///
/// Applications with different keys of the API need different prefixes.
pub trait Ledger: Send + Sync {
    /// Leases up to `count` credits; nothing when the ledger cannot be asked within its own time limit, 50 ms.
    fn take(&self, request: &LeaseRequest) -> impl Future<Output = Option<Lease>> + Send;
}

/// What one process knows of the ledger, for one period.
#[derive(Debug, Default)]
pub(super) struct Leasing {
    /// The most that the ledger was seen to have given out.
    pub(super) total: u64,
    sequence: u64,
    /// A request whose answer has not been seen.
    pending: Option<LeaseRequest>,
    rests_since: Option<u64>,
    /// The hour, and how much had been given out when it began, for all processes.
    hour: Option<(u64, u64)>,
}

/// What a request is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) period: Period,
    pub(super) number: u64,
    pub(super) holder: &'a str,
    pub(super) limit: u64,
    pub(super) ceiling: u64,
    /// What there is, of what may be spent.
    pub(super) have: u64,
    /// What is needed in all.
    pub(super) need: u64,
}

impl Leasing {
    /// What to ask the ledger for; nothing when it has not enough, or rests.
    pub(super) fn request(&mut self, wanted: Wanted<'_>, now: u64) -> Option<LeaseRequest> {
        // A clock that was set back ends the rest.
        if self.rests_since.is_some_and(|since| now.checked_sub(since).is_some_and(|rest| rest < LEDGER_REST))
        {
            return None;
        }
        if self.pending.is_none() {
            let Wanted { period, number, holder, limit, ceiling, have, need } = wanted;
            // The ledger's total never falls, so what it has not now it will not have later.
            if ceiling.saturating_sub(self.total).saturating_add(have) < need {
                return None;
            }
            self.sequence += 1;
            self.pending = Some(LeaseRequest {
                period,
                name: period.name(number),
                count: chunk(limit).max(need).saturating_sub(have),
                ceiling,
                known: self.total,
                holder: holder.to_owned(),
                sequence: self.sequence,
                kept: period.kept(),
                number,
            });
        }
        self.pending.clone()
    }

    /// Takes note of an answer, and says what is leased by it, as credits from (excluded) and to. An answer to another
    /// request, or one that the request does not allow, is none.
    pub(super) fn answered(&mut self, request: &LeaseRequest, lease: Lease, hour: u64) -> Option<(u64, u64)> {
        let pending = self.pending.as_ref()?;
        let is_possible = pending.sequence == request.sequence
            && lease.granted <= pending.count
            && lease.granted <= lease.total
            && (lease.granted == 0 || lease.total <= pending.ceiling);
        if !is_possible {
            return None;
        }
        self.pending = None;
        self.total = self.total.max(lease.total);
        let before = lease.total - lease.granted;
        if self.hour.is_none_or(|(known, _)| known != hour) {
            self.hour = Some((hour, before));
        }
        Some((before, lease.total))
    }

    pub(super) fn failed(&mut self, now: u64) {
        self.rests_since = Some(now);
    }

    /// How much all processes leased since this hour began, as far as this one has seen.
    pub(super) fn leased_in(&self, hour: u64) -> u64 {
        self.hour
            .filter(|(known, _)| *known == hour)
            .map_or(0, |(_, before)| self.total.saturating_sub(before))
    }
}
