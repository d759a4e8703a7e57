//! How a process leases, and what it believes.

use super::ledger::{Remote, Way, is_immediate, run, spend};
use super::*;

#[test]
fn one_round_trip_for_each_chunk() {
    run(async {
        for (limit, round_trips) in
            [(3, 1), (100, 25), (1_000, 200), (2_000, 200), (20_000, 200), (100_000, 1_000)]
        {
            let (budget, ledger) = (shared(limit), Remote::new());
            assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, limit);
            assert_eq!(ledger.calls(), round_trips, "{limit}");
            assert!(budget.take(1, Priority::High, NOW, &ledger).await.is_err());
            assert_eq!(ledger.calls(), round_trips, "a spent budget is not asked for again");
        }
    });
}

#[test]
fn who_leases_ahead_waits_for_the_first_lease_alone() {
    run(async {
        for (limit, most_round_trips) in [(100, 34), (2_000, 333), (20_000, 394)] {
            let (budget, ledger) = (shared(limit), Remote::new());
            for spent in 0..limit {
                let take = async { budget.take(1, Priority::High, NOW, &ledger).await.unwrap().settle(None) };
                if spent == 0 {
                    take.await;
                } else {
                    assert!(is_immediate(take).await, "the look-up after {spent} of {limit} waited");
                }
                if budget.is_low(Priority::High, NOW) {
                    budget.lease_ahead(Priority::High, NOW, &ledger).await;
                }
            }
            assert!(ledger.calls() <= most_round_trips, "{} for {limit}", ledger.calls());
            assert!(!budget.is_low(Priority::High, NOW), "there is nothing more to lease");
            assert_eq!(ledger.books.lock().unwrap().granted, 2 * limit);
        }
    });
}

#[test]
fn nobody_has_more_than_a_chunk_in_hand_and_one_lease_ahead_is_enough() {
    run(async {
        let (budget, ledger) = (shared(20_000), Remote::new());
        assert_eq!(spend(&budget, 50, Priority::Normal, NOW, &ledger).await, 50);
        assert!(!budget.is_low(Priority::Normal, NOW), "half of it is left");
        budget.lease_ahead(Priority::Normal, NOW, &ledger).await;
        assert_eq!(ledger.calls(), 1);
        assert_eq!(spend(&budget, 1, Priority::Normal, NOW, &ledger).await, 1);
        assert!(budget.is_low(Priority::Normal, NOW));
        let mut first = Box::pin(budget.lease_ahead(Priority::Normal, NOW, &ledger));
        assert!(!is_immediate(&mut first).await);
        assert!(!budget.is_low(Priority::Normal, NOW), "it is being leased");
        assert!(is_immediate(budget.lease_ahead(Priority::Normal, NOW, &ledger)).await);
        let take = async { budget.take(1, Priority::Normal, NOW, &ledger).await.unwrap().settle(None) };
        assert!(is_immediate(take).await, "what is left can be had meanwhile");
        first.await;
        assert_eq!((ledger.calls(), ledger.books.lock().unwrap().granted), (2, 2 * 151));
    });
}

#[test]
fn nothing_is_leased_ahead_of_what_another_limit_refuses() {
    run(async {
        let (budget, ledger) = (Budget::shared(&options(Some(5), Some(1_000), Some(4))), Remote::new());
        assert_eq!(spend(&budget, 4, Priority::High, NOW, &ledger).await, 4);
        for now in [NOW, NOW + SECOND] {
            assert!(!budget.is_low(Priority::High, now));
            budget.lease_ahead(Priority::High, now, &ledger).await;
        }
        assert_eq!(ledger.books.lock().unwrap().totals["day:2026-11-23"], 10);
        // A budget of one process has no ledger.
        let alone = daily(100);
        assert_eq!(spend_all(&alone, Priority::High, NOW), 100);
        assert!(!alone.is_low(Priority::High, NOW));
    });
}

#[test]
fn who_waits_for_a_lease_shares_it() {
    fn assert_send<T: Send>(_: &T) {}
    run(async {
        let (budget, ledger) = (shared(20_000), Remote::new());
        let takes: Vec<_> =
            (0..100).map(|_| Box::pin(budget.take(1, Priority::Normal, NOW, &ledger))).collect();
        takes.iter().for_each(assert_send);
        let mut kept = Vec::new();
        let mut open = takes;
        // All are begun before the first one ends.
        std::future::poll_fn(|context| {
            open.retain_mut(|take| match take.as_mut().poll(context) {
                std::task::Poll::Ready(reservation) => {
                    kept.push(reservation.unwrap());
                    false
                }
                std::task::Poll::Pending => true,
            });
            if open.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert_eq!((kept.len(), ledger.calls()), (100, 1));
    });
}

#[test]
fn priorities_hold_for_all_processes_together() {
    run(async {
        let ledger = Remote::new();
        let [a, b, c] = [shared(1_000), shared(1_000), shared(1_000)];
        let bulk = spend(&a, u64::MAX, Priority::Bulk, NOW, &ledger).await;
        let normal = spend(&b, u64::MAX, Priority::Normal, NOW, &ledger).await;
        let high = spend(&c, u64::MAX, Priority::High, NOW, &ledger).await;
        assert_eq!((bulk, normal, high), (600, 200, 200));
        assert_eq!(c.status(NOW)[0].leased_by_all, Some(1_000));
    });
}

#[test]
fn an_answer_that_cannot_be_is_none() {
    struct Liar(Lease);
    impl Ledger for Liar {
        async fn take(&self, _: &LeaseRequest) -> Option<Lease> {
            Some(self.0)
        }
    }
    run(async {
        for (granted, total) in [(11, 20), (10, 9), (10, 2_001), (u64::MAX, u64::MAX), (1, u64::MAX)] {
            let budget = shared(1_000);
            let ledger = Liar(Lease { granted, total });
            assert!(budget.take(1, Priority::High, NOW, &ledger).await.is_err(), "{granted} of {total}");
            assert_eq!(budget.available(Priority::High, NOW), Some(1_000), "{granted} of {total}");
        }
        // A ledger that always gives the same is not asked for ever.
        let budget = shared(1_000);
        for lease in [Lease { granted: 0, total: 0 }, Lease { granted: 1, total: 1 }] {
            assert!(budget.take(50, Priority::High, NOW, &Liar(lease)).await.is_err());
        }
    });
}

#[test]
fn a_new_day_is_leased_anew_and_what_was_leased_for_the_old_one_stays_there() {
    run(async {
        let (budget, ledger) = (shared(20_000), Remote::new());
        assert_eq!(spend(&budget, 1, Priority::High, NOW, &ledger).await, 1);
        for day in [NOW + DAY, NOW - DAY] {
            ledger.set(Way::NoRequest);
            assert!(budget.take(1, Priority::High, day, &ledger).await.is_err());
            ledger.set(Way::Open);
            assert_eq!(spend(&budget, 20_000, Priority::High, day + SECOND, &ledger).await, 20_000);
            // One day back, and it is still that day.
            assert_eq!(spend(&budget, 1, Priority::High, day - DAY, &ledger).await, 0);
        }
        assert_eq!(ledger.books.lock().unwrap().totals["day:2026-11-23"], 200);
    });
}

#[test]
fn seconds_stay_with_the_process_and_what_they_refuse_is_not_leased() {
    run(async {
        let ledger = Remote::new();
        let budget = Budget::shared(&options(Some(5), Some(1_000), None));
        assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 5);
        assert_eq!(ledger.calls(), 1);
    });
}

#[test]
fn nothing_is_leased_of_a_day_when_the_month_is_spent() {
    run(async {
        let ledger = Remote::new();
        let budget = Budget::shared(&options(None, Some(1_000), Some(5)));
        assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 5);
        let totals = ledger.books.lock().unwrap().totals.clone();
        assert_eq!(totals["day:2026-11-23"], 10);
        assert_eq!(totals["month:2026-11"], 10);
    });
}
