//! Special-use space against a table of its own: the rows of the two IANA special-purpose registries as they stand
//! there, multicast, and the ranges that were withdrawn before they could be anybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_risk_core::address::Address;
use ip_risk_core::special_use;
use ipnet::IpNet;
use proptest::prelude::*;

use crate::addresses::any_ip;
use crate::support::holds;

/// Each row with whether it is globally reachable; of several that hold an address, the longest one counts.
const ROWS: [(&str, bool); 60] = [
    ("0.0.0.0/8", false),
    ("0.0.0.0/32", false),
    ("10.0.0.0/8", false),
    ("100.64.0.0/10", false),
    ("127.0.0.0/8", false),
    ("169.254.0.0/16", false),
    ("172.16.0.0/12", false),
    ("192.0.0.0/24", false),
    ("192.0.0.0/29", false),
    ("192.0.0.8/32", false),
    ("192.0.0.9/32", true),
    ("192.0.0.10/32", true),
    ("192.0.0.170/32", false),
    ("192.0.0.171/32", false),
    ("192.0.2.0/24", false),
    ("192.31.196.0/24", true),
    ("192.52.193.0/24", true),
    ("192.88.99.2/32", false),
    ("192.168.0.0/16", false),
    ("192.175.48.0/24", true),
    ("198.18.0.0/15", false),
    ("198.51.100.0/24", false),
    ("203.0.113.0/24", false),
    ("224.0.0.0/4", false),
    ("240.0.0.0/4", false),
    ("255.255.255.255/32", false),
    ("::1/128", false),
    ("::/128", false),
    ("::/96", false),
    ("64:ff9b:1::/48", false),
    ("100::/64", false),
    ("100:0:0:1::/64", false),
    ("2001::/23", false),
    ("2001:1::1/128", true),
    ("2001:1::2/128", true),
    ("2001:1::3/128", true),
    ("2001:2::/48", false),
    ("2001:3::/32", true),
    ("2001:4:112::/48", true),
    ("2001:10::/28", false),
    ("2001:20::/28", true),
    ("2001:30::/28", true),
    ("2001:db8::/32", false),
    ("2620:4f:8000::/48", true),
    ("3fff::/20", false),
    ("5f00::/16", false),
    ("fc00::/7", false),
    ("fe80::/10", false),
    ("fec0::/10", false),
    ("ff00::/8", false),
    // No rows: space that clients have, next to the rows above.
    ("1.0.0.0/8", true),
    ("11.0.0.0/8", true),
    ("172.32.0.0/16", true),
    ("192.88.99.1/32", true),
    ("223.255.255.255/32", true),
    ("2000::/16", true),
    ("2001:200::/32", true),
    ("2001:db9::/32", true),
    ("2606:4700::/32", true),
    ("3ffe::/16", true),
];

fn rows() -> Vec<(IpNet, bool)> {
    ROWS.iter().map(|(text, is_global)| (text.parse().unwrap(), *is_global)).collect()
}

/// Addresses inside a row and at both of its ends, one step beyond them, and anywhere.
fn candidates() -> impl Strategy<Value = IpAddr> {
    let near =
        (prop::sample::select(rows()), any::<u128>(), 0..5_u8).prop_map(|((network, _), bits, place)| {
            let (first, last) = (network.network(), network.broadcast());
            match place {
                0 => first,
                1 => last,
                2 => moved(first, -1),
                3 => moved(last, 1),
                _ => inside(network, bits),
            }
        });
    prop_oneof![3 => near, 1 => any_ip()]
}

fn moved(ip: IpAddr, by: i8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().wrapping_add_signed(by.into())).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().wrapping_add_signed(by.into())).into(),
    }
}

fn inside(network: IpNet, bits: u128) -> IpAddr {
    match network {
        IpNet::V4(network) => {
            let host = u32::try_from(bits >> 96).unwrap() & network.hostmask().to_bits();
            Ipv4Addr::from_bits(network.network().to_bits() | host).into()
        }
        IpNet::V6(network) => {
            Ipv6Addr::from_bits(network.network().to_bits() | bits & network.hostmask().to_bits()).into()
        }
    }
}

/// Whether the longest row that holds `ip` says that it is not globally reachable.
fn is_special(rows: &[(IpNet, bool)], ip: IpAddr) -> bool {
    let holding = rows.iter().filter(|(network, _)| network.contains(&ip));
    holding.max_by_key(|(network, _)| network.prefix_len()).is_some_and(|(_, is_global)| !is_global)
}

#[test]
fn special_use_is_what_the_registries_say() {
    let rows = rows();
    holds(16_384, &candidates(), |ip| {
        let address = Address::parse(&ip.to_string()).unwrap();
        // What is asked about is the address that is judged, as a checker does.
        let judged = address.judged();
        assert_eq!(special_use::name(judged).is_some(), is_special(&rows, judged.ip()), "{ip} ({judged})");
    });
}

#[test]
fn the_ranges_of_examples_are_told_apart_by_name() {
    let documentation: Vec<IpNet> =
        ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"]
            .map(|text| text.parse().unwrap())
            .to_vec();
    holds(8_192, &candidates(), |ip| {
        let judged = Address::parse(&ip.to_string()).unwrap().judged();
        let is_documentation = documentation.iter().any(|network| network.contains(&judged.ip()));
        let name = special_use::name(judged);
        assert_eq!(name == Some(special_use::DOCUMENTATION), is_documentation, "{ip} is {name:?}");
    });
}
