//! What a table takes: to make, to keep, to open and to ask.

use std::io::BufRead;
use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::format::{Format, parse};
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::table::Table;
use serde::Serialize;

use crate::draw::{self, ANY_IPV4, ANY_IPV6};
use crate::program::Outcome;
use crate::snapshots::NOW;
use crate::timing::{milliseconds, times};

/// How many addresses a round looks up.
const LOOK_UPS: u32 = 1_000_000;

/// One table. Times are those of each round.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    name: String,
    prefixes: u64,
    segments: u64,
    memory_bytes: usize,
    compile_ms: Vec<f64>,
    open_ms: Vec<f64>,
    compressed_bytes: usize,
    open_compressed_ms: Vec<f64>,
    look_ups: Vec<LookUps>,
}

/// Look-ups of one kind of address.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LookUps {
    kind: &'static str,
    ns: Vec<f64>,
    /// When each waits for the one before.
    waiting_ns: Vec<f64>,
}

impl Measured {
    /// Measures the table of `sources`, which are copied for each round; the copying is no part of it.
    ///
    /// # Errors
    /// When they are too much for one table.
    pub fn of(name: &str, sources: &[Source], networks: Option<&Networks>, rounds: usize) -> Outcome<Self> {
        let compiled = compile(sources.to_vec(), networks, NOW)?;
        let mut copies = vec![sources.to_vec(); rounds];
        let compiling = times(rounds, || compile(copies.pop().unwrap_or_default(), networks, NOW));
        let [plain, packed] = [false, true].map(|compress| file::write(&compiled, None, compress));
        let [opening, opening_packed] = [&plain, &packed].map(|bytes| times(rounds, || file::open(bytes)));
        let table = file::open(&plain)?;
        Ok(Self {
            name: name.to_owned(),
            prefixes: table.prefixes(),
            segments: table.segments(),
            memory_bytes: table.memory(),
            compile_ms: compiling.into_iter().map(milliseconds).collect(),
            open_ms: opening.into_iter().map(milliseconds).collect(),
            compressed_bytes: packed.len(),
            open_compressed_ms: opening_packed.into_iter().map(milliseconds).collect(),
            look_ups: look_ups(&table, sources, rounds),
        })
    }

    /// How many prefixes it holds.
    #[must_use]
    pub const fn prefixes(&self) -> u64 {
        self.prefixes
    }
}

/// How long it takes to read a list, in each round.
///
/// # Errors
/// When it is no list.
pub fn parse_ms(list: &[u8], make: impl Fn() -> Source, rounds: usize) -> Outcome<Vec<f64>> {
    let read = || {
        let (mut source, mut input) = (make(), list);
        parse(Format::List, &mut input as &mut dyn BufRead, &mut |row| source.take(row)).map(|_| source)
    };
    read()?;
    Ok(times(rounds, read).into_iter().map(milliseconds).collect())
}

/// Of each family that the sources speak of, random addresses and listed ones.
fn look_ups(table: &Table, sources: &[Source], rounds: usize) -> Vec<LookUps> {
    let (ipv4, ipv6): (Vec<Range>, Vec<Range>) =
        sources.iter().flat_map(Source::ranges).partition(|range| matches!(range, Range::V4(..)));
    let mut rng = Rng::with_seed(1);
    let kinds = [
        ("random IPv4", &[ANY_IPV4][..], &ipv4),
        ("listed IPv4", &ipv4, &ipv4),
        ("random IPv6", &[ANY_IPV6], &ipv6),
        ("listed IPv6", &ipv6, &ipv6),
    ];
    let spoken_of = kinds.into_iter().filter(|(_, _, listed)| !listed.is_empty());
    spoken_of
        .map(|(kind, ranges, _)| {
            let addresses = draw::addresses(ranges, LOOK_UPS as usize, &mut rng);
            let each = |times: Vec<Duration>| times.into_iter().map(nanoseconds_each).collect();
            let ns = each(times(rounds, || count_found(table, &addresses)));
            LookUps { kind, ns, waiting_ns: each(times(rounds, || chain(table, &addresses))) }
        })
        .collect()
}

fn nanoseconds_each(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(LOOK_UPS)
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
