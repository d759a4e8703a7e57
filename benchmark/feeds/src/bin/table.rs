//! What the table takes, and whether it says what a search of all rows says: `cargo run --release -p ip-risk-benchmark --bin table`.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use fastrand::Rng;
use ip_risk_benchmark::draw::{self, ANY_IPV4, ANY_IPV6};
use ip_risk_benchmark::program::{Outcome, end};
use ip_risk_benchmark::search::Search;
use ip_risk_benchmark::snapshots::{KeptRow, NOW, directory, networks, sources_and_rows};
use ip_risk_benchmark::synthetic;
use ip_risk_benchmark::timing::{median, milliseconds};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::table::Table;

const ROUNDS: usize = 9;
/// How many addresses a round looks up.
const LOOK_UPS: usize = 1_000_000;
/// How many random addresses of each family are compared with the search.
const COMPARED: usize = 2_000_000;
/// How many prefixes the largest table has.
const MANY: u64 = 1_000_000;

fn main() -> ExitCode {
    end("table", run())
}

fn run() -> Outcome<()> {
    let networks = networks()?;
    let (sources, rows) = sources_and_rows(&directory()?, &networks)?;
    let alone = Measured::of(&sources, None)?;
    let with = Measured::of(&sources, Some(&networks))?;
    let many = Measured::of(&with_synthetic(&sources, alone.table.prefixes()), None)?;
    println!("Medians of {ROUNDS} rounds; {LOOK_UPS} look-ups a round.\n");
    println!(
        "| | lists alone | with networks and neighbourhood | lists and made-up networks |\n|---|---|---|---|"
    );
    for (place, (name, lists)) in alone.figures.iter().enumerate() {
        println!("| {name} | {lists} | {} | {} |", with.figures[place].1, many.figures[place].1);
    }
    println!();
    check("lists alone", &alone.table, &sources, &rows, None)?;
    check("with networks and neighbourhood", &with.table, &sources, &rows, Some(&networks))
}

/// The feeds, and made-up networks beside their `prefixes`.
fn with_synthetic(sources: &[Source], prefixes: u64) -> Vec<Source> {
    let missing = usize::try_from(MANY.saturating_sub(prefixes)).unwrap_or(0);
    let mut sources = sources.to_vec();
    sources.push(synthetic::source(missing, &mut Rng::with_seed(3)));
    sources
}

/// A table, and what is printed of it.
struct Measured {
    table: Table,
    figures: Vec<(&'static str, String)>,
}

impl Measured {
    fn of(sources: &[Source], networks: Option<&Networks>) -> Outcome<Self> {
        let compiled = compile(sources.to_vec(), networks, NOW)?;
        // Copying the rows is no part of it.
        let mut copies = vec![sources.to_vec(); ROUNDS];
        let compiling = median(ROUNDS, || compile(copies.pop().unwrap_or_default(), networks, NOW));
        let [plain, packed] = [false, true].map(|compress| file::write(&compiled, None, compress));
        let [opening, opening_packed] = [&plain, &packed].map(|bytes| median(ROUNDS, || file::open(bytes)));
        let table = file::open(&plain)?;
        let mut figures = sizes(&table);
        figures.extend([
            ("compile, ms", format!("{:.0}", milliseconds(compiling))),
            ("file, bytes", plain.len().to_string()),
            ("open, ms", format!("{:.1}", milliseconds(opening))),
            ("compressed file, bytes", packed.len().to_string()),
            ("open compressed, ms", format!("{:.1}", milliseconds(opening_packed))),
        ]);
        figures.extend(look_ups(&table, sources));
        Ok(Self { table, figures })
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far smaller than 2^53")]
fn sizes(table: &Table) -> Vec<(&'static str, String)> {
    let (memory, prefixes) = (table.memory(), table.prefixes());
    vec![
        ("prefixes", prefixes.to_string()),
        ("segments", table.segments().to_string()),
        ("records", table.records().to_string()),
        ("memory, bytes", memory.to_string()),
        ("bytes per prefix", format!("{:.2}", memory as f64 / prefixes as f64)),
    ]
}

/// Nanoseconds of look-ups, and of such of which each waits for the one before.
fn look_ups(table: &Table, sources: &[Source]) -> Vec<(&'static str, String)> {
    let (ipv4, ipv6): (Vec<Range>, Vec<Range>) =
        sources.iter().flat_map(Source::ranges).partition(|range| matches!(range, Range::V4(..)));
    let mut rng = Rng::with_seed(1);
    let kinds = [
        ("random IPv4, ns (when each waits)", &[ANY_IPV4][..]),
        ("listed IPv4, ns (when each waits)", &ipv4),
        ("random IPv6, ns (when each waits)", &[ANY_IPV6]),
        ("listed IPv6, ns (when each waits)", &ipv6),
    ];
    let figure = |(name, ranges): (_, &[Range])| {
        let addresses = draw::addresses(ranges, LOOK_UPS, &mut rng);
        let independent = median(ROUNDS, || count_found(table, &addresses));
        let dependent = median(ROUNDS, || chain(table, &addresses));
        (name, format!("{} ({})", each(independent), each(dependent)))
    };
    kinds.into_iter().map(figure).collect()
}

fn each(time: Duration) -> u128 {
    time.as_nanos() / LOOK_UPS as u128
}

fn count_found(table: &Table, addresses: &[IpAddr]) -> usize {
    addresses.iter().filter(|address| !table.look_up(**address).is_empty()).count()
}

/// Which address is next depends on what was found, although nothing that is found makes a difference.
fn chain(table: &Table, addresses: &[IpAddr]) -> usize {
    addresses.iter().fold(0, |place, _| {
        let is_impossible = table.look_up(addresses[place]).neighbourhood() == u8::MAX;
        (place + 1 + usize::from(is_impossible)) % addresses.len()
    })
}

/// Compares the table with a search: at the edges of every row, and at random addresses.
fn check(
    name: &str,
    table: &Table,
    sources: &[Source],
    rows: &[KeptRow],
    networks: Option<&Networks>,
) -> Outcome<()> {
    let search = Search::new(sources, rows, networks);
    let mut edges: Vec<IpAddr> = search.ranges().iter().flat_map(|range| draw::edges(*range)).collect();
    edges.sort_unstable();
    edges.dedup();
    edges.iter().try_for_each(|address| search.compare(table, *address))?;
    let mut rng = Rng::with_seed(2);
    for range in [ANY_IPV4, ANY_IPV6] {
        (0..COMPARED).try_for_each(|_| search.compare(table, draw::address(range, &mut rng)))?;
    }
    println!(
        "{name}: the table says what the search says of {} edges of rows and {} random addresses",
        edges.len(),
        2 * COMPARED
    );
    Ok(())
}
