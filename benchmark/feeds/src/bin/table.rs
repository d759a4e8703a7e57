//! Compiles feed files into a table, checks it against a search of all rows, and prints what it costs:
//!
//! ```sh
//! cargo run --release --example feed_table -- networks=asn-ipv4.csv networks=asn-ipv6.csv \
//!     attack=list=attacks.txt cloud=aws=ip-ranges.json.gz
//! ```
//!
//! Each feed is its signal, its format and its file; files that end in `.gz` are unpacked. `check=<millions>` says how
//! many random addresses are compared with the search, beside both edges of every row.

#![allow(clippy::print_stdout, reason = "it is a program")]
#![allow(clippy::disallowed_methods, reason = "it measures")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "it measures"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::format::{Format, parse};
use ip_risk_core::feeds::info::FeedInfo;
use ip_risk_core::feeds::neighbourhood::{Constants, Scale};
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::row::{About, Row};
use ip_risk_core::feeds::scoring::Scoring;
use ip_risk_core::feeds::signal::Signal;
use ip_risk_core::feeds::table::Table;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a row says: the number of its feed, its name and its value.
type Said = (usize, Option<String>, u8);

/// First and last addresses, by family.
type Ranges = (Vec<(u32, u32)>, Vec<(u128, u128)>);

/// When the table is said to be made, and all feeds to be true.
const BUILT_AT: u64 = 1_790_000_000_000;

fn main() -> Outcome<()> {
    let mut work = Work::default();
    let mut networks = Vec::new();
    let mut millions = 1;
    for argument in std::env::args().skip(1) {
        match argument.split('=').collect::<Vec<_>>()[..] {
            ["networks", path] => networks.push(read(path)?),
            ["check", count] => millions = count.parse()?,
            [signal, format, path] => work.add(word(signal)?, word(format)?, path)?,
            _ => return Err(format!("`{argument}` is not `signal=format=file`").into()),
        }
    }
    let start = Instant::now();
    let files: Vec<&[u8]> = networks.iter().map(Vec::as_slice).collect();
    let networks = (!files.is_empty()).then(|| Networks::parse(&files)).transpose()?;
    println!("networks read: {} ms", milliseconds(start));
    let rows: usize = work.sources.iter().map(Source::rows).sum();
    println!("{} feeds, {rows} rows", work.sources.len());
    let table = build(&work.sources, networks.as_ref())?;
    measure(&table);
    check(&table, &work, networks.as_ref(), millions)
}

/// The feeds, and the same rows once more for the search.
#[derive(Default)]
struct Work {
    sources: Vec<Source>,
    rows: Vec<(About, Said)>,
}

impl Work {
    fn add(&mut self, signal: Signal, format: Format, path: &str) -> Outcome<()> {
        let mut source = Source::new(FeedInfo {
            id: path.to_owned(),
            title: path.to_owned(),
            operator: path.to_owned(),
            signal,
            weight: None,
            name: None,
            licence: String::new(),
            credit: None,
            seen_at: BUILT_AT,
            rows: 0,
        });
        let number = self.sources.len();
        let bytes = read(path)?;
        let summary = parse(format, &mut bytes.as_slice(), &mut |row: Row<'_>| {
            source.take(row);
            self.rows.push((row.about, (number, row.name.map(str::to_owned), row.value)));
        })?;
        source.info.rows = summary.rows;
        self.sources.push(source);
        Ok(())
    }
}

fn read(path: &str) -> Outcome<Vec<u8>> {
    if Path::new(path).extension().is_none_or(|extension| extension != "gz") {
        return Ok(fs::read(path)?);
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(BufReader::new(File::open(path)?)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Outcome<T> {
    Ok(serde_json::from_value(text.into())?)
}

fn milliseconds(start: Instant) -> u128 {
    start.elapsed().as_millis()
}

/// Compiles, writes and opens.
fn build(sources: &[Source], networks: Option<&Networks>) -> Outcome<Table> {
    let median = |times: &mut Vec<u128>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    for (text, networks) in [("without networks", None), ("with networks", networks)] {
        let mut times = Vec::new();
        for _ in 0..3 {
            let sources = sources.to_vec();
            let start = Instant::now();
            black_box(compile(sources, networks, BUILT_AT)?);
            times.push(milliseconds(start));
        }
        println!("compile {text}: {} ms", median(&mut times));
    }
    let compiled = compile(sources.to_vec(), networks, BUILT_AT)?;
    println!("rows that could not be used: {}", compiled.unusable_rows());
    let mut opened = None;
    for (compress, networks) in [(true, networks), (true, None), (false, None)] {
        let bytes = file::write(&compiled, networks, compress);
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            opened = Some(file::open(&bytes)?);
            times.push(start.elapsed().as_micros());
        }
        let with = if networks.is_some() { "with" } else { "without" };
        println!(
            "file, compressed {compress}, {with} networks: {} bytes, open {} us",
            bytes.len(),
            median(&mut times)
        );
        let start = Instant::now();
        if file::networks(&bytes)?.is_some() {
            println!("its networks: {} ms", milliseconds(start));
        }
    }
    opened.ok_or_else(|| "not opened".into())
}

/// What the table takes.
fn measure(table: &Table) {
    let (memory, prefixes) = (table.memory(), table.prefixes());
    println!(
        "{prefixes} prefixes, {} segments, {} records, {memory} bytes, {:.2} bytes per prefix",
        table.segments(),
        table.records(),
        memory as f64 / prefixes as f64
    );
}

/// A small generator of numbers that look random (`SplitMix64`); its quality does not matter here.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// An address in a range.
    fn within(&mut self, range: Range) -> IpAddr {
        match range {
            Range::V4(first, last) => {
                let more = self.next() % (u64::from(last - first) + 1);
                IpAddr::V4((first + more as u32).into())
            }
            Range::V6(first, last) => {
                let size = (last - first).saturating_add(1);
                IpAddr::V6((first + self.wide() % size).into())
            }
        }
    }
}

/// Times look-ups, and compares them with the search.
fn check(table: &Table, work: &Work, networks: Option<&Networks>, millions: usize) -> Outcome<()> {
    let search = Search::new(work, networks);
    let (mut random, anywhere) = (Random(1), Range::V4(0, u32::MAX));
    let ranges = |is_ipv4: bool| {
        search
            .ranges
            .iter()
            .copied()
            .filter(|range| matches!(range, Range::V4(..)) == is_ipv4)
            .collect::<Vec<_>>()
    };
    let (ipv4, ipv6) = (ranges(true), ranges(false));
    let mut hits = |ranges: &[Range]| -> Vec<IpAddr> {
        let mut one = || {
            let place = random.next() as usize % ranges.len();
            random.within(ranges[place])
        };
        (0..1_000_000).map(|_| one()).collect()
    };
    for (text, ranges) in [("random IPv4", &[anywhere][..]), ("listed IPv4", &ipv4), ("listed IPv6", &ipv6)] {
        if !ranges.is_empty() {
            time(text, table, &hits(ranges));
        }
    }
    let edges = search.ranges.iter().flat_map(|range| edges(*range));
    let mut checked = edges.map(|address| search.compare(table, address)).sum::<Result<u64, String>>()?;
    println!("edges: {checked} look-ups agree");
    let mut random = Random(2);
    checked = 0;
    for _ in 0..millions {
        for range in [anywhere, Range::V6(0x2000 << 112, 0x2fff << 112)] {
            checked += (0..500_000)
                .map(|_| search.compare(table, random.within(range)))
                .sum::<Result<u64, String>>()?;
        }
    }
    println!("random: {checked} look-ups agree");
    Ok(())
}

fn edges(range: Range) -> [IpAddr; 4] {
    match range {
        Range::V4(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V4(address.into())),
        Range::V6(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V6(address.into())),
    }
}

/// The median of nine rounds, independent look-ups and such of which each waits for the one before.
fn time(text: &str, table: &Table, addresses: &[IpAddr]) {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..9 {
        let start = Instant::now();
        let found = addresses.iter().filter(|address| !table.look_up(**address).is_empty()).count();
        rounds[0].push(start.elapsed().as_nanos() / addresses.len() as u128);
        black_box(found);
        let start = Instant::now();
        let mut place = 0;
        for _ in addresses {
            place = (place + 1 + usize::from(table.look_up(addresses[place]).neighbourhood() == 255))
                % addresses.len();
        }
        black_box(place);
        rounds[1].push(start.elapsed().as_nanos() / addresses.len() as u128);
    }
    for round in &mut rounds {
        round.sort_unstable();
    }
    println!("{text}: {} ns per look-up, {} ns when each waits", rounds[0][4], rounds[1][4]);
}

/// All rows, searched without the table: sorted, and for each thing that is said by itself.
struct Search {
    ranges: Vec<Range>,
    said: BTreeMap<Said, Ranges>,
    signals: Vec<Signal>,
    points: Option<SearchPoints>,
}

impl Search {
    fn new(work: &Work, networks: Option<&Networks>) -> Self {
        let mut systems: HashMap<u32, Vec<Range>> = HashMap::new();
        for (range, number) in networks.into_iter().flat_map(Networks::ranges) {
            systems.entry(number).or_default().push(range);
        }
        let mut search = Self {
            ranges: Vec::new(),
            said: BTreeMap::new(),
            signals: work.sources.iter().map(|source| source.info.signal).collect(),
            points: None,
        };
        for (about, said) in &work.rows {
            let ranges = match about {
                About::Range(range) => std::slice::from_ref(range),
                About::Asn(number) => systems.get(number).map_or(&[][..], Vec::as_slice),
            };
            search.ranges.extend(ranges);
            let (ipv4, ipv6) = search.said.entry(said.clone()).or_default();
            for range in ranges {
                match *range {
                    Range::V4(first, last) => ipv4.push((first, last)),
                    Range::V6(first, last) => ipv6.push((first, last)),
                }
            }
        }
        for (ipv4, ipv6) in search.said.values_mut() {
            merge(ipv4);
            merge(ipv6);
        }
        let is_single = |(about, said): &&(About, Said)| {
            matches!((about, search.signals[said.0]), (About::Range(_), Signal::Attack | Signal::Spam))
        };
        let listed = work.rows.iter().filter(is_single).map(|(about, _)| *about);
        search.points = networks.and_then(|networks| SearchPoints::new(listed, networks));
        search
    }

    fn said(&self, address: IpAddr) -> BTreeSet<Said> {
        let holds = |(ipv4, ipv6): &Ranges| match address.to_canonical() {
            IpAddr::V4(address) => contains(ipv4, address.to_bits()),
            IpAddr::V6(address) => contains(ipv6, address.to_bits()),
        };
        self.said.iter().filter(|(_, ranges)| holds(ranges)).map(|(said, _)| said.clone()).collect()
    }

    /// 1, when the table says the same.
    fn compare(&self, table: &Table, address: IpAddr) -> Result<u64, String> {
        let found = table.look_up(address);
        let told: BTreeSet<Said> = found
            .entries()
            .map(|entry| (entry.feed_number, entry.name.map(str::to_owned), entry.value))
            .collect();
        let said = self.said(address);
        let signals: Vec<Signal> = said.iter().map(|said| self.signals[said.0]).collect();
        let points = self.points.as_ref().map_or(0, |points| points.of(address, &signals));
        if said == told && points == found.neighbourhood() {
            return Ok(1);
        }
        Err(format!(
            "{address}: {said:?}, {points} points, but the table {told:?}, {}",
            found.neighbourhood()
        ))
    }
}

fn merge<B: Copy + Ord>(ranges: &mut Vec<(B, B)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(B, B)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.drain(..) {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
}

fn contains<B: Copy + Ord>(ranges: &[(B, B)], address: B) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

/// The neighbourhood from its definition, with logarithms.
struct SearchPoints {
    constants: Constants,
    networks: Networks,
    listed: BTreeSet<u32>,
    /// How many listed addresses each network has, by its length and its bits.
    counts: HashMap<(u32, u32), f64>,
    systems: HashMap<u32, (f64, f64)>,
    world: f64,
}

impl SearchPoints {
    fn new(rows: impl Iterator<Item = About>, networks: &Networks) -> Option<Self> {
        let constants = Scoring::shipped().ok()?.neighbourhood;
        let ranges = rows.filter_map(|about| match about {
            About::Range(Range::V4(first, last)) if last - first < constants.widest => Some(first..=last),
            _ => None,
        });
        let number = |address: &u32| networks.number(IpAddr::V4((*address).into()));
        let listed: BTreeSet<u32> = ranges.flatten().filter(|address| number(address).is_some()).collect();
        let mut systems: HashMap<u32, (f64, f64)> =
            networks.sizes().into_iter().map(|(number, size)| (number, (size as f64, 0.0))).collect();
        let mut counts = HashMap::new();
        for address in &listed {
            number(address)
                .and_then(|number| systems.get_mut(&number))
                .into_iter()
                .for_each(|system| system.1 += 1.0);
            for length in [16, 20, 24] {
                *counts.entry((length, address >> (32 - length))).or_default() += 1.0;
            }
        }
        let world = listed.len() as f64 / systems.values().map(|system| system.0).sum::<f64>();
        (listed.len() >= constants.least_listed).then(|| Self {
            constants,
            networks: networks.clone(),
            listed,
            counts,
            systems,
            world,
        })
    }

    fn of(&self, address: IpAddr, signals: &[Signal]) -> u8 {
        let has = |some: &[Signal]| signals.iter().any(|signal| some.contains(signal));
        let IpAddr::V4(ipv4) = address.to_canonical() else { return 0 };
        let Some((size, listed)) = self.networks.number(address).and_then(|number| self.systems.get(&number))
        else {
            return 0;
        };
        if has(&self.constants.off) {
            return 0;
        }
        let itself = f64::from(u8::from(self.listed.contains(&ipv4.to_bits())));
        let near = |length: u32| {
            let count = self.counts.get(&(length, ipv4.to_bits() >> (32 - length))).copied().unwrap_or(0.0);
            (count - itself) / f64::from(1_u32 << (32 - length))
        };
        let (weights, prior) = (self.constants.weights, self.constants.prior_addresses);
        let rate = weights.network * (listed - itself + prior * self.world) / (size + prior)
            + weights.prefix16 * near(16)
            + weights.prefix20 * near(20)
            + weights.prefix24 * near(24);
        let Scale { start, most } =
            if has(&self.constants.hosting) { self.constants.in_hosting } else { self.constants.elsewhere };
        let points = start + self.constants.points_per_doubling * (rate / self.world).log2();
        (points + 0.5).floor().clamp(0.0, f64::from(most)) as u8
    }
}
