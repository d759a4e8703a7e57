//! When the ledger is away, silent or forgetful.

use super::ledger::{Books, Remote, Way, refusal, run, spend};
use super::*;

#[test]
fn without_the_ledger_only_what_is_leased_is_spent_and_it_is_not_pestered() {
    run(async {
        let (budget, ledger) = (shared(20_000), Remote::new());
        assert_eq!(spend(&budget, 1, Priority::High, NOW, &ledger).await, 1);
        ledger.set(Way::NoRequest);
        assert_eq!(spend(&budget, u64::MAX, Priority::High, NOW, &ledger).await, 99);
        ledger.set(Way::Open);
        let calls = ledger.calls();
        assert_eq!(spend(&budget, 1, Priority::High, NOW + 999, &ledger).await, 0);
        budget.lease_ahead(Priority::High, NOW + 999, &ledger).await;
        assert!(!budget.is_low(Priority::High, NOW + 999));
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
fn a_budget_that_cannot_be_asked_is_none_that_is_used_up() {
    run(async {
        let (budget, ledger) = (shared(1_000), Remote::new());
        ledger.set(Way::NoRequest);
        // Asked in vain, and then at rest.
        for now in [NOW, NOW + 1, NOW + SECOND] {
            assert_eq!(refusal(&budget, Priority::Normal, now, &ledger).await, Some(Code::Redis));
        }
        assert!(!budget.is_under_pressure(NOW + SECOND));
        // What is for high priority alone is used up for others, whether the ledger answers or not.
        ledger.set(Way::Open);
        let now = NOW + HOUR;
        assert_eq!(spend(&budget, 800, Priority::High, now, &ledger).await, 800);
        ledger.set(Way::NoRequest);
        assert_eq!(refusal(&budget, Priority::Normal, now, &ledger).await, Some(Code::Budget));
        assert!(budget.is_under_pressure(now));
        assert_eq!(refusal(&budget, Priority::High, now, &ledger).await, Some(Code::Redis));
        ledger.set(Way::Open);
        assert_eq!(spend(&budget, 200, Priority::High, now + SECOND, &ledger).await, 200);
        ledger.set(Way::NoRequest);
        assert_eq!(refusal(&budget, Priority::High, now + SECOND, &ledger).await, Some(Code::Budget));
    });
}

#[test]
fn what_a_second_refuses_is_not_blamed_on_the_ledger() {
    run(async {
        let (budget, ledger) = (Budget::shared(&options(Some(5), Some(1_000), None)), Remote::new());
        assert_eq!(spend(&budget, 5, Priority::High, NOW, &ledger).await, 5);
        ledger.set(Way::NoRequest);
        assert_eq!(refusal(&budget, Priority::High, NOW, &ledger).await, Some(Code::Budget));
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
