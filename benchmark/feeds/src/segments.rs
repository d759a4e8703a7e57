//! The IPv4 part of feeds, flattened for structures that hold one value per address.

use ip_risk_core::feeds::compile::Source;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::table::Table;

/// From `first` on, up to the next segment, these signals are said: the bit of a signal is its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// The first address.
    pub first: u32,
    /// The signals; 0 where nothing is said.
    pub signals: u32,
}

/// All IPv4 addresses in order, cut where signals change. `sources` and `networks` are what `table` was compiled from.
#[must_use]
pub fn segments(table: &Table, sources: &[Source], networks: &Networks) -> Vec<Segment> {
    let ranges = sources.iter().flat_map(Source::ranges).chain(networks.ranges().map(|(range, _)| range));
    let ipv4 = ranges.filter_map(|range| match range {
        Range::V4(first, last) => Some((first, last)),
        Range::V6(..) => None,
    });
    let mut cuts: Vec<u32> =
        ipv4.flat_map(|(first, last)| [Some(first), last.checked_add(1)]).flatten().collect();
    cuts.push(0);
    cuts.sort_unstable();
    let mut segments: Vec<Segment> =
        cuts.into_iter().map(|first| Segment { first, signals: signals(table, first) }).collect();
    segments.dedup_by_key(|segment| segment.signals);
    segments
}

fn signals(table: &Table, address: u32) -> u32 {
    let found = table.look_up(std::net::Ipv4Addr::from_bits(address).into());
    found.entries().fold(0, |bits, entry| bits | 1 << entry.feed.signal as u32)
}
