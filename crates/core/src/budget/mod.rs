//! The budget: how many look-ups may be paid for in a second, a day and a month, and by whom.
//!
//! A look-up costs two credits. What a call will cost is taken out before it is made and settled when it is known, so
//! that at no moment more can be on the way than is left. Seconds, days and months are those of UTC.
//!
//! The last share of each limit, 20 % unless written otherwise, is for policies of high priority. Bulk work leaves
//! another 20 % to requests.
//!
//! Pure: the time is passed in, and so is the [`Ledger`] that processes share. A short lock, some three times per look-up.

mod fund;
mod ledger;
mod period;
mod purse;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use self::ledger::{Lease, LeaseRequest, Ledger};
pub use self::period::Period;

use self::fund::Fund;
use self::period::hour;
use self::purse::Heaps;
use crate::error::Code;

/// What the Security API charges for one address.
pub const CREDITS_PER_LOOK_UP: u64 = 2;
/// The percentage of each limit that is reserved for high priority, unless it is written.
pub const DEFAULT_RESERVED: u8 = 20;
/// The most that is believed to be charged for one address, twice what it costs: a header that is wrong must not spend
/// a month at once.
const MOST_CREDITS_PER_LOOK_UP: u64 = 4;
/// For how many milliseconds after a refusal there is pressure.
const PRESSURE: u64 = 60_000;
/// How many events are kept for whoever asks for them.
const MOST_EVENTS: usize = 16;
/// A lease of a day and of a month, and one of each from before whose answer was lost.
const MOST_LEASES: usize = 4;

/// The option `budget`, in look-ups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BudgetOptions {
    /// How many look-ups may begin in one second, in each process.
    pub per_second: Option<u64>,
    /// How many may be charged in one day of UTC.
    pub per_day: Option<u64>,
    /// How many may be charged in one month of UTC.
    pub per_month: Option<u64>,
    /// The percentage of each that is kept for high priority.
    pub reserved: u8,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Priority {
    /// Many addresses at once, for nobody who waits at a gate: `checkMany`, `checkStream`.
    Bulk,
    /// A request.
    Normal,
    /// A request to a route whose policy has `priority: 'high'`.
    High,
}

/// A limit that is used up to a percentage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// Which limit.
    pub period: Period,
    /// 50, 80 or 95.
    pub percent: u8,
    /// How many look-ups were charged, or leased by all processes where they share the budget.
    pub used: u64,
    /// How many look-ups are allowed.
    pub limit: u64,
}

/// A reading of one limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Which limit.
    pub period: Period,
    /// How many look-ups are allowed.
    pub limit: u64,
    /// How many were charged to this process in the second, day or month of now.
    pub spent: u64,
    /// How many all processes leased in it, as far as this one has seen, where they share the budget.
    pub leased_by_all: Option<u64>,
}

/// Look-ups that may be paid for. One for each engine.
#[derive(Debug)]
pub struct Budget {
    inner: Mutex<Inner>,
    /// Held while the ledger is asked, so that all who wait for a lease share one.
    turn: tokio::sync::Mutex<()>,
    holder: String,
}

#[derive(Debug)]
struct Inner {
    funds: Vec<Fund>,
    /// The hour, and how many credits are held or were charged in it.
    hour: (u64, u64),
    refused_at: Option<u64>,
    events: VecDeque<Event>,
}

impl Budget {
    /// A budget of this process alone.
    #[must_use]
    pub fn new(options: &BudgetOptions) -> Self {
        Self::with(options, false)
    }

    /// A budget whose days and months are leased from a ledger: spend it by [`Budget::take`]. Seconds stay with each
    /// process; they pace its calls, and must not stop them when the ledger is away.
    #[must_use]
    pub fn shared(options: &BudgetOptions) -> Self {
        Self::with(options, true)
    }

    fn with(options: &BudgetOptions, is_shared: bool) -> Self {
        let limits = [options.per_second, options.per_day, options.per_month];
        let fund = |(period, limit): (Period, Option<u64>)| {
            Some(Fund::new(period, limit?, options.reserved, is_shared && period != Period::Second))
        };
        let funds = Period::ALL.into_iter().zip(limits).filter_map(fund).collect();
        let inner = Inner { funds, hour: (0, 0), refused_at: None, events: VecDeque::new() };
        Self {
            inner: Mutex::new(inner),
            turn: tokio::sync::Mutex::default(),
            // Processes that were forked from one have the same keys for hashing, and must not be given the same lease.
            holder: format!("{:016x}", RandomState::new().hash_one(process::id())),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Valid after every statement, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `count` look-ups, all or none, without asking a ledger. Settle what is returned when the call ended.
    ///
    /// # Errors
    /// [`Code::Budget`] when one of the limits has not so many left for that priority.
    pub fn try_take(&self, count: u64, priority: Priority, now: u64) -> Result<Reservation<'_>, Code> {
        let mut inner = self.inner();
        self.hold(&mut inner, count, priority, now).ok_or_else(|| inner.refuse(priority, now))
    }

    /// The same, leasing what is missing from `ledger`: a chunk, the 200th part of a limit, from 4 to 100 look-ups. Whoever
    /// [leases ahead](Budget::lease_ahead) waits for it only in a rush.
    ///
    /// Safe to be given up at any time: what was leased meanwhile is found by the next one who asks.
    ///
    /// # Errors
    /// [`Code::Budget`] when it is used up; [`Code::Redis`] when it may not be, but the ledger cannot be asked.
    pub async fn take(
        &self,
        count: u64,
        priority: Priority,
        now: u64,
        ledger: &impl Ledger,
    ) -> Result<Reservation<'_>, Code> {
        if let Some(reservation) = self.hold(&mut self.inner(), count, priority, now) {
            return Ok(reservation);
        }
        let _turn = self.turn.lock().await;
        for _ in 0..=MOST_LEASES {
            let request = {
                let mut inner = self.inner();
                if let Some(reservation) = self.hold(&mut inner, count, priority, now) {
                    return Ok(reservation);
                }
                inner.lease_request(count, priority, &self.holder, now)?
            };
            let lease = ledger.take(&request).await;
            if !self.leased(&request, lease, now) {
                break;
            }
        }
        Err(Code::Redis)
    }

    /// Whether it is time to lease ahead, for somebody of that priority.
    #[must_use]
    pub fn is_low(&self, priority: Priority, now: u64) -> bool {
        // Otherwise somebody is leasing already.
        self.turn.try_lock().is_ok() && self.inner().lease_ahead(priority, &self.holder, now).is_some()
    }

    /// Leases what will be missing soon: fills up a chunk of which less than half is left. At once when there is
    /// nothing to do.
    pub async fn lease_ahead(&self, priority: Priority, now: u64, ledger: &impl Ledger) {
        let Ok(_turn) = self.turn.try_lock() else { return };
        for _ in 0..MOST_LEASES {
            let request = self.inner().lease_ahead(priority, &self.holder, now);
            let Some(request) = request else { return };
            let lease = ledger.take(&request).await;
            if !self.leased(&request, lease, now) {
                return;
            }
        }
    }

    fn hold(&self, inner: &mut Inner, count: u64, priority: Priority, now: u64) -> Option<Reservation<'_>> {
        let (held, hour) = inner.hold(count, priority, now)?;
        Some(Reservation { budget: self, count, held, hour })
    }

    /// Puts in what was leased; whether there was an answer.
    fn leased(&self, request: &LeaseRequest, lease: Option<Lease>, now: u64) -> bool {
        let mut inner = self.inner();
        let fund = inner.funds.iter_mut().find(|fund| fund.period == request.period);
        let events = fund.and_then(|fund| fund.leased(request, lease, now));
        let is_answered = events.is_some();
        inner.tell(events.unwrap_or_default());
        is_answered
    }

    /// How many look-ups somebody of that priority can have at most now; nothing when there is no limit. Of a shared
    /// budget, as far as the ledger is known.
    #[cfg(test)]
    fn available(&self, priority: Priority, now: u64) -> Option<u64> {
        let mut inner = self.inner();
        let in_sight = inner.funds.iter_mut().map(|fund| fund.in_sight(priority, now) / CREDITS_PER_LOOK_UP);
        in_sight.min()
    }

    /// Whether new addresses of one network should share evidence: a request was refused within the last minute, or in
    /// this hour of the clock half of an hour's share was spent. An hour's share is the 24th part of a day's limit, that
    /// of a month by its days and hours, and 3,600 times that of a second; the smallest counts.
    #[must_use]
    pub fn is_under_pressure(&self, now: u64) -> bool {
        let mut inner = self.inner();
        let is_refusing = inner.is_refusing(now);
        let (known, spent) = inner.hour;
        let here = if known == hour(now) { spent } else { 0 };
        is_refusing || inner.funds.iter_mut().any(|fund| fund.is_half_an_hour_spent(here, now))
    }

    /// Whether a request was refused within the last minute, or one of that priority cannot be paid with what is in hand.
    #[must_use]
    pub fn is_spent(&self, priority: Priority, now: u64) -> bool {
        let mut inner = self.inner();
        let is_short = |fund: &mut Fund| fund.open_to(priority, now) < CREDITS_PER_LOOK_UP;
        inner.is_refusing(now) || inner.funds.iter_mut().any(is_short)
    }

    /// What happened since this was last asked: 50, 80 and 95 % of a day or a month, once each. Seconds have none.
    pub fn take_events(&self) -> Vec<Event> {
        mem::take(&mut self.inner().events).into()
    }

    /// A reading of every limit, shortest period first.
    #[must_use]
    pub fn status(&self, now: u64) -> Vec<Status> {
        self.inner().funds.iter_mut().map(|fund| fund.status(now)).collect()
    }
}

/// What is held: by fund the number of the account and what was taken out of it; and the hour in which it counts.
type Held = ([Option<(u64, Heaps)>; 3], Option<u64>);

impl Inner {
    fn hold(&mut self, count: u64, priority: Priority, now: u64) -> Option<Held> {
        let credits = count.saturating_mul(CREDITS_PER_LOOK_UP);
        if self.funds.iter_mut().any(|fund| fund.open_to(priority, now) < credits) {
            return None;
        }
        let mut held = [None; 3];
        for (place, fund) in held.iter_mut().zip(&mut self.funds) {
            *place = fund.hold(credits, priority, now);
        }
        // Lists put nobody under pressure.
        if priority == Priority::Bulk {
            return Some((held, None));
        }
        let hour = hour(now);
        let spent = if self.hour.0 == hour { self.hour.1 } else { 0 };
        self.hour = (hour, spent.saturating_add(credits));
        Some((held, Some(hour)))
    }

    /// Whether a request was refused within the last minute.
    fn is_refusing(&self, now: u64) -> bool {
        self.refused_at.is_some_and(|at| now.abs_diff(at) < PRESSURE)
    }

    fn refuse(&mut self, priority: Priority, now: u64) -> Code {
        if priority != Priority::Bulk {
            self.refused_at = Some(now);
        }
        Code::Budget
    }

    /// What to lease so that `count` look-ups can be taken.
    fn lease_request(
        &mut self,
        count: u64,
        priority: Priority,
        holder: &str,
        now: u64,
    ) -> Result<LeaseRequest, Code> {
        let credits = count.saturating_mul(CREDITS_PER_LOOK_UP);
        // Nothing is leased for somebody who cannot have it anyway.
        if self.is_out_of_sight(credits, priority, now) {
            return Err(self.refuse(priority, now));
        }
        let is_short = |fund: &mut Fund| fund.open_to(priority, now) < credits;
        let short = self.funds.iter_mut().find_map(|fund| is_short(fund).then_some(fund));
        let request = short.and_then(|fund| fund.lease_request(credits, priority, holder, now));
        // It is in sight, so that the ledger rests.
        request.ok_or(Code::Redis)
    }

    fn lease_ahead(&mut self, priority: Priority, holder: &str, now: u64) -> Option<LeaseRequest> {
        if self.is_out_of_sight(CREDITS_PER_LOOK_UP, priority, now) {
            return None;
        }
        self.funds.iter_mut().find_map(|fund| fund.lease_ahead(priority, holder, now))
    }

    /// Whether one of the limits has not so many credits, not even with what the ledger may have.
    fn is_out_of_sight(&mut self, credits: u64, priority: Priority, now: u64) -> bool {
        self.funds.iter_mut().any(|fund| fund.in_sight(priority, now) < credits)
    }

    fn tell(&mut self, events: Vec<Event>) {
        self.events.extend(events);
        let too_many = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..too_many);
    }

    fn settle(&mut self, count: u64, held: &[Option<(u64, Heaps)>; 3], hour: Option<u64>, charged: u64) {
        if hour == Some(self.hour.0) {
            let before = count.saturating_mul(CREDITS_PER_LOOK_UP);
            self.hour.1 = self.hour.1.saturating_sub(before).saturating_add(charged);
        }
        let mut events = Vec::new();
        for (fund, held) in self.funds.iter_mut().zip(held) {
            if let Some((number, held)) = held {
                events.extend(fund.settle(*number, *held, charged));
            }
        }
        self.tell(events);
    }
}

/// Look-ups that are paid for. Dropped without being settled, they count in full, so that nothing is ever undercounted.
#[derive(Debug)]
#[must_use = "settle it by what was charged"]
pub struct Reservation<'a> {
    budget: &'a Budget,
    count: u64,
    /// By fund: the number of the account, and what was taken out of it.
    held: [Option<(u64, Heaps)>; 3],
    hour: Option<u64>,
}

impl Reservation<'_> {
    /// Settles it by the credits that were charged: `X-Credits-Charged`, and none for an answer that is free (any status
    /// but 200, or no answer that the provider can have given). Leave `charged` out where that is not known.
    pub fn settle(mut self, charged: Option<u64>) {
        self.end(charged);
        mem::forget(self);
    }

    fn end(&mut self, charged: Option<u64>) {
        let most = self.count.saturating_mul(MOST_CREDITS_PER_LOOK_UP);
        let charged = charged.unwrap_or(self.count.saturating_mul(CREDITS_PER_LOOK_UP)).min(most);
        self.budget.inner().settle(self.count, &self.held, self.hour, charged);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}
