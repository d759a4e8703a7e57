//! Servers that misbehave in ways that the real one does not show on demand.

use std::time::Duration;

use ip_risk_core::shared_cache::{CacheState, Fault, Skip};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{Behaviour, Fake};
use crate::world::{BUDGET_AND_NOISE, World, key};

const SLOW: Behaviour = Behaviour::Late(Duration::from_millis(120));

/// Every way to misbehave, and what it looks like.
const FAULTS: [(Behaviour, Fault); 10] = [
    (Behaviour::Error("LOADING Redis is loading the dataset in memory"), Fault::Loading),
    (Behaviour::Error("MASTERDOWN Link with MASTER is down"), Fault::Replica),
    (Behaviour::Error("CLUSTERDOWN The cluster is down"), Fault::Cluster),
    (Behaviour::Error("NOAUTH Authentication required."), Fault::Refused),
    (Behaviour::Moved, Fault::Cluster),
    (Behaviour::HalfAnAnswer, Fault::Slow),
    (SLOW, Fault::Slow),
    (Behaviour::Endless, Fault::Slow),
    (Behaviour::OtherType, Fault::Failed),
    (Behaviour::HangUp, Fault::Unreachable),
];

async fn is_given_up_and_comes_back(redis: &Value, fake: &Fake, behaviour: Behaviour) -> Vec<Fault> {
    let world = World::hasty(redis);
    world.until_connected().await;
    world.until_found("192.0.2.1", None).await;
    fake.behave(behaviour);
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{behaviour:?}: {times} times, {longest:?}");
    let faults = world.stats().failures.into_iter().map(|(fault, _)| fault).collect();
    // A connection that greets but does not answer in time is none: nobody is sent there.
    let before = world.stats();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        let _ = world.fresh("192.0.2.1").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.stats().failures, before.failures, "{behaviour:?}");
    fake.behave(Behaviour::Empty);
    let began = Instant::now();
    world.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{behaviour:?}: {:?}", began.elapsed());
    world.until_found("192.0.2.1", None).await;
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_misbehaves_is_given_up_and_taken_back() {
    for (behaviour, expected) in FAULTS {
        let fake = Fake::start(Behaviour::Empty).await;
        let faults = is_given_up_and_comes_back(&json!(fake.url()), &fake, behaviour).await;
        assert!(faults.contains(&expected), "{behaviour:?}: {faults:?}");
    }
    let fake = Fake::start(Behaviour::Empty).await;
    is_given_up_and_comes_back(&json!(fake.url()), &fake, Behaviour::Nonsense).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_sends_everybody_in_circles_is_given_up_and_taken_back() {
    for (behaviour, _) in FAULTS {
        let fake = Fake::start(Behaviour::Empty).await;
        let redis = json!({ "urls": [fake.url()], "cluster": true });
        is_given_up_and_comes_back(&redis, &fake, behaviour).await;
    }
    let fake = Fake::start(Behaviour::Empty).await;
    let world = World::hasty(&json!({ "url": fake.url(), "cluster": true }));
    world.until_connected().await;
    fake.behave(Behaviour::Moved);
    let before = fake.asked();
    world.until_given_up().await;
    // Three look-ups of four commands, each of which follows three redirections.
    let asked = fake.asked() - before;
    assert!(asked <= 3 * 4 * 4 + 10, "{asked} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_now_and_then_is_kept_and_one_that_fails_often_is_not() {
    let fake = Fake::start(Behaviour::Empty).await;
    let world = World::new(&json!(fake.url()));
    world.until_connected().await;
    let fail = async |every: usize| {
        for time in 0..60 {
            let fails = time % every == 0;
            fake.behave(if fails { Behaviour::Error("ERR now and then") } else { Behaviour::Empty });
            if world.fresh("192.0.2.1").await == Err(Skip::NotAsked) {
                return true;
            }
        }
        false
    };
    assert!(!fail(10).await, "{:?}", world.stats());
    assert!(fail(2).await, "{:?}", world.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_before_redis_6_is_named_as_such() {
    let fake = Fake::start(Behaviour::Outdated).await;
    let world = World::new(&json!(fake.url()));
    world.until_given_up().await;
    assert!(
        matches!(world.stats().state, CacheState::Away { why: Fault::Outdated, .. }),
        "{:?}",
        world.stats()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_6_says_of_a_script_is_understood() {
    let inside = |code: &str| -> &'static str {
        let error =
            format!("ERR Error running script (call to f_0a1b): @user_script:8: @user_script: 8: -{code} no");
        error.leak()
    };
    for (code, expected) in [
        ("OOM", Fault::Full),
        ("MISCONF", Fault::Full),
        ("READONLY", Fault::Replica),
        ("NOPERM", Fault::Refused),
    ] {
        let fake = Fake::start(Behaviour::Empty).await;
        let world = World::new(&json!(fake.url()));
        world.until_connected().await;
        fake.behave(Behaviour::Error(inside(code)));
        world.cache.put(key("8.8.8.8"), &World::evidence(1, world.now()));
        world.until("it is refused", |stats| stats.failures == [(expected, 2)]).await;
    }
}
