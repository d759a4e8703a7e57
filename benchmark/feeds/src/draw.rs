//! Ranges and addresses, drawn at random.

use std::net::IpAddr;

use fastrand::Rng;
use ip_risk_core::feeds::range::Range;

/// Everything that IPv4 has.
pub const ANY_IPV4: Range = Range::V4(0, u32::MAX);
/// The part of IPv6 that is given out.
pub const ANY_IPV6: Range = Range::V6(0x2000 << 112, (0x4000 << 112) - 1);

/// An address in `range`, each as likely as any other.
pub fn address(range: Range, rng: &mut Rng) -> IpAddr {
    match range {
        Range::V4(first, last) => IpAddr::V4(rng.u32(first..=last).into()),
        Range::V6(first, last) => IpAddr::V6(rng.u128(first..=last).into()),
    }
}

/// `count` addresses, each in a range of its own drawing: one of a small network comes as often as one of a large one.
pub fn addresses(ranges: &[Range], count: usize, rng: &mut Rng) -> Vec<IpAddr> {
    if ranges.is_empty() {
        return Vec::new();
    }
    (0..count).map(|_| address(ranges[rng.usize(0..ranges.len())], rng)).collect()
}

/// The first and the last address of `range`, and what is before and after them.
#[must_use]
pub fn edges(range: Range) -> [IpAddr; 4] {
    match range {
        Range::V4(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V4(address.into())),
        Range::V6(first, last) => [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .map(|address| IpAddr::V6(address.into())),
    }
}
