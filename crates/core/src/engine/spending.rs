//! Whether a look-up may be paid for, and what answers for an address when it may not.

use super::local::Claim;
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
    /// A neighbour's evidence, and whether the budget itself is spent.
    Neighbour(Evidence, bool),
    Refused(Code),
}

impl Spending {
    /// Where processes share a cache they share the budget too.
    pub(crate) fn new(options: &BudgetOptions, is_shared: bool) -> Self {
        let budget = if is_shared { Budget::shared(options) } else { Budget::new(options) };
        Self { budget, neighbours: Neighbours::default() }
    }

    /// Lists are bounded by what they may spend, and leave the neighbours' turns to requests; so do addresses that anybody
    /// could have written, of which there are few.
    pub(crate) async fn leave(
        &self,
        address: Address,
        Claim { keep, priority }: Claim,
        now: u64,
        ledger: Option<&SharedCache>,
    ) -> Leave<'_> {
        if priority == Priority::Bulk {
            return self.take(priority, now, ledger).await.map_or_else(Leave::Refused, Leave::LookUp);
        }
        let network = Network::of(address);
        let is_under_pressure = self.budget.is_under_pressure(now);
        let is_spent = self.budget.is_spent(priority, now);
        let turn = self.neighbours.admit(network, is_under_pressure, now);
        if let Some(instead) = instead_of_a_look_up(turn, is_spent) {
            return instead;
        }
        let reservation = match self.take(priority, now, ledger).await {
            Ok(reservation) => reservation,
            Err(code) => return Leave::Refused(code),
        };
        if !keep {
            return Leave::LookUp(reservation);
        }
        let turn = self.neighbours.looked_up(network, is_under_pressure, now);
        match instead_of_a_look_up(turn, is_spent) {
            None => Leave::LookUp(reservation),
            Some(instead) => {
                reservation.settle(Some(0));
                instead
            }
        }
    }

    async fn take(
        &self,
        priority: Priority,
        now: u64,
        ledger: Option<&SharedCache>,
    ) -> Result<Reservation<'_>, Code> {
        match ledger {
            Some(ledger) => self.budget.take(1, priority, now, ledger).await,
            None => self.budget.try_take(1, priority, now),
        }
    }

    pub(crate) fn learn(&self, address: Address, evidence: &Evidence) {
        self.neighbours.learn(Network::of(address), evidence);
    }

    /// Forgets what neighbours may answer for; not what was spent.
    pub(crate) fn forget(&self, address: Option<Address>) {
        self.neighbours.forget(address.map(Network::of));
    }
}

fn instead_of_a_look_up(turn: Turn, is_spent: bool) -> Option<Leave<'static>> {
    match turn {
        Turn::LookUp => None,
        Turn::Sibling(evidence) => Some(Leave::Neighbour(evidence, is_spent)),
        Turn::Refused => Some(Leave::Refused(Code::Budget)),
    }
}
