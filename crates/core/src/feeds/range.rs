//! A run of addresses, which is what a line of a feed is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// From the first to the last address, both inside. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Range {
    /// IPv4.
    V4(u32, u32),
    /// IPv6.
    V6(u128, u128),
}

const MAPPED: u128 = 0xffff << 32;

impl Range {
    /// An address or a network in CIDR notation, whose host bits need not be zero. No blanks, no other notation.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.parse::<IpNet>() {
            Ok(network) => Some(Self::of_network(network)),
            Err(_) => text.parse().ok().map(Self::of_address),
        }
    }

    /// One address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits(), address.to_bits()),
            IpAddr::V6(address) => Self::V6(address.to_bits(), address.to_bits()),
        }
    }

    /// One network.
    #[must_use]
    pub fn of_network(network: IpNet) -> Self {
        match network {
            IpNet::V4(network) => Self::V4(network.network().to_bits(), network.broadcast().to_bits()),
            IpNet::V6(network) => Self::of_ipv6(network.network().to_bits(), network.broadcast().to_bits()),
        }
    }

    /// From `first` to `last`, when both are of one family and in this order.
    #[must_use]
    pub fn between(first: IpAddr, last: IpAddr) -> Option<Self> {
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                Some(Self::V4(first.to_bits(), last.to_bits()))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                Some(Self::of_ipv6(first.to_bits(), last.to_bits()))
            }
            _ => None,
        }
    }

    fn of_ipv6(first: u128, last: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the IPv4 address")]
        if first >> 32 == MAPPED >> 32 && last >> 32 == MAPPED >> 32 {
            return Self::V4(first as u32, last as u32);
        }
        Self::V6(first, last)
    }

    /// How many addresses it holds.
    #[must_use]
    pub const fn addresses(self) -> u128 {
        match self {
            Self::V4(first, last) => (last - first) as u128 + 1,
            // All of IPv6 is one more than fits.
            Self::V6(first, last) => (last - first).saturating_add(1),
        }
    }

    /// Whether it holds `address`.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(first, last), IpAddr::V4(address)) => (first..=last).contains(&address.to_bits()),
            (Self::V6(first, last), IpAddr::V6(address)) => (first..=last).contains(&address.to_bits()),
            _ => false,
        }
    }

    /// The first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        match self {
            Self::V4(first, _) => IpAddr::V4(Ipv4Addr::from_bits(first)),
            Self::V6(first, _) => IpAddr::V6(Ipv6Addr::from_bits(first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_network_is_a_range() {
        for (text, range) in [
            ("8.8.8.8", Range::V4(0x0808_0808, 0x0808_0808)),
            ("8.8.8.0/24", Range::V4(0x0808_0800, 0x0808_08ff)),
            ("8.8.8.9/24", Range::V4(0x0808_0800, 0x0808_08ff)),
            ("0.0.0.0/0", Range::V4(0, u32::MAX)),
            ("::ffff:8.8.8.8", Range::V4(0x0808_0808, 0x0808_0808)),
            ("::ffff:8.8.8.0/120", Range::V4(0x0808_0800, 0x0808_08ff)),
            ("::/0", Range::V6(0, u128::MAX)),
            ("2001:db8::/32", Range::V6(0x2001_0db8 << 96, (0x2001_0db9 << 96) - 1)),
        ] {
            assert_eq!(Range::parse(text), Some(range), "`{text}`");
        }
        for text in
            ["", "8.8.8", "8.8.8.8/33", "8.8.8.8/", "/8", " 8.8.8.8", "08.8.8.8", "8.8.8.8/+8", "::1/129"]
        {
            assert_eq!(Range::parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn a_range_is_of_one_family_and_in_order() {
        let between = |first: &str, last: &str| Range::between(first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(between("1.0.0.0", "1.0.0.5").map(Range::addresses), Some(6));
        assert_eq!(
            between("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").map(Range::addresses),
            Some(u128::MAX)
        );
        assert_eq!(between("1.0.0.5", "1.0.0.0"), None);
        assert_eq!(between("1.0.0.5", "2001:db8::"), None);
        assert!(between("1.0.0.0", "1.0.0.5").unwrap().holds("1.0.0.5".parse().unwrap()));
        assert!(!between("1.0.0.0", "1.0.0.5").unwrap().holds("1.0.0.6".parse().unwrap()));
    }
}
