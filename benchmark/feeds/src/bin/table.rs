//! Whether the table says what a search of all rows says: `cargo run --release -p ip-risk-benchmark --bin table`.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::net::IpAddr;
use std::process::ExitCode;

use fastrand::Rng;
use ip_risk_benchmark::draw::{self, ANY_IPV4, ANY_IPV6};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::search::Search;
use ip_risk_benchmark::snapshots::{KeptRow, NOW, directory, networks, sources_and_rows};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;

/// How many random addresses of each family are compared with the search.
const COMPARED: usize = 2_000_000;
fn main() -> ExitCode {
    end("table", run())
}

fn run() -> Outcome<()> {
    let networks = networks()?;
    let (sources, rows) = sources_and_rows(&directory()?, &networks)?;
    check("lists alone", &sources, &rows, None)?;
    check("with networks and neighbourhood", &sources, &rows, Some(&networks))
}

/// Compares the table with a search: at the edges of every row, and at random addresses.
fn check(name: &str, sources: &[Source], rows: &[KeptRow], networks: Option<&Networks>) -> Outcome<()> {
    let compiled = compile(sources.to_vec(), networks, NOW)?;
    // As it is in use: written and read again.
    let table = file::open(&file::write(&compiled, None, false))?;
    let search = Search::new(sources, rows, networks);
    let mut edges: Vec<IpAddr> = search.ranges().iter().flat_map(|range| draw::edges(*range)).collect();
    edges.sort_unstable();
    edges.dedup();
    edges.iter().try_for_each(|address| search.compare(&table, *address))?;
    let mut rng = Rng::with_seed(2);
    for range in [ANY_IPV4, ANY_IPV6] {
        (0..COMPARED).try_for_each(|_| search.compare(&table, draw::address(range, &mut rng)))?;
    }
    println!(
        "{name}: the table says what the search says of {} edges of rows and {} random addresses",
        edges.len(),
        2 * COMPARED
    );
    Ok(())
}
