//! Made-up networks, where there are not enough real ones.

use std::collections::BTreeSet;

use fastrand::Rng;
use ip_risk_core::feeds::compile::Source;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::row::{About, Row};
use ip_risk_core::feeds::signal::Signal;

use crate::snapshots::info;

/// How many of a thousand networks have each prefix length: about as in tables of routes.
const LENGTHS: [(u32, u32); 12] = [
    (616, 24),
    (100, 23),
    (115, 22),
    (50, 21),
    (45, 20),
    (26, 19),
    (14, 18),
    (8, 17),
    (13, 16),
    (6, 15),
    (4, 14),
    (3, 13),
];

/// The same of IPv6, about as the networks are that systems announce.
const LENGTHS_OF_IPV6: [(u32, u32); 15] = [
    (290, 48),
    (190, 32),
    (70, 29),
    (70, 44),
    (65, 47),
    (55, 40),
    (45, 46),
    (35, 43),
    (35, 45),
    (35, 36),
    (30, 42),
    (25, 41),
    (25, 39),
    (20, 38),
    (10, 37),
];

/// Few, because networks lie in each other, and the table has a record for each set of owners.
const OWNERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// `count` different IPv4 networks from 1.0.0.0 to 223.255.255.255, in order. There must be as many: up to a few million.
#[must_use]
pub fn networks(count: usize, rng: &mut Rng) -> Vec<Range> {
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        let host = u32::MAX >> length(&LENGTHS, rng);
        let first = rng.u32(1 << 24..224 << 24) & !host;
        drawn.insert(Range::V4(first, first | host));
    }
    drawn.into_iter().collect()
}

/// `count` different IPv6 networks in the part that registries give out, in order.
#[must_use]
pub fn ipv6_networks(count: usize, rng: &mut Rng) -> Vec<Range> {
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        let host = u128::MAX >> length(&LENGTHS_OF_IPV6, rng);
        let first = rng.u128(0x2400 << 112..0x2e00 << 112) & !host;
        drawn.insert(Range::V6(first, first | host));
    }
    drawn.into_iter().collect()
}

/// A feed of such networks, which belong to some owners: those of one owner would melt into each other.
#[must_use]
pub fn source(networks: &[Range]) -> Source {
    let mut source = empty();
    for (range, owner) in networks.iter().zip(OWNERS.iter().cycle()) {
        source.take(Row { about: About::Range(*range), name: Some(owner), value: 0 });
    }
    source
}

/// A feed that its caller fills.
#[must_use]
pub fn empty() -> Source {
    Source::new(info("synthetic", Signal::Hosting, None))
}

/// A feed that says something far worse of one range.
#[must_use]
pub fn marker(range: Range) -> Source {
    let mut source = Source::new(info("marker", Signal::Criminal, None));
    source.take(Row { about: About::Range(range), name: None, value: 0 });
    source
}

fn length(lengths: &[(u32, u32)], rng: &mut Rng) -> u32 {
    let mut at = rng.u32(0..1_000);
    for (share, length) in lengths {
        if at < *share {
            return *length;
        }
        at -= share;
    }
    lengths[0].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_as_many_as_asked_for_and_most_are_small() {
        for lengths in [&LENGTHS[..], &LENGTHS_OF_IPV6] {
            assert_eq!(lengths.iter().map(|(share, _)| share).sum::<u32>(), 1_000);
        }
        let drawn = networks(10_000, &mut Rng::with_seed(1));
        assert_eq!(drawn.len(), 10_000);
        let smallest = drawn.iter().filter(|range| range.addresses() == 256).count();
        assert!((6_000..6_400).contains(&smallest), "{smallest}");
        assert_eq!(ipv6_networks(1_000, &mut Rng::with_seed(1)).len(), 1_000);
    }
}
