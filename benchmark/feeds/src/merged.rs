//! Ranges that do not overlap any more.

use std::net::IpAddr;

use ip_risk_core::feeds::range::Range;

/// First and last addresses of ranges that do not overlap, in order.
pub(crate) struct Merged {
    ipv4: Vec<(u32, u32)>,
    ipv6: Vec<(u128, u128)>,
}

impl Merged {
    pub(crate) fn new(ranges: &[Range]) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for range in ranges {
            match *range {
                Range::V4(first, last) => ipv4.push((first, last)),
                Range::V6(first, last) => ipv6.push((first, last)),
            }
        }
        Self { ipv4: merge(ipv4), ipv6: merge(ipv6) }
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.ipv4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.ipv6, address.to_bits()),
        }
    }
}

/// Joins ranges that overlap, and sorts them.
pub(crate) fn merge<B: Copy + Ord>(mut ranges: Vec<(B, B)>) -> Vec<(B, B)> {
    ranges.sort_unstable();
    let mut merged: Vec<(B, B)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether one of such ranges holds `address`.
pub(crate) fn is_in<B: Copy + Ord>(ranges: &[(B, B)], address: B) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}
