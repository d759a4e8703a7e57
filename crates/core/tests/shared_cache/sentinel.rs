//! A primary, two replicas and three sentinels.

use ip_risk_core::shared_cache::CacheState;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{Server, wait_until};
use crate::world::{BUDGET_AND_NOISE, World};

struct Trio {
    primary: Server,
    replicas: [Server; 2],
    sentinels: [Server; 3],
}

impl Trio {
    fn start() -> Self {
        let primary = Server::start(&[]);
        let address = format!("127.0.0.1 {}", primary.port);
        let replicas = [(); 2].map(|()| Server::start(&["--replicaof", &address]));
        wait_until("the replicas are in step", || {
            replicas
                .iter()
                .all(|replica| replica.run::<String>("INFO replication").contains("link_status:up"))
        });
        let sentinels = [(); 3].map(|()| Server::start_sentinel(&primary));
        let trio = Self { primary, replicas, sentinels };
        wait_until("the sentinels know each other", || {
            trio.sentinels.iter().all(|sentinel| {
                let state = sentinel.run::<String>("INFO sentinel");
                state.contains("slaves=2") && state.contains("sentinels=3") && state.contains("status=ok")
            })
        });
        trio
    }

    fn redis(&self) -> Value {
        let urls: Vec<_> = self.sentinels.iter().map(Server::url).collect();
        json!({ "sentinel": { "master": "main", "urls": urls } })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_primary_and_after_it_died_to_the_next_one() {
    let mut trio = Trio::start();
    let world = World::hasty(&trio.redis());
    world.put("8.8.8.8", 42, world.now()).await;
    world.until_found("8.8.8.8", Some(42)).await;
    assert!(trio.primary.get("ip-risk:8.8.8.8").is_some());
    wait_until("the replicas have it", || {
        trio.replicas.iter().all(|replica| replica.get("ip-risk:8.8.8.8").is_some())
    });
    // One sentinel that hangs is passed over.
    trio.sentinels[0].pause();
    trio.primary.kill();
    let began = Instant::now();
    world.until_given_up().await;
    trio.sentinels[0].resume();
    while !matches!(world.stats().state, CacheState::Connected { .. }) {
        let asked = Instant::now();
        let _ = world.fresh("8.8.8.8").await;
        assert!(asked.elapsed() < BUDGET_AND_NOISE);
        assert!(began.elapsed().as_secs() < 20, "{:?}", world.stats());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.until_found("8.8.8.8", Some(42)).await;
    world.put("8.8.4.4", 43, world.now()).await;
    world.until_found("8.8.4.4", Some(43)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_know_no_such_primary_are_no_redis() {
    let trio = Trio::start();
    let mut redis = trio.redis();
    redis["sentinel"]["master"] = json!("other");
    let world = World::hasty(&redis);
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert!(matches!(world.stats().state, CacheState::Away { .. }));
}
