//! What tables are tested against: all rows in one list that is searched from the first to the last.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::info::FeedInfo;
use super::range::Range;
use super::row::{About, Row};
use super::signal::Signal;
use super::source::Source;
use super::table::Table;

/// What is said: the number of the feed, the name and the value.
pub(crate) type Said = (usize, Option<String>, u8);

/// A row: what it is about, the name and the value.
pub(crate) type OwnRow = (Range, Option<&'static str>, u8);

/// The rows of some feeds.
pub(crate) struct Reference<'a> {
    feeds: &'a [Vec<OwnRow>],
}

impl<'a> Reference<'a> {
    pub(crate) fn new(feeds: &'a [Vec<OwnRow>]) -> Self {
        Self { feeds }
    }

    pub(crate) fn look_up(&self, address: IpAddr) -> BTreeSet<Said> {
        let address = address.to_canonical();
        let of_feed = |(number, rows): (usize, &'a Vec<OwnRow>)| {
            let rows = rows.iter().filter(move |(range, ..)| range.holds(address));
            rows.map(move |(_, name, value)| (number, name.map(str::to_owned), *value))
        };
        self.feeds.iter().enumerate().flat_map(of_feed).collect()
    }

    pub(crate) fn sources(&self) -> Vec<Source> {
        let source = |(number, rows): (usize, &Vec<OwnRow>)| {
            let mut source = feed(&format!("feed-{number}"), Signal::Attack);
            for &(range, name, value) in rows {
                source.take(Row { about: About::Range(range), name, value });
            }
            source
        };
        self.feeds.iter().enumerate().map(source).collect()
    }
}

/// A feed without rows.
pub(crate) fn feed(id: &str, signal: Signal) -> Source {
    Source::new(FeedInfo {
        id: id.to_owned(),
        title: id.to_owned(),
        operator: id.to_owned(),
        signal,
        weight: None,
        name: None,
        licence: "CC0-1.0".to_owned(),
        credit: None,
        seen_at: 1_700_000_000_000,
        rows: 0,
    })
}

/// What a table says, in the reference's words. Each thing must be said once.
pub(crate) fn plain(table: &Table, address: IpAddr) -> BTreeSet<Said> {
    let found = table.look_up(address);
    let mut said = BTreeSet::new();
    for entry in found.entries() {
        assert_eq!(entry.feed, &table.feeds()[entry.feed_number]);
        assert!(said.insert((entry.feed_number, entry.name.map(str::to_owned), entry.value)));
    }
    said
}

/// The first and last address of every row and those beside them.
pub(crate) fn probes(feeds: &[Vec<OwnRow>]) -> impl Iterator<Item = IpAddr> {
    feeds.iter().flatten().flat_map(|(range, ..)| match *range {
        Range::V4(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V4(address.into())),
        Range::V6(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V6(address.into())),
    })
}

/// Up to five feeds with up to `most` rows each, which nest, overlap, touch, repeat and fill the whole space.
pub(crate) fn rows(most: usize) -> impl Strategy<Value = Vec<Vec<OwnRow>>> {
    let name = prop::sample::select(vec![None, None, Some("Alpha"), Some("Beta"), Some("Gamma")]);
    let row = (range(), name, 0..3_u8);
    prop::collection::vec(prop::collection::vec(row, 0..most), 0..5)
}

pub(crate) fn range() -> impl Strategy<Value = Range> {
    let ipv4 =
        (ipv4_address(), ipv4_address()).prop_map(|(one, other)| Range::V4(one.min(other), one.max(other)));
    let near =
        (ipv4_address(), 0..600_u32).prop_map(|(first, more)| Range::V4(first, first.saturating_add(more)));
    let ipv6 =
        (ipv6_address(), ipv6_address()).prop_map(|(one, other)| Range::V6(one.min(other), one.max(other)));
    let network = (any::<IpAddr>(), 0..=128_u8).prop_map(|(address, length)| {
        let length = if address.is_ipv4() { length % 33 } else { length };
        Range::parse(&format!("{address}/{length}")).unwrap()
    });
    let mapped = (ipv4_address(), 96..=128_u8)
        .prop_map(|(address, length)| Range::parse(&format!("{}/{length}", mapped(address))).unwrap());
    prop_oneof![3 => ipv4, 6 => near, 6 => ipv6, 3 => network, 1 => mapped]
}

fn mapped(address: u32) -> IpAddr {
    IpAddr::V6(std::net::Ipv4Addr::from_bits(address).to_ipv6_mapped())
}

/// Addresses that crowd around the edges of buckets and of the space.
fn ipv4_address() -> impl Strategy<Value = u32> {
    let edge = prop::sample::select(vec![0, 0x0000_ff00, 0x0001_0000, 0x0807_0605, 0x7fff_ffff, 0xffff_fe00]);
    prop_oneof![
        (edge, 0..512_u32).prop_map(|(edge, more)| edge + more.min(u32::MAX - edge)),
        any::<u32>(),
        Just(u32::MAX)
    ]
}

/// Addresses that crowd around the edges of a few /64s.
fn ipv6_address() -> impl Strategy<Value = u128> {
    let high = prop::sample::select(vec![
        0,
        1,
        0x2001_0db8_0000_0000,
        0x2001_0db8_0000_0001,
        u64::MAX - 1,
        u64::MAX,
    ]);
    let low = prop_oneof![
        3 => Just(0), 3 => Just(u64::MAX), 1 => Just(1), 1 => Just(u64::MAX - 1), 1 => any::<u64>()
    ];
    (high, low).prop_map(|(high, low)| u128::from(high) << 64 | u128::from(low))
}
