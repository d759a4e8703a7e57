//! How much of the internet the rows of a feed cover.

use std::net::IpAddr;

use ipnet::IpNet;

use super::range::Range;
use crate::special_use;

/// The lengths of the largest networks that one row may be about. The largest ones of real feeds are a `/9` and a `/24`.
pub(crate) const IPV4_LENGTH: u8 = 8;
pub(crate) const IPV6_LENGTH: u8 = 20;
const WIDEST_IPV4: u128 = 1 << (32 - IPV4_LENGTH);
const WIDEST_IPV6: u128 = 1 << (128 - IPV6_LENGTH);
/// So many ranges are kept before they are merged for the first time.
const MERGED_FROM: usize = 1 << 14;

/// Counts every address of a feed once, and those of special-use space not at all: blocklists name that space
/// freely, and nobody who connects has an address in it.
#[derive(Debug)]
pub struct Coverage {
    ipv4: Spans,
    ipv6: Spans,
    special: Special,
    widest: Option<Range>,
}

/// What a feed covers outside special-use space.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Covered {
    /// How many IPv4 addresses.
    pub ipv4: u64,
    /// How many IPv6 addresses; all of IPv6 counts one too few.
    pub ipv6: u128,
    /// The first range that covers more than an IPv4 `/8` or an IPv6 `/20` by itself.
    pub widest: Option<Range>,
}

#[derive(Debug)]
struct Special {
    ipv4: Spans,
    ipv6: Spans,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { ipv4: Spans::default(), ipv6: Spans::default(), special: Special::new(), widest: None }
    }
}

impl Coverage {
    /// Adds one range. Memory is in proportion to the distinct ranges.
    pub fn add(&mut self, range: Range) {
        let ((first, last), special, most) = match range {
            Range::V4(first, last) => ((first.into(), last.into()), &self.special.ipv4, WIDEST_IPV4),
            Range::V6(first, last) => ((first, last), &self.special.ipv6, WIDEST_IPV6),
        };
        if range.addresses() > most && self.widest.is_none() {
            let outside = range.addresses().saturating_sub(special.inside(first, last));
            self.widest = (outside > most).then_some(range);
        }
        match range {
            Range::V4(..) => self.ipv4.add(first, last),
            Range::V6(..) => self.ipv6.add(first, last),
        }
    }

    /// What all ranges cover together.
    #[must_use]
    pub fn finish(mut self) -> Covered {
        let ipv4 = self.ipv4.outside(&self.special.ipv4);
        let ipv6 = self.ipv6.outside(&self.special.ipv6);
        Covered { ipv4: u64::try_from(ipv4).unwrap_or(u64::MAX), ipv6, widest: self.widest }
    }
}

impl Special {
    fn new() -> Self {
        let mut special = Self { ipv4: Spans::default(), ipv6: Spans::default() };
        for network in special_use::networks() {
            let bits = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_bits().into(),
                IpAddr::V6(address) => address.to_bits(),
            };
            let spans = if matches!(network, IpNet::V4(_)) { &mut special.ipv4 } else { &mut special.ipv6 };
            spans.add(bits(network.network()), bits(network.broadcast()));
        }
        special.ipv4.merge();
        special.ipv6.merge();
        special
    }
}

/// Ranges of one family, first and last address inside.
#[derive(Debug, Default)]
struct Spans {
    spans: Vec<(u128, u128)>,
    merge_at: usize,
}

impl Spans {
    fn add(&mut self, first: u128, last: u128) {
        self.spans.push((first, last));
        if self.spans.len() >= self.merge_at.max(MERGED_FROM) {
            self.merge();
            self.merge_at = self.spans.len().saturating_mul(2);
        }
    }

    /// Sorts, and makes one range of those that touch.
    fn merge(&mut self) {
        self.spans.sort_unstable();
        self.spans.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1.saturating_add(1);
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
    }

    /// How many addresses there are outside `others`, which are merged.
    fn outside(&mut self, others: &Self) -> u128 {
        self.merge();
        self.spans.iter().fold(0, |sum: u128, (first, last)| {
            let addresses = (last - first).saturating_add(1);
            sum.saturating_add(addresses.saturating_sub(others.inside(*first, *last)))
        })
    }

    /// How many addresses from `first` to `last` are in these merged ranges.
    fn inside(&self, first: u128, last: u128) -> u128 {
        let from = self.spans.partition_point(|span| span.1 < first);
        let touching = self.spans.iter().skip(from).take_while(|span| span.0 <= last);
        touching.fold(0, |sum: u128, span| {
            sum.saturating_add((span.1.min(last) - span.0.max(first)).saturating_add(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(ranges: &[&str]) -> Covered {
        let mut coverage = Coverage::default();
        for text in ranges {
            coverage.add(Range::parse(text).unwrap());
        }
        coverage.finish()
    }

    #[test]
    fn every_address_is_counted_once() {
        assert_eq!(covered(&["8.8.8.0/24", "8.8.8.8", "8.8.8.0/25", "8.8.9.0/24"]).ipv4, 512);
        assert_eq!(covered(&["2a00::/64", "2a00::1", "2a00:0:0:1::/64"]).ipv6, 2 << 64);
    }

    #[test]
    fn special_use_space_is_not_counted() {
        let none = Covered::default();
        assert_eq!(covered(&["10.0.0.0/8", "224.0.0.0/3", "127.0.0.1", "fc00::/7", "2001:db8::/32"]), none);
        // 192.0.0.0/16 without the blocks /24 that are special.
        assert_eq!(covered(&["192.0.0.0/16"]).ipv4, 65_536 - 2 * 256);
        let all = covered(&["0.0.0.0/1", "128.0.0.0/1"]).ipv4;
        assert!((3_600_000_000..3_760_000_000).contains(&all), "{all}");
    }

    #[test]
    fn a_network_that_is_too_wide_is_named() {
        for (network, is_too_wide) in [
            ("8.0.0.0/8", false),
            ("8.0.0.0/7", true),
            // Half of it is special.
            ("10.0.0.0/7", false),
            ("224.0.0.0/3", false),
            ("0.0.0.0/0", true),
            ("2a00::/20", false),
            ("2a00::/19", true),
            ("fc00::/7", false),
            ("::/0", true),
        ] {
            let widest = covered(&["9.9.9.9", network, "9.9.9.0/24"]).widest;
            assert_eq!(widest, is_too_wide.then(|| Range::parse(network).unwrap()), "{network}");
        }
        assert_eq!(covered(&["::/0"]).ipv6 >> 120, 252, "nearly all of it");
    }

    #[test]
    fn as_many_ranges_as_one_likes_are_merged_on_the_way() {
        let mut coverage = Coverage::default();
        for number in 0..3 * u32::try_from(MERGED_FROM).unwrap() {
            let first = 0x0800_0000 + number % 20_000;
            coverage.add(Range::V4(first, first));
        }
        assert!(coverage.ipv4.spans.len() < 2 * MERGED_FROM);
        assert_eq!(coverage.finish().ipv4, 20_000);
    }

    proptest! {
        #![proptest_config(crate::flags::tests::cases(64))]
        #[test]
        fn the_count_is_that_of_a_set(ranges in proptest::collection::vec((0_u32..600, 0_u32..40), 0..60)) {
            let mut coverage = Coverage::default();
            let mut set = std::collections::BTreeSet::new();
            // Around the start of 11.0.0.0, below which all is special.
            let base = 0x0aff_ff00;
            for (offset, length) in ranges {
                coverage.add(Range::V4(base + offset, base + offset + length));
                set.extend((base + offset..=base + offset + length).filter(|address| *address >= 0x0b00_0000));
            }
            prop_assert_eq!(coverage.finish().ipv4, u64::try_from(set.len()).unwrap());
        }
    }
}
