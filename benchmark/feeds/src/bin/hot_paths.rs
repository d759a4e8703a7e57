//! Calls one hot path so and so often, for counting its instructions: `npm run bench:instructions`.
//!
//! ```sh
//! cargo run --release -p ip-risk-benchmark --bin hot_paths -- cached_check 10000
//! ```
//!
//! Everything is on one thread and drawn from fixed seeds, so that two runs count the same but for the keys of hash tables.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use fastrand::Rng;
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::synthetic;
use ip_risk_core::address::Address;
use ip_risk_core::checker::{Checker, Evaluation, Request};
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::decision::PolicyId;
use ip_risk_core::engine::{Engine, Handle};
use ip_risk_core::feeds::compile::{Compiled, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use ip_risk_upstream::server::{self, Latency};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How many addresses are asked about in turn.
const ADDRESSES: usize = 1_000;
const NETWORKS: usize = 50_000;
/// The policy with a hundred entries in its lists beside the six shipped rules.
const LISTED: &str = "listed";

fn main() -> ExitCode {
    end("hot_paths", run())
}

fn run() -> Outcome<()> {
    let mut words = env::args().skip(1);
    let path = words.next().ok_or("the name of a path is missing")?;
    let calls = words.next().ok_or("the number of calls is missing")?.parse()?;
    let (v4, mixed) = (addresses(|_| true), addresses(|place| place % 2 == 0));
    match path.as_str() {
        "parse" => repeat(calls, &mixed, Address::parse),
        "table" => look_up(calls, &v4)?,
        "feeds" => with_feeds(calls, &v4)?,
        "cached_check" => cached(calls, &v4, "login")?,
        "policy" => cached(calls, &v4, LISTED)?,
        unknown => return Err(format!("`{unknown}` is no path here").into()),
    }
    Ok(())
}

/// Public addresses, as text.
fn addresses(is_v4: impl Fn(usize) -> bool) -> Vec<String> {
    let mut rng = Rng::with_seed(11);
    let draw = |place| {
        // Nothing is sent to them.
        let low = rng.u32(..1 << 24);
        let v4 = Ipv4Addr::from_bits((45 << 24) | low);
        let v6 = Ipv6Addr::from_bits((0x2600_1f00 << 96) | (u128::from(low) << 64) | u128::from(low));
        if is_v4(place) { v4.to_string() } else { v6.to_string() }
    };
    (0..ADDRESSES).map(draw).collect()
}

fn repeat<T>(calls: usize, texts: &[String], call: impl Fn(&str) -> T) {
    for text in texts.iter().cycle().take(calls) {
        black_box(call(black_box(text)));
    }
}

fn compiled() -> Outcome<Compiled> {
    let now = SystemClock.now();
    let mut source = synthetic::source(&synthetic::networks(NETWORKS, &mut Rng::with_seed(3)));
    source.info.seen_at = now;
    Ok(compile(vec![source], None, now)?)
}

fn look_up(calls: usize, texts: &[String]) -> Outcome<()> {
    let table = compiled()?.into_table();
    let all = texts.iter().map(|text| text.parse()).collect::<Result<Vec<IpAddr>, _>>()?;
    for address in all.iter().cycle().take(calls) {
        black_box(table.look_up(black_box(*address)).neighbourhood());
    }
    Ok(())
}

/// A whole decision without a key.
fn with_feeds(calls: usize, texts: &[String]) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("feeds.bin"), file::write(&compiled()?, None, false))?;
    let checker = checker(&json!({ "feeds": { "dir": directory.path() } }))?;
    decide(calls, texts, &checker, "login");
    Ok(())
}

/// A decision about a cached address, as a gate makes it.
fn cached(calls: usize, texts: &[String], policy: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let checker = runtime.block_on(filled(texts))?;
    decide(calls, texts, &checker, policy);
    Ok(())
}

fn decide(calls: usize, texts: &[String], checker: &Checker, policy: &str) {
    let place = checker.with_policies(|policies| policies.all().iter().position(|one| one.name() == policy));
    let policy = PolicyId::from_number(u16::try_from(place.unwrap_or_default()).unwrap_or_default());
    let facts = Facts::from_bits(Facts::FRAMEWORK);
    repeat(calls, texts, |text| {
        let request = Request { text, policy, route: RouteId::OTHER, facts };
        match checker.evaluate(request) {
            Evaluation::Decided(decision) => {
                checker.record(&decision);
                decision
            }
            Evaluation::Pending(_) => unreachable!("everything that is asked about is known"),
        }
    });
}

/// A checker that has looked all of `texts` up.
async fn filled(texts: &[String]) -> Outcome<Arc<Checker>> {
    let at_once = Latency { single: Duration::ZERO, bulk: Duration::ZERO };
    let port = server::start(0, at_once, 10)?.api;
    // On both sides of the addresses, and one around them that is for another route.
    let mut deny: Vec<Value> = (0..99)
        .map(|number| json!(format!("{}.{number}.0.0/{}", 2 * number + 4, 16 + number % 17)))
        .collect();
    deny.push(json!({ "cidr": "45.0.0.0/8", "routes": ["/other"] }));
    let checker = checker(&json!({
        "apiKey": "benchmark",
        "endpoint": format!("http://127.0.0.1:{port}"),
        "policies": { LISTED: { "deny": deny } },
    }))?;
    let (policy, stop) = (PolicyId::from_number(0), CancellationToken::new());
    checker.check_many(texts.to_vec(), policy, RouteId::OTHER, &stop).await?;
    Ok(checker)
}

fn checker(options: &Value) -> Outcome<Arc<Checker>> {
    let options = CheckerOptions::read(options, Surroundings::default())?;
    let engine = Arc::new(Engine::new(options.engine.clone(), Arc::new(SystemClock))?);
    let engine = Handle::on(engine).ok_or("the engine has ended")?;
    Ok(Arc::new(Checker::new(engine, options)))
}
