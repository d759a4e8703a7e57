//! Seconds, days and months, and clocks that are set.

use super::*;

#[test]
fn seconds_pace_and_are_not_given_back() {
    let budget = Budget::new(&options(Some(10), None, None));
    budget.try_take(10, Priority::High, NOW + 999).unwrap().settle(Some(0));
    assert!(budget.try_take(1, Priority::High, NOW + 999).is_err());
    assert!(budget.try_take(1, Priority::High, NOW + 1_000).is_ok());
}

#[test]
fn a_new_day_and_a_new_month_of_utc_begin_with_all() {
    let budget = Budget::new(&options(None, Some(10), Some(100)));
    let midnight = NOW - 12 * HOUR + DAY;
    assert_eq!(spend_all(&budget, Priority::High, midnight - 1), 10);
    assert_eq!(spend_all(&budget, Priority::High, midnight), 10);
    // From the 25th to the end of November.
    let rest: u64 = (1..30).map(|day| spend_all(&budget, Priority::High, midnight + day * DAY)).sum();
    let december = (1..=30)
        .map(|day| day * DAY)
        .find(|since| Period::Month.name(Period::Month.number(midnight + since)) == "2026-12");
    assert_eq!(december, Some(7 * DAY));
    assert_eq!(rest, 60 + 100, "six days of November, then no more than a month");
}

#[test]
fn what_is_settled_after_midnight_belongs_to_the_day_before() {
    let budget = Budget::new(&options(None, Some(10), Some(100)));
    let reservation = budget.try_take(10, Priority::High, NOW).unwrap();
    assert_eq!(spend_all(&budget, Priority::High, NOW + DAY), 10);
    reservation.settle(Some(0));
    assert_eq!(budget.available(Priority::High, NOW + DAY), Some(0));
    let spent = budget.status(NOW + DAY).iter().map(|status| status.spent).collect::<Vec<_>>();
    assert_eq!(spent, [10, 10], "what was free is back in the month");
}

#[test]
fn who_began_to_ask_before_midnight_has_the_new_day() {
    let budget = Budget::new(&options(Some(10), Some(30), None));
    let midnight = NOW - 12 * HOUR + DAY;
    drop(budget.try_take(9, Priority::High, midnight - 1).unwrap());
    drop(budget.try_take(9, Priority::High, midnight).unwrap());
    for now in [midnight - 1, midnight, midnight - SECOND, midnight] {
        assert_eq!(budget.available(Priority::High, now), Some(1));
    }
    assert_eq!(budget.status(midnight - 1)[1].spent, 9);
}

#[test]
fn a_clock_that_is_set_neither_frees_nor_loses() {
    // Back and forth over midnight.
    let budget = daily(10);
    drop(budget.try_take(4, Priority::High, NOW).unwrap());
    drop(budget.try_take(7, Priority::High, NOW + DAY).unwrap());
    for now in [NOW, NOW + DAY, NOW, NOW + DAY] {
        assert_eq!(budget.available(Priority::High, now), Some(3));
    }
    // Back to a day that it never was: the same day in truth.
    assert_eq!(budget.available(Priority::High, NOW - 5 * DAY), Some(3));
    // A clock that was years ahead is put right: what was spent counts, and the next days are whole.
    let budget = Budget::new(&options(None, Some(10), Some(15)));
    drop(budget.try_take(7, Priority::High, NOW + 4_000 * DAY).unwrap());
    assert_eq!(budget.available(Priority::High, NOW), Some(3));
    assert_eq!(spend_all(&budget, Priority::High, NOW), 3);
    assert_eq!(budget.available(Priority::High, NOW + DAY), Some(5));
    // A machine that wakes up in 1970 and learns the time.
    let budget = daily(10);
    assert_eq!(spend_all(&budget, Priority::High, 0), 10);
    assert_eq!(budget.available(Priority::High, NOW), Some(10));
    assert!(budget.available(Priority::High, u64::MAX).is_some());
}

proptest! {
    #![proptest_config(cases(256))]

    /// One limit for each time that a later day began, whatever is settled when.
    #[test]
    fn a_clock_that_jumps_over_midnight_frees_nothing(
        steps in prop::collection::vec((0_u64..2, 1_u64..5, any::<bool>()), 1..100),
    ) {
        let budget = daily(20);
        let mut kept = Vec::new();
        let (mut latest, mut charged) = (0, [0; 2]);
        for (day, count, is_free) in steps {
            latest = day.max(latest);
            let Ok(reservation) = budget.try_take(count, Priority::High, NOW + day * DAY) else { continue };
            if is_free {
                reservation.settle(Some(0));
            } else {
                kept.push(reservation);
                charged[usize::try_from(latest).unwrap()] += count;
            }
        }
        drop(kept);
        prop_assert!(charged.iter().all(|charged| *charged <= 20), "{:?}", charged);
    }
}
