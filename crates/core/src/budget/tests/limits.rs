//! Who may have how much, and what a charge leaves.

use super::*;

#[test]
fn each_priority_leaves_what_is_kept_for_those_above_it() {
    for (limit, reserved, expected) in [
        (100, 20, [60, 80, 100]),
        (100, 0, [80, 100, 100]),
        (100, 100, [0, 0, 100]),
        (100, 90, [0, 10, 100]),
        (7, 20, [5, 6, 7]),
        (1, 20, [1, 1, 1]),
    ] {
        for (priority, most) in PRIORITIES.into_iter().zip(expected) {
            let budget = Budget::new(&BudgetOptions { reserved, ..options(None, Some(limit), None) });
            assert_eq!(budget.available(priority, NOW), Some(most), "{limit}, {reserved} %: {priority:?}");
            assert_eq!(spend_all(&budget, priority, NOW), most, "{limit}, {reserved} %: {priority:?}");
        }
        let budget = Budget::new(&BudgetOptions { reserved, ..options(None, Some(limit), None) });
        let spent = PRIORITIES.map(|priority| spend_all(&budget, priority, NOW));
        assert_eq!(spent.iter().sum::<u64>(), limit, "one after the other");
    }
}

#[test]
fn a_limit_that_is_not_set_is_none() {
    let budget = Budget::new(&options(None, None, None));
    assert_eq!(budget.available(Priority::Bulk, NOW), None);
    assert!(budget.try_take(u64::MAX, Priority::Bulk, NOW).is_ok());
    assert!(!budget.is_under_pressure(NOW));
    assert!(budget.status(NOW).is_empty());
}

#[test]
fn many_are_reserved_whole_or_not_at_all_and_the_tightest_limit_counts() {
    let budget = Budget::new(&options(Some(50), Some(100), Some(70)));
    assert_eq!(budget.try_take(51, Priority::High, NOW).unwrap_err(), Code::Budget);
    budget.try_take(50, Priority::High, NOW).unwrap().settle(None);
    assert_eq!(budget.available(Priority::High, NOW), Some(0));
    assert_eq!(budget.available(Priority::High, NOW + SECOND), Some(20));
    assert!(budget.try_take(21, Priority::High, NOW + SECOND).is_err());
    assert!(budget.try_take(20, Priority::High, NOW + SECOND).is_ok());
    // What the month refused was not taken out of the day.
    assert_eq!(budget.status(NOW + SECOND)[1].spent, 70);
}

#[test]
fn what_was_charged_counts_and_what_is_not_known_counts_in_full() {
    // What 10 look-ups were charged, and what is left of 100 then.
    for (charged, left) in [
        (Some(0), 100),
        (Some(2), 99),
        (Some(1), 99),
        (Some(19), 90),
        (Some(20), 90),
        (None, 90),
        (Some(30), 85),
        (Some(40), 80),
        (Some(u64::MAX), 80),
    ] {
        let budget = daily(100);
        let reservation = budget.try_take(10, Priority::High, NOW).unwrap();
        assert_eq!(budget.available(Priority::High, NOW), Some(90), "while it is under way");
        reservation.settle(charged);
        assert_eq!(budget.available(Priority::High, NOW), Some(left), "{charged:?}");
    }
    let budget = daily(100);
    drop(budget.try_take(10, Priority::High, NOW).unwrap());
    assert_eq!(budget.available(Priority::High, NOW), Some(90));
    assert_eq!(
        budget.status(NOW),
        [Status { period: Period::Day, limit: 100, spent: 10, leased_by_all: None }]
    );
}

#[test]
fn what_was_charged_beyond_the_limit_is_owed() {
    let budget = daily(10);
    let early = budget.try_take(5, Priority::High, NOW).unwrap();
    budget.try_take(5, Priority::High, NOW).unwrap().settle(Some(16));
    assert_eq!(budget.available(Priority::High, NOW), Some(0));
    // Of what comes back, what is owed is paid first: 10 credits, of which 6 are.
    early.settle(Some(0));
    assert_eq!(budget.available(Priority::High, NOW), Some(2));
    assert_eq!(spend_all(&budget, Priority::High, NOW), 2);
}
