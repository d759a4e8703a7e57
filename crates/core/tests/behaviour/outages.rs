//! What failures cost, and when the provider is asked again.

use ip_risk_core::breaker::{Notice, State};
use ip_risk_core::decision::{Decision, Source};
use ip_risk_core::error::Code;
use serde_json::json;

use crate::support::server::Reply;
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
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        let answer = b"HTTP/1.1 429 Any\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
        world.server.answer_otherwise(Reply::Bytes(answer.to_vec()));
        assert_eq!(check(&world, 0).await.failure, Some(Code::Quota));
        world.server.answer_otherwise(Reply::score(60));
        world.clock.advance(100 * SECOND);
        assert_eq!(check(&world, 0).await.failure, Some(Code::Quota));
        assert_eq!(calls(&world), 1);
        // Up to a quarter more, so that not all clients come back at once.
        world.clock.advance(50 * SECOND);
        assert_eq!(check(&world, 0).await.score.value(), 60);
        assert_eq!(calls(&world), 1);
    });
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
