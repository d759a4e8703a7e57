//! What the tests of this directory share: a stand-in of the Security API on loopback, checkers that ask it, and
//! how many cases a property gets.

#![allow(dead_code, reason = "each test crate uses its part")]

pub(crate) mod feeds;
pub(crate) mod server;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ip_risk_core::checker::{Checker, Request};
use ip_risk_core::clock::{AdjustableClock, Clock};
use ip_risk_core::decision::{Decision, PolicyId};
use ip_risk_core::engine::{Engine, Handle};
use ip_risk_core::error::Error;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use server::Server;

/// The key of all checkers here.
pub(crate) const KEY: &str = "test-key";

/// After so many milliseconds a provider is asked again, whatever it had failed with, unless it sent a `Retry-After`.
pub(crate) const LONGEST_COOL_DOWN: u64 = 5 * 60_000;

/// Facts of a request from behind a proxy that the framework trusts.
pub(crate) const TRUSTED_PROXY: Facts = Facts::from_bits(Facts::FRAMEWORK);
/// Facts of a request whose address anybody could have written.
pub(crate) const UNVERIFIED: Facts = Facts::from_bits(Facts::FRAMEWORK | Facts::TRUSTS_EVERYONE);

/// A clock that stands still, so that no second, hour or day ends in a test that does not want it.
#[derive(Debug)]
pub(crate) struct StoppedClock(AtomicU64);

impl Default for StoppedClock {
    /// 2026-11-23, a quarter past noon.
    fn default() -> Self {
        Self(AtomicU64::new(1_795_436_100_000))
    }
}

impl StoppedClock {
    pub(crate) fn advance(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A checker, the server that it asks, and the clock that it reads.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) clock: Arc<AdjustableClock>,
    pub(crate) checker: Arc<Checker>,
}

impl World {
    /// With those options beside the key and the endpoint. Documentation addresses are scored.
    pub(crate) async fn new(options: Value) -> Self {
        let server = Server::start().await;
        let clock = Arc::new(AdjustableClock::default());
        let checker = checker(&server, options, Arc::<AdjustableClock>::clone(&clock), true);
        Self { server, clock, checker }
    }

    /// The number of the policy of that name.
    pub(crate) fn policy(&self, name: &str) -> PolicyId {
        policy(&self.checker, name)
    }

    /// A check by `policy`, for no route in particular.
    pub(crate) async fn check(&self, text: &str, policy: &str, facts: Facts) -> Decision {
        let policy = self.policy(policy);
        self.checker.check(Request { text, policy, route: RouteId::OTHER, facts }).await
    }

    /// The reasons of a decision, as users read them.
    pub(crate) fn reasons(&self, decision: &Decision) -> Vec<String> {
        reasons(&self.checker, decision)
    }
}

/// A checker that asks `server` and has time to wait for it, with those options beside the key and the endpoint.
pub(crate) fn checker(
    server: &Server,
    mut options: Value,
    clock: Arc<dyn Clock>,
    lift_documentation: bool,
) -> Arc<Checker> {
    // `null` is for those who want none.
    if options.get("apiKey").is_none() {
        options["apiKey"] = json!(KEY);
    }
    if options["apiKey"].is_null() {
        options.as_object_mut().unwrap().remove("apiKey");
    }
    options["endpoint"] = json!(server.url());
    // A busy machine must not turn an answer into a timeout.
    for limit in ["deadlineMs", "connectTimeoutMs"] {
        if options.get(limit).is_none() {
            options[limit] = json!(20_000);
        }
    }
    let surroundings = Surroundings { lift_documentation, ..Surroundings::default() };
    let options = CheckerOptions::read(&options, surroundings).unwrap();
    let engine = Arc::new(Engine::new(options.engine.clone(), clock).unwrap());
    Arc::new(Checker::new(Handle::on(engine).unwrap(), options))
}

pub(crate) fn policy(checker: &Checker, name: &str) -> PolicyId {
    let place =
        checker.with_policies(|policies| policies.find(name)).unwrap_or_else(|| panic!("no `{name}`"));
    PolicyId::from_number(u16::try_from(place).unwrap())
}

pub(crate) fn reasons(checker: &Checker, decision: &Decision) -> Vec<String> {
    let number = usize::from(decision.policy.number());
    let names = checker.with_policies(|policies| policies.all()[number].reason_names());
    let is_set = |bit: usize| decision.reasons.bits() & 1 << bit != 0;
    names.into_iter().enumerate().filter(|(bit, _)| is_set(*bit)).map(|(_, name)| name).collect()
}

/// What the user wrote, read with nothing around the process.
pub(crate) fn read(options: &Value) -> Result<CheckerOptions, Error> {
    CheckerOptions::read(options, Surroundings::default())
}

/// A runtime with threads, for tests that run whole properties on it.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Tries `property` on that many values, the same ones in every run. `PROPTEST_RNG_SEED` chooses others, and
/// `PROPTEST_CASES` above 256 tries more of them.
pub(crate) fn holds<S: Strategy>(cases: u32, values: &S, property: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        RngSeed::Fixed(seed) => RngSeed::Fixed(seed),
    };
    let cases = cases * default.cases.max(256) / 256;
    let config = Config { cases, rng_seed, failure_persistence: None, ..default };
    let tried = TestRunner::new(config).run(values, |value| {
        property(value);
        Ok(())
    });
    if let Err(failure) = tried {
        panic!("{failure}");
    }
}
