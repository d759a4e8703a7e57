//! A checker whose budget is on Redis, with a provider beside.

use std::sync::Arc;
use std::time::Duration;

use ip_risk_core::checker::{Checker, Request};
use ip_risk_core::decision::{Action, Decision, Source};
use ip_risk_core::error::Code;
use ip_risk_core::routes::RouteId;
use ip_risk_core::shared_cache::CacheState;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::server::Server;
use crate::support::server::{Server as Provider, until};
use crate::support::{StoppedClock, TRUSTED_PROXY, checker, policy};

/// One process of several that share a Redis and a provider.
struct Process {
    checker: Arc<Checker>,
    clock: Arc<StoppedClock>,
}

impl Process {
    fn new(redis: &Server, provider: &Provider, per_day: u64) -> Self {
        let clock = Arc::new(StoppedClock::default());
        let redis = json!({ "url": redis.url(), "timeoutMs": 5_000 });
        let options = json!({ "budget": { "perDay": per_day }, "redis": redis });
        Self { checker: checker(provider, options, Arc::<StoppedClock>::clone(&clock), true), clock }
    }

    /// A check of an address in a network of its own.
    async fn check(&self, number: u64, name: &str) -> Decision {
        self.check_text(&format!("2001:db8:{:x}::1", number + 1), name).await
    }

    async fn check_text(&self, text: &str, name: &str) -> Decision {
        let policy = policy(&self.checker, name);
        self.checker.check(Request { text, policy, route: RouteId::OTHER, facts: TRUSTED_PROXY }).await
    }

    fn leased_by_all(&self) -> Option<u64> {
        self.checker.engine().stats().budget[0].leased_by_all
    }

    async fn until_connected(&self) {
        let state = || self.checker.engine().stats().shared.map(|stats| stats.state);
        until(|| matches!(state(), Some(CacheState::Connected { .. }))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leased_ahead_is_spent_without_redis_and_then_it_is_a_fault() {
    let (mut redis, provider) = (Server::start(&[]), Provider::start().await);
    // A chunk is 100 look-ups.
    let process = Process::new(&redis, &provider, 20_000);
    for number in 0..50 {
        assert_eq!(process.check(number, "login").await.source, Source::Api);
    }
    assert_eq!(process.leased_by_all(), Some(100));
    assert_eq!(process.check(50, "login").await.source, Source::Api);
    until(|| process.leased_by_all() == Some(151)).await;

    redis.kill();
    for number in 51..151 {
        assert_eq!(process.check(number, "login").await.source, Source::Api, "{number}");
    }
    let login = process.check(151, "login").await;
    assert_eq!((login.failure, login.action), (Some(Code::Redis), Action::Challenge));
    let payment = process.check(151, "payment").await;
    assert_eq!((payment.failure, payment.action), (Some(Code::Redis), Action::Hold));
    assert_eq!(provider.traffic("2001:db8:98::1").requests, 0, "nobody pays for it");

    redis.restart();
    process.until_connected().await;
    // A ledger that failed rests for a second.
    process.clock.advance(1_000);
    assert_eq!(process.check(151, "login").await.source, Source::Api);
    // Redis had forgotten everything, the process had not. What it had asked for in vain is given now.
    assert_eq!(process.leased_by_all(), Some(151 + 51));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_neighbour_is_no_way_past_a_budget_that_cannot_be_asked() {
    let (mut redis, provider) = (Server::start(&[]), Provider::start().await);
    let process = Process::new(&redis, &provider, 200);
    let sibling = |number: u64| format!("203.0.113.{number}");
    for number in 0..16 {
        assert_eq!(process.check_text(&sibling(number), "login").await.source, Source::Api, "{number}");
    }
    redis.kill();
    let mut elsewhere = 0;
    while process.check(elsewhere, "login").await.failure != Some(Code::Redis) {
        elsewhere += 1;
        assert!(elsewhere < 16, "more than what was leased");
    }
    let decision = process.check_text(&sibling(16), "login").await;
    assert_eq!(decision.action, Action::Challenge, "{decision:?}");
}

/// Hands on what it reads, each piece that much later.
async fn delayed(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut piece = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let _ = sender.send((Instant::now() + delay, piece[..length].to_vec()));
    }
}

/// The port of a way to `redis` that takes that long in each direction.
async fn far_from(redis: &Server, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, target) = (listener.local_addr().unwrap().port(), redis.port);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(delayed(near_read, far_write, delay));
            tokio::spawn(delayed(far_read, near_write, delay));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_that_waits_for_leases_opens_no_login() {
    let (redis, provider) = (Server::start(&[]), Provider::start().await);
    let port = far_from(&redis, Duration::from_millis(50)).await;
    let redis = json!({ "url": format!("redis://127.0.0.1:{port}"), "timeoutMs": 375 });
    // A chunk is four look-ups, so that a hundred of them take longer than the deadline.
    let options = json!({ "budget": { "perDay": 800 }, "redis": redis, "deadlineMs": 1_500 });
    let clock = Arc::new(StoppedClock::default());
    let checker = checker(&provider, options, Arc::<StoppedClock>::clone(&clock), true);
    let process = Arc::new(Process { checker, clock });
    process.check(0, "login").await;
    process.until_connected().await;
    let check = |number| {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.check(number, "login").await })
    };
    let checks: Vec<_> = (1..200).map(check).collect();
    let mut refused = 0;
    for check in checks {
        let decision = check.await.unwrap();
        assert!(!decision.failed_open, "{decision:?}");
        refused += usize::from(decision.failure == Some(Code::Redis));
    }
    assert!(refused > 0, "nobody waited too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkers_in_a_rush_spend_one_budget_and_not_more() {
    let (redis, provider) = (Server::start(&[]), Provider::start().await);
    let processes = [(); 3].map(|()| Arc::new(Process::new(&redis, &provider, 500)));
    let rush = |from: u64, name: &'static str| {
        let check = move |number, process: Arc<Process>| async move { process.check(number, name).await };
        let checks = (from..from + 900).zip(processes.iter().cycle());
        checks.map(|(number, process)| tokio::spawn(check(number, Arc::clone(process)))).collect::<Vec<_>>()
    };
    for (from, name, most, action) in
        [(0, "login", 400, Action::Challenge), (900, "payment", 500, Action::Hold)]
    {
        for check in rush(from, name) {
            let decision = check.await.unwrap();
            let is_answered = (decision.source, decision.failure) == (Source::Api, None);
            assert!(is_answered || (decision.failure, decision.action) == (Some(Code::Budget), action));
        }
        let stats = processes.iter().map(|process| process.checker.engine().stats());
        assert_eq!(stats.map(|stats| stats.budget[0].spent).sum::<u64>(), most, "{name}");
    }
    let asked = (0..1_800).map(|number| provider.traffic(&format!("2001:db8:{:x}::1", number + 1)).requests);
    assert_eq!(asked.sum::<usize>(), 500);
}
