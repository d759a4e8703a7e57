//! The two doors through which text becomes an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_risk_core::address::Address;
use proptest::prelude::*;

use crate::support::holds;

/// An address of either family, often one that something is special about.
pub(crate) fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6),
        any::<Ipv4Addr>().prop_map(|ip| IpAddr::V6(ip.to_ipv6_mapped())),
        (prefixes(), any::<u128>(), 0_u32..128).prop_map(|(prefix, bits, shift)| {
            IpAddr::V6(Ipv6Addr::from_bits(prefix | bits >> shift & (u128::MAX >> 32)))
        }),
    ]
}

/// The first bits of networks that embed IPv4, are link-local, or are neither.
fn prefixes() -> impl Strategy<Value = u128> {
    let prefixes = ["64:ff9b::", "64:ff9b:1::", "2002:808:404::", "2001::", "fe80::", "::", "::ffff:0:0"];
    prop::sample::select(prefixes.map(|text| text.parse::<Ipv6Addr>().unwrap().to_bits()).to_vec())
}

/// Spellings of addresses, canonical and not, and what looks like one.
fn spelling() -> impl Strategy<Value = String> {
    prop_oneof![
        any_ip().prop_map(|ip| ip.to_string()),
        any_ip().prop_map(|ip| ip.to_string().to_uppercase()),
        any_ip().prop_map(written_out),
        any::<Ipv4Addr>().prop_map(|ip| format!("::ffff:{ip}")),
        // No more than the characters of addresses, in any order.
        "[0-9a-fA-F:.%\\[\\]x]{0,48}",
        any::<String>(),
    ]
}

/// All eight groups with all their zeros.
fn written_out(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.octets().map(|octet| format!("{octet:03}")).join("."),
        IpAddr::V6(ip) => ip.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

/// A spelling with what a framework may add to it, or with one character that nobody may.
fn decorated() -> impl Strategy<Value = String> {
    let port = prop_oneof!["", ":[0-9]{0,6}", ":[ -~]{1,3}"];
    let zone = prop_oneof!["", "", "%[0-9a-zA-Z_.-]{0,34}", "%[ -~]{0,4}"];
    prop_oneof![
        spelling(),
        (spelling(), zone.clone(), port.clone()).prop_map(|(ip, zone, port)| format!("[{ip}{zone}]{port}")),
        (spelling(), zone, port).prop_map(|(ip, zone, port)| format!("{ip}{zone}{port}")),
        (spelling(), any::<char>(), any::<prop::sample::Index>()).prop_map(|(mut text, character, place)| {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain(Some(text.len())).collect();
            text.insert(places[place.index(places.len())], character);
            text
        }),
    ]
}

fn plain(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// What the framework's door should make of `text`, found by trying every way to take it apart.
fn stripped(text: &str) -> Option<IpAddr> {
    let without_port = (0..text.len()).filter_map(|at| {
        let (before, port) = (text.get(..at)?, text.get(at..)?.strip_prefix(':')?);
        let is_port = (1..=5).contains(&port.len())
            && port.chars().all(|digit| digit.is_ascii_digit())
            && port.parse::<u32>().is_ok_and(|port| port <= 65_535);
        is_port.then_some(before)
    });
    let bracketed = |text: &str| zoned(text.strip_prefix('[')?.strip_suffix(']')?);
    let of_v4 = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    zoned(text)
        .or_else(|| bracketed(text))
        .or_else(|| without_port.into_iter().find_map(|rest| bracketed(rest).or_else(|| of_v4(rest))))
}

/// An address, with a zone where it is link-local.
fn zoned(text: &str) -> Option<IpAddr> {
    let Some((ip, zone)) = text.split_once('%') else { return plain(text) };
    let ip: Ipv6Addr = ip.parse().ok()?;
    let is_link_local = ip.segments()[0] & 0xffc0 == 0xfe80;
    let is_zone = (1..=32).contains(&zone.len())
        && zone.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    (is_link_local && is_zone).then_some(IpAddr::V6(ip))
}

/// What every accepted address keeps to, however it was written.
fn is_canonical(address: Address) {
    let text = address.to_string();
    assert!(text.chars().all(|character| "0123456789abcdef:.".contains(character)), "`{text}`");
    assert_eq!(Address::parse(&text), Some(address), "`{text}`");
    assert_eq!(Address::parse_from_framework(&text), Some(address), "`{text}`");
    assert_eq!(Address::parse(&address.judged().to_string()), Some(address.judged()));
    assert_eq!(address.judged().judged(), address.judged(), "what is judged embeds nothing more");
    assert!(address.is_written_as(&text));
    assert!(text.len() <= Address::MAX_TEXT);
}

#[test]
fn the_plain_door_accepts_what_the_standard_library_does() {
    holds(4_096, &spelling(), |text| {
        let address = Address::parse(&text);
        assert_eq!(address.map(Address::ip), plain(&text), "`{text}`");
        address.inspect(|address| is_canonical(*address));
    });
}

#[test]
fn the_frameworks_door_accepts_ports_brackets_and_link_local_zones_and_nothing_else() {
    holds(8_192, &decorated(), |text| {
        let address = Address::parse_from_framework(&text);
        assert_eq!(address.map(Address::ip), stripped(&text), "`{text}`");
        address.inspect(|address| is_canonical(*address));
        assert!(address.is_none() || text.len() <= Address::MAX_TEXT, "a face cuts `{text}`");
    });
}

#[test]
fn an_address_keeps_the_text_of_its_own_spelling_only() {
    holds(4_096, &decorated(), |text| {
        if let Some(address) = Address::parse_from_framework(&text) {
            assert_eq!(address.is_written_as(&text), address.to_string() == text, "`{text}`");
        }
    });
}

#[test]
fn the_ipv4_inside_transition_addresses_is_judged() {
    let embedded = |ip: Ipv4Addr, rest: u64| {
        let bits = u128::from(ip.to_bits());
        [
            ("6to4", 0x2002_u128 << 112 | bits << 80 | u128::from(rest)),
            ("Teredo", 0x2001_u128 << 112 | u128::from(rest) << 32 | u128::from(!ip.to_bits())),
            ("NAT64", 0x0064_ff9b_u128 << 96 | bits),
        ]
    };
    holds(1_024, &(any::<Ipv4Addr>(), any::<u64>()), |(ip, rest)| {
        for (name, bits) in embedded(ip, rest) {
            let text = Ipv6Addr::from_bits(bits).to_string();
            let judged = Address::parse(&text).unwrap().judged();
            assert_eq!(judged.ip(), IpAddr::V4(ip), "{name} `{text}`");
        }
    });
}

#[test]
fn addresses_share_a_cache_key_exactly_when_they_share_the_network() {
    holds(2_048, &(any_ip(), any_ip(), 0_u32..=128, 32_u8..=128), |(one, other, bit, length)| {
        // A neighbour that differs in one bit, so that equal networks are met often.
        let neighbour = match one {
            IpAddr::V6(ip) => {
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ 1_u128.checked_shl(bit).unwrap_or(0)))
            }
            IpAddr::V4(ip) => {
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ 1_u32.checked_shl(bit).unwrap_or(0)))
            }
        };
        for other in [other, neighbour] {
            let [one, other] = [one, other].map(|ip| Address::parse(&ip.to_string()).unwrap());
            let is_same = match (one.ip(), other.ip()) {
                (IpAddr::V6(one), IpAddr::V6(other)) => {
                    let network = ipnet::Ipv6Net::new(one, length).unwrap();
                    network.contains(&other)
                }
                (one, other) => one == other,
            };
            assert_eq!(one.cache_key(length) == other.cache_key(length), is_same, "{one} {other} /{length}");
        }
    });
}
