//! Every interleaving against a model, and against threads.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

/// One day or month of the model: which of its credits are free.
struct Free {
    credits: BTreeSet<u64>,
    limit: u64,
    debt: usize,
    spent: u64,
}

/// The credits that one reservation holds, by day or month.
type Taken = Vec<((Period, String), Vec<u64>)>;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Take(u64, Priority),
    /// Settled by that many credits for each look-up, or dropped.
    Settle(prop::sample::Index, Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..2 * DAY).prop_map(Step::Pass),
        2 => (0_u64..2_000).prop_map(Step::Pass),
        10 => (1_u64..8, priority()).prop_map(|(count, priority)| Step::Take(count, priority)),
        8 => (any::<prop::sample::Index>(), prop::option::of(0_u64..7))
            .prop_map(|(place, charged)| Step::Settle(place, charged)),
    ]
}

proptest! {
    #![proptest_config(cases(256))]

    /// The model names every credit and remembers who has it.
    #[test]
    fn it_gives_what_a_list_of_all_credits_gives(
        per_day in 1_u64..40, per_month in 1_u64..120, reserved in 0_u8..=100,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let written = BudgetOptions { reserved, ..options(None, Some(per_day), Some(per_month)) };
        let budget = Budget::new(&written);
        let mut free: HashMap<(Period, String), Free> = HashMap::new();
        let mut under_way: Vec<(Reservation<'_>, u64, Taken)> = Vec::new();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Pass(time) => now += time,
                Step::Take(count, priority) => {
                    let mut taken = Vec::new();
                    for (period, limit) in [(Period::Day, per_day), (Period::Month, per_month)] {
                        let key = (period, period.name(period.number(now)));
                        let all = || Free { credits: (0..2 * limit).collect(), limit, debt: 0, spent: 0 };
                        let free = free.entry(key.clone()).or_insert_with(all);
                        let kept = limit * u64::from(reserved) / 100;
                        let ceiling = 2 * match priority {
                            Priority::High => limit,
                            Priority::Normal => limit - kept,
                            Priority::Bulk => (limit - kept).saturating_sub(limit / 5),
                        };
                        let open: Vec<u64> = free.credits.iter().copied().filter(|credit| *credit < ceiling).collect();
                        let needed = usize::try_from(2 * count).unwrap();
                        taken.push((key, open.get(..needed).map(<[u64]>::to_vec)));
                    }
                    let expected = taken.iter().all(|(_, credits)| credits.is_some());
                    let reservation = budget.try_take(count, priority, now);
                    prop_assert_eq!(reservation.is_ok(), expected);
                    if let Ok(reservation) = reservation {
                        let taken: Vec<_> = taken.into_iter().map(|(key, credits)| (key, credits.unwrap())).collect();
                        for (key, credits) in &taken {
                            let free = free.get_mut(key).unwrap();
                            for credit in credits {
                                assert!(free.credits.remove(credit));
                            }
                        }
                        under_way.push((reservation, count, taken));
                    }
                }
                Step::Settle(place, charged) if !under_way.is_empty() => {
                    let (reservation, count, taken) = under_way.swap_remove(place.index(under_way.len()));
                    let charged = charged.map(|each| each * count);
                    match charged {
                        Some(charged) => reservation.settle(Some(charged)),
                        None => drop(reservation),
                    }
                    let charged = charged.unwrap_or(2 * count).min(4 * count);
                    for (key, credits) in taken {
                        let free = free.get_mut(&key).unwrap();
                        free.spent += charged;
                        for place in 0..charged.max(2 * count) {
                            let is_charged = place < charged;
                            match credits.get(usize::try_from(place).unwrap()) {
                                Some(_) if is_charged => {}
                                Some(_) if free.debt > 0 => free.debt -= 1,
                                Some(credit) => assert!(free.credits.insert(*credit)),
                                None if free.credits.pop_first().is_none() => free.debt += 1,
                                None => {}
                            }
                        }
                    }
                }
                Step::Settle(..) => {}
            }
        }
        for status in budget.status(now) {
            let key = (status.period, status.period.name(status.period.number(now)));
            prop_assert_eq!(status.spent, free.get(&key).map_or(0, |free| free.spent) / 2);
        }
        for free in free.values() {
            let overdrawn = free.debt as u64;
            let held = 2 * free.limit - free.credits.len() as u64;
            prop_assert!(free.spent <= held + overdrawn);
        }
    }
}

#[test]
fn never_more_than_set_however_threads_interleave() {
    const LIMIT: u64 = 5_000;
    let budget = Budget::new(&options(None, Some(LIMIT), Some(LIMIT + 10)));
    let (used, charged) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (budget, used, charged) = (&budget, &used, &charged);
            scope.spawn(move || {
                for round in 0..4_000_u64 {
                    let priority = PRIORITIES[usize::try_from(round % 3).unwrap()];
                    let count = 1 + (round + number) % 3;
                    let Ok(reservation) = budget.try_take(count, priority, NOW) else { continue };
                    let before = used.fetch_add(2 * count, Ordering::SeqCst);
                    assert!(before + 2 * count <= 2 * LIMIT, "{before} and {count} more look-ups");
                    let credits = (round % 3) * count;
                    charged.fetch_add(credits, Ordering::SeqCst);
                    // Before it can be taken by somebody else.
                    used.fetch_sub(2 * count - credits, Ordering::SeqCst);
                    reservation.settle(Some(credits));
                }
            });
        }
    });
    let charged = charged.load(Ordering::SeqCst);
    assert!(charged <= 2 * LIMIT, "{charged}");
    let rest = spend_all(&budget, Priority::High, NOW);
    assert!(charged + 2 * rest >= 2 * LIMIT - 1, "{charged} and {rest}");
    assert!(charged + 2 * rest <= 2 * LIMIT, "{charged} and {rest}");
}
