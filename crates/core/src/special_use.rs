//! Special-use address space, from the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and
//! later), plus multicast, which is never the address of a client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::{Address, prefix_mask};

/// Whether packets of a block can cross the internet.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reach {
    Global,
    Special,
}

use Reach::{Global, Special};

struct Block<Bits> {
    first: Bits,
    length: u8,
    reach: Reach,
    name: &'static str,
}

const fn v4(octets: [u8; 4], length: u8, reach: Reach, name: &'static str) -> Block<u32> {
    Block { first: u32::from_be_bytes(octets), length, reach, name }
}

const fn v6(segments: [u16; 8], length: u8, reach: Reach, name: &'static str) -> Block<u128> {
    let mut first = 0;
    let mut place = 0;
    while place < segments.len() {
        first = first << 16 | segments[place] as u128;
        place += 1;
    }
    Block { first, length, reach, name }
}

/// Exceptions before the blocks that hold them: the first match decides.
const IPV4: [Block<u32>; 18] = [
    v4([192, 0, 0, 9], 32, Global, "port control protocol anycast"),
    v4([192, 0, 0, 10], 32, Global, "traversal using relays around nat anycast"),
    v4([192, 88, 99, 2], 32, Special, "6a44 relay anycast address"),
    v4([10, 0, 0, 0], 8, Special, "private-use"),
    v4([172, 16, 0, 0], 12, Special, "private-use"),
    v4([192, 168, 0, 0], 16, Special, "private-use"),
    v4([127, 0, 0, 0], 8, Special, "loopback"),
    v4([169, 254, 0, 0], 16, Special, "link local"),
    v4([100, 64, 0, 0], 10, Special, "shared address space"),
    v4([0, 0, 0, 0], 8, Special, "this network"),
    v4([192, 0, 0, 0], 24, Special, "ietf protocol assignments"),
    v4([192, 0, 2, 0], 24, Special, DOCUMENTATION),
    v4([198, 51, 100, 0], 24, Special, DOCUMENTATION),
    v4([203, 0, 113, 0], 24, Special, DOCUMENTATION),
    v4([198, 18, 0, 0], 15, Special, "benchmarking"),
    v4([255, 255, 255, 255], 32, Special, "limited broadcast"),
    v4([240, 0, 0, 0], 4, Special, "reserved"),
    v4([224, 0, 0, 0], 4, Special, "multicast"),
];

const IPV6: [Block<u128>; 23] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Special, "loopback"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Special, "unspecified"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Special, "local-use ipv4/ipv6 translation"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Special, "discard-only"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Special, "dummy prefix"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, Global, "port control protocol anycast"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, Global, "traversal using relays around nat anycast"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, Global, "dns-sd service registration protocol anycast"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Special, "benchmarking"),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, Global, "automatic multicast tunneling"),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Global, "as112-v6"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Special, "deprecated orchid"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Global, "orchidv2"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, Global, "drone remote id protocol entity tags"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Special, DOCUMENTATION),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Special, "ietf protocol assignments"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Special, DOCUMENTATION),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Special, "segment routing"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Special, "unique-local"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Special, "link-local unicast"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Special, "deprecated site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Special, "multicast"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, Special, "deprecated ipv4-compatible"),
];

/// The first bytes of all addresses that any of the blocks holds, so that most addresses need no look at the blocks.
const FIRST_BYTES_OF_IPV4: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut place = 0;
    while place < IPV4.len() {
        mark(&mut bytes, (IPV4[place].first >> 24) as usize, IPV4[place].length);
        place += 1;
    }
    bytes
};

const FIRST_BYTES_OF_IPV6: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut place = 0;
    while place < IPV6.len() {
        mark(&mut bytes, (IPV6[place].first >> 120) as usize, IPV6[place].length);
        place += 1;
    }
    bytes
};

/// Marks the first bytes of a block that begins with `first`.
const fn mark(bytes: &mut [bool; 256], first: usize, length: u8) {
    let count = if length < 8 { 1 << (8 - length) } else { 1 };
    let mut byte = first;
    while byte < first + count {
        bytes[byte] = true;
        byte += 1;
    }
}

/// The name of the ranges that examples and tests use (RFC 5737, RFC 3849, RFC 9637).
pub const DOCUMENTATION: &str = "documentation";

/// The registry's name of the special-use block that holds `address`, or nothing when the address is one that
/// clients on the internet can have.
///
/// ```
/// use ip_risk_core::{address::Address, special_use};
///
/// let name = |text| special_use::name(Address::parse(text).unwrap());
/// assert_eq!(name("10.1.2.3"), Some("private-use"));
/// assert_eq!(name("8.8.8.8"), None);
/// ```
#[must_use]
pub fn name(address: Address) -> Option<&'static str> {
    let (reach, name) = match address.ip() {
        IpAddr::V4(address) if !FIRST_BYTES_OF_IPV4[usize::from(address.octets()[0])] => None,
        IpAddr::V6(address) if !FIRST_BYTES_OF_IPV6[usize::from(address.octets()[0])] => None,
        IpAddr::V4(address) => {
            IPV4.iter().find(|block| block.holds(address)).map(|block| (block.reach, block.name))
        }
        IpAddr::V6(address) => {
            IPV6.iter().find(|block| block.holds(address)).map(|block| (block.reach, block.name))
        }
    }?;
    (reach == Special).then_some(name)
}

/// The special-use blocks themselves. The few addresses inside them that are global are not cut out.
pub(crate) fn networks() -> impl Iterator<Item = IpNet> {
    let is_special = |reach: Reach| reach == Special;
    let ipv4 = IPV4.iter().filter(move |block| is_special(block.reach)).filter_map(|block| {
        Ipv4Net::new(Ipv4Addr::from_bits(block.first), block.length).ok().map(IpNet::from)
    });
    let ipv6 = IPV6.iter().filter(move |block| is_special(block.reach)).filter_map(|block| {
        Ipv6Net::new(Ipv6Addr::from_bits(block.first), block.length).ok().map(IpNet::from)
    });
    ipv4.chain(ipv6)
}

impl Block<u32> {
    fn holds(&self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.first) & (u32::MAX << (32 - self.length)) == 0
    }
}

impl Block<u128> {
    fn holds(&self, address: Ipv6Addr) -> bool {
        (address.to_bits() ^ self.first) & prefix_mask(self.length) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(text: &str) -> Option<&'static str> {
        name(Address::parse(text).unwrap())
    }

    #[test]
    fn names_the_first_and_the_last_address_of_every_block_and_not_their_neighbours() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            for text in [first, last] {
                assert!(name_of(text).is_some(), "{text}");
            }
            let bits = |text: &str| u32::from_be_bytes(text.parse::<Ipv4Addr>().unwrap().octets());
            for neighbour in [bits(first).checked_sub(1), bits(last).checked_add(1)].into_iter().flatten() {
                let text = Ipv4Addr::from_bits(neighbour).to_string();
                assert_eq!(name_of(&text), None, "{text}");
            }
        }
    }

    #[test]
    fn knows_the_exceptions_inside_blocks() {
        assert_eq!(name_of("192.0.0.8"), Some("ietf protocol assignments"));
        assert_eq!(name_of("192.0.0.9"), None);
        assert_eq!(name_of("192.0.0.10"), None);
        assert_eq!(name_of("2001:1::1"), None);
        assert_eq!(name_of("2001:1::4"), Some("ietf protocol assignments"));
        assert_eq!(name_of("2001:20::1"), None);
        assert_eq!(name_of("2001:200::1"), None);
    }

    #[test]
    fn knows_ipv6_space() {
        for text in [
            "::",
            "::1",
            "::1.2.3.4",
            "100::1",
            "100:0:0:1::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b:1::1",
        ] {
            assert!(name_of(text).is_some(), "{text}");
        }
        for text in ["2001:db9::1", "2606:4700::1111", "3ffe::1", "4000::1", "2a00::1", "2620:4f:8000::1"] {
            assert_eq!(name_of(text), None, "{text}");
        }
    }
}
