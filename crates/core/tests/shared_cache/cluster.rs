//! A cluster of three primaries and three replicas.

use std::time::Duration;

use ip_risk_core::shared_cache::{CacheState, Invalidation, Skip};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{PATIENCE, Server, wait_until};
use crate::world::{BUDGET_AND_NOISE, World, key};

const OPTIONS: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    "--cluster-replica-validity-factor",
    "0",
    "--repl-timeout",
    "2",
];
const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

pub(crate) struct Cluster {
    /// The first three were made primaries, the others their replicas in the same order.
    nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let nodes: Vec<_> = (0..6).map(|_| Server::start(&OPTIONS)).collect();
        for (node, slots) in nodes.iter().zip(SLOTS) {
            node.run::<()>(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        for node in &nodes[1..] {
            node.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port));
        }
        let cluster = Self { nodes };
        cluster.wait("nodes:6");
        for (replica, primary) in cluster.nodes[3..].iter().zip(&cluster.nodes) {
            let id = primary.run::<String>("CLUSTER MYID");
            wait_until("the replica knows its primary", || {
                replica.run::<String>("CLUSTER NODES").contains(&id)
            });
            replica.run::<()>(&format!("CLUSTER REPLICATE {id}"));
        }
        cluster.wait("state:ok");
        wait_until("the replicas are in step", || {
            cluster.nodes[3..]
                .iter()
                .all(|replica| replica.run::<String>("INFO replication").contains("link_status:up"))
        });
        cluster
    }

    /// Waits until every node says so of the cluster.
    fn wait(&self, state: &str) {
        wait_until("the cluster has formed", || {
            self.nodes.iter().all(|node| {
                let info = node.run::<String>("CLUSTER INFO");
                info.replace("known_", "").contains(state)
            })
        });
    }

    pub(crate) fn redis(&self) -> Value {
        json!({ "urls": [self.nodes[0].url(), self.nodes[5].url()], "cluster": true })
    }
}

fn addresses() -> impl Iterator<Item = String> {
    (0..60).map(|host| format!("8.8.8.{host}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_holds_what_one_server_would_and_survives_the_loss_of_a_primary() {
    let mut cluster = Cluster::start();
    let (one, other) = (World::hasty(&cluster.redis()), World::hasty(&cluster.redis()));
    for address in addresses() {
        one.put(&address, 42, one.now()).await;
    }
    other.until_connected().await;
    for address in addresses() {
        other.until_found(&address, Some(42)).await;
        assert_eq!(other.stale(&address).await, Ok(Some(42)));
    }
    for node in &cluster.nodes[..3] {
        assert!(node.run::<u64>("DBSIZE") > 20, "the entries are spread");
    }
    one.cache.invalidate(Invalidation::Key(key("8.8.8.1"))).await.unwrap();
    other.until("it has heard", |stats| stats.invalidations == 1).await;
    other.until_found("8.8.8.1", None).await;
    one.cache.invalidate(Invalidation::AllUntil(one.now())).await.unwrap();
    other.until("it has heard", |stats| stats.invalidations == 2).await;
    other.until_found("8.8.8.2", None).await;
    one.clock.advance(10);
    other.clock.advance(10);
    cluster.nodes[1].kill();
    fails_over(&one, &other).await;
}

/// Look-ups and writes go on; none takes longer than its budget, and in the end all are served.
async fn fails_over(one: &World, other: &World) {
    let began = Instant::now();
    let mut served = 0;
    while served < 60 {
        served = 0;
        for address in addresses() {
            let asked = Instant::now();
            one.cache.put(key(&address), &World::evidence(43, one.now()));
            served += usize::from(matches!(other.fresh(&address).await, Ok(Some(43))));
            assert!(asked.elapsed() < BUDGET_AND_NOISE, "{:?}", asked.elapsed());
        }
        assert!(began.elapsed() < PATIENCE, "{served} of 60 are served: {:?}", other.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_costs_its_budget_and_then_nothing() {
    let mut cluster = Cluster::start();
    let world = World::hasty(&cluster.redis());
    world.until_connected().await;
    cluster.nodes.iter_mut().for_each(Server::kill);
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 4 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(world.fresh("8.8.8.8").await, Err(Skip::NotAsked));
    assert!(matches!(world.stats().state, CacheState::Away { .. }));
    cluster.nodes.iter_mut().for_each(Server::restart);
    world.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
}

/// Which primary has the slot of this key.
fn place(node: &Server, key: &str) -> usize {
    match node.run::<u64>(&format!("CLUSTER KEYSLOT {key}")) {
        0..=5_460 => 0,
        5_461..=10_922 => 1,
        _ => 2,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_hides_nothing_that_is_elsewhere() {
    let cluster = Cluster::start();
    let first = &cluster.nodes[0];
    let world = World::with_budget(&cluster.redis(), 600);
    let address = addresses()
        .find(|address| {
            let mapped = place(first, &format!("ip-risk:::ffff:{address}"));
            place(first, &format!("ip-risk:{address}")) == 0 && mapped == 1
        })
        .unwrap();
    world.put(&address, 42, world.now()).await;
    cluster.nodes[1].pause();
    // Before its replica takes over.
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(world.fresh(&address).await, Ok(Some(42)), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_that_is_taken_for_a_server_is_given_up() {
    let cluster = Cluster::start();
    // What belongs to another node is not here.
    let world = World::new(&json!(cluster.nodes[2].url()));
    world.until_given_up().await;
    assert!(matches!(world.stats().state, CacheState::Away { .. }), "{:?}", world.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_cluster_after_closing() {
    let cluster = Cluster::start();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let clients =
        || cluster.nodes.iter().map(|node| node.run::<String>("CLIENT LIST TYPE normal").lines().count() - 1);
    let before = tasks();
    let world = World::new(&cluster.redis());
    world.put("8.8.8.8", 42, world.now()).await;
    world.cache.close().await;
    let began = Instant::now();
    while tasks() != before || clients().any(|count| count != 0) {
        assert!(began.elapsed() < Duration::from_secs(5), "{} tasks", tasks());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
