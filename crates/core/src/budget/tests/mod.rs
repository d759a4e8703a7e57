//! What the budget promises, alone and with a ledger.

mod events;
mod leases;
mod ledger;
mod limits;
mod model;
mod outages;
mod periods;
mod processes;

use proptest::prelude::*;

use super::*;
use crate::flags::tests::cases;

/// 2026-11-23 at noon.
const NOW: u64 = 1_795_435_200_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

const PRIORITIES: [Priority; 3] = [Priority::Bulk, Priority::Normal, Priority::High];

fn options(per_second: Option<u64>, per_day: Option<u64>, per_month: Option<u64>) -> BudgetOptions {
    BudgetOptions { per_second, per_day, per_month, reserved: DEFAULT_RESERVED }
}

fn daily(limit: u64) -> Budget {
    Budget::new(&options(None, Some(limit), None))
}

fn shared(limit: u64) -> Budget {
    Budget::shared(&options(None, Some(limit), None))
}

/// Takes one look-up at a time until there is none left, all charged; how many there were.
fn spend_all(budget: &Budget, priority: Priority, now: u64) -> u64 {
    let mut taken = 0;
    while let Ok(reservation) = budget.try_take(1, priority, now) {
        reservation.settle(Some(CREDITS_PER_LOOK_UP));
        taken += 1;
        assert!(taken < 1_000_000);
    }
    taken
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(PRIORITIES.to_vec())
}
