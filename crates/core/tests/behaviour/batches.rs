//! When look-ups travel together, and that everybody gets the answer about the own address.

use std::sync::Arc;

use ip_risk_core::checker::Request;
use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::error::Code;
use ip_risk_core::routes::RouteId;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::server::{Reply, until};
use crate::support::{TRUSTED_PROXY, World, runtime};

/// Look-ups that go alone, by default.
const THRESHOLD: u8 = 32;

fn address(number: u8) -> String {
    format!("192.0.2.{number}")
}

/// Checks of that many different addresses, which are all under way before the first answer.
async fn at_once(world: &World, count: u8) -> Vec<Decision> {
    at_once_with(world, count, |number| Reply::score(number % 101)).await
}

/// The same, with that reply about each address.
async fn at_once_with(world: &World, count: u8, reply: impl Fn(u8) -> Reply) -> Vec<Decision> {
    for number in 0..count {
        world.server.answer(&address(number), reply(number));
    }
    world.server.hold();
    let mut checks: Vec<JoinHandle<Decision>> = Vec::new();
    for number in 0..count {
        if number == THRESHOLD {
            // So that these are the ones that go alone.
            world.server.arrived(THRESHOLD.into()).await;
        }
        let checker = Arc::clone(&world.checker);
        checks.push(tokio::spawn(async move {
            let policy = PolicyId::from_number(0);
            let text = address(number);
            checker.check(Request { text: &text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY }).await
        }));
    }
    until(|| world.checker.engine().stats().in_flight == usize::from(count)).await;
    world.server.release();
    let mut decisions = Vec::new();
    for check in checks {
        decisions.push(check.await.unwrap());
    }
    decisions
}

/// A world in which a batch waits long enough for everybody to come, however busy the machine is.
async fn patient() -> World {
    World::new(json!({ "batch": { "waitMs": 1_000 } })).await
}

fn assert_own_answers(decisions: &[Decision]) {
    for (number, decision) in (0_u8..).zip(decisions) {
        assert_eq!((decision.failure, decision.score.value()), (None, number % 101), "{}", address(number));
    }
}

#[test]
fn a_spray_of_new_addresses_makes_few_calls_and_everybody_gets_the_own_answer() {
    runtime().block_on(async {
        let world = patient().await;
        assert_own_answers(&at_once(&world, 200).await);
        let stats = world.checker.engine().stats();
        assert_eq!(stats.batches, 2);
        // One look-up in a hundred goes alone, while there is nothing to compare with.
        assert!(stats.calls <= u64::from(THRESHOLD) + 3, "{}", stats.calls);
        assert_eq!(world.server.take_targets().len() as u64, stats.calls);
    });
}

#[test]
fn a_bulk_call_that_fails_for_the_moment_is_made_once_more_and_the_success_counts() {
    for (reply, code) in
        [(Reply::status(503), Code::UpstreamStatus), (Reply::Bytes(Vec::new()), Code::Connect)]
    {
        runtime().block_on(async {
            let world = patient().await;
            world.server.answer_bulk_at_first(1, &reply);
            assert_own_answers(&at_once(&world, 130).await);
            let stats = world.checker.engine().stats();
            assert_eq!((stats.batches, stats.retries, stats.failures), (2, 1, vec![(code, 1)]));
        });
    }
}

#[test]
fn bulk_calls_that_fail_alone_fail_nobody_and_are_left() {
    runtime().block_on(async {
        let world = patient().await;
        world.server.answer_bulk(Reply::status(503));
        for _ in 0..2 {
            assert_own_answers(&at_once(&world, 130).await);
            let stats = world.checker.engine().stats();
            assert_eq!((stats.batches, stats.retries), (2, 1));
            world.checker.invalidate(None).await.unwrap();
        }
    });
}

#[test]
fn light_traffic_makes_no_bulk_call() {
    runtime().block_on(async {
        for options in [json!({}), json!({ "batch": true }), json!({ "batch": { "size": 2 } })] {
            let world = World::new(options).await;
            assert_own_answers(&at_once(&world, THRESHOLD).await);
            assert_all_alone(&world, THRESHOLD);
        }
    });
}

#[test]
fn no_bulk_call_is_made_where_batching_is_switched_off() {
    runtime().block_on(async {
        let world = World::new(json!({ "batch": false })).await;
        assert_own_answers(&at_once(&world, 200).await);
        assert_all_alone(&world, 200);
    });
}

fn assert_all_alone(world: &World, count: u8) {
    let stats = world.checker.engine().stats();
    assert_eq!((stats.calls, stats.batches), (u64::from(count), 0));
    let targets = world.server.take_targets();
    assert!(targets.iter().all(|target| target.starts_with("/v3/security?")), "{targets:?}");
}

#[test]
fn a_key_that_is_revoked_in_a_rush_costs_one_more_call() {
    for (status, code) in [(401, Code::KeyRefused), (403, Code::KeyForbidden)] {
        runtime().block_on(async {
            let world = patient().await;
            world.server.answer_bulk(Reply::status(status));
            let decisions = at_once_with(&world, 130, |number| match number {
                ..THRESHOLD => Reply::score(number),
                _ => Reply::status(status),
            });
            let failures = decisions.await.into_iter().map(|decision| decision.failure);
            assert!(failures.skip(THRESHOLD.into()).all(|failure| failure == Some(code)));
            let stats = world.checker.engine().stats();
            assert_eq!((stats.batches, stats.calls), (1, u64::from(THRESHOLD) + 2), "{status}");
        });
    }
}

#[test]
fn where_the_plan_has_no_bulk_calls_everybody_is_asked_about_alone() {
    runtime().block_on(async {
        for status in [401, 403, 404, 405] {
            let world = patient().await;
            world.server.answer_bulk(Reply::status(status));
            assert_own_answers(&at_once(&world, 100).await);
            let stats = world.checker.engine().stats();
            assert_eq!((stats.batches, stats.calls), (1, 101), "{status}");
        }
    });
}
