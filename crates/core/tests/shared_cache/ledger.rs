//! The budget that processes share: never more than its limit, whatever happens to the ledger.

use std::sync::Arc;

use ip_risk_core::budget::{Budget, BudgetOptions, Priority};
use ip_risk_core::error::Code;
use ip_risk_core::shared_cache::{CacheState, Fault, SharedCacheStats};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::server::{Server, wait_until};
use crate::world::World;

/// A Monday in UTC.
const NOW: u64 = 1_770_000_000_000;
const LEDGER: &str = "ip-risk:budget:day:2026-02-02";

/// One process: its budget for a day, and the way to the ledger.
struct Process {
    budget: Budget,
    world: World,
}

impl Process {
    fn new(per_day: u64, world: World) -> Self {
        let options =
            BudgetOptions { per_second: None, per_day: Some(per_day), per_month: None, reserved: 0 };
        Self { budget: Budget::shared(&options), world }
    }

    /// Pays for one look-up; whether it may.
    async fn takes(&self, now: u64) -> bool {
        let taken = self.budget.take(1, Priority::Normal, now, &self.world.cache).await;
        taken.map(|reservation| reservation.settle(None)).is_ok()
    }

    /// Pays for what is leased at once of a budget of 1,000.
    async fn takes_a_chunk(&self) {
        for _ in 0..5 {
            assert!(self.takes(NOW).await);
        }
    }

    /// Pays for look-ups until it may no longer. Says for how many.
    async fn takes_all(&self) -> u64 {
        let mut count = 0;
        while self.takes(NOW).await {
            count += 1;
        }
        count
    }
}

/// What a ledger on this server has given out, in credits.
fn given_out(server: &Server) -> Option<u64> {
    server.run(&format!("HGET {LEDGER} total"))
}

/// Three processes with four look-ups under way each spend the budget, and not more.
async fn is_spent_together(redis: &Value) {
    let processes = [(); 3].map(|()| Arc::new(Process::new(600, World::new(redis))));
    for process in &processes {
        process.world.until_connected().await;
    }
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let process = Arc::clone(&processes[number % 3]);
            tokio::spawn(async move { process.takes_all().await })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    // A chunk is four look-ups.
    assert_eq!(count, 600);
    let later = Process::new(600, World::new(redis));
    assert!(!later.takes(NOW).await);
    assert!(later.takes(NOW + 24 * 60 * 60_000).await, "the next day has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_spend_one_budget_together_and_not_more() {
    let server = Server::start(&[]);
    is_spent_together(&json!(server.url())).await;
    assert_eq!(given_out(&server), Some(1_200));
    let lifetime = server.run::<u64>(&format!("PTTL {LEDGER}"));
    let day = 24 * 60 * 60_000;
    assert!((day..=2 * day).contains(&lifetime), "{lifetime}");
    let asked = server.run::<String>("INFO commandstats");
    let asked = asked.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls=")).unwrap();
    let asked: u64 = asked.split(',').next().unwrap().parse().unwrap();
    assert!((150..180).contains(&asked), "{asked} round trips for 600 look-ups");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_ledger_as_well() {
    is_spent_together(&Cluster::start().redis()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_was_lost_is_not_given_twice() {
    let server = Server::start(&[]);
    let process = Process::new(1_000, World::hasty(&json!(server.url())));
    process.world.until_connected().await;
    server.pause();
    assert!(!process.takes(NOW).await);
    server.resume();
    wait_until("it was given", || given_out(&server) == Some(10));
    // A ledger that failed rests for a second.
    let mut now = NOW;
    while !process.takes(now).await {
        now += 1_000;
    }
    for _ in 1..5 {
        assert!(process.takes(now).await, "the rest of what was given");
    }
    assert_eq!(given_out(&server), Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_has_forgotten_goes_on_from_what_is_known() {
    let server = Server::start(&[]);
    let [one, other] = [(); 2].map(|()| Process::new(100, World::of(&server)));
    for _ in 0..60 {
        assert!(one.takes(NOW).await);
    }
    server.run::<()>("FLUSHALL");
    assert!(one.takes(NOW).await);
    assert_eq!(given_out(&server), Some(128));
    assert_eq!(other.takes_all().await, 36);
    assert_eq!(one.takes_all().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_came_and_went_do_not_fill_the_ledger() {
    let server = Server::start(&[]);
    let mut process = Process::new(1_000_000, World::of(&server));
    for _ in 0..1_500 {
        assert!(process.takes(NOW).await);
        process = Process::new(1_000_000, process.world);
    }
    // A chunk of 100 look-ups each.
    assert_eq!(given_out(&server), Some(1_500 * 200));
    let fields = server.run::<u64>(&format!("HLEN {LEDGER}"));
    assert!(fields <= 1_002, "{fields}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_ledger_counts_as_forgotten() {
    let server = Server::start(&[]);
    let process = Process::new(1_000, World::of(&server));
    process.takes_a_chunk().await;
    let fields = server.run::<Vec<String>>(&format!("HKEYS {LEDGER}"));
    let holder = fields.iter().find(|field| field.len() == 16).unwrap();
    let huge = "9".repeat(400);
    let mut given = 10;
    for garbage in ["abc", "-5", "1e400", "nan", "-inf", "0x10", "1.5", huge.as_str()] {
        for field in ["total", "holders", holder] {
            server.run::<()>(&format!("HSET {LEDGER} {field} {garbage}"));
            process.takes_a_chunk().await;
            given += 10;
            assert_eq!(given_out(&server), Some(given), "{field} {garbage}");
        }
    }
    server.run::<()>(&format!("DEL {LEDGER}"));
    server.run::<()>(&format!("SET {LEDGER} text"));
    process.takes_a_chunk().await;
    assert_eq!(given_out(&server), Some(given + 10));
    assert_eq!(process.world.stats().failures, []);
}

/// Look-ups that cannot be paid for because of that, each of them after the ledger has rested.
async fn is_refused(process: &Process, why: Fault) {
    for second in 0..10 {
        assert!(!process.takes(NOW + second * 1_000).await);
    }
    let refused = process.budget.take(1, Priority::Normal, NOW + 9_999, &process.world.cache).await;
    assert_eq!(refused.err(), Some(Code::Redis), "not one that is used up");
    assert!(!process.budget.is_under_pressure(NOW + 9_999));
    let stats: SharedCacheStats = process.world.stats();
    assert_eq!(stats.failures, [(why, 10)]);
    assert!(matches!(stats.state, CacheState::Connected { .. }), "{stats:?}");
    assert_eq!(process.world.fresh("8.8.8.8").await, Ok(Some(42)), "what is there is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_written_keeps_nobody_from_reading() {
    let server = Server::start(&[]);
    World::of(&server).put("8.8.8.8", 42, World::of(&server).now()).await;
    let may = |more: &str| {
        server.run::<()>(&format!(
            "ACL SETUSER checker on >pass ~ip-risk* &ip-risk-invalidations -@all +getrange +pttl +subscribe {more}"
        ));
        let world = World::new(&json!(format!("redis://checker:pass@127.0.0.1:{}", server.port)));
        Process::new(100, world)
    };
    is_refused(&may("-eval"), Fault::Refused).await;
    is_refused(&may("+eval"), Fault::Refused).await;
    assert!(may("+eval +hget +hset +pexpire").takes(NOW).await, "as the recipe says");
    let process = Process::new(100, World::of(&server));
    process.world.until_connected().await;
    server.run::<()>("CONFIG SET maxmemory 1");
    is_refused(&process, Fault::Full).await;
    server.run::<()>("CONFIG SET maxmemory 0");
    assert!(process.takes(NOW + 60_000).await, "it is asked again");
}
