use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

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
    assert_eq!(budget.available(Priority::High, NOW), Some(10));
}

#[test]
fn a_clock_that_is_set_neither_frees_nor_loses() {
    // Back and forth over midnight.
    let budget = daily(10);
    drop(budget.try_take(4, Priority::High, NOW).unwrap());
    drop(budget.try_take(7, Priority::High, NOW + DAY).unwrap());
    for (now, left) in [(NOW, 6), (NOW + DAY, 3), (NOW, 6), (NOW + DAY, 3)] {
        assert_eq!(budget.available(Priority::High, now), Some(left));
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
    drop(budget.try_take(49, Priority::Bulk, NOW).unwrap());
    assert!(!budget.is_under_pressure(NOW));
    let under_way = budget.try_take(1, Priority::Bulk, NOW).unwrap();
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

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(PRIORITIES.to_vec())
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

    #[test]
    fn a_clock_that_jumps_between_days_frees_nothing(
        steps in prop::collection::vec((0_u64..3, 1_u64..5, any::<bool>()), 1..100),
    ) {
        let budget = daily(20);
        let mut kept = Vec::new();
        let mut charged: BTreeMap<u64, u64> = BTreeMap::new();
        for (day, count, is_free) in steps {
            let Ok(reservation) = budget.try_take(count, Priority::High, NOW + day * DAY) else { continue };
            if is_free {
                reservation.settle(Some(0));
            } else {
                kept.push(reservation);
                *charged.entry(day).or_default() += count;
            }
        }
        drop(kept);
        prop_assert!(charged.values().all(|charged| *charged <= 20), "{:?}", charged);
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

mod shared {
    use std::sync::Mutex;

    use super::*;

    /// The ledger as its script says it, in memory.
    #[derive(Default)]
    struct Books {
        totals: HashMap<String, u64>,
        last: HashMap<(String, String), (u64, Lease)>,
        calls: u64,
        granted: u64,
    }

    impl Books {
        fn take(&mut self, request: &LeaseRequest) -> Lease {
            self.calls += 1;
            let key = format!("{}:{}", request.period.as_str(), request.name);
            let holder = (key.clone(), request.holder.clone());
            if let Some((sequence, lease)) = self.last.get(&holder)
                && *sequence == request.sequence
            {
                return *lease;
            }
            let total = self.totals.entry(key).or_default();
            *total = (*total).max(request.known);
            let granted = request.count.min(request.ceiling.saturating_sub(*total));
            *total += granted;
            self.granted += granted;
            let lease = Lease { granted, total: *total };
            self.last.insert(holder, (request.sequence, lease));
            lease
        }
    }

    /// How the way to the ledger is.
    #[derive(Clone, Copy, Debug)]
    enum Way {
        Open,
        /// The request does not arrive.
        NoRequest,
        /// The request arrives, its answer does not.
        NoAnswer,
    }

    struct Remote {
        books: Mutex<Books>,
        way: Mutex<Way>,
    }

    impl Remote {
        fn new() -> Self {
            Self { books: Mutex::default(), way: Mutex::new(Way::Open) }
        }

        fn set(&self, way: Way) {
            *self.way.lock().unwrap() = way;
        }

        fn calls(&self) -> u64 {
            self.books.lock().unwrap().calls
        }
    }

    impl Ledger for Remote {
        async fn take(&self, request: &LeaseRequest) -> Option<Lease> {
            tokio::task::yield_now().await;
            let way = *self.way.lock().unwrap();
            match way {
                Way::Open => Some(self.books.lock().unwrap().take(request)),
                Way::NoRequest => None,
                Way::NoAnswer => {
                    self.books.lock().unwrap().take(request);
                    None
                }
            }
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn shared(limit: u64) -> Budget {
        Budget::shared(&options(None, Some(limit), None))
    }

    async fn spend(budget: &Budget, most: u64, priority: Priority, now: u64, ledger: &Remote) -> u64 {
        let mut spent = 0;
        while spent < most {
            let Ok(reservation) = budget.take(1, priority, now, ledger).await else { break };
            reservation.settle(Some(2));
            spent += 1;
        }
        spent
    }

    #[test]
    fn one_round_trip_for_each_chunk() {
        run(async {
            for (limit, round_trips) in [(100, 100), (2_000, 200), (20_000, 200), (100_000, 1_000)] {
                let (budget, ledger) = (shared(limit), Remote::new());
                assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, limit);
                assert_eq!(ledger.calls(), round_trips, "{limit}");
                assert!(budget.take(1, Priority::High, NOW, &ledger).await.is_err());
                assert_eq!(ledger.calls(), round_trips, "a spent budget is not asked for again");
            }
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
    fn without_the_ledger_only_what_is_leased_is_spent_and_it_is_not_pestered() {
        run(async {
            let (budget, ledger) = (shared(20_000), Remote::new());
            assert_eq!(spend(&budget, 1, Priority::High, NOW, &ledger).await, 1);
            ledger.set(Way::NoRequest);
            assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 99);
            assert!(budget.is_under_pressure(NOW));
            ledger.set(Way::Open);
            let calls = ledger.calls();
            assert_eq!(spend(&budget, 1, Priority::High, NOW + 999, &ledger).await, 0);
            assert_eq!(ledger.calls(), calls);
            assert_eq!(spend(&budget, 1, Priority::High, NOW + 1_000, &ledger).await, 1);
            // A clock that was set back does not shut it out.
            ledger.set(Way::NoRequest);
            assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW + 2_000, &ledger).await, 99);
            ledger.set(Way::Open);
            assert_eq!(spend(&budget, 1, Priority::High, NOW, &ledger).await, 1);
        });
    }

    #[test]
    fn an_answer_that_was_lost_is_given_again() {
        run(async {
            let (budget, ledger) = (shared(20_000), Remote::new());
            ledger.set(Way::NoAnswer);
            for second in 0..5 {
                assert!(budget.take(1, Priority::High, NOW + second * SECOND, &ledger).await.is_err());
            }
            ledger.set(Way::Open);
            assert_eq!(spend(&budget, 100, Priority::High, NOW + 9 * SECOND, &ledger).await, 100);
            assert_eq!(ledger.books.lock().unwrap().granted, 200);
            // Given up while the ledger is asked.
            let mut take = Box::pin(budget.take(1, Priority::High, NOW + 9 * SECOND, &ledger));
            std::future::poll_fn(|context| {
                assert!(take.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(take);
            assert_eq!(spend(&budget, 100, Priority::High, NOW + 9 * SECOND, &ledger).await, 100);
            assert_eq!(ledger.books.lock().unwrap().granted, 400);
        });
    }

    #[test]
    fn a_ledger_that_forgets_goes_on_from_what_is_known() {
        run(async {
            let (budget, ledger) = (shared(1_000), Remote::new());
            assert_eq!(spend(&budget, 700, Priority::High, NOW, &ledger).await, 700);
            *ledger.books.lock().unwrap() = Books::default();
            assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 300);
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
            }
            ledger.set(Way::NoRequest);
            assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 99);
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

    #[derive(Clone, Debug)]
    enum Event {
        Spend(usize, u64, Priority),
        /// It is gone, with what it had leased; another one begins in its place.
        Crash(usize),
        Way(Way),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let way = prop::sample::select(vec![Way::Open, Way::Open, Way::NoRequest, Way::NoAnswer]);
        prop_oneof![
            16 => (0_usize..4, 1_u64..60, priority()).prop_map(|(place, count, priority)| Event::Spend(place, count, priority)),
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
                        Event::Spend(place, count, priority) => {
                            let here = spend(&processes[place], count, priority, now, &ledger).await;
                            spent += here;
                            spent_by_others += if priority == Priority::High { 0 } else { here };
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
                let chunk = (limit / 200).clamp(1, 100);
                prop_assert!(spent <= limit, "{} of {}", spent, limit);
                let lost = (begun - 4) * chunk;
                prop_assert!(spent + lost >= limit, "{} of {}, {} lost", spent, limit, lost);
                Ok(())
            })?;
        }
    }
}
