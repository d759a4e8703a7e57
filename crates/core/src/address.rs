//! The only type of address that can reach a cache key or a URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ipv6_text::{self, Canonical};

/// An IP address that was parsed from text, IPv4-mapped IPv6 already turned into IPv4.
///
/// IPv4 is read by the standard library's parser, which refuses octal, hexadecimal, short and padded forms, and IPv6 by one
/// that is held against it. What is ours is the two doors, the IPv4 inside transition addresses and the cache key.
///
/// ```
/// use ip_risk_core::address::Address;
///
/// let mapped = Address::parse("::ffff:8.8.8.8").unwrap();
/// assert_eq!(mapped.to_string(), "8.8.8.8");
/// assert!(Address::parse("010.8.8.8").is_none());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Address(IpAddr);

/// What a cache files evidence under: the IPv4 address, or the IPv6 network of the configured length.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CacheKey(u128);

impl Address {
    /// The longest text that can be an address, with brackets, zone and port.
    pub const MAX_TEXT: usize = 96;

    /// A plain address, as `check()` takes it: no port, no brackets, no zone, no blanks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte == b':') {
            return ipv6_text::parse(text).map(|address| Self(address.to_canonical()));
        }
        text.parse().ok().map(|address| Self(IpAddr::V4(address)))
    }

    /// Text from a web framework, which may also carry a port, brackets or the zone of a link-local address.
    #[must_use]
    pub fn parse_from_framework(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse(without_port_and_zone(text)?))
    }

    /// The address that is judged: the embedded IPv4 of 6to4, Teredo and NAT64, otherwise the address itself.
    #[must_use]
    pub fn judged(self) -> Self {
        let IpAddr::V6(address) = self.0 else { return self };
        let bits = address.to_bits();
        let embedded = match address.segments() {
            [0x2002, ..] => bits >> 80,
            [0x2001, 0, ..] => !bits,
            [0x64, 0xff9b, 0, 0, 0, 0, _, _] => bits,
            _ => return self,
        };
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the IPv4 address")]
        Self(IpAddr::V4(Ipv4Addr::from_bits(embedded as u32)))
    }

    /// The standard library's type.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// All 128 bits; IPv4 in its IPv4-mapped form.
    #[must_use]
    pub fn bits(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    /// What caches file the judged address under; of IPv6 only the first `ipv6_prefix` bits count.
    #[must_use]
    pub fn cache_key(self, ipv6_prefix: u8) -> CacheKey {
        match self.0 {
            IpAddr::V4(_) => CacheKey(self.bits()),
            IpAddr::V6(_) => CacheKey(self.bits() & prefix_mask(ipv6_prefix)),
        }
    }

    /// The network that stands for the address in logs: the /24 or /48 of what is judged, because the /48 of 6to4 holds a
    /// whole IPv4 address.
    #[must_use]
    pub fn network(self) -> String {
        match self.judged().0 {
            IpAddr::V4(address) => format!("{}/24", Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00)),
            IpAddr::V6(address) => format!("{}/48", Ipv6Addr::from_bits(address.to_bits() & prefix_mask(48))),
        }
    }

    /// Whether `text` is how this address is written, so that a face can keep the text it has.
    #[must_use]
    pub fn is_written_as(self, text: &str) -> bool {
        match self.0 {
            // An IPv4 address has one accepted spelling, so its text differs only where something was stripped.
            IpAddr::V4(_) => text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()),
            IpAddr::V6(address) => Canonical::of(address).as_bytes() == text.as_bytes(),
        }
    }
}

/// The mask of the first `length` bits of 128.
pub(crate) fn prefix_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(128 - length.min(128))).unwrap_or(0)
}

/// `[address%zone]:port`, `address%zone` and `IPv4:port` without what is not the address.
fn without_port_and_zone(text: &str) -> Option<&str> {
    let (address, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None if text.matches(':').count() == 1 => text.split_at(text.find(':')?),
        None => (text, ""),
    };
    if !rest.is_empty() {
        rest.strip_prefix(':').filter(|port| is_port(port))?;
    }
    let Some((address, zone)) = address.split_once('%') else { return Some(address) };
    let is_link_local = address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_unicast_link_local());
    (is_link_local && is_zone(zone)).then_some(address)
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_zone(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=32).contains(&text.len()) && text.bytes().all(is_plain)
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl CacheKey {
    /// The address, or the first one of those that share the key.
    pub(crate) fn address(self) -> Address {
        Address(Ipv6Addr::from_bits(self.0).to_canonical())
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address(), formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> String {
        Address::parse(text).unwrap().judged().to_string()
    }

    #[test]
    fn writes_one_spelling_for_every_spelling() {
        for (text, canonical) in [
            ("8.8.8.8", "8.8.8.8"),
            ("::ffff:8.8.8.8", "8.8.8.8"),
            ("::FFFF:808:808", "8.8.8.8"),
            ("2606:4700:0:0:0:0:0:1111", "2606:4700::1111"),
            ("2606:4700::000A", "2606:4700::a"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn refuses_what_is_not_a_plain_address() {
        for text in [
            "",
            " ",
            "foo",
            "8.8.8",
            "8.8.8.8 ",
            " 8.8.8.8",
            "08.8.8.8",
            "0x8.8.8.8",
            "134744072",
            "8.8.8.256",
            "8.8.8.8.8",
            "8.8.8.8:80",
            "[::1]",
            "fe80::1%eth0",
            "::ffff:8.8.8.08",
            "1::2::3",
            "٨.8.8.8",
            "8.8.8.8\0",
        ] {
            assert_eq!(Address::parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn strips_port_brackets_and_zone_of_framework_text() {
        for (text, canonical) in [
            ("8.8.8.8:443", "8.8.8.8"),
            ("[2606:4700::1]", "2606:4700::1"),
            ("[2606:4700::1]:443", "2606:4700::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25]:80", "fe80::1"),
            ("::ffff:8.8.8.8", "8.8.8.8"),
        ] {
            assert_eq!(Address::parse_from_framework(text).unwrap().to_string(), canonical, "`{text}`");
        }
        for text in [
            "8.8.8.8:",
            "8.8.8.8:99999",
            "8.8.8.8:+1",
            "[8.8.8.8",
            "[::1]x",
            "2606::1%eth0",
            "fe80::1%",
            "8.8.8.8%1",
            "unknown",
            "_hidden",
            "8.8.8.8, 9.9.9.9",
            "[[::1]]",
        ] {
            assert_eq!(Address::parse_from_framework(text), None, "`{text}`");
        }
    }

    #[test]
    fn judges_transition_addresses_by_the_ipv4_inside() {
        assert_eq!(judged("2002:808:404::1"), "8.8.4.4");
        assert_eq!(judged("2001:0:4136:e378:8000:63bf:f7f7:fbfb"), "8.8.4.4");
        assert_eq!(judged("64:ff9b::8.8.4.4"), "8.8.4.4");
        assert_eq!(judged("64:ff9b:1::8.8.4.4"), "64:ff9b:1::808:404");
        assert_eq!(judged("2001:4860::1"), "2001:4860::1");
    }

    #[test]
    fn files_ipv6_by_network_and_ipv4_by_address() {
        let key = |text: &str| Address::parse(text).unwrap().cache_key(64);
        assert_eq!(key("2606:4700::1"), key("2606:4700::ffff:1"));
        assert_ne!(key("2606:4700::1"), key("2606:4700:0:1::1"));
        assert_ne!(key("8.8.8.8"), key("8.8.8.9"));
        assert_eq!(key("2606:4700::1").to_string(), "2606:4700::");
        assert_eq!(key("8.8.8.8").to_string(), "8.8.8.8");
    }

    #[test]
    fn shortens_addresses_for_logs() {
        assert_eq!(Address::parse("8.8.4.4").unwrap().network(), "8.8.4.0/24");
        assert_eq!(Address::parse("2606:4700:1:2::3").unwrap().network(), "2606:4700:1::/48");
        assert_eq!(Address::parse("2002:808:404::1").unwrap().network(), "8.8.4.0/24");
    }

    #[test]
    fn knows_its_own_spelling() {
        let is_kept = |text: &str| Address::parse_from_framework(text).unwrap().is_written_as(text);
        assert!(is_kept("8.8.8.8") && is_kept("2606:4700::1"));
        assert!(!is_kept("8.8.8.8:1") && !is_kept("::ffff:8.8.8.8") && !is_kept("2606:4700::0001"));
    }
}
