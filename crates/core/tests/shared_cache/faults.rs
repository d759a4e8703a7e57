//! What every fault of Redis costs, and how it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ip_risk_core::shared_cache::{CacheState, Fault, Invalidation, SharedCacheStats, Skip};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::server::{Server, free_port};
use crate::world::{BUDGET_AND_NOISE, World, key};

/// Why it is away.
fn why(world: &World) -> Option<Fault> {
    match world.stats().state {
        CacheState::Away { why, .. } => Some(why),
        _ => None,
    }
}

/// It is back by itself within about a second, and works.
async fn comes_back(world: &World) {
    let began = Instant::now();
    world.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    world.put("8.8.8.8", 42, world.now()).await;
    world.until_found("8.8.8.8", Some(42)).await;
}

/// A thousand look-ups and writes cost nothing.
async fn costs_nothing(world: &World) {
    let began = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(world.fresh("192.0.2.1").await, Err(Skip::NotAsked));
        world.cache.put(key("192.0.2.1"), &World::evidence(1, world.now()));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start() {
    let mut server = Server::start_at(free_port(), &[]);
    server.kill();
    let world = World::hasty(&json!(server.url()));
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(why(&world), Some(Fault::Unreachable));
    costs_nothing(&world).await;
    assert!(world.stats().dropped >= 1_000);
    server.restart();
    comes_back(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed() {
    let mut server = Server::start(&[]);
    let world = World::hasty(&json!(server.url()));
    world.until_connected().await;
    server.kill();
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(why(&world), Some(Fault::Unreachable));
    costs_nothing(&world).await;
    server.restart();
    comes_back(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering() {
    let server = Server::start(&[]);
    let world = World::hasty(&json!(server.url()));
    world.until_connected().await;
    server.pause();
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(why(&world), Some(Fault::Slow));
    costs_nothing(&world).await;
    server.resume();
    comes_back(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_from_the_start() {
    let server = Server::start(&[]);
    server.pause();
    let world = World::hasty(&json!(server.url()));
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(why(&world), Some(Fault::Slow));
    costs_nothing(&world).await;
    server.resume();
    comes_back(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_read_and_not_given_up() {
    let server = Server::start(&[]);
    let world = World::hasty(&json!(server.url()));
    world.put("8.8.8.8", 42, world.now()).await;
    server.run::<()>("CONFIG SET maxmemory 1");
    for host in 1..=20 {
        world.cache.put(key(&format!("9.9.9.{host}")), &World::evidence(1, world.now()));
    }
    world.until("it was refused", |stats| stats.failures == [(Fault::Full, 40)]).await;
    world.until_found("8.8.8.8", Some(42)).await;
    server.run::<()>("CONFIG SET maxmemory 0");
    world.put("9.9.9.1", 7, world.now()).await;
    world.until_found("9.9.9.1", Some(7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let mut user = |rules: &str| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("checker");
        rules.split(' ').for_each(|rule| {
            command.arg(rule);
        });
        command.exec(&mut connection).unwrap();
    };
    user(
        "on >right ~ip-risk* &ip-risk-invalidations -@all +getrange +pttl +eval +time +set +del +publish +subscribe",
    );
    let world = World::hasty(&json!(format!("redis://checker:wr%6Fng@127.0.0.1:{}", server.port)));
    let (times, longest) = world.until_given_up().await;
    assert!(times <= 3 && longest < BUDGET_AND_NOISE, "{times} times, {longest:?}");
    assert_eq!(why(&world), Some(Fault::Refused));
    costs_nothing(&world).await;
    assert!(!format!("{:?} {:?}", world.stats(), world.cache).contains("wrong\""));
    // The password becomes right. The recipe is all that the cache needs.
    user(">wrong");
    comes_back(&world).await;
    world.cache.invalidate(Invalidation::Key(key("8.8.8.8"))).await.unwrap();
    world.until("it has heard", |stats| stats.invalidations == 1).await;
    assert!(!world.stats().is_deaf && world.stats().failures.iter().all(|(why, _)| *why == Fault::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_users_is_all_that_is_needed_with_a_database_too() {
    const RECIPE: &str = "on >pass ~shop:ip-risk* &shop:ip-risk-invalidations -@all \
                          +getrange +pttl +eval +time +set +del +publish +subscribe";
    let server = Server::start(&[]);
    let url = format!("redis://checker:pass@127.0.0.1:{}", server.port);
    let redis = |url: &str| json!({ "url": url, "keyPrefix": "shop:" });
    let works = async |world: World| {
        world.put("8.8.8.8", 42, world.now()).await;
        assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(42)));
        world.cache.invalidate(Invalidation::Key(key("8.8.8.8"))).await.unwrap();
        world.until("it has heard", |stats| stats.invalidations == 1).await;
        assert_eq!((world.stats().failures, world.stats().is_deaf), (Vec::new(), false));
    };
    server.run::<()>(&format!("ACL SETUSER checker {RECIPE}"));
    works(World::new(&redis(&url))).await;
    let numbered = format!("{url}/2");
    let world = World::new(&redis(&numbered));
    world.until_given_up().await;
    assert_eq!(why(&world), Some(Fault::Refused), "it says what to look for");
    server.run::<()>("ACL SETUSER checker +select");
    works(World::new(&redis(&numbered))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_only_read() {
    let server = Server::start(&[]);
    server.run::<()>("ACL SETUSER reader on >secret ~ip-risk* -@all +getrange +pttl");
    World::of(&server).put("8.8.8.8", 42, World::of(&server).now()).await;
    let world = World::new(&json!(format!("redis://reader:secret@127.0.0.1:{}", server.port)));
    world.until_found("8.8.8.8", Some(42)).await;
    world.cache.put(key("8.8.8.8"), &World::evidence(1, world.now()));
    world.until("it was refused", |stats| stats.failures == [(Fault::Refused, 2)]).await;
    assert!(world.stats().is_deaf);
    world.until_found("8.8.8.8", Some(42)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_loading_its_data() {
    let mut server =
        Server::start(&["--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no"]);
    for number in 0..100 {
        server.set(&format!("other:{number}"), "x".repeat(3_000), 1_000_000);
    }
    let world = World::hasty(&json!(server.url()));
    world.put("8.8.8.8", 42, world.now()).await;
    server.run::<()>("SAVE");
    server.add_option("--key-load-delay", "10000");
    server.restart();
    let loading =
        |stats: SharedCacheStats| matches!(stats.state, CacheState::Away { why: Fault::Loading, .. });
    world.until("it is seen to load", loading).await;
    costs_nothing(&world).await;
    world.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    world.until_found("8.8.8.8", Some(42)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_though_it_takes_no_writes() {
    let primary = Server::start(&[]);
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    World::of(&primary).put("8.8.8.8", 42, World::of(&primary).now()).await;
    crate::server::wait_until("it is replicated", || replica.get("ip-risk:8.8.8.8").is_some());
    let world = World::of(&replica);
    for _ in 0..20 {
        world.until_found("8.8.8.8", Some(42)).await;
        world.cache.put(key("8.8.4.4"), &World::evidence(1, world.now()));
    }
    world.until("they were refused", |stats| stats.failures == [(Fault::Replica, 40)]).await;
    assert_eq!(world.stats().connections, 1);
}

/// A name that leads to the server that it is given, for new connections.
struct Name {
    port: u16,
    leads_to: Arc<AtomicU16>,
}

impl Name {
    async fn of(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let leads_to = Arc::new(AtomicU16::new(server.port));
        let to = Arc::clone(&leads_to);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut to = TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed))).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut from, &mut to).await });
            }
        });
        Self { port, leads_to }
    }
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_when_its_name_leads_elsewhere() {
    let (old, new) = (Server::start(&[]), Server::start(&[]));
    let name = Name::of(&old).await;
    let world = World::new(&json!(format!("redis://127.0.0.1:{}", name.port)));
    world.put("8.8.8.8", 42, world.now()).await;
    old.run::<()>(&format!("REPLICAOF 127.0.0.1 {}", new.port));
    name.leads_to.store(new.port, Ordering::Relaxed);
    world.cache.put(key("8.8.4.4"), &World::evidence(1, world.now()));
    world.until("it is refused", |stats| stats.failures == [(Fault::Replica, 2)]).await;
    assert_eq!(world.stats().connections, 1);
    // Fifteen seconds pass.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    world.until("it has connected again", |stats| stats.connections == 2).await;
    world.put("8.8.4.4", 7, world.now()).await;
    assert!(new.get("ip-risk:8.8.4.4").is_some());
    // Only those who are refused do so.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    world.put("8.8.4.4", 8, world.now()).await;
    assert_eq!(world.stats().connections, 2);
}
