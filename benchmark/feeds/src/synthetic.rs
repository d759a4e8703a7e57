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

/// `count` different IPv4 networks from 1.0.0.0 to 223.255.255.255, in order. There must be as many: up to a few million.
#[must_use]
pub fn networks(count: usize, rng: &mut Rng) -> Vec<Range> {
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        let host = u32::MAX >> length(rng);
        let first = rng.u32(1 << 24..224 << 24) & !host;
        drawn.insert(Range::V4(first, first | host));
    }
    drawn.into_iter().collect()
}

/// A feed of such networks.
#[must_use]
pub fn source(count: usize, rng: &mut Rng) -> Source {
    let mut source = Source::new(info("synthetic", Signal::Hosting, None));
    for range in networks(count, rng) {
        source.take(Row { about: About::Range(range), name: None, value: 0 });
    }
    source
}

fn length(rng: &mut Rng) -> u32 {
    let mut at = rng.u32(0..1_000);
    for (share, length) in LENGTHS {
        if at < share {
            return length;
        }
        at -= share;
    }
    24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_as_many_as_asked_for_and_most_are_small() {
        assert_eq!(LENGTHS.iter().map(|(share, _)| share).sum::<u32>(), 1_000);
        let drawn = networks(10_000, &mut Rng::with_seed(1));
        assert_eq!(drawn.len(), 10_000);
        let smallest = drawn.iter().filter(|range| range.addresses() == 256).count();
        assert!((6_000..6_400).contains(&smallest), "{smallest}");
    }
}
