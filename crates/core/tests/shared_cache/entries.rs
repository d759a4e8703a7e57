//! What is stored, and what is believed of what is there.

use std::sync::Arc;
use std::time::Duration;

use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::evidence::{Answer, Evidence, Provider};
use ip_risk_core::shared_cache::{CacheState, Invalidation, SharedCache, Unusable};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::Server;
use crate::world::{BUDGET_AND_NOISE, MINUTE, World, cache_options, key, redis_options};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_look_up_waits_for_the_connection_and_finds_what_another_process_wrote() {
    let server = Server::start(&[]);
    let (one, other) = (World::of(&server), World::of(&server));
    assert_eq!(one.stats().state, CacheState::Idle);
    assert_eq!(server.clients(), 0, "nothing connects before it is used");
    one.put("8.8.8.8", 42, one.now()).await;
    assert_eq!(other.fresh("8.8.8.8").await, Ok(Some(42)));
    assert_eq!(other.stale("8.8.8.8").await, Ok(Some(42)));
    assert_eq!(other.fresh("8.8.4.4").await, Ok(None));
    let stats = other.stats();
    assert_eq!((stats.hits, stats.misses, stats.stale_hits, stats.connections), (1, 1, 1, 1));
    assert!(matches!(stats.state, CacheState::Connected { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_becomes_a_fresh_copy_and_a_stale_one() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    let now = world.now();
    world.put("8.8.8.8", 42, now).await;
    world.put("2606:4700::1", 7, now).await;
    for (key, score) in [("8.8.8.8", 42), ("2606:4700::/64", 7)] {
        let fresh = server.get(&format!("ip-risk:{key}")).unwrap();
        assert_eq!(Some(&fresh), server.get(&format!("ip-risk-stale:{key}")).as_ref());
        let entry: Value = serde_json::from_str(&fresh).unwrap();
        assert_eq!(entry["threat_score"], json!(score), "as the tutorial reads it");
        assert_eq!((&entry["is_vpn"], &entry["vpn_provider_names"]), (&json!(true), &json!([])));
        assert_eq!((&entry["fetched_at"], &entry["provider"]), (&json!(now), &json!("ipgeolocation")));
        let lifetime = server.run::<u64>(&format!("PTTL ip-risk:{key}"));
        assert!((4 * MINUTE..=5 * MINUTE).contains(&lifetime), "{lifetime}");
        let lifetime = server.run::<u64>(&format!("PTTL ip-risk-stale:{key}"));
        assert!((24 * 60 * MINUTE..=(24 * 60 + 5) * MINUTE).contains(&lifetime), "{lifetime}");
    }
    assert_eq!(world.fresh("2606:4700::ffff").await, Ok(Some(7)), "the network shares evidence");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_made_together_do_not_end_together() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.until_connected().await;
    for host in 0..100 {
        world.cache.put(key(&format!("9.9.9.{host}")), &World::evidence(1, world.now()));
    }
    world.until("they are written", |stats| stats.written == 200).await;
    let mut ending = [0; 301];
    for host in 0..100 {
        ending[server.run::<usize>(&format!("PTTL ip-risk:9.9.9.{host}")) / 1_000] += 1;
    }
    assert_eq!(ending[268..].iter().sum::<usize>(), 100, "{ending:?}");
    assert!(ending.iter().all(|count| *count < 20), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_evidence_of_the_api_is_written() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.until_connected().await;
    let now = world.now();
    world.cache.put(key("8.8.8.1"), &Answer::Unknown { checked_at: now });
    world.cache.put(key("8.8.8.2"), &Answer::Unroutable { checked_at: now });
    let Answer::Evidence(evidence) = World::evidence(9, now) else { unreachable!() };
    world.cache.put(key("8.8.8.3"), &Answer::Evidence(Evidence { provider: Provider::Feeds, ..evidence }));
    world.put("8.8.8.4", 9, now).await;
    assert_eq!(server.run::<u64>("DBSIZE"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_tutorial_are_read_in_both_spellings_and_dated_by_their_lifetime() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    let entry = r#"{"threat_score":55,"is_vpn":true,"is_tor":false}"#;
    server.set("ip-risk:8.8.8.8", entry, 2 * MINUTE);
    server.set("ip-risk:::ffff:8.8.4.4", entry, 4 * MINUTE);
    assert_eq!(world.fresh("8.8.4.4").await, Ok(Some(55)));
    let answer = world.cache.fresh(key("8.8.8.8"), &world.names, world.now()).await.unwrap();
    let Some(Answer::Evidence(evidence)) = answer else { panic!("{answer:?}") };
    let age = world.now() - evidence.checked_at;
    assert!((3 * MINUTE..3 * MINUTE + 5_000).contains(&age), "{age}");
    // The newer of the two counts.
    server.set("ip-risk:::ffff:8.8.8.8", r#"{"threat_score":66}"#, 4 * MINUTE);
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(66)));
    // What lives for ever, or longer than the tutorial says, is of unknown age.
    server.set("ip-risk:9.9.9.9", entry, 6 * MINUTE);
    assert_eq!(world.fresh("9.9.9.9").await, Ok(None));
    server.run::<()>("SET ip-risk:9.9.9.10 {\"threat_score\":0}");
    assert_eq!(world.fresh("9.9.9.10").await, Ok(None));
    // It writes no stale ones.
    server.set("ip-risk-stale:8.8.8.8", entry, 2 * MINUTE);
    assert_eq!(world.stale("8.8.8.8").await, Ok(None));
    assert_eq!(world.stats().unusable, [(Unusable::Undated, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_fresh_for_its_time_and_then_stale_for_its_own() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    let began = world.now();
    let entry = json!({ "threat_score": 3, "fetched_at": began }).to_string();
    // As if Redis forgot to end them.
    server.set("ip-risk:8.8.8.8", &entry, 1_000 * MINUTE);
    server.set("ip-risk-stale:8.8.8.8", &entry, 10_000 * MINUTE);
    world.clock.advance(5 * MINUTE - 2_000);
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(3)));
    world.clock.advance(2_000);
    assert_eq!(world.fresh("8.8.8.8").await, Ok(None));
    assert_eq!(world.stale("8.8.8.8").await, Ok(Some(3)));
    world.clock.advance(24 * 60 * MINUTE - 2_000);
    assert_eq!(world.stale("8.8.8.8").await, Ok(Some(3)));
    world.clock.advance(2_000);
    assert_eq!(world.stale("8.8.8.8").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_counted_and_is_no_answer() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.until_connected().await;
    let now = world.now();
    server.run::<()>("RPUSH ip-risk:8.8.8.1 a");
    server.set("ip-risk:8.8.8.2", "x".repeat(64 * 1_024 + 1), MINUTE);
    server.set("ip-risk:8.8.8.3", "not json", MINUTE);
    server.set("ip-risk:8.8.8.4", vec![0xff_u8; 100], MINUTE);
    server.set("ip-risk:8.8.8.5", json!({ "threat_score": 101, "fetched_at": now }).to_string(), MINUTE);
    server.set(
        "ip-risk:8.8.8.6",
        json!({ "threat_score": 0, "fetched_at": now + MINUTE }).to_string(),
        MINUTE,
    );
    let foreign = json!({ "threat_score": 0, "fetched_at": now, "provider": "feeds" });
    server.set("ip-risk:8.8.8.7", foreign.to_string(), MINUTE);
    for host in 1..=7 {
        assert_eq!(world.fresh(&format!("8.8.8.{host}")).await, Ok(None), "{host}");
    }
    let counts = [
        (Unusable::WrongType, 1),
        (Unusable::Oversized, 1),
        (Unusable::Malformed, 3),
        (Unusable::Foreign, 1),
        (Unusable::Future, 1),
    ];
    assert_eq!(world.stats().unusable, counts);
    assert_eq!(world.stats().failures, []);
    // One spelling that cannot be used does not hide the other, and both are healed by the next answer.
    server.set("ip-risk:::ffff:8.8.8.1", r#"{"threat_score":5}"#, MINUTE);
    assert_eq!(world.fresh("8.8.8.1").await, Ok(Some(5)));
    for host in 1..=7 {
        let address = format!("8.8.8.{host}");
        world.put(&address, 77, now).await;
        assert_eq!(world.fresh(&address).await, Ok(Some(77)), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_value_costs_no_more_than_its_budget() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.until_connected().await;
    server.set("ip-risk:8.8.8.8", vec![b'{'; 400 * 1_024 * 1_024], MINUTE);
    let began = Instant::now();
    assert_eq!(world.fresh("8.8.8.8").await, Ok(None));
    assert!(began.elapsed() < BUDGET_AND_NOISE, "{:?}", began.elapsed());
    let sent = server.run::<String>("INFO stats");
    let sent = sent.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    assert!(sent.trim().parse::<u64>().unwrap() < 1_000_000, "{sent}");
    world.put("8.8.8.8", 6, world.now()).await;
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_never_overwrites_a_newer_one() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    let now = world.now();
    world.put("8.8.8.8", 90, now).await;
    world.put("8.8.8.8", 10, now - 1_000).await;
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(90)));
    assert_eq!(world.stale("8.8.8.8").await, Ok(Some(90)));
    assert_eq!((world.stats().written, world.stats().outdated), (2, 2));
    world.put("8.8.8.8", 20, now).await;
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(20)));
    // An entry from the future holds nothing up.
    server.set(
        "ip-risk:8.8.4.4",
        json!({ "threat_score": 0, "fetched_at": now + MINUTE }).to_string(),
        MINUTE,
    );
    world.put("8.8.4.4", 30, now).await;
    assert_eq!(world.fresh("8.8.4.4").await, Ok(Some(30)));
}

/// A clock that is ten minutes behind.
#[derive(Debug)]
struct Behind;

impl Clock for Behind {
    fn now(&self) -> u64 {
        SystemClock.now() - 10 * MINUTE
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_overwrites_nothing_newer() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.put("8.8.8.8", 42, world.now()).await;
    let redis = redis_options(&json!({ "url": server.url(), "timeoutMs": 5_000 }));
    let behind =
        SharedCache::new(&redis, &cache_options(), None, Arc::new(Behind), Box::new(|_| ())).unwrap();
    behind.put(key("8.8.8.8"), &World::evidence(1, Behind.now()));
    behind.put(key("8.8.4.4"), &World::evidence(1, Behind.now()));
    while behind.stats().written != 2 || behind.stats().outdated != 2 {
        assert_eq!((behind.stats().dropped, behind.stats().failures), (0, Vec::new()));
        assert!(behind.stats().written <= 2, "{:?}", behind.stats());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(42)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_by_all_who_share_the_server() {
    let server = Server::start(&[]);
    let (one, other) = (World::of(&server), World::of(&server));
    other.until_connected().await;
    let now = one.now();
    for address in ["8.8.8.8", "8.8.4.4", "2606:4700::1"] {
        one.put(address, 42, now).await;
    }
    server.set("ip-risk:::ffff:8.8.8.8", r#"{"threat_score":5}"#, MINUTE);
    for address in ["8.8.8.8", "2606:4700::1"] {
        one.cache.invalidate(Invalidation::Key(key(address))).await.unwrap();
        assert_eq!(other.fresh(address).await, Ok(None));
        assert_eq!(other.stale(address).await, Ok(None));
    }
    assert_eq!(other.fresh("8.8.4.4").await, Ok(Some(42)));
    let expected = [Invalidation::Key(key("8.8.8.8")), Invalidation::Key(key("2606:4700::1"))];
    other.until("it has heard", |stats| stats.invalidations == 2).await;
    assert_eq!(other.forgotten(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_forgotten_also_by_those_who_come_later() {
    let server = Server::start(&[]);
    let (one, other) = (World::of(&server), World::of(&server));
    other.until_connected().await;
    one.put("8.8.8.8", 42, one.now() - 10).await;
    let time = one.now();
    one.cache.invalidate(Invalidation::AllUntil(time)).await.unwrap();
    other.until("it has heard", |stats| stats.invalidations == 1).await;
    assert_eq!(other.forgotten(), [Invalidation::AllUntil(time)]);
    let late = World::of(&server);
    for world in [&one, &other, &late] {
        assert_eq!(world.fresh("8.8.8.8").await, Ok(None));
        assert_eq!(world.stale("8.8.8.8").await, Ok(None));
    }
    assert_eq!(late.forgotten(), [Invalidation::AllUntil(time)]);
    one.put("8.8.8.8", 43, time + 1).await;
    assert_eq!(late.fresh("8.8.8.8").await, Ok(Some(43)));
    // A time in the future, whoever wrote it, forgets nothing.
    server.set("ip-risk-forgotten", format!("until {}\n", time + 10 * MINUTE), MINUTE);
    let mut publish = redis::cmd("PUBLISH");
    publish.arg("ip-risk-invalidations").arg(format!("until {}", time + 10 * MINUTE));
    publish.exec(&mut server.connect()).unwrap();
    late.until("it has heard", |stats| stats.invalidations == 1).await;
    for world in [&late, &World::of(&server)] {
        assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(43)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_and_database_separate_applications() {
    let server = Server::start(&[]);
    let plain = World::of(&server);
    let prefixed = World::new(&json!({ "url": server.url(), "keyPrefix": "shop:" }));
    let numbered = World::new(&json!(format!("{}/3", server.url())));
    for (world, score) in [(&plain, 1), (&prefixed, 2), (&numbered, 3)] {
        world.put("8.8.8.8", score, world.now()).await;
    }
    for (world, score) in [(&plain, 1), (&prefixed, 2), (&numbered, 3)] {
        assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(score)));
    }
    assert!(server.get("shop:ip-risk:8.8.8.8").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_closing_and_what_waits_is_written() {
    let server = Server::start(&[]);
    for is_closed in [true, false] {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let world = World::of(&server);
        world.until_connected().await;
        assert_eq!(server.clients(), 1, "one connection for everything");
        if is_closed {
            (0..10).for_each(|host| {
                world.cache.put(key(&format!("8.8.8.{host}")), &World::evidence(1, world.now()));
            });
            world.cache.close().await;
            assert_eq!(world.stats().written, 20);
            assert_eq!(world.stats().state, CacheState::Closed);
            assert!(world.fresh("8.8.8.1").await.is_err());
        } else {
            drop(world);
        }
        let began = Instant::now();
        while tasks() != before || server.clients() != 0 {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{} tasks, {} clients",
                tasks(),
                server.clients()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[test]
fn a_runtime_that_ends_is_replaced_by_the_one_that_asks_next() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(world.stats().state, CacheState::Idle);
    world.cache.put(key("8.8.8.8"), &World::evidence(1, world.now()));
    assert_eq!(world.stats().dropped, 1, "without a runtime there is nobody to write it");
    runtime().block_on(world.put("8.8.8.8", 42, world.now()));
    assert_eq!(runtime().block_on(world.fresh("8.8.8.8")), Ok(Some(42)));
    assert_eq!(runtime().block_on(world.fresh("8.8.8.8")), Ok(Some(42)));
}
