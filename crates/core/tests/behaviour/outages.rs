//! What failures cost, and when the provider is asked again.

use ip_risk_core::breaker::{Notice, State};
use ip_risk_core::decision::{Action, Decision, Source};
use ip_risk_core::error::Code;
use serde_json::json;

use crate::support::server::{Reply, until};
use crate::support::{TRUSTED_PROXY, World, runtime};

const SECOND: u64 = 1_000;
const ADDRESS: &str = "198.51.100.9";

/// A check of a new address.
async fn check(world: &World, number: usize) -> Decision {
    world.check(&format!("192.0.2.{number}"), "login", TRUSTED_PROXY).await
}

/// How many calls came in since the last time.
fn calls(world: &World) -> usize {
    world.server.take_targets().len()
}

fn state(world: &World) -> (State, Option<Code>) {
    let health = world.checker.engine().stats().health.unwrap();
    (health.state, health.cause)
}

#[test]
fn a_wrong_key_costs_one_call_and_not_one_for_each_address() {
    for (status, code) in [(401, Code::KeyRefused), (403, Code::KeyForbidden)] {
        runtime().block_on(async {
            let world = World::new(json!({})).await;
            world.server.answer_otherwise(Reply::status(status));
            for number in 0..50 {
                assert_eq!(check(&world, number).await.failure, Some(code));
            }
            assert_eq!(calls(&world), 1);
            assert_eq!(state(&world), (State::Open, Some(code)));
            // One more soon after, then one a minute.
            for cool_down in [2 * SECOND, 60 * SECOND, 60 * SECOND] {
                world.clock.advance(cool_down);
                for number in 0..10 {
                    assert_eq!(check(&world, number).await.failure, Some(code));
                }
                assert_eq!(calls(&world), 1);
            }
            world.server.answer_otherwise(Reply::score(60));
            world.clock.advance(60 * SECOND);
            for number in 0..10 {
                assert_eq!(check(&world, number).await.score.value(), 60);
            }
            assert_eq!((calls(&world), state(&world)), (10, (State::Closed, None)));
        });
    }
}

#[test]
fn a_provider_that_says_when_to_come_back_is_left_alone_until_then() {
    for (status, code) in [(429, Code::Quota), (401, Code::KeyRefused), (403, Code::KeyForbidden)] {
        runtime().block_on(async {
            let world = World::new(json!({})).await;
            let answer = format!("HTTP/1.1 {status} Any\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n");
            world.server.answer_otherwise(Reply::Bytes(answer.into_bytes()));
            assert_eq!(check(&world, 0).await.failure, Some(code));
            world.server.answer_otherwise(Reply::score(60));
            world.clock.advance(100 * SECOND);
            assert_eq!(check(&world, 0).await.failure, Some(code));
            assert_eq!(calls(&world), 1);
            // Up to a quarter more, so that not all clients come back at once.
            world.clock.advance(50 * SECOND);
            assert_eq!(check(&world, 0).await.score.value(), 60);
            assert_eq!(calls(&world), 1);
        });
    }
}

/// An answer of this status with a header of its own, whose body is damaged in one way after the other; and the code of
/// that damage.
fn damaged(status: u16, header: &str) -> [(Code, Reply); 4] {
    let head = |framing: &str| format!("HTTP/1.1 {status} Any\r\n{header}\r\n{framing}\r\n\r\n").into_bytes();
    let page = [head("content-length: 70000"), vec![b' '; 70_000]].concat();
    let compressed = [head("content-encoding: gzip\r\ncontent-length: 2"), b"{}".to_vec()].concat();
    let partial = [head("content-length: 2"), b"{".to_vec()].concat();
    [
        (Code::BodyTooLarge, Reply::Bytes(page)),
        (Code::Malformed, Reply::Bytes(compressed)),
        (Code::Connect, Reply::Bytes(partial.clone())),
        (Code::Timeout, Reply::Stalled(partial)),
    ]
}

#[test]
fn a_refusal_counts_whatever_becomes_of_its_body() {
    for (status, code, action) in [
        (429, Code::Quota, Action::Challenge),
        (401, Code::KeyRefused, Action::Allow),
        (403, Code::KeyForbidden, Action::Allow),
    ] {
        for (damage, reply) in damaged(status, "retry-after: 120") {
            runtime().block_on(async {
                let world = World::new(json!({})).await;
                world.server.answer_otherwise(reply);
                for number in 0..3 {
                    let decision = check(&world, number).await;
                    assert_eq!((decision.failure, decision.action), (Some(code), action), "{damage}");
                }
                assert_eq!(calls(&world), 1, "{status} {damage}");
                let health = world.checker.engine().stats().health.unwrap();
                let wait = health.next_probe.unwrap() - health.since;
                assert!(wait >= 120 * SECOND, "{status} {damage}: {wait}");
            });
        }
    }
}

#[test]
fn a_fault_of_the_provider_is_asked_about_once_more_whatever_page_it_shows() {
    for (damage, reply) in damaged(503, "x-any: 1") {
        runtime().block_on(async {
            let world = World::new(json!({})).await;
            world.server.answer_in_turn(ADDRESS, [reply, Reply::score(60)]);
            let decision = world.check(ADDRESS, "login", TRUSTED_PROXY).await;
            assert_eq!((decision.score.value(), decision.source), (60, Source::Api), "{damage}");
            assert_eq!(world.checker.engine().stats().failures, [(Code::UpstreamStatus, 1)], "{damage}");
        });
    }
}

#[test]
fn an_answer_that_was_charged_is_counted_and_not_paid_for_again_when_its_body_is_lost() {
    for (damage, reply) in damaged(200, "x-credits-charged: 2") {
        runtime().block_on(async {
            // Long enough for a second call, which must not be made.
            let options = if damage == Code::Timeout { json!({ "deadlineMs": 1_000 }) } else { json!({}) };
            let world = World::new(options).await;
            world.server.answer_otherwise(reply);
            assert_eq!(check(&world, 0).await.failure, Some(damage));
            until(|| world.checker.engine().stats().in_flight == 0).await;
            let stats = world.checker.engine().stats();
            assert_eq!((stats.calls, stats.retries, stats.credits), (1, 0, 2), "{damage}");
        });
    }
}

#[test]
fn a_provider_that_keeps_failing_is_left_alone_until_a_probe_succeeds() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        // Half a body: it counts as a failure, and is not asked for once more.
        world.server.answer_otherwise(Reply::Http(200, b"{".to_vec()));
        for number in 0..5 {
            assert_eq!(state(&world), (State::Closed, None));
            assert_eq!(check(&world, number).await.failure, Some(Code::Malformed));
            world.clock.advance(if number < 4 { SECOND } else { 0 });
        }
        assert_eq!(state(&world), (State::Open, Some(Code::Breaker)));
        assert_eq!(calls(&world), 5);
        let decision = check(&world, 5).await;
        assert_eq!((decision.failure, decision.failed_open), (Some(Code::Breaker), true));
        assert_eq!(calls(&world), 0);
        let notice = world.checker.engine().take_notice().unwrap();
        assert_eq!((notice.cause, notice.is_over), (Code::Breaker, false));
        assert_eq!(world.checker.engine().take_notice(), None);

        world.clock.advance(SECOND);
        assert_eq!(check(&world, 5).await.failure, Some(Code::Malformed));
        assert_eq!((check(&world, 6).await.failure, calls(&world)), (Some(Code::Breaker), 1));
        world.server.answer_otherwise(Reply::score(60));
        world.clock.advance(2 * SECOND);
        assert_eq!(check(&world, 6).await.score.value(), 60);
        assert_eq!(state(&world), (State::Closed, None));
        assert_eq!(world.checker.engine().take_notice(), Some(Notice { is_over: true, ..notice }));
        assert_eq!(check(&world, 7).await.score.value(), 60);
        assert_eq!(calls(&world), 2);
    });
}

#[test]
fn a_server_error_is_asked_about_once_more_and_the_success_counts() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.answer_in_turn(ADDRESS, [Reply::status(503), Reply::score(60)]);
        let decision = world.check(ADDRESS, "login", TRUSTED_PROXY).await;
        assert_eq!((decision.score.value(), decision.source, decision.failure), (60, Source::Api, None));
        let stats = world.checker.engine().stats();
        assert_eq!((stats.calls, stats.retries), (2, 1));
        assert_eq!(stats.failures, [(Code::UpstreamStatus, 1)]);
        assert_eq!(world.check(ADDRESS, "login", TRUSTED_PROXY).await.source, Source::Memory);
        assert_eq!(calls(&world), 2);
    });
}

#[test]
fn there_is_no_third_call_and_none_without_time_for_it() {
    runtime().block_on(async {
        for (deadline, expected) in [(20_000, 2), (300, 1)] {
            let world = World::new(json!({ "deadlineMs": deadline })).await;
            world.server.answer_otherwise(Reply::status(503));
            assert_eq!(check(&world, 0).await.failure, Some(Code::UpstreamStatus));
            let stats = world.checker.engine().stats();
            assert_eq!((calls(&world), stats.retries), (expected, expected as u64 - 1));
        }
    });
}
