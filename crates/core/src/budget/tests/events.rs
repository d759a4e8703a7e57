//! What is told: 50, 80 and 95 %, and pressure.

use super::ledger::{Remote, run, spend};
use super::*;

#[test]
fn each_percentage_has_one_event_in_each_day() {
    let percents =
        |budget: &Budget| -> Vec<u8> { budget.take_events().iter().map(|event| event.percent).collect() };
    let budget = daily(100);
    drop(budget.try_take(49, Priority::High, NOW).unwrap());
    let under_way = budget.try_take(40, Priority::High, NOW).unwrap();
    assert_eq!(percents(&budget), [0; 0], "what is under way may yet be free");
    under_way.settle(Some(0));
    assert_eq!(percents(&budget), [0; 0]);
    drop(budget.try_take(1, Priority::High, NOW).unwrap());
    assert_eq!(budget.take_events(), [Event { period: Period::Day, percent: 50, used: 50, limit: 100 }]);
    drop(budget.try_take(10, Priority::High, NOW).unwrap());
    assert_eq!(percents(&budget), [0; 0]);
    drop(budget.try_take(40, Priority::High, NOW).unwrap());
    assert_eq!(percents(&budget), [80, 95]);
    assert_eq!(percents(&budget), [0; 0]);
    drop(budget.try_take(50, Priority::High, NOW + DAY).unwrap());
    assert_eq!(percents(&budget), [50]);
    // Nobody listens: the newest are kept.
    (2..40).for_each(|day| drop(budget.try_take(100, Priority::High, NOW + day * DAY).unwrap()));
    assert_eq!(percents(&budget).len(), 16);
}

#[test]
fn pressure_is_half_an_hours_share_or_a_request_that_was_refused() {
    // 100 an hour.
    let budget = daily(2_400);
    drop(budget.try_take(500, Priority::Bulk, NOW).unwrap());
    assert!(!budget.is_under_pressure(NOW), "lists put nobody under pressure");
    drop(budget.try_take(49, Priority::Normal, NOW).unwrap());
    assert!(!budget.is_under_pressure(NOW));
    let under_way = budget.try_take(1, Priority::Normal, NOW).unwrap();
    assert!(budget.is_under_pressure(NOW + HOUR - 1));
    assert!(!budget.is_under_pressure(NOW + HOUR));
    under_way.settle(Some(0));
    assert!(!budget.is_under_pressure(NOW));

    let budget = Budget::new(&options(None, Some(2_400), Some(720)));
    drop(budget.try_take(1, Priority::High, NOW).unwrap());
    assert!(budget.is_under_pressure(NOW), "a month's share of an hour is one");

    let budget = Budget::new(&options(Some(1), None, None));
    drop(budget.try_take(1, Priority::Normal, NOW).unwrap());
    assert!(budget.try_take(1, Priority::Bulk, NOW).is_err());
    assert!(!budget.is_under_pressure(NOW), "bulk work was refused");
    assert!(budget.try_take(1, Priority::Normal, NOW).is_err());
    assert!(budget.is_under_pressure(NOW + 59_999) && !budget.is_under_pressure(NOW + 60_000));
}

#[test]
fn each_percentage_is_told_by_one_process() {
    run(async {
        let ledger = Remote::new();
        let processes: Vec<Budget> = (0..7).map(|_| shared(1_000)).collect();
        let mut told = Vec::new();
        for place in (0..7).cycle().take(1_100) {
            let _ = spend(&processes[place], 1, Priority::High, NOW, &ledger).await;
            told.extend(processes[place].take_events().iter().map(|event| event.percent));
        }
        assert_eq!(told, [50, 80, 95]);
    });
}

#[test]
fn half_an_hours_share_is_that_of_all_processes() {
    run(async {
        let ledger = Remote::new();
        // 1,000 an hour; each process leases 100 at once.
        let [a, b] = [shared(24_000), shared(24_000)];
        assert_eq!(spend(&a, 1, Priority::High, NOW, &ledger).await, 1);
        assert_eq!(spend(&b, 450, Priority::High, NOW, &ledger).await, 450);
        assert!(!a.is_under_pressure(NOW) && b.is_under_pressure(NOW));
        assert_eq!(spend(&a, 100, Priority::High, NOW, &ledger).await, 100);
        assert!(a.is_under_pressure(NOW));
        assert!(!a.is_under_pressure(NOW + HOUR));
    });
}
