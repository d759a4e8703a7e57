//! Thresholds: what a score alone leads to.

use std::sync::Arc;

use ip_risk_core::checker::{Checker, Evaluation, Request};
use ip_risk_core::decision::{Action, Band};
use ip_risk_core::engine::Handle;
use ip_risk_core::routes::RouteId;
use proptest::prelude::*;
use serde_json::json;

use crate::support::server::Reply;
use crate::support::{TRUSTED_PROXY, World, holds, policy, read, reasons, runtime};

/// A world that knows an address for every score.
async fn every_score() -> World {
    let world = World::new(json!({})).await;
    for score in 0..=100 {
        world.server.answer(&address(score), Reply::score(score));
        world.check(&address(score), "login", TRUSTED_PROXY).await;
    }
    world
}

fn address(score: u8) -> String {
    format!("192.0.2.{score}")
}

#[test]
fn every_score_has_the_action_of_the_highest_threshold_that_it_reaches() {
    let world = runtime().block_on(every_score());
    let edges = prop::collection::vec(0_u8..=100, 3).prop_map(|mut edges| {
        edges.sort_unstable();
        edges
    });
    holds(256, &edges, |edges| {
        let (log, challenge, block) = (edges[0], edges[1], edges[2]);
        let written = json!({ "thresholds": { "log": log, "challenge": challenge, "block": block } });
        let options = read(&json!({ "apiKey": "key", "policies": { "p": written } })).unwrap();
        // What is known belongs to the engine, so that every policy may judge by it.
        let checker = Checker::new(Handle::on(Arc::clone(world.checker.engine())).unwrap(), options);
        let policy = policy(&checker, "p");
        for score in 0..=100 {
            let text = address(score);
            let request = Request { text: &text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
            let Evaluation::Decided(decision) = checker.evaluate(request) else {
                panic!("{text} is not known");
            };
            let (action, reason) = if score >= block {
                (Action::Block, "threshold_block")
            } else if score >= challenge {
                (Action::Challenge, "threshold_challenge")
            } else if score >= log {
                (Action::Log, "threshold_log")
            } else {
                (Action::Allow, "below_thresholds")
            };
            assert_eq!(decision.action, action, "{score} of {written}");
            assert_eq!(reasons(&checker, &decision), [reason], "{score} of {written}");
            assert_eq!(decision.score.value(), score);
        }
    });
}

#[test]
fn the_shipped_thresholds_are_the_edges_of_the_bands() {
    let world = runtime().block_on(every_score());
    for score in 0..=100_u8 {
        let text = address(score);
        let (action, band) = match score {
            0..=19 => (Action::Allow, Band::Low),
            20..=44 => (Action::Log, Band::Guarded),
            45..=79 => (Action::Challenge, Band::Elevated),
            _ => (Action::Block, Band::High),
        };
        for policy in ["login", "payment"] {
            let policy = world.policy(policy);
            let request = Request { text: &text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
            let Evaluation::Decided(decision) = world.checker.evaluate(request) else {
                panic!("{text} is not known");
            };
            assert_eq!((decision.action, decision.band), (action, Some(band)), "{score}");
        }
    }
}
