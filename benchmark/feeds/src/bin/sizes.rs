//! What tables of several sizes take, printed as JSON: `sizes DIRECTORY ROUNDS`. Writes into the directory, for each of
//! them, two files of feeds for a swap:
//!
//! ```text
//! NAME/old.bin, new.bin    the same networks; in the new one, the first address of `addresses.txt` is far worse
//! NAME/addresses.txt       10,000 addresses in them
//! ```
//!
//! Networks are made up, because real ones do not come in all sizes; real feeds are measured beside them where there are
//! snapshots.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use fastrand::Rng;
use ip_risk_benchmark::draw;
use ip_risk_benchmark::measured::{Measured, parse_ms};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::snapshots::{directory, networks, sources};
use ip_risk_benchmark::synthetic;
use ip_risk_core::address::Address;
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::special_use;
use serde_json::{Value, json};

const SIZES: [usize; 4] = [10_000, 100_000, 600_000, 1_000_000];
/// How many prefixes real feeds have together with made-up ones.
const MANY: usize = 1_000_000;
/// How many addresses are asked about during a swap.
const ASKED: usize = 10_000;

type Draw = fn(usize, &mut Rng) -> Vec<Range>;

fn main() -> ExitCode {
    end("sizes", run())
}

fn run() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [target, rounds] = &words[..] else { return Err("the words are `DIRECTORY ROUNDS`".into()) };
    let (target, rounds) = (Path::new(target), rounds.parse()?);
    let mut made_up = Vec::new();
    for (family, draw) in [("IPv4", synthetic::networks as Draw), ("IPv6", synthetic::ipv6_networks)] {
        for size in SIZES {
            let networks = draw(size, &mut Rng::with_seed(3));
            made_up.push(measure_made_up(&format!("{family}-{size}"), &networks, target, rounds)?);
        }
    }
    let (real, missing) = match directory() {
        Ok(directory) => (measure_real(&directory, rounds)?, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    println!("{}", json!({ "madeUp": made_up, "real": real, "missing": missing }));
    Ok(())
}

fn measure_made_up(name: &str, ranges: &[Range], target: &Path, rounds: usize) -> Outcome<Value> {
    let list = text(ranges);
    let parse_ms = parse_ms(list.as_bytes(), synthetic::empty, rounds)?;
    let source = synthetic::source(ranges);
    let table = Measured::of(name, std::slice::from_ref(&source), None, rounds)?;
    write_swap(&target.join(name), source, ranges)?;
    Ok(json!({ "table": table, "parseMs": parse_ms }))
}

/// The networks as a list that is published: one on each line.
fn text(ranges: &[Range]) -> String {
    let line = |range: &Range| match range {
        Range::V4(first, last) => {
            format!("{}/{}\n", IpAddr::V4((*first).into()), (first ^ last).leading_zeros())
        }
        Range::V6(first, last) => {
            format!("{}/{}\n", IpAddr::V6((*first).into()), (first ^ last).leading_zeros())
        }
    };
    ranges.iter().map(line).collect()
}

fn write_swap(target: &Path, mut source: Source, ranges: &[Range]) -> Outcome<()> {
    fs::create_dir_all(target)?;
    let addresses = draw::addresses(ranges, 2 * ASKED, &mut Rng::with_seed(7));
    let mut addresses: Vec<IpAddr> = addresses.into_iter().filter(|address| is_public(*address)).collect();
    addresses.truncate(ASKED);
    // A checker goes by the clock, and what is old weighs nothing.
    let now = SystemClock.now();
    source.info.seen_at = now;
    let mut marker = synthetic::marker(Range::of_address(addresses[0]));
    marker.info.seen_at = now;
    let write = |name: &str, sources| -> Outcome<()> {
        let compiled = compile(sources, None, now)?;
        Ok(fs::write(target.join(name), file::write(&compiled, None, false))?)
    };
    write("old.bin", vec![source.clone()])?;
    write("new.bin", vec![source, marker])?;
    let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Ok(fs::write(target.join("addresses.txt"), lines.join("\n"))?)
}

fn is_public(address: IpAddr) -> bool {
    Address::parse(&address.to_string()).is_some_and(|address| special_use::name(address).is_none())
}

/// The lists alone, with our networks and the neighbourhood, and with made-up networks beside them.
fn measure_real(directory: &Path, rounds: usize) -> Outcome<Vec<Measured>> {
    let networks: Networks = networks()?;
    let mut sources = sources(directory, &networks)?;
    let alone = Measured::of("lists", &sources, None, rounds)?;
    let with = Measured::of("lists, networks, neighbourhood", &sources, Some(&networks), rounds)?;
    let missing = MANY.saturating_sub(usize::try_from(alone.prefixes())?);
    sources.push(synthetic::source(&synthetic::networks(missing, &mut Rng::with_seed(3))));
    let many = Measured::of("lists, made-up networks", &sources, None, rounds)?;
    Ok(vec![alone, with, many])
}
