//! One call per address however many ask, and what becomes of it when somebody goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ip_risk_core::checker::{Checker, Evaluation, Request};
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::decision::{Decision, PolicyId, Source};
use ip_risk_core::error::Code;
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::server::{Reply, Server, until};
use crate::support::{LONGEST_COOL_DOWN, TRUSTED_PROXY, UNVERIFIED, World, checker, runtime};

const ADDRESS: &str = "198.51.100.9";

fn request(text: &str, facts: Facts) -> Request<'_> {
    Request { text, policy: PolicyId::from_number(0), route: RouteId::OTHER, facts }
}

/// A check on a task of its own.
fn checking(checker: &Arc<Checker>, text: &str, facts: Facts) -> JoinHandle<Decision> {
    let (checker, text) = (Arc::clone(checker), text.to_owned());
    tokio::spawn(async move { checker.check(request(&text, facts)).await })
}

/// Whether the checker can decide about `ADDRESS` without asking anybody.
fn is_known(checker: &Checker) -> bool {
    matches!(checker.evaluate(request(ADDRESS, TRUSTED_PROXY)), Evaluation::Decided(_))
}

/// Waits until that many checks have joined calls that were under way.
async fn joined(checker: &Checker, checks: u64) {
    until(|| checker.engine().stats().coalesced == checks).await;
}

/// Waits until no call is under way.
async fn landed(checker: &Checker) {
    until(|| checker.engine().stats().in_flight == 0).await;
}

fn address(number: usize) -> String {
    format!("192.0.2.{number}")
}

/// One of many, each in a network of its own.
fn one_of_many(number: usize) -> String {
    format!("2001:db8:{number:x}::1")
}

#[test]
fn checks_at_the_same_time_share_one_call_per_address_and_its_answer() {
    const ADDRESSES: usize = 16;
    const CHECKS: usize = 32;
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for number in 0..ADDRESSES {
            let score = u8::try_from(number).unwrap();
            let security =
                json!({ "threat_score": score, "is_vpn": true, "vpn_provider_names": [address(number)] });
            world.server.answer(&address(number), Reply::security(&security));
        }
        world.server.hold();
        let checks: Vec<_> = (0..ADDRESSES * CHECKS)
            .map(|check| {
                (check % ADDRESSES, checking(&world.checker, &address(check % ADDRESSES), TRUSTED_PROXY))
            })
            .collect();
        world.server.arrived(ADDRESSES).await;
        joined(&world.checker, u64::try_from(ADDRESSES * (CHECKS - 1)).unwrap()).await;
        assert_eq!(world.checker.engine().stats().in_flight, ADDRESSES);
        world.server.release();
        for (number, check) in checks {
            let decision = check.await.unwrap();
            assert_eq!(usize::from(decision.score.value()), number);
            let names = decision.flags.names().unwrap().names();
            assert_eq!(
                *names.list(ip_risk_core::flags::NameListField::VpnProviderNames)[0],
                *address(number)
            );
            assert_eq!(decision.source, Source::Api);
        }
        for number in 0..ADDRESSES {
            assert_eq!(world.server.traffic(&address(number)).requests, 1);
        }
        let stats = world.checker.engine().stats();
        assert_eq!((stats.calls, stats.in_flight), (u64::try_from(ADDRESSES).unwrap(), 0));
    });
}

#[test]
fn no_address_is_ever_asked_about_twice_at_once() {
    const ADDRESSES: usize = 8;
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        // Failures are not cached, so that every check needs a call, its own or another's. This one is neither repeated
        // nor a reason to leave the provider alone.
        world.server.answer_otherwise(Reply::status(400));
        let checks: Vec<_> = (0..64)
            .map(|task| {
                let checker = Arc::clone(&world.checker);
                tokio::spawn(async move {
                    for round in 0..24 {
                        let text = address((task + round) % ADDRESSES);
                        let decision = checker.check(request(&text, TRUSTED_PROXY)).await;
                        assert_eq!(decision.failure, Some(Code::RequestRefused));
                    }
                })
            })
            .collect();
        for check in checks {
            check.await.unwrap();
        }
        for number in 0..ADDRESSES {
            assert_eq!(world.server.traffic(&address(number)).most_at_once, 1);
        }
        assert_eq!(world.checker.engine().stats().in_flight, 0);
    });
}

#[test]
fn an_address_that_was_answered_is_not_asked_about_again() {
    const ADDRESSES: u32 = 400;
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        // All go the same way, so that some come to an address just when its call ends.
        let checks: Vec<_> = (0..16)
            .map(|_| {
                let checker = Arc::clone(&world.checker);
                tokio::spawn(async move {
                    for number in 0..ADDRESSES {
                        let text = format!("2001:db8:0:{number:x}::1");
                        assert_eq!(checker.check(request(&text, TRUSTED_PROXY)).await.failure, None);
                    }
                })
            })
            .collect();
        for check in checks {
            check.await.unwrap();
        }
        assert_eq!(world.checker.engine().stats().calls, u64::from(ADDRESSES));
    });
}

#[test]
fn ipv6_neighbours_share_the_call_and_the_answer() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.answer("2001:db8::1", Reply::score(60));
        world.server.hold();
        let first = checking(&world.checker, "2001:db8::1", TRUSTED_PROXY);
        world.server.arrived(1).await;
        let second = checking(&world.checker, "2001:db8::2", TRUSTED_PROXY);
        joined(&world.checker, 1).await;
        world.server.release();
        assert_eq!(first.await.unwrap().score.value(), 60);
        assert_eq!(second.await.unwrap().score.value(), 60);
        assert_eq!(world.server.take_targets().len(), 1);
    });
}

#[test]
fn an_answer_for_unverified_addresses_alone_is_not_cached() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.answer(ADDRESS, Reply::score(60));
        let decision = checking(&world.checker, ADDRESS, UNVERIFIED).await.unwrap();
        assert_eq!((decision.score.value(), decision.source), (60, Source::Api));
        landed(&world.checker).await;
        assert!(!is_known(&world.checker));
        world.server.hold();
        let checks = [(); 4].map(|()| checking(&world.checker, ADDRESS, UNVERIFIED));
        joined(&world.checker, 3).await;
        world.server.release();
        for check in checks {
            assert_eq!(check.await.unwrap().score.value(), 60);
        }
        landed(&world.checker).await;
        assert!(!is_known(&world.checker));
    });
}

#[test]
fn an_answer_is_cached_as_soon_as_one_of_those_who_wait_is_verified() {
    for [first, second] in [[UNVERIFIED, TRUSTED_PROXY], [TRUSTED_PROXY, UNVERIFIED]] {
        runtime().block_on(async {
            let world = World::new(json!({})).await;
            world.server.answer(ADDRESS, Reply::score(60));
            world.server.hold();
            let first = checking(&world.checker, ADDRESS, first);
            world.server.arrived(1).await;
            let second = checking(&world.checker, ADDRESS, second);
            joined(&world.checker, 1).await;
            world.server.release();
            assert_eq!(first.await.unwrap().score.value(), 60);
            assert_eq!(second.await.unwrap().score.value(), 60);
            landed(&world.checker).await;
            assert!(is_known(&world.checker));
            assert_eq!(world.server.take_targets().len(), 1);
        });
    }
}

#[test]
fn a_failure_is_not_cached() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for (status, calls) in
            [(302, 1), (400, 1), (401, 1), (403, 1), (429, 1), (499, 1), (500, 2), (503, 2)]
        {
            world.server.answer(ADDRESS, Reply::status(status));
            let before = world.server.traffic(ADDRESS).requests;
            assert!(checking(&world.checker, ADDRESS, TRUSTED_PROXY).await.unwrap().failure.is_some());
            assert!(!is_known(&world.checker), "{status}");
            assert_eq!(world.server.traffic(ADDRESS).requests - before, calls, "{status}");
            // The success of another ends every cool-down.
            world.clock.advance(LONGEST_COOL_DOWN);
            assert_eq!(checking(&world.checker, "192.0.2.1", TRUSTED_PROXY).await.unwrap().failure, None);
            world.checker.invalidate(None).await.unwrap();
        }
    });
}

#[test]
fn a_caller_that_goes_away_does_not_take_the_call_along() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.hold();
        let leaving = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
        world.server.arrived(1).await;
        let staying = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
        joined(&world.checker, 1).await;
        leaving.abort();
        assert!(leaving.await.unwrap_err().is_cancelled());
        world.server.release();
        assert_eq!(staying.await.unwrap().source, Source::Api);
        assert!(is_known(&world.checker));
        assert_eq!(world.server.traffic(ADDRESS).requests, 1);
    });
}

#[test]
fn a_call_that_nobody_waits_for_any_more_ends_and_is_cached() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.hold();
        let leaving = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
        world.server.arrived(1).await;
        leaving.abort();
        assert!(leaving.await.unwrap_err().is_cancelled());
        world.server.release();
        landed(&world.checker).await;
        assert!(is_known(&world.checker));
    });
}

/// A check on a runtime of its own, which `end` ends with all that runs on it.
struct Elsewhere {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Elsewhere {
    fn check(checker: &Arc<Checker>) -> Self {
        let (end, ended) = oneshot::channel();
        let checker = Arc::clone(checker);
        // One thread, so that nothing runs any further once it is told to end.
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let _check = checking(&checker, ADDRESS, TRUSTED_PROXY);
                ended.await.unwrap();
            });
        });
        Self { end, thread }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn a_runtime_that_ends_leaves_no_call_behind() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.hold();
        let elsewhere = Elsewhere::check(&world.checker);
        world.server.arrived(1).await;
        assert_eq!(world.checker.engine().stats().in_flight, 1);
        elsewhere.end();
        assert_eq!(world.checker.engine().stats().in_flight, 0);
        world.server.release();
        let again = checking(&world.checker, ADDRESS, TRUSTED_PROXY).await.unwrap();
        assert_eq!((again.source, again.failure), (Source::Api, None));
    });
}

#[test]
fn whoever_waits_for_a_call_of_a_runtime_that_ended_gets_the_failure_mode() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.hold();
        let elsewhere = Elsewhere::check(&world.checker);
        world.server.arrived(1).await;
        let waiting = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
        joined(&world.checker, 1).await;
        elsewhere.end();
        let decision = waiting.await.unwrap();
        assert_eq!((decision.failure, decision.failed_open), (Some(Code::Internal), true));
    });
}

/// A clock that fails once, when it is told to.
#[derive(Debug, Default)]
struct FailingClock {
    is_armed: AtomicBool,
}

impl Clock for FailingClock {
    fn now(&self) -> u64 {
        assert!(!self.is_armed.swap(false, Ordering::Relaxed), "the clock fails, as it was told to");
        SystemClock.now()
    }
}

#[test]
fn a_call_that_panics_leaves_no_call_behind_and_gives_the_failure_mode() {
    runtime().block_on(async {
        let server = Server::start().await;
        let clock = Arc::new(FailingClock::default());
        let checker = checker(&server, json!({}), Arc::<FailingClock>::clone(&clock), true);
        server.hold();
        let checks = [(); 8].map(|()| checking(&checker, ADDRESS, TRUSTED_PROXY));
        server.arrived(1).await;
        joined(&checker, 7).await;
        // Nothing but the call itself asks for the time until the answer is there.
        clock.is_armed.store(true, Ordering::Relaxed);
        server.release();
        for check in checks {
            assert_eq!(check.await.unwrap().failure, Some(Code::Internal));
        }
        assert_eq!(checker.engine().stats().in_flight, 0);
        let again = checking(&checker, ADDRESS, TRUSTED_PROXY).await.unwrap();
        assert_eq!((again.source, again.failure), (Source::Api, None));
    });
}

#[test]
fn a_login_does_not_wait_for_a_list() {
    runtime().block_on(async {
        let world = World::new(json!({ "deadlineMs": 20_000 })).await;
        world.server.answer_bulk(Reply::Stalled(Vec::new()));
        world.server.answer(ADDRESS, Reply::score(95));
        let (checker, stop) = (Arc::clone(&world.checker), CancellationToken::new());
        let list = tokio::spawn({
            let stop = stop.clone();
            async move {
                let texts = (0..100).map(address).chain([ADDRESS.to_owned()]).collect();
                checker.check_many(texts, PolicyId::from_number(0), RouteId::OTHER, &stop).await
            }
        });
        world.server.arrived(1).await;
        let decision = checking(&world.checker, ADDRESS, TRUSTED_PROXY).await.unwrap();
        assert_eq!((decision.source, decision.score.value()), (Source::Api, 95));
        list.abort();
    });
}

/// A list of these addresses, on a task of its own.
fn listing(checker: &Arc<Checker>, texts: Vec<String>) -> JoinHandle<Vec<Decision>> {
    let checker = Arc::clone(checker);
    tokio::spawn(async move {
        let (policy, stop) = (PolicyId::from_number(0), CancellationToken::new());
        checker.check_many(texts, policy, RouteId::OTHER, &stop).await.unwrap()
    })
}

#[test]
fn what_is_invalidated_does_not_come_back_with_a_list_that_a_login_overtook() {
    runtime().block_on(async {
        for is_login_under_way in [true, false] {
            let world = World::new(json!({})).await;
            world.server.hold();
            let list = listing(&world.checker, (0..50).map(address).chain([ADDRESS.to_owned()]).collect());
            world.server.arrived(1).await;
            let login = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
            world.server.arrived(2).await;
            if is_login_under_way {
                world.checker.invalidate(Some(ADDRESS)).await.unwrap();
                world.server.release();
            } else {
                login.abort();
                world.checker.invalidate(None).await.unwrap();
                world.server.release();
            }
            assert!(list.await.unwrap().iter().all(|decision| decision.failure.is_none()));
            let _ = login.await;
            landed(&world.checker).await;
            assert!(!is_known(&world.checker), "{is_login_under_way}");
        }
    });
}

#[test]
fn look_ups_of_lists_are_under_way_also_when_a_login_overtook_them() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.hold();
        let texts = || (0..50).map(address).chain([ADDRESS.to_owned()]).collect();
        let list = listing(&world.checker, texts());
        world.server.arrived(1).await;
        let login = checking(&world.checker, ADDRESS, TRUSTED_PROXY);
        world.server.arrived(2).await;
        assert_eq!(world.checker.engine().stats().in_flight, 52);
        world.server.release();
        assert_eq!(login.await.unwrap().failure, None);
        assert_eq!(list.await.unwrap().len(), 51);
        landed(&world.checker).await;
    });
}

#[test]
fn the_call_that_ends_an_outage_is_made_once_however_bulk_calls_fail() {
    runtime().block_on(async {
        let budget = json!({ "perDay": 1_000 });
        let world = World::new(json!({ "batch": { "waitMs": 100 }, "budget": budget })).await;
        world.server.answer(ADDRESS, Reply::status(401));
        let refused = checking(&world.checker, ADDRESS, TRUSTED_PROXY).await.unwrap();
        assert_eq!(refused.failure, Some(Code::KeyRefused));
        world.clock.advance(LONGEST_COOL_DOWN);
        world.server.take_targets();
        world.server.answer_bulk(Reply::status(403));
        let decisions = listing(&world.checker, (0..50).map(address).collect()).await.unwrap();
        assert!(decisions.iter().all(|decision| decision.failure.is_none()));
        let targets = world.server.take_targets();
        let alone = targets.iter().filter(|target| target.starts_with("/v3/security?"));
        assert_eq!(alone.count(), 50, "each is paid for once");
    });
}

#[test]
fn lists_do_not_spend_the_budget_on_a_provider_that_hangs() {
    runtime().block_on(async {
        let options = json!({
            "deadlineMs": 100, "connectTimeoutMs": 100, "budget": { "perDay": 10_000 }, "batch": { "waitMs": 20 },
        });
        let world = World::new(options).await;
        world.server.answer_bulk(Reply::Stalled(Vec::new()));
        world.server.answer_otherwise(Reply::Stalled(Vec::new()));
        for number in 0..4 {
            let texts = (0..100).map(|place| one_of_many(100 * number + place)).collect();
            let decisions = listing(&world.checker, texts).await.unwrap();
            assert!(decisions.iter().all(|decision| decision.failure.is_some()));
        }
        let spent = world.checker.engine().stats().budget[0].spent;
        assert!(spent <= 110, "{spent} look-ups");
    });
}

#[test]
fn an_address_of_a_list_that_fails_is_asked_about_once_however_often_it_stands_there() {
    runtime().block_on(async {
        let world = World::new(json!({ "batch": { "waitMs": 100 } })).await;
        world.server.answer(ADDRESS, Reply::Http(200, b"{}".to_vec()));
        let texts = vec![ADDRESS.to_owned(); 9_000];
        let stop = CancellationToken::new();
        let policy = PolicyId::from_number(0);
        let decisions = world.checker.check_many(texts, policy, RouteId::OTHER, &stop).await.unwrap();
        assert_eq!(decisions.len(), 9_000);
        assert!(decisions.iter().all(|decision| decision.failure == Some(Code::Malformed)));
        assert_eq!(world.server.traffic(ADDRESS).requests, 1);
    });
}

#[test]
fn a_list_that_fails_shuts_no_login_out() {
    runtime().block_on(async {
        let world = World::new(json!({ "batch": { "waitMs": 20 } })).await;
        world.server.answer_bulk(Reply::Bytes(Vec::new()));
        for number in 0..12 {
            let texts = (0..50).map(|place| one_of_many(100 * number + place)).collect();
            let stop = CancellationToken::new();
            let policy = PolicyId::from_number(0);
            let decisions = world.checker.check_many(texts, policy, RouteId::OTHER, &stop).await.unwrap();
            // But for the one that is asked about first.
            let failed = decisions.iter().filter(|decision| decision.failure.is_some()).count();
            assert_eq!(failed, if number == 0 { 50 } else { 49 });
            world.clock.advance(1_000);
            let login = checking(&world.checker, &one_of_many(50_000 + number), TRUSTED_PROXY).await.unwrap();
            assert_eq!(login.failure, None, "{number}");
        }
    });
}

#[test]
fn what_is_forgotten_is_asked_for_again() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for forgotten in [Some(ADDRESS), None] {
            checking(&world.checker, ADDRESS, TRUSTED_PROXY).await.unwrap();
            assert!(is_known(&world.checker));
            world.checker.invalidate(Some("192.0.2.1")).await.unwrap();
            world.checker.invalidate(Some("no address")).await.unwrap();
            assert!(is_known(&world.checker));
            world.checker.invalidate(forgotten).await.unwrap();
            assert!(!is_known(&world.checker));
        }
    });
}

#[test]
fn many_addresses_keep_their_order_and_duplicates_cost_once() {
    runtime().block_on(async {
        // Long enough for all of them to come, however busy the machine is.
        let world = World::new(json!({ "batch": { "waitMs": 1_000 } })).await;
        for score in 0..=100 {
            world.server.answer(&address(score.into()), Reply::score(score));
        }
        let mut texts: Vec<String> = (0..=100).rev().chain(0..=100).map(address).collect();
        texts.push("foo".to_owned());
        let decisions = world
            .checker
            .check_many(texts, PolicyId::from_number(0), RouteId::OTHER, &CancellationToken::new())
            .await
            .unwrap();
        let scores: Vec<u8> = decisions.iter().map(|decision| decision.score.value()).collect();
        let expected: Vec<u8> = (0..=100).rev().chain(0..=100).chain(Some(0)).collect();
        assert_eq!(scores, expected);
        assert_eq!(decisions.last().unwrap().failure, Some(Code::InvalidAddress));
        assert_eq!(world.server.take_targets().len(), 1, "they travel together");
        assert!((0..=100).all(|place| world.server.traffic(&address(place)).requests == 1));
    });
}
