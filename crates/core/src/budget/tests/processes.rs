//! Many processes that share one budget, die and lose answers.

use super::ledger::{Remote, Way, refusal, run, spend};
use super::*;

#[derive(Clone, Debug)]
enum Event {
    Spend(usize, u64, Priority),
    Ahead(usize, Priority),
    /// It is gone, with what it had leased; another one begins in its place.
    Crash(usize),
    Way(Way),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let way = prop::sample::select(vec![Way::Open, Way::Open, Way::NoRequest, Way::NoAnswer]);
    prop_oneof![
        16 => (0_usize..4, 1_u64..60, priority()).prop_map(|(place, count, priority)| Event::Spend(place, count, priority)),
        8 => (0_usize..4, priority()).prop_map(|(place, priority)| Event::Ahead(place, priority)),
        1 => (0_usize..4).prop_map(Event::Crash),
        3 => way.prop_map(Event::Way),
        3 => (0_u64..3_000).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn never_more_than_set_in_all_and_at_most_a_chunk_for_each_process_less(
        limit in 1_u64..3_000, reserved in 0_u8..=100, events in prop::collection::vec(event(), 0..120),
    ) {
        let written = BudgetOptions { reserved, ..options(None, Some(limit), None) };
        let ledger = Remote::new();
        let mut processes: Vec<Budget> = (0..4).map(|_| Budget::shared(&written)).collect();
        let (mut now, mut spent, mut begun) = (NOW, 0, 4);
        let normal = limit - limit * u64::from(reserved) / 100;
        let ceilings = [normal.saturating_sub(limit / 5), normal, limit];
        let mut spent_by_others = 0;
        run(async {
            for event in events {
                match event {
                    Event::Pass(time) => now += time,
                    Event::Way(way) => ledger.set(way),
                    Event::Crash(place) => {
                        processes[place] = Budget::shared(&written);
                        begun += 1;
                    }
                    Event::Ahead(place, priority) => processes[place].lease_ahead(priority, now, &ledger).await,
                    Event::Spend(place, count, priority) => {
                        let here = spend(&processes[place], count, priority, now, &ledger).await;
                        spent += here;
                        spent_by_others += if priority == Priority::High { 0 } else { here };
                        if here < count && refusal(&processes[place], priority, now, &ledger).await == Some(Code::Budget) {
                            let ceiling = 2 * ceilings[priority as usize];
                            let leased = ledger.books.lock().unwrap().totals.get("day:2026-11-23").copied();
                            prop_assert!(leased.unwrap_or(0) >= ceiling, "{:?} of {}", leased, ceiling);
                        }
                    }
                }
            }
            prop_assert!(spent <= limit && spent_by_others <= normal);
            // The ledger is back, and everybody spends what is left.
            ledger.set(Way::Open);
            now += 2_000;
            for process in &processes {
                spent += spend(process, u64::MAX, Priority::High, now, &ledger).await;
            }
            let chunk = (limit / 200).clamp(4, 100);
            prop_assert!(spent <= limit, "{} of {}", spent, limit);
            let lost = (begun - 4) * chunk;
            prop_assert!(spent + lost >= limit, "{} of {}, {} lost", spent, limit, lost);
            Ok(())
        })?;
    }
}
