//! Whether a look-up may be paid for, and what answers for an address when it may not.

use crate::address::Address;
use crate::budget::{Budget, BudgetOptions, Priority, Reservation};
use crate::error::Code;
use crate::evidence::Evidence;
use crate::pressure::{Neighbours, Network, Turn};
use crate::shared_cache::SharedCache;

/// The budget, and the neighbours who share evidence when it is short.
#[derive(Debug)]
pub(crate) struct Spending {
    pub(crate) budget: Budget,
    neighbours: Neighbours,
}

/// Whether to make a look-up.
pub(crate) enum Leave<'a> {
    LookUp(Reservation<'a>),
    Neighbour(Evidence),
    Refused(Code),
}

impl Spending {
    /// Where processes share a cache they share the budget too.
    pub(crate) fn new(options: &BudgetOptions, is_shared: bool) -> Self {
        let budget = if is_shared { Budget::shared(options) } else { Budget::new(options) };
        Self { budget, neighbours: Neighbours::default() }
    }

    /// Lists are bounded by what they may spend, and leave the neighbours' turns to requests.
    pub(crate) async fn leave(
        &self,
        address: Address,
        priority: Priority,
        now: u64,
        ledger: Option<&SharedCache>,
    ) -> Leave<'_> {
        if priority != Priority::Bulk {
            let is_under_pressure = self.budget.is_under_pressure(now);
            match self.neighbours.admit(Network::of(address), is_under_pressure, now) {
                Turn::LookUp => {}
                Turn::Sibling(evidence) => return Leave::Neighbour(evidence),
                Turn::Refused => return Leave::Refused(Code::Budget),
            }
        }
        let taken = match ledger {
            Some(ledger) => self.budget.take(1, priority, now, ledger).await,
            None => self.budget.try_take(1, priority, now),
        };
        taken.map_or_else(Leave::Refused, Leave::LookUp)
    }

    pub(crate) fn learn(&self, address: Address, evidence: &Evidence) {
        self.neighbours.learn(Network::of(address), evidence);
    }

    /// Forgets what neighbours may answer for; not what was spent.
    pub(crate) fn forget(&self, address: Option<Address>) {
        self.neighbours.forget(address.map(Network::of));
    }
}
