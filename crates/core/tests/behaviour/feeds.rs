//! Offline feeds in the order of evaluation: as the only source, before the provider, and when it fails.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ip_risk_core::checker::{Evaluation, Request};
use ip_risk_core::decision::{Action, Band, Decision, Source};
use ip_risk_core::error::Code;
use ip_risk_core::evidence::Provider;
use ip_risk_core::feeds::signal::Signal;
use ip_risk_core::flags::{BooleanField, NameField};
use ip_risk_core::routes::RouteId;
use serde_json::{Value, json};

use crate::support::feeds::Directory;
use crate::support::server::Reply;
use crate::support::{TRUSTED_PROXY, UNVERIFIED, World, read, runtime};

const CLOUD: &str = "198.51.100.1";
const TOR: &str = "198.51.100.2";
const CRIMINAL: &str = "198.51.100.3";
const CORROBORATED: &str = "198.51.100.4";
const RELAY: &str = "198.51.100.5";
const UNLISTED: &str = "198.51.100.99";
const FEEDS: [(Signal, &str); 6] = [
    (Signal::Cloud, CLOUD),
    (Signal::TorExit, TOR),
    (Signal::Criminal, CRIMINAL),
    (Signal::Attack, CORROBORATED),
    (Signal::Attack, CORROBORATED),
    (Signal::Relay, RELAY),
];

/// A world with those feeds, and those options.
async fn world(directory: &Directory, mut options: Value) -> World {
    if options.get("feeds").is_none() {
        options["feeds"] = json!({});
    }
    options["feeds"]["dir"] = json!(directory.path());
    World::new(options).await
}

async fn keyless(directory: &Directory, options: Value) -> World {
    let mut options = options;
    options["apiKey"] = Value::Null;
    world(directory, options).await
}

/// What happened in the words that matter here.
fn seen(world: &World, decision: &Decision) -> (Action, u8, Source, Vec<String>) {
    (decision.action, decision.score.value(), decision.source, world.reasons(decision))
}

#[test]
fn without_a_key_feeds_are_the_source_that_was_chosen() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = keyless(&directory, json!({})).await;
        for (address, action, score, reasons) in [
            (CLOUD, Action::Log, 24, &["threshold_log"][..]),
            (TOR, Action::Challenge, 65, &["threshold_challenge"]),
            (CRIMINAL, Action::Block, 85, &["known_attacker", "threshold_block"]),
            (CORROBORATED, Action::Challenge, 80, &["known_attacker", "threshold_block", "feeds_not_strict"]),
            (RELAY, Action::Allow, 8, &["relay", "relay_below_block", "below_thresholds"]),
            (UNLISTED, Action::Allow, 0, &["no_record"]),
        ] {
            let decision = world.check(address, "login", TRUSTED_PROXY).await;
            let mut found = seen(&world, &decision);
            found.3.sort();
            let mut reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            reasons.sort();
            assert_eq!(found, (action, score, Source::Feeds, reasons), "{address}");
            assert_eq!((decision.provider, decision.failure), (Some(Provider::Feeds), None));
            assert!(!decision.failed_open && !decision.degraded && !decision.stale);
        }
        let cloud = world.check(CLOUD, "login", TRUSTED_PROXY).await;
        assert!(cloud.flags.is(BooleanField::IsCloudProvider) && cloud.band == Some(Band::Guarded));
        let names = cloud.flags.names().unwrap().names();
        assert_eq!(names.one(NameField::CloudProviderName), Some("Example Cloud"));
        assert_eq!(world.server.take_targets().len(), 0, "nobody is asked");
    });
}

#[test]
fn without_a_key_feeds_clear_a_policy_that_closes_only_where_that_is_written() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = keyless(&directory, json!({})).await;
        for (address, action) in
            [(CLOUD, Action::Hold), (UNLISTED, Action::Hold), (TOR, Action::Hold), (CRIMINAL, Action::Block)]
        {
            let decision = world.check(address, "payment", TRUSTED_PROXY).await;
            assert_eq!(decision.action, action, "{address}");
            let failure = (action == Action::Hold).then_some(Code::NoSource);
            assert_eq!((decision.failure, decision.failed_closed), (failure, failure.is_some()));
        }
        let world = keyless(&directory, json!({ "feeds": { "primary": true } })).await;
        for (address, action) in [
            (CLOUD, Action::Log),
            (UNLISTED, Action::Allow),
            (TOR, Action::Challenge),
            (CRIMINAL, Action::Block),
        ] {
            assert_eq!(world.check(address, "payment", TRUSTED_PROXY).await.action, action, "{address}");
        }
    });
}

#[test]
fn without_a_key_a_policy_that_closes_is_refused_where_it_is_written_or_used() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let feeds = json!({ "dir": directory.path() });
        for policies in [json!({ "payment": {} }), json!({ "own": { "onFailure": "closed" } })] {
            let error = read(&json!({ "feeds": feeds, "policies": policies })).unwrap_err();
            assert_eq!(error.code(), Code::NoSource, "{error}");
            assert!(error.to_string().contains("feeds: { primary: true }"), "{error}");
        }
        let world = keyless(&directory, json!({})).await;
        let payment = world.policy("payment");
        assert_eq!(world.checker.require_usable(payment).unwrap_err().code(), Code::NoSource);
        world.checker.require_usable(world.policy("login")).unwrap();
        let inline = world.checker.add_policy("payment", &json!({})).unwrap_err();
        assert_eq!(inline.code(), Code::NoSource);
        let primary = keyless(&directory, json!({ "feeds": { "primary": true } })).await;
        primary.checker.require_usable(payment).unwrap();
    });
}

#[test]
fn with_neither_key_nor_feeds_there_is_nothing_to_score_with() {
    for options in [json!({}), json!({ "feeds": false }), json!({ "feeds": true }), json!({ "feeds": {} })] {
        assert_eq!(read(&options).unwrap_err().code(), Code::NoSource, "{options}");
    }
}

#[test]
fn strict_evidence_answers_before_the_provider_and_nothing_else_does() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({})).await;
        for policy in ["login", "payment"] {
            let decision = world.check(CRIMINAL, policy, TRUSTED_PROXY).await;
            assert_eq!((decision.action, decision.source), (Action::Block, Source::Feeds));
        }
        assert_eq!(world.server.take_targets().len(), 0, "no credit is spent");
        for address in [CLOUD, TOR, CORROBORATED, UNLISTED] {
            let decision = world.check(address, "login", TRUSTED_PROXY).await;
            assert_eq!(
                (decision.score.value(), decision.source),
                (0, Source::Api),
                "{address}: nothing is merged"
            );
        }
        assert_eq!(world.server.take_targets().len(), 4);
    });
}

#[test]
fn the_pre_screen_can_be_switched_off() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({ "feeds": { "prescreen": false } })).await;
        assert_eq!(world.check(CRIMINAL, "login", TRUSTED_PROXY).await.source, Source::Api);
    });
}

#[test]
fn a_policy_that_closes_asks_the_provider_unless_strict_evidence_blocks() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let payment = json!({ "payment": { "thresholds": { "block": 90 } } });
        let world = world(&directory, json!({ "policies": payment })).await;
        let decision = world.check(CRIMINAL, "payment", TRUSTED_PROXY).await;
        assert_eq!((decision.action, decision.source), (Action::Allow, Source::Api));
    });
}

#[test]
fn evidence_in_memory_is_asked_before_feeds() {
    runtime().block_on(async {
        let directory = Directory::with(&[(Signal::Cloud, CLOUD)]);
        let world = world(&directory, json!({})).await;
        world.check(CRIMINAL, "login", TRUSTED_PROXY).await;
        directory.write(&FEEDS);
        world.clock.advance(11_000);
        let decision = world.check(CRIMINAL, "login", TRUSTED_PROXY).await;
        assert_eq!((decision.action, decision.source), (Action::Allow, Source::Memory));
    });
}

#[test]
fn when_the_provider_fails_feeds_that_match_answer_and_never_clear_a_policy_that_closes() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({ "feeds": { "prescreen": false } })).await;
        world.server.answer_otherwise(Reply::status(503));
        for (address, login, source, payment) in [
            (CLOUD, Action::Log, Source::Feeds, Action::Hold),
            (TOR, Action::Challenge, Source::Feeds, Action::Hold),
            (CRIMINAL, Action::Block, Source::Feeds, Action::Block),
            (RELAY, Action::Allow, Source::Feeds, Action::Hold),
            (UNLISTED, Action::Allow, Source::None, Action::Hold),
        ] {
            let decision = world.check(address, "login", TRUSTED_PROXY).await;
            assert_eq!((decision.action, decision.source), (login, source), "{address}");
            assert_eq!((decision.failure, decision.degraded), (Some(Code::UpstreamStatus), true));
            assert_eq!(decision.failed_open, source == Source::None, "{address}");
            assert_eq!(world.check(address, "payment", TRUSTED_PROXY).await.action, payment, "{address}");
        }
    });
}

#[test]
fn what_a_caller_can_exhaust_is_no_way_past_a_challenge() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({})).await;
        world.server.answer_otherwise(Reply::status(429));
        for (address, action) in [
            (CLOUD, Action::Challenge),
            (RELAY, Action::Challenge),
            (UNLISTED, Action::Challenge),
            (CRIMINAL, Action::Block),
        ] {
            assert_eq!(world.check(address, "login", TRUSTED_PROXY).await.action, action, "{address}");
        }
    });
}

#[test]
fn stale_evidence_is_asked_before_feeds() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({})).await;
        world.server.answer(TOR, Reply::score(30));
        world.check(TOR, "login", TRUSTED_PROXY).await;
        world.server.answer(TOR, Reply::status(503));
        world.clock.advance(6 * 60_000);
        let decision = world.check(TOR, "login", TRUSTED_PROXY).await;
        assert_eq!((decision.score.value(), decision.stale, decision.source), (30, true, Source::Memory));
    });
}

#[test]
fn where_the_provider_has_no_record_feeds_answer_if_they_match() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = world(&directory, json!({ "feeds": { "prescreen": false } })).await;
        world.server.answer_otherwise(Reply::status(404));
        for (address, login, payment) in [
            (CLOUD, Action::Log, Action::Challenge),
            (TOR, Action::Challenge, Action::Challenge),
            (CRIMINAL, Action::Block, Action::Block),
            (UNLISTED, Action::Allow, Action::Challenge),
        ] {
            for (policy, action) in [("login", login), ("payment", payment)] {
                let decision = world.check(address, policy, TRUSTED_PROXY).await;
                assert_eq!((decision.action, decision.failure), (action, None), "{address} {policy}");
                assert!(world.reasons(&decision).contains(&"unknown_address".to_owned()));
            }
        }
    });
}

#[test]
fn an_unverified_address_is_not_blocked_by_feeds() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let world = keyless(&directory, json!({})).await;
        assert_eq!(world.check(CRIMINAL, "login", UNVERIFIED).await.action, Action::Challenge);
    });
}

#[test]
fn a_rule_of_the_users_own_may_block_on_feeds() {
    runtime().block_on(async {
        let directory = Directory::with(&FEEDS);
        let rule = json!({ "id": "no_tor", "when": { "is_tor": true }, "atLeast": "block" });
        let world = keyless(&directory, json!({ "policies": { "login": { "rules": [rule] } } })).await;
        assert_eq!(world.check(TOR, "login", TRUSTED_PROXY).await.action, Action::Block);
    });
}

/// Checks until the score is that, or fails.
async fn until_score(world: &World, address: &str, score: u8) {
    for _ in 0..200 {
        world.clock.advance(11_000);
        if world.check(address, "login", TRUSTED_PROXY).await.score.value() == score {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the score of `{address}` does not become {score}");
}

#[test]
fn an_update_is_picked_up_and_a_damaged_one_is_not() {
    runtime().block_on(async {
        let directory = Directory::new();
        let list = directory.path().join("own.txt");
        std::fs::write(&list, "198.51.100.50\n").unwrap();
        let own = json!({ "path": list, "flags": ["is_vpn"] });
        let world = keyless(&directory, json!({ "feeds": { "files": [own] } })).await;
        assert_eq!(world.check(CLOUD, "login", TRUSTED_PROXY).await.score.value(), 0);
        directory.write(&FEEDS);
        until_score(&world, CLOUD, 24).await;
        directory.write_bytes(b"no feeds at all");
        for _ in 0..200 {
            world.clock.advance(11_000);
            assert_eq!(world.check(CLOUD, "login", TRUSTED_PROXY).await.score.value(), 24);
            if world.checker.engine().stats().feeds.unwrap().failure.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let failure = world.checker.engine().stats().feeds.unwrap().failure.unwrap();
        assert!(failure.contains("feeds.bin"), "{failure}");
        directory.write(&[(Signal::TorExit, CLOUD)]);
        until_score(&world, CLOUD, 65).await;
        assert_eq!(world.checker.engine().stats().feeds.unwrap().failure, None);
    });
}

#[test]
fn while_feeds_are_replaced_every_answer_is_the_old_or_the_new_one() {
    runtime().block_on(async {
        let directory = Directory::with(&[(Signal::Cloud, CLOUD)]);
        let world = Arc::new(keyless(&directory, json!({})).await);
        let is_over = Arc::new(AtomicBool::new(false));
        let asking = (0..2).map(|_| {
            let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
            std::thread::spawn(move || {
                let policy = world.policy("login");
                let request = Request { text: CLOUD, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY };
                let mut seen = HashSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let Evaluation::Decided(decision) = world.checker.evaluate(request) else {
                        panic!("it asks")
                    };
                    seen.insert((decision.score.value(), decision.flags.is(BooleanField::IsTor)));
                }
                seen
            })
        });
        let asking: Vec<_> = asking.collect();
        for round in 0..6 {
            let (signal, score) = [(Signal::TorExit, 65), (Signal::Cloud, 24)][round % 2];
            directory.write(&[(signal, CLOUD)]);
            until_score(&world, CLOUD, score).await;
        }
        is_over.store(true, Ordering::Relaxed);
        for thread in asking {
            let seen = thread.join().unwrap();
            assert!(seen.is_subset(&HashSet::from([(24, false), (65, true)])), "{seen:?}");
        }
    });
}

#[test]
fn a_damaged_file_costs_what_it_would_have_known_and_not_the_start() {
    runtime().block_on(async {
        let directory = Directory::new();
        directory.write_bytes(b"no feeds at all");
        let world = world(&directory, json!({})).await;
        assert!(world.checker.engine().stats().feeds.unwrap().failure.is_some());
        assert_eq!(world.checker.engine().notices()[0].0, Some(Code::Feeds));
        assert_eq!(world.check(CLOUD, "login", TRUSTED_PROXY).await.source, Source::Api);
    });
}

#[test]
fn lists_of_ones_own_count_however_old_they_are() {
    runtime().block_on(async {
        let directory = Directory::new();
        let list = directory.path().join("own.txt");
        std::fs::write(&list, "# seen here\n198.51.100.0/28 ; a comment\n").unwrap();
        for (flag, weight, score) in [("is_known_attacker", Value::Null, 60), ("is_spam", json!(50), 50)] {
            let mut own = json!({ "path": list, "flags": [flag] });
            if !weight.is_null() {
                own["weight"] = weight;
            }
            let world = keyless(&directory, json!({ "feeds": { "files": [own] } })).await;
            world.clock.advance(10 * 365 * 24 * 3_600_000);
            let decision = world.check("198.51.100.7", "login", TRUSTED_PROXY).await;
            assert_eq!(decision.score.value(), score, "{flag}");
            assert_eq!(world.check("198.51.100.16", "login", TRUSTED_PROXY).await.score.value(), 0);
        }
    });
}

#[test]
fn mistakes_in_feeds_are_named_by_their_path() {
    let directory = Directory::new();
    let page = directory.path().join("page.txt");
    std::fs::write(&page, "<!doctype html><title>log in</title>").unwrap();
    let names = directory.path().join("names.txt");
    std::fs::write(&names, "one\ntwo\n").unwrap();
    for (feeds, expected) in [
        (json!(3), "`feeds` must be"),
        (json!({ "directory": "x" }), "`feeds.directory` is not an option"),
        (json!({ "dir": "" }), "`feeds.dir` must be"),
        (json!({ "dir": "/does/not/exist" }), "`feeds.dir` names"),
        (json!({ "files": {} }), "`feeds.files` must be an array"),
        (json!({ "files": [{}] }), "`feeds.files[0].path` is missing"),
        (json!({ "files": [{ "path": "a" }] }), "`flags` must say"),
        (
            json!({ "files": [{ "path": "a", "flags": ["is_bad"] }] }),
            "`feeds.files[0].flags[0]` must be one of",
        ),
        (
            json!({ "files": [{ "path": "a", "flags": ["is_vpn"], "format": "xml" }] }),
            "`feeds.files[0].format`",
        ),
        (
            json!({ "files": [{ "path": "a", "flags": ["is_vpn"], "weight": 101 }] }),
            "`feeds.files[0].weight`",
        ),
        (json!({ "files": [{ "path": "a.mmdb", "flags": ["is_vpn"] }] }), "leave out `flags`"),
        (json!({ "files": [{ "path": "/does/not/exist", "flags": ["is_vpn"] }] }), "`feeds.files[0]` names"),
        (json!({ "files": [{ "path": page, "flags": ["is_vpn"] }] }), "HTML"),
        (
            json!({ "files": [{ "path": names, "flags": ["is_vpn"] }] }),
            "not of the format `list`, such as `one`",
        ),
        (json!({ "primary": 1 }), "`feeds.primary` must be true or false"),
    ] {
        let options = json!({ "apiKey": "key", "feeds": feeds });
        let error = read(&options).and_then(|options| {
            let clock = Arc::new(ip_risk_core::clock::SystemClock);
            ip_risk_core::engine::Engine::new(options.engine, clock).map(drop)
        });
        let error = error.unwrap_err();
        assert!(error.to_string().contains(expected), "{feeds}: {error}");
    }
}
