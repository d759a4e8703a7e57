//! One limit: so many credits in each second, day or month.

use std::mem;

use super::ledger::{Lease, LeaseRequest, Leasing, Wanted, chunk};
use super::period::{Period, hour};
use super::purse::{Heaps, Purse};
use super::{CREDITS_PER_LOOK_UP, Event, Priority, Status};

/// The percentages of a day or month at which there is an event.
const EVENTS: [u8; 3] = [50, 80, 95];
/// Bulk work leaves that percentage of a limit to requests, beside the reserved share.
const LEFT_BY_BULK: u64 = 20;

/// What happened in one second, day or month.
#[derive(Debug)]
struct Account {
    purse: Purse,
    leasing: Leasing,
    /// How many of [`EVENTS`] there were.
    told: usize,
}

impl Account {
    fn new(number: u64, heaps: Heaps) -> Self {
        Self { purse: Purse::new(number, heaps), leasing: Leasing::default(), told: 0 }
    }
}

/// One limit and its accounts.
#[derive(Debug)]
pub(super) struct Fund {
    pub(super) period: Period,
    /// In credits.
    limit: u64,
    /// Up to where each priority may spend.
    ceilings: [u64; 3],
    /// Whether it is leased from a ledger.
    is_shared: bool,
    in_use: Account,
    /// The one in use before, for what is settled late.
    before: Option<Account>,
}

impl Fund {
    /// A limit in look-ups, of which `reserved` percent are kept for high priority.
    pub(super) fn new(period: Period, limit: u64, reserved: u8, is_shared: bool) -> Self {
        // Rounded down to whole look-ups, so that a limit of one look-up is not reserved away.
        let share = |percent: u64| limit / 100 * percent + limit % 100 * percent / 100;
        let normal = limit - share(u64::from(reserved.min(100)));
        let bulk = normal.saturating_sub(share(LEFT_BY_BULK));
        let ceilings = [bulk, normal, limit].map(|look_ups| look_ups.saturating_mul(CREDITS_PER_LOOK_UP));
        let limit = ceilings[2];
        // Of a time long past: the first look makes way for the present.
        let in_use = Account::new(0, all(limit, ceilings, is_shared));
        Self { period, limit, ceilings, is_shared, in_use, before: None }
    }

    /// The account of `now`. The one in use serves the time before it too: for those who began to ask before midnight,
    /// and for a clock that was set back. One that was set back further had been wrong, and what is left goes on under
    /// its new number; but what is leased belongs to the period that the ledger knows it for. A clock that is set
    /// forward looks like time that passed.
    fn account(&mut self, now: u64) -> &mut Account {
        let (number, in_use) = (self.period.number(now), self.in_use.purse.number);
        let had_been_wrong = number.saturating_add(1) < in_use;
        if number > in_use || (had_been_wrong && self.is_shared) {
            let next = Account::new(number, all(self.limit, self.ceilings, self.is_shared));
            self.before = Some(mem::replace(&mut self.in_use, next));
        } else if had_been_wrong {
            self.in_use.purse.number = number;
            self.before = None;
        }
        &mut self.in_use
    }

    /// The account of that number, if it is still of interest.
    fn numbered(&mut self, number: u64) -> Option<&mut Account> {
        let accounts = [Some(&mut self.in_use), self.before.as_mut()];
        accounts.into_iter().flatten().find(|account| account.purse.number == number)
    }

    /// What somebody of that priority can still have now, in credits; of a shared fund without asking the ledger.
    pub(super) fn open_to(&mut self, priority: Priority, now: u64) -> u64 {
        self.account(now).purse.heaps().open_to(priority)
    }

    /// The same with what the ledger may still have.
    pub(super) fn in_sight(&mut self, priority: Priority, now: u64) -> u64 {
        let ceiling = self.ceilings[priority as usize];
        let is_shared = self.is_shared;
        let account = self.account(now);
        let leasable = if is_shared { ceiling.saturating_sub(account.leasing.total) } else { 0 };
        account.purse.heaps().open_to(priority).saturating_add(leasable)
    }

    /// Takes `count` credits out, with the number of the account. Seconds are not given back: they pace calls.
    pub(super) fn hold(&mut self, count: u64, priority: Priority, now: u64) -> Option<(u64, Heaps)> {
        let is_settled = self.period != Period::Second;
        let account = self.account(now);
        let held = account.purse.hold(count, priority)?;
        if !is_settled {
            account.purse.settle(held, count);
        }
        is_settled.then_some((account.purse.number, held))
    }

    /// Settles what was held; the events that this causes.
    pub(super) fn settle(&mut self, number: u64, held: Heaps, charged: u64) -> Vec<Event> {
        let (is_shared, limit) = (self.is_shared, self.limit);
        // Long past: nothing depends on it any more.
        let Some(account) = self.numbered(number) else { return Vec::new() };
        account.purse.settle(held, charged);
        if is_shared {
            return Vec::new();
        }
        let (spent, before) = (account.purse.spent, account.told);
        let told = before.max(reached(spent, limit));
        account.told = told;
        self.events(before, told, spent)
    }

    fn events(&self, before: usize, reached: usize, used: u64) -> Vec<Event> {
        let event = |percent: &u8| Event {
            period: self.period,
            percent: *percent,
            used: used / CREDITS_PER_LOOK_UP,
            limit: self.limit / CREDITS_PER_LOOK_UP,
        };
        EVENTS.get(before..reached).unwrap_or_default().iter().map(event).collect()
    }

    /// What to lease so that `need` credits can be taken; nothing when the ledger has not so many, or rests.
    pub(super) fn lease_request(
        &mut self,
        need: u64,
        priority: Priority,
        holder: &str,
        now: u64,
    ) -> Option<LeaseRequest> {
        if !self.is_shared {
            return None;
        }
        let (period, limit, ceiling) = (self.period, self.limit, self.ceilings[priority as usize]);
        let account = self.account(now);
        let have = account.purse.heaps().open_to(priority);
        let number = account.purse.number;
        account.leasing.request(Wanted { period, number, holder, limit, ceiling, have, need }, now)
    }

    /// What to lease ahead: less than half of a chunk is left, and the ledger may have more.
    pub(super) fn lease_ahead(&mut self, priority: Priority, holder: &str, now: u64) -> Option<LeaseRequest> {
        let have = self.open_to(priority, now);
        let is_low = have.saturating_mul(2) < chunk(self.limit);
        is_low.then(|| self.lease_request(have + CREDITS_PER_LOOK_UP, priority, holder, now)).flatten()
    }

    /// Puts in what was leased. The events that this causes are those of all processes together: the one whose lease
    /// reaches the percentage tells it. Nothing when the answer is none.
    pub(super) fn leased(
        &mut self,
        request: &LeaseRequest,
        lease: Option<Lease>,
        now: u64,
    ) -> Option<Vec<Event>> {
        let ceilings = self.ceilings;
        let account = self.numbered(request.number)?;
        let leased = lease.and_then(|lease| account.leasing.answered(request, lease, hour(now)));
        let Some((before, total)) = leased else {
            account.leasing.failed(now);
            return None;
        };
        account.purse.put(Heaps::between(before, total, ceilings));
        Some(self.events(reached(before, self.limit), reached(total, self.limit), total))
    }

    /// Whether half of an hour's share is spent, when this process spent `here` credits in this hour.
    pub(super) fn is_half_an_hour_spent(&mut self, here: u64, now: u64) -> bool {
        let share = self.period.share_of_an_hour(self.limit, now).max(CREDITS_PER_LOOK_UP);
        let everywhere = self.account(now).leasing.leased_in(hour(now));
        here.max(everywhere).saturating_mul(2) >= share
    }

    pub(super) fn status(&mut self, now: u64) -> Status {
        let (period, limit, is_shared) = (self.period, self.limit / CREDITS_PER_LOOK_UP, self.is_shared);
        let account = self.account(now);
        Status {
            period,
            limit,
            spent: account.purse.spent / CREDITS_PER_LOOK_UP,
            leased_by_all: is_shared.then_some(account.leasing.total / CREDITS_PER_LOOK_UP),
        }
    }
}

/// What there is of a limit before anything is spent or leased.
fn all(limit: u64, ceilings: [u64; 3], is_shared: bool) -> Heaps {
    Heaps::between(0, if is_shared { 0 } else { limit }, ceilings)
}

/// How many of [`EVENTS`] `used` of `limit` reaches.
fn reached(used: u64, limit: u64) -> usize {
    let is_reached = |percent: &&u8| u128::from(used) * 100 >= u128::from(limit) * u128::from(**percent);
    EVENTS.iter().filter(is_reached).count()
}
