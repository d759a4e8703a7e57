//! A cache, the server that it uses, and what it was told to forget.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ip_risk_core::address::{Address, CacheKey};
use ip_risk_core::clock::{AdjustableClock, Clock};
use ip_risk_core::evidence::{Answer, Evidence, Provider};
use ip_risk_core::flags::{BooleanField, Flags, Percentage};
use ip_risk_core::names::NameTable;
use ip_risk_core::options::{CacheOptions, CheckerOptions, Surroundings};
use ip_risk_core::shared_cache::options::{self, RedisOptions};
use ip_risk_core::shared_cache::{CacheState, Invalidation, SharedCache, SharedCacheStats, Skip};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{PATIENCE, Server};

pub(crate) const MINUTE: u64 = 60_000;
/// What a look-up of 50 milliseconds may take on a machine that is busy with other tests. The limits that it must not
/// run into are those of connecting and writing, a second each.
pub(crate) const BUDGET_AND_NOISE: Duration = Duration::from_millis(500);

pub(crate) struct World {
    pub(crate) cache: SharedCache,
    pub(crate) clock: Arc<AdjustableClock>,
    pub(crate) names: NameTable,
    forgotten: Arc<Mutex<Vec<Invalidation>>>,
}

pub(crate) fn key(address: &str) -> CacheKey {
    Address::parse(address).unwrap().cache_key(64)
}

/// What this option `redis` means.
pub(crate) fn redis_options(redis: &Value) -> RedisOptions {
    options::read(&json!({ "redis": redis }), None).unwrap().unwrap()
}

fn with_budget(redis: &Value, budget: u64) -> Value {
    let mut redis = if redis.is_string() { json!({ "url": redis }) } else { redis.clone() };
    redis["timeoutMs"] = json!(budget);
    redis
}

/// How long evidence is kept where nothing is written.
pub(crate) fn cache_options() -> CacheOptions {
    let written = json!({ "apiKey": "test-key" });
    CheckerOptions::read(&written, Surroundings::default()).unwrap().engine.cache
}

impl World {
    /// With a budget that a busy machine does not exceed.
    pub(crate) fn new(redis: &Value) -> Self {
        Self::with_roots(redis, None)
    }

    pub(crate) fn with_roots(redis: &Value, extra_roots: Option<&str>) -> Self {
        Self::make(&with_budget(redis, 5_000), extra_roots)
    }

    /// With a budget of so many milliseconds.
    pub(crate) fn with_budget(redis: &Value, budget: u64) -> Self {
        Self::make(&with_budget(redis, budget), None)
    }

    /// With the budget of everybody, so that look-ups can fail on a busy machine: see `until_found`.
    pub(crate) fn hasty(redis: &Value) -> Self {
        Self::make(redis, None)
    }

    fn make(redis: &Value, extra_roots: Option<&str>) -> Self {
        let options = redis_options(redis);
        let clock = Arc::new(AdjustableClock::default());
        let forgotten = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&forgotten);
        let listener = Box::new(move |what| log.lock().unwrap().push(what));
        let shared: Arc<dyn Clock> = Arc::<AdjustableClock>::clone(&clock);
        let cache = SharedCache::new(&options, &cache_options(), extra_roots, shared, listener).unwrap();
        Self { cache, clock, names: NameTable::default(), forgotten }
    }

    pub(crate) fn of(server: &Server) -> Self {
        Self::new(&json!(server.url()))
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) fn forgotten(&self) -> Vec<Invalidation> {
        self.forgotten.lock().unwrap().clone()
    }

    pub(crate) fn stats(&self) -> SharedCacheStats {
        self.cache.stats()
    }

    /// Evidence of the provider at this time.
    pub(crate) fn evidence(score: u8, checked_at: u64) -> Answer {
        let mut flags = Flags::default();
        let score = Percentage::new(f64::from(score)).unwrap();
        flags.set_threat_score(score);
        flags.set_boolean(BooleanField::IsVpn, true);
        Answer::Evidence(Evidence { flags, score, provider: Provider::Ipgeolocation, checked_at })
    }

    /// The score of fresh evidence about an address.
    pub(crate) async fn fresh(&self, address: &str) -> Result<Option<u8>, Skip> {
        let answer = self.cache.fresh(key(address), &self.names, self.now()).await?;
        Ok(answer.map(|answer| match answer {
            Answer::Evidence(evidence) => evidence.score.value(),
            other => panic!("{other:?}"),
        }))
    }

    pub(crate) async fn stale(&self, address: &str) -> Result<Option<u8>, Skip> {
        let evidence = self.cache.stale(key(address), &self.names, self.now()).await?;
        Ok(evidence.map(|evidence| evidence.score.value()))
    }

    /// Puts an answer, and waits until both copies are dealt with.
    pub(crate) async fn put(&self, address: &str, score: u8, checked_at: u64) {
        let settled = |stats: &SharedCacheStats| stats.written + stats.outdated;
        let before = settled(&self.stats());
        loop {
            let dropped = self.stats().dropped;
            self.cache.put(key(address), &Self::evidence(score, checked_at));
            let is_over = |stats: SharedCacheStats| settled(&stats) >= before + 2 || stats.dropped > dropped;
            self.until("the answer is written", is_over).await;
            if settled(&self.stats()) >= before + 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a look-up succeeds, and is this.
    pub(crate) async fn until_found(&self, address: &str, score: Option<u8>) {
        let began = Instant::now();
        loop {
            match self.fresh(address).await {
                Ok(found) => return assert_eq!(found, score),
                Err(_) => assert!(began.elapsed() < PATIENCE, "looked up in vain: {:?}", self.stats()),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the statistics are so, without asking Redis anything.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(SharedCacheStats) -> bool) {
        let began = Instant::now();
        while !is_so(self.stats()) {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {:?}", self.stats());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn until_connected(&self) {
        // The first look-up makes it connect.
        let _ = self.fresh("192.0.2.255").await;
        self.until("it is connected", |stats| matches!(stats.state, CacheState::Connected { .. })).await;
    }

    /// Looks an address up until Redis is given up. Says how often that was, and how long the longest took.
    pub(crate) async fn until_given_up(&self) -> (usize, Duration) {
        let mut longest = Duration::ZERO;
        for times in 0..100 {
            let began = Instant::now();
            let outcome = self.fresh("192.0.2.1").await;
            longest = longest.max(began.elapsed());
            if outcome == Err(Skip::NotAsked) {
                return (times, longest);
            }
        }
        panic!("it is asked for ever: {:?}", self.stats());
    }
}
