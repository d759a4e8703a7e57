//! The order of evaluation where the table of `order_table.rs` does not reach: lists, limits, caps, what each failure
//! counts as.

use ip_risk_core::checker::{Evaluation, Request};
use ip_risk_core::decision::{Action, Decision, Provenance, Source};
use ip_risk_core::error::{Code, FailureClass};
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use ip_risk_core::stats::Rung;
use serde_json::{Value, json};

use crate::support::server::{Reply, until};
use crate::support::{TRUSTED_PROXY, UNVERIFIED, World, runtime};

const ADDRESS: &str = "198.51.100.9";
const MINUTE: u64 = 60_000;

fn from(bits: u32) -> Facts {
    Facts::from_bits(Facts::FRAMEWORK | bits)
}

/// A world whose provider fails.
async fn failing(policies: Value) -> World {
    let world = World::new(json!({ "policies": policies })).await;
    world.server.answer_otherwise(Reply::status(503));
    world
}

#[test]
fn a_look_up_that_takes_too_long_is_a_failure_like_any_other() {
    runtime().block_on(async {
        let world = World::new(json!({ "deadlineMs": 50 })).await;
        world.server.hold();
        for (policy, action) in [("login", Action::Allow), ("payment", Action::Hold)] {
            let decision = world.check(ADDRESS, policy, TRUSTED_PROXY).await;
            assert_eq!((decision.failure, decision.action), (Some(Code::Timeout), action));
        }
        // It ends at the same time as the wait for it, in either order.
        until(|| world.checker.engine().stats().in_flight == 0).await;
    });
}

#[test]
fn a_provider_that_cannot_be_reached_is_a_failure_like_any_other() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        world.server.answer_otherwise(Reply::Bytes(Vec::new()));
        let decision = world.check(ADDRESS, "payment", TRUSTED_PROXY).await;
        assert_eq!((decision.failure, decision.action), (Some(Code::Connect), Action::Hold));
    });
}

#[test]
fn more_than_max_in_flight_is_answered_as_exhausted_and_joining_is_not_more() {
    runtime().block_on(async {
        let world = World::new(json!({ "maxInFlight": 1 })).await;
        world.server.hold();
        let under_way = world.check(ADDRESS, "login", TRUSTED_PROXY);
        let others = async {
            world.server.arrived(1).await;
            let refused = world.check("192.0.2.1", "login", TRUSTED_PROXY).await;
            assert_eq!((refused.failure, refused.action), (Some(Code::Overloaded), Action::Challenge));
            assert_eq!(world.reasons(&refused), ["failed_challenge"]);
            let joins = world.check(ADDRESS, "login", TRUSTED_PROXY);
            let release = async {
                until(|| world.checker.engine().stats().coalesced == 1).await;
                world.server.release();
            };
            let (joined, ()) = tokio::join!(joins, release);
            assert_eq!(joined.failure, None);
        };
        let (decision, ()) = tokio::join!(under_way, others);
        assert_eq!(decision.failure, None);
        let after = world.check("192.0.2.1", "login", TRUSTED_PROXY).await;
        assert_eq!(after.failure, None, "the limit is on calls under way, not on calls");
    });
}

#[test]
fn unverified_addresses_get_ten_look_ups_a_minute_and_verified_ones_are_not_counted() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        let mut octets = 0..;
        let mut next = || format!("192.0.2.{}", octets.next().unwrap());
        for _ in 0..2 {
            for _ in 0..10 {
                assert_eq!(world.check(&next(), "login", UNVERIFIED).await.failure, None);
                assert_eq!(world.check(&next(), "login", TRUSTED_PROXY).await.failure, None);
            }
            let refused = world.check(&next(), "login", UNVERIFIED).await;
            assert_eq!((refused.failure, refused.action), (Some(Code::UnverifiedLimit), Action::Challenge));
            assert_eq!(world.check(&next(), "payment", UNVERIFIED).await.action, Action::Hold);
            assert_eq!(world.check("192.0.2.1", "login", UNVERIFIED).await.source, Source::Memory);
            assert_eq!(world.check(&next(), "login", TRUSTED_PROXY).await.failure, None);
            world.clock.advance(MINUTE);
        }
    });
}

#[test]
fn an_allow_entry_comes_before_a_deny_entry_and_both_before_everything_else() {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": { "login": {
            "allow": ["198.51.100.0/24", "10.0.0.0/8"],
            "deny": ["198.51.100.9", "192.0.2.0/24", "10.0.0.0/8", "fc00::/7"],
        } } }))
        .await;
        for (text, action, reason) in [
            (ADDRESS, Action::Allow, "allow_list"),
            ("192.0.2.80", Action::Block, "deny_list"),
            ("10.1.2.3", Action::Allow, "allow_list"),
            ("fd00::1", Action::Block, "deny_list"),
            ("::ffff:10.1.2.3", Action::Allow, "allow_list"),
            // 6to4 and NAT64 are judged by the IPv4 inside.
            ("2002:c633:6409::1", Action::Allow, "allow_list"),
            ("64:ff9b::192.0.2.1", Action::Block, "deny_list"),
        ] {
            let decision = world.check(text, "login", TRUSTED_PROXY).await;
            assert_eq!((decision.action, decision.source), (action, Source::List), "{text}");
            assert_eq!(world.reasons(&decision), [reason], "{text}");
            assert_eq!((decision.failure, decision.band, decision.degraded), (None, None, false), "{text}");
        }
        assert!(world.server.take_targets().is_empty());
    });
}

#[test]
fn an_unverified_address_matches_no_allow_entry_and_a_deny_entry_challenges_it() {
    runtime().block_on(async {
        let lists = json!({ "allow": [ADDRESS], "deny": ["192.0.2.0/24"] });
        let world = failing(json!({ "login": lists, "payment": lists })).await;
        let allowed = world.check(ADDRESS, "login", UNVERIFIED).await;
        assert_eq!((allowed.source, allowed.failed_open), (Source::None, true));
        assert_eq!(world.check(ADDRESS, "payment", UNVERIFIED).await.action, Action::Hold);
        for policy in ["login", "payment"] {
            let denied = world.check("192.0.2.1", policy, UNVERIFIED).await;
            assert_eq!((denied.action, denied.source), (Action::Challenge, Source::List));
            assert_eq!(world.reasons(&denied), ["deny_list", "unverified_address"]);
        }
    });
}

#[test]
fn entries_are_for_their_routes_and_end_with_their_last_moment() {
    runtime().block_on(async {
        // Far from now in both directions, because the clock of the machine runs on.
        let world = World::new(json!({ "policies": { "login": { "deny": [
            { "cidr": "192.0.2.0/24", "routes": ["/login"] },
            { "cidr": "198.51.100.0/24", "expires": "2020-01-01" },
            { "cidr": "203.0.113.0/24", "expires": "2500-01-01" },
        ] } } }))
        .await;
        let policy = world.policy("login");
        let route = world.checker.with_policies(|policies| policies.all()[0].routes().find("/login"));
        for (text, route, source) in [
            ("192.0.2.1", route, Source::List),
            ("192.0.2.1", RouteId::OTHER, Source::Api),
            ("198.51.100.1", route, Source::Api),
            ("203.0.113.1", RouteId::OTHER, Source::List),
        ] {
            let decision = world.checker.check(Request { text, policy, route, facts: TRUSTED_PROXY }).await;
            assert_eq!(decision.source, source, "{text}");
        }
        world.clock.advance(500 * 365 * 24 * 60 * MINUTE);
        assert_eq!(world.check("203.0.113.1", "login", TRUSTED_PROXY).await.source, Source::Api);
    });
}

#[test]
fn block_unverified_lets_a_block_stand_and_changes_nothing_else() {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": { "login": { "deny": ["192.0.2.0/24"] } } })).await;
        world.server.answer(ADDRESS, Reply::score(90));
        let facts = from(Facts::TRUSTS_EVERYONE | Facts::BLOCK_UNVERIFIED);
        for text in [ADDRESS, "192.0.2.1"] {
            let decision = world.check(text, "login", facts).await;
            assert_eq!((decision.action, decision.provenance), (Action::Block, Provenance::Unverified));
            assert!(!world.reasons(&decision).contains(&"unverified_address".to_owned()));
        }
        let clean = world.check("198.51.100.10", "payment", facts).await;
        assert_eq!(clean.action, Action::Challenge, "a closed policy still challenges at least");
    });
}

#[test]
fn max_action_caps_everything_but_hold_and_says_so() {
    runtime().block_on(async {
        let world = failing(json!({
            "capped": { "maxAction": "log", "deny": ["192.0.2.0/24"] },
            "closed": { "maxAction": "log", "onFailure": "closed" },
            "challenging": { "maxAction": "log", "onFailure": "challenge" },
        }))
        .await;
        world.server.answer(ADDRESS, Reply::score(90));
        world.server.answer("198.51.100.10", Reply::score(30));
        world.server.answer("198.51.100.11", Reply::score(10));
        for (text, policy, action, reasons) in [
            (ADDRESS, "capped", Action::Log, vec!["threshold_block", "max_action"]),
            ("198.51.100.10", "capped", Action::Log, vec!["threshold_log"]),
            ("198.51.100.11", "capped", Action::Allow, vec!["below_thresholds"]),
            ("192.0.2.1", "capped", Action::Log, vec!["deny_list", "max_action"]),
            ("203.0.113.1", "challenging", Action::Log, vec!["failed_challenge", "max_action"]),
            ("203.0.113.1", "closed", Action::Hold, vec!["failed_closed"]),
        ] {
            let decision = world.check(text, policy, TRUSTED_PROXY).await;
            assert_eq!((decision.action, decision.would_be), (action, action), "{text} by {policy}");
            assert_eq!(world.reasons(&decision), reasons, "{text} by {policy}");
        }
    });
}

#[test]
fn the_address_decides_its_provenance_with_what_the_face_saw() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for (facts, text, provenance) in [
            (Facts::default(), ADDRESS, Provenance::Application),
            (Facts::default(), "foo", Provenance::Application),
            (from(0), ADDRESS, Provenance::TrustedProxy),
            (from(Facts::IS_PEER), ADDRESS, Provenance::Socket),
            // A public peer may send any header it likes; its address is still the socket's.
            (from(Facts::IS_PEER | Facts::FORWARDED_HEADER), ADDRESS, Provenance::Socket),
            (from(Facts::IS_PEER | Facts::FORWARDED_HEADER), "10.0.0.1", Provenance::Unverified),
            (from(Facts::IS_PEER), "10.0.0.1", Provenance::Socket),
            (from(Facts::TRUSTS_EVERYONE), ADDRESS, Provenance::Unverified),
            (from(Facts::TRUSTS_EVERYONE | Facts::IS_PEER), ADDRESS, Provenance::Unverified),
            (from(Facts::TRUSTS_EVERYONE | Facts::CUSTOM), ADDRESS, Provenance::Custom),
            (from(0), "foo", Provenance::Unverified),
            (from(Facts::IS_PEER), "", Provenance::Unverified),
        ] {
            let decision = world.check(text, "login", facts).await;
            assert_eq!(decision.provenance, provenance, "{text} {facts:?}");
        }
    });
}

#[test]
fn a_set_up_that_cannot_be_right_is_warned_about() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for (facts, text, warning) in [
            (Facts::default(), ADDRESS, None),
            (from(Facts::IS_PEER), ADDRESS, None),
            (from(Facts::IS_PEER), "127.0.0.1", None),
            (from(Facts::CUSTOM), ADDRESS, None),
            (from(Facts::TRUSTS_EVERYONE), ADDRESS, Some(Code::TrustAll)),
            (from(Facts::IS_PEER | Facts::FORWARDED_HEADER), "127.0.0.1", Some(Code::UntrustedForwarded)),
            (from(Facts::IS_PEER | Facts::FORWARDED_HEADER), ADDRESS, None),
            (from(0), "10.0.0.1", Some(Code::UntrustedForwarded)),
            // What a proxy behind a Unix socket forwards, and what a client writes.
            (from(Facts::FORWARDED_HEADER), "", Some(Code::UntrustedForwarded)),
            (from(0), "foo", None),
            (from(0), "", None),
        ] {
            let decision = world.check(text, "login", facts).await;
            assert_eq!(decision.warning, warning, "{text} {facts:?}");
        }
    });
}

#[test]
fn only_a_peer_that_is_special_itself_is_one_of_this_machine() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for (text, action) in [
            ("127.0.0.1", Action::Allow),
            ("10.0.0.1", Action::Allow),
            ("fd00::1", Action::Allow),
            // They hold 10.0.0.1: 6to4, NAT64, Teredo.
            ("2002:a00:1::1", Action::Hold),
            ("64:ff9b::a00:1", Action::Hold),
            ("2001::f5ff:fffe", Action::Hold),
        ] {
            let decision = world.check(text, "payment", from(Facts::IS_PEER)).await;
            assert_eq!(decision.action, action, "{text}");
        }
    });
}

/// What failing with `code` comes to, without a look-up.
fn failed(world: &World, policy: &str, code: Code) -> Decision {
    world.checker.failed(world.policy(policy), code)
}

#[test]
fn what_a_caller_can_cause_is_exhausted_and_everything_else_is_upstream() {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": {
            "open_upstream": { "onFailure": { "upstream": "open", "exhausted": "closed" } },
            "open_exhausted": { "onFailure": { "upstream": "closed", "exhausted": "open" } },
        } }))
        .await;
        for code in Code::ALL {
            let is_exhausted = matches!(
                code,
                Code::Quota | Code::Overloaded | Code::UnverifiedLimit | Code::Budget | Code::Redis
            );
            assert_eq!(code.class() == FailureClass::Exhausted, is_exhausted, "{code}");
            let mut policies = ["open_upstream", "open_exhausted"];
            if is_exhausted {
                policies.reverse();
            }
            let [opened, closed] = policies.map(|policy| failed(&world, policy, *code));
            assert_eq!(
                (opened.action, opened.failed_open, opened.failed_closed),
                (Action::Allow, true, false)
            );
            assert_eq!(
                (closed.action, closed.failed_open, closed.failed_closed),
                (Action::Hold, false, true)
            );
            assert_eq!((opened.failure, closed.failure), (Some(*code), Some(*code)));
        }
    });
}

#[test]
fn the_class_of_the_failure_says_what_stale_evidence_may_do() {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": {
            "mixed": { "onFailure": { "upstream": "open", "exhausted": "closed" } },
        } }))
        .await;
        world.server.answer(ADDRESS, Reply::score(10));
        world.check(ADDRESS, "mixed", TRUSTED_PROXY).await;
        world.clock.advance(6 * MINUTE);
        for (status, action, is_stale) in [(503, Action::Allow, true), (429, Action::Hold, false)] {
            world.server.answer(ADDRESS, Reply::status(status));
            let decision = world.check(ADDRESS, "mixed", TRUSTED_PROXY).await;
            assert_eq!((decision.action, decision.stale), (action, is_stale), "{status}");
        }
    });
}

#[test]
fn evidence_is_fresh_for_its_time_to_live_and_stale_for_as_long_as_it_is_kept() {
    runtime().block_on(async {
        let world = World::new(json!({ "cache": { "ttlMs": 100_000, "staleMs": 1_000_000 } })).await;
        world.server.answer(ADDRESS, Reply::score(60));
        world.check(ADDRESS, "login", TRUSTED_PROXY).await;
        world.server.answer(ADDRESS, Reply::status(503));
        // Up to a tenth of the time to live is taken off.
        for (advance, source, is_stale) in [
            (85_000, Source::Memory, false),
            (20_000, Source::Memory, true),
            (880_000, Source::Memory, true),
            (120_000, Source::None, false),
        ] {
            world.clock.advance(advance);
            let decision = world.check(ADDRESS, "login", TRUSTED_PROXY).await;
            assert_eq!((decision.source, decision.stale), (source, is_stale), "after another {advance} ms");
            assert_eq!(decision.degraded, is_stale || source == Source::None);
        }
    });
}

#[test]
fn evaluating_asks_nobody_and_counts_nothing() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        let policy = world.policy("login");
        let request = Request { text: ADDRESS, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
        assert!(matches!(world.checker.evaluate(request), Evaluation::Pending(_)));
        world.checker.check(request).await;
        for _ in 0..10 {
            assert!(matches!(world.checker.evaluate(request), Evaluation::Decided(_)));
        }
        assert_eq!(world.server.take_targets().len(), 1);
        assert_eq!(world.checker.engine().stats().rungs[Rung::Memory as usize], 0);
        let (name, counts) = world.checker.policy_stats().swap_remove(0);
        assert_eq!((name.as_str(), counts.action.iter().sum::<u64>()), ("login", 1));
    });
}

#[test]
fn only_real_scores_are_in_the_histogram() {
    runtime().block_on(async {
        let world = failing(json!({ "login": { "mode": "log-only" } })).await;
        world.server.answer(ADDRESS, Reply::score(90));
        world.server.answer("192.0.2.1", Reply::score(0));
        world.server.answer("192.0.2.2", Reply::status(404));
        for text in [ADDRESS, ADDRESS, "192.0.2.1", "192.0.2.2", "192.0.2.3", "foo", "10.0.0.1"] {
            world.check(text, "login", TRUSTED_PROXY).await;
        }
        let (_, counts) = world.checker.policy_stats().swap_remove(0);
        let scores: Vec<(usize, u64)> =
            counts.histogram.iter().copied().enumerate().filter(|(_, count)| *count != 0).collect();
        assert_eq!(scores, [(0, 1), (90, 2)]);
        let of = |action: Action| (counts.action[action as usize], counts.would_be[action as usize]);
        assert_eq!(of(Action::Allow), (7, 4));
        assert_eq!(of(Action::Challenge), (0, 1));
        assert_eq!(of(Action::Block), (0, 2));
    });
}
