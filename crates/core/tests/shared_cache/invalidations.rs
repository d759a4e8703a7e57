//! What is invalidated stays so, for all who share the server.

use ip_risk_core::shared_cache::{CacheState, Fault, Invalidation, Skip};
use serde_json::json;

use crate::server::Server;
use crate::world::{MINUTE, World, key};

const EIGHT: &str = "8.8.8.8";

fn eight() -> Invalidation {
    Invalidation::Key(key(EIGHT))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learnt_before_does_not_come_back() {
    let server = Server::start(&[]);
    let (one, other) = (World::of(&server), World::of(&server));
    other.until_connected().await;
    let before = one.now();
    one.clock.advance(10);
    other.clock.advance(10);
    one.cache.invalidate(eight()).await.unwrap();
    other.until("it has heard", |stats| stats.invalidations == 1).await;
    // It had waited to be written.
    other.cache.put(key(EIGHT), &World::evidence(1, before));
    other.until("it is given up", |stats| stats.dropped == 1).await;
    assert_eq!(server.get("ip-risk:8.8.8.8"), None);
    // It was on its way.
    let entry = json!({ "threat_score": 2, "fetched_at": before }).to_string();
    server.set("ip-risk:8.8.8.8", &entry, MINUTE);
    server.set("ip-risk-stale:8.8.8.8", &entry, MINUTE);
    server.set("ip-risk:8.8.4.4", &entry, MINUTE);
    for world in [&one, &other, &World::of(&server)] {
        assert_eq!((world.fresh(EIGHT).await, world.stale(EIGHT).await), (Ok(None), Ok(None)));
        assert_eq!(world.fresh("8.8.4.4").await, Ok(Some(2)));
    }
    // What is learnt later counts.
    one.clock.advance(10);
    one.put(EIGHT, 3, one.now()).await;
    other.until_found(EIGHT, Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_told_is_not_believed_here_all_the_same() {
    let server = Server::start(&[]);
    let world = World::of(&server);
    world.put(EIGHT, 1, world.now()).await;
    world.until_found(EIGHT, Some(1)).await;
    world.clock.advance(10);
    server.pause();
    assert!(world.cache.invalidate(eight()).await.is_err());
    server.resume();
    world.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    assert_eq!((world.fresh(EIGHT).await, world.stale(EIGHT).await), (Ok(None), Ok(None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_hears_of_it_later() {
    let server = Server::start(&[]);
    server.run::<()>("ACL SETUSER other on >pass ~ip-risk* &ip-risk-invalidations +@all");
    let one = World::of(&server);
    let other = World::new(&json!(format!("redis://other:pass@127.0.0.1:{}", server.port)));
    other.until_connected().await;
    server.run::<()>("ACL SETUSER other off");
    server.run::<()>("CLIENT KILL USER other");
    other.until("it is away", |stats| matches!(stats.state, CacheState::Away { .. })).await;
    let network = Invalidation::Key(key("2606:4700::1"));
    one.cache.invalidate(eight()).await.unwrap();
    one.cache.invalidate(Invalidation::AllUntil(1)).await.unwrap();
    one.cache.invalidate(network).await.unwrap();
    server.run::<()>("ACL SETUSER other on");
    other.until("it is back", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    assert_eq!(other.forgotten(), [Invalidation::AllUntil(1), network, eight()]);
    // Once is enough.
    server.run::<()>("CLIENT KILL USER other");
    other.until("it is back", |stats| stats.connections == 3).await;
    assert_eq!(other.forgotten().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_tells_of_it_all_the_same() {
    let server = Server::start(&[]);
    let (one, other) = (World::of(&server), World::of(&server));
    other.put(EIGHT, 42, other.now()).await;
    one.until_connected().await;
    server.run::<()>("CONFIG SET maxmemory 1");
    let time = one.now();
    for what in [eight(), Invalidation::AllUntil(time)] {
        assert_eq!(one.cache.invalidate(what).await, Err(Skip::Failed(Fault::Full)));
    }
    other.until("it has heard", |stats| stats.invalidations == 2).await;
    assert_eq!(other.forgotten(), [eight(), Invalidation::AllUntil(time)]);
    assert_eq!(server.get("ip-risk:8.8.8.8"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_keys_is_bounded_and_never_takes_that_of_everything_along() {
    let server = Server::start(&[]);
    let one = World::of(&server);
    one.until_connected().await;
    let time = one.now();
    server.set("ip-risk-forgotten", vec![0xff_u8; 1_000_000], MINUTE);
    one.cache.invalidate(Invalidation::AllUntil(time)).await.unwrap();
    for number in 0..800_u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0808_0000 + number).to_string();
        one.cache.invalidate(Invalidation::Key(key(&address))).await.unwrap();
    }
    assert!(server.run::<u64>("STRLEN ip-risk-forgotten") <= 16_384);
    let late = World::of(&server);
    late.until_connected().await;
    let forgotten = late.forgotten();
    assert_eq!(forgotten[0], Invalidation::AllUntil(time));
    assert_eq!(forgotten[1], Invalidation::Key(key("8.8.3.31")), "the newest");
    assert!((400..800).contains(&forgotten.len()), "{}", forgotten.len());
    let lifetime = server.run::<u64>("PTTL ip-risk-forgotten");
    assert!((24 * 60 * MINUTE..=(24 * 60 + 5) * MINUTE).contains(&lifetime), "{lifetime}");
    // Something else under the key is nothing, and makes room.
    server.run::<()>("DEL ip-risk-forgotten");
    server.run::<()>("RPUSH ip-risk-forgotten a");
    assert_eq!(World::of(&server).fresh(EIGHT).await, Ok(None));
    one.cache.invalidate(eight()).await.unwrap();
    let late = World::of(&server);
    late.until_connected().await;
    assert_eq!(late.forgotten(), [eight()]);
}
