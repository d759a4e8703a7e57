//! Writes what the part `feeds` of `npm run bench` reads into a directory: the same feeds in each form that is compared.
//!
//! ```text
//! feeds.bin                    compiled, as an update leaves it
//! signals.mmdb                 the signals of all IPv4 addresses
//! firsts.u32, signals.u32      the same as two arrays, little-endian: where signals change, and to what
//! rules.txt                    10,000 IPv4 rows, drawn: first and last address
//! random.txt, listed.txt       10,000 addresses each: routed ones, and one of each of other IPv4 rows
//! ipv6.txt                     10,000 addresses, one of each of IPv6 rows
//! facts.json                   sizes
//! ```

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use fastrand::Rng;
use ip_risk_benchmark::population::{Population, is_special};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::segments::{Segment, segments};
use ip_risk_benchmark::snapshots::{directory, networks, sources};
use ip_risk_benchmark::{draw, mmdb, synthetic};
use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use serde_json::json;

/// How many networks of IPv4 are made up when there are no snapshots; a tenth of it of IPv6.
const MADE_UP: usize = 600_000;
/// How many addresses and rules are drawn.
const DRAWN: usize = 10_000;

fn main() -> ExitCode {
    let target = env::args_os().nth(1).ok_or_else(|| "the directory to write into is missing".into());
    end("export", target.and_then(|target| run(Path::new(&target))))
}

fn run(target: &Path) -> Outcome<()> {
    let networks = networks()?;
    let mut sources = feeds(&networks)?;
    // A checker goes by the clock, and what is old weighs nothing.
    let now = SystemClock.now();
    for source in &mut sources {
        source.info.seen_at = now;
    }
    let compiled = compile(sources.clone(), Some(&networks), now)?;
    let bytes = file::write(&compiled, None, false);
    fs::write(target.join("feeds.bin"), &bytes)?;
    let table = compiled.into_table();
    write_peers(target, &segments(&table, &sources, &networks))?;
    write_drawn(target, &sources, &networks)?;
    let facts = json!({
        "prefixes": table.prefixes(),
        "segments": table.segments(),
        "fileBytes": bytes.len(),
    });
    fs::write(target.join("facts.json"), facts.to_string())?;
    Ok(())
}

/// The snapshots, or made-up networks.
fn feeds(networks: &Networks) -> Outcome<Vec<Source>> {
    match directory() {
        Ok(directory) => sources(&directory, networks),
        Err(_) => Ok(made_up(&mut Rng::with_seed(3))),
    }
}

fn made_up(rng: &mut Rng) -> Vec<Source> {
    let mut networks = synthetic::networks(MADE_UP, rng);
    networks.extend(synthetic::ipv6_networks(MADE_UP / 10, rng));
    vec![synthetic::source(&networks)]
}

fn write_peers(target: &Path, segments: &[Segment]) -> Outcome<()> {
    fs::write(target.join("signals.mmdb"), mmdb::write(segments)?)?;
    let bytes = |of: fn(&Segment) -> u32| -> Vec<u8> {
        segments.iter().flat_map(|segment| of(segment).to_le_bytes()).collect()
    };
    fs::write(target.join("firsts.u32"), bytes(|segment| segment.first))?;
    fs::write(target.join("signals.u32"), bytes(|segment| segment.signals))?;
    Ok(())
}

fn write_drawn(target: &Path, sources: &[Source], networks: &Networks) -> Outcome<()> {
    let mut rng = Rng::with_seed(5);
    let is_public = |address: u32| !is_special(address);
    let mut rows: Vec<(u32, u32)> = sources.iter().flat_map(Source::ranges).filter_map(public_ipv4).collect();
    rng.shuffle(&mut rows);
    let rules = rows.iter().take(DRAWN).map(|(first, last)| format!("{} {}", text(*first), text(*last)));
    fs::write(target.join("rules.txt"), lines(rules))?;
    let listed = rows.iter().skip(DRAWN).map(|(first, last)| rng.u32(*first..=*last));
    let listed: Vec<u32> = listed.filter(|address| is_public(*address)).take(DRAWN).collect();
    fs::write(target.join("listed.txt"), lines(listed.into_iter().map(text)))?;
    let random = Population::routed(networks).draw(DRAWN, &mut rng, |_| true);
    fs::write(target.join("random.txt"), lines(random.into_iter().map(text)))?;
    let ipv6 = sources.iter().flat_map(Source::ranges).filter(|range| matches!(range, Range::V6(..)));
    let ipv6 = draw::addresses(&ipv6.collect::<Vec<_>>(), DRAWN, &mut rng);
    fs::write(target.join("ipv6.txt"), lines(ipv6.iter().map(ToString::to_string)))?;
    Ok(())
}

fn public_ipv4(range: Range) -> Option<(u32, u32)> {
    match range {
        Range::V4(first, last) => Some((first, last)).filter(|_| !is_special(first)),
        Range::V6(..) => None,
    }
}

fn text(address: u32) -> String {
    Ipv4Addr::from_bits(address).to_string()
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
