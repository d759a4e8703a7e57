//! Where the time of a decision without a key goes:
//! `cargo run --release -p ip-risk-benchmark --bin stages -- <directory>`, with what `export` wrote into the directory.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::timing::median;
use ip_risk_core::address::Address;
use ip_risk_core::checker::{Checker, Request};
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::decision::PolicyId;
use ip_risk_core::engine::{Engine, Handle};
use ip_risk_core::feeds::feed_source::FeedSource;
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::table::Table;
use ip_risk_core::names::NameTable;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use serde_json::json;

const ROUNDS: usize = 25;

fn main() -> ExitCode {
    let directory = env::args().nth(1).ok_or_else(|| "the directory of `export` is missing".into());
    end("stages", directory.and_then(|directory| run(&directory)))
}

fn run(directory: &str) -> Outcome<()> {
    let stages = Stages::open(directory)?;
    println!(
        "Medians of {ROUNDS} rounds. What a combination of feeds says is kept for a minute, and \"scored\" uses that.\n"
    );
    println!("| ns | parsing | the clock | table | what it stands on | scored | whole decision |");
    println!("|---|---|---|---|---|---|---|");
    for set in ["random", "listed"] {
        let text = fs::read_to_string(Path::new(directory).join(format!("{set}.txt")))?;
        let texts: Vec<&str> = text.lines().collect();
        println!("| {set} | {} |", stages.measure(&texts)?.join(" | "));
    }
    Ok(())
}

struct Stages {
    table: Table,
    feeds: Arc<FeedSource>,
    checker: Checker,
    names: NameTable,
    now: u64,
}

impl Stages {
    fn open(directory: &str) -> Outcome<Self> {
        let table = file::open(&fs::read(Path::new(directory).join("feeds.bin"))?)?;
        let options = json!({ "feeds": { "dir": directory } });
        let options = CheckerOptions::read(&options, Surroundings::default())?;
        let engine = Engine::new(options.engine.clone(), Arc::new(SystemClock))?;
        let feeds = Arc::clone(engine.feeds().ok_or("the checker has no feeds")?);
        let engine = Handle::on(Arc::new(engine)).ok_or("the engine has ended")?;
        let checker = Checker::new(engine, options);
        Ok(Self { table, feeds, checker, names: NameTable::default(), now: SystemClock.now() })
    }

    fn measure(&self, texts: &[&str]) -> Outcome<[String; 6]> {
        let addresses = texts.iter().map(|text| text.parse()).collect::<Result<Vec<IpAddr>, _>>()?;
        let now = self.now;
        Ok([
            each(texts, |text| Address::parse(text).is_some()),
            each(texts, |_| SystemClock.now()),
            each(&addresses, |address| self.table.look_up(*address).neighbourhood()),
            each(&addresses, |address| {
                self.feeds.with_listed(*address, now, |listed, points| (listed.len(), points))
            }),
            each(&addresses, |address| self.feeds.ask(*address, &self.names, now)),
            each(texts, |text| self.checker.evaluate(request(text))),
        ])
    }
}

fn request(text: &str) -> Request<'_> {
    Request { text, policy: PolicyId::from_number(0), route: RouteId::OTHER, facts: Facts::default() }
}

/// The nanoseconds that `work` takes for one of `items`.
fn each<I, T>(items: &[I], work: impl Fn(&I) -> T) -> String {
    let time = median(ROUNDS, || {
        for item in items {
            black_box(work(item));
        }
    });
    (time.as_nanos() / items.len() as u128).to_string()
}
