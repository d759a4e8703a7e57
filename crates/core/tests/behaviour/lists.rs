//! Allow and deny lists against a naive reading of the same entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_risk_core::address::Address;
use ip_risk_core::policy::Policy;
use ip_risk_core::routes::RouteId;
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{holds, read};

const ROUTES: [&str; 3] = ["/login", "/health", "/reset"];
/// Dates as users write them, with the first moment at which the entry no longer matches.
const EXPIRIES: [(&str, u64); 3] = [
    ("2030-01-01", 1_893_456_000_000),
    ("2030-01-01T12:00:00Z", 1_893_499_200_000),
    ("2030-01-01T12:00:00+02:00", 1_893_492_000_000),
];

#[derive(Clone, Debug)]
struct Entry {
    network: IpNet,
    expiry: Option<(&'static str, u64)>,
    routes: Vec<&'static str>,
}

impl Entry {
    fn written(&self, place: usize) -> Value {
        let mut written = json!({ "cidr": self.network.to_string(), "owner": place.to_string() });
        if let Some((text, _)) = self.expiry {
            written["expires"] = json!(text);
        }
        if !self.routes.is_empty() {
            written["routes"] = json!(self.routes);
        }
        written
    }

    fn matches(&self, ip: IpAddr, route: Option<&str>, now: u64) -> bool {
        self.network.contains(&ip)
            && self.expiry.is_none_or(|(_, end)| now < end)
            && (self.routes.is_empty() || route.is_some_and(|route| self.routes.contains(&route)))
    }
}

/// Few different bits, so that networks nest and addresses fall into them.
fn ip() -> impl Strategy<Value = IpAddr> {
    let v4 = prop::collection::vec(prop::sample::select(vec![0_u8, 1, 128, 255]), 4);
    let v6 = prop::collection::vec(prop::sample::select(vec![0_u16, 1, 0x8000, 0xffff]), 7);
    prop_oneof![
        v4.prop_map(|octets| IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))),
        v6.prop_map(|rest| {
            let segments = [0x2600, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6]];
            IpAddr::V6(Ipv6Addr::from(segments))
        }),
    ]
}

fn network() -> impl Strategy<Value = IpNet> {
    (ip(), 0_u8..=128).prop_map(|(ip, length)| {
        let length = if ip.is_ipv4() { length / 4 } else { length };
        IpNet::new(ip, length).unwrap().trunc()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let expiry = prop::option::of(prop::sample::select(EXPIRIES.to_vec()));
    let routes = prop::sample::subsequence(ROUTES.to_vec(), 0..=2);
    (network(), expiry, routes).prop_map(|(network, expiry, routes)| Entry { network, expiry, routes })
}

fn policy_denying(entries: &[Entry]) -> Policy {
    let written: Vec<Value> = entries.iter().enumerate().map(|(place, entry)| entry.written(place)).collect();
    let options = read(&json!({ "apiKey": "key", "policies": { "login": { "deny": written } } })).unwrap();
    options.policies.all()[0].clone()
}

#[test]
fn the_most_specific_entry_that_applies_is_found() {
    let entries = prop::collection::vec(entry(), 0..24);
    let asked = prop::collection::vec((ip(), prop::sample::select(vec!["/login", "/health", "/other"])), 16);
    let now = prop::sample::select(vec![
        1_893_455_999_999_u64,
        1_893_456_000_000,
        1_893_491_999_999,
        1_893_492_000_000,
        1_893_499_199_999,
        1_893_499_200_000,
    ]);
    holds(1_024, &(entries, asked, now), |(entries, asked, now)| {
        let policy = policy_denying(&entries);
        for (ip, route) in asked {
            let address = Address::parse(&ip.to_string()).unwrap();
            let found = policy.deny().find(address, policy.routes().find(route), now);
            let matching =
                entries.iter().enumerate().filter(|(_, entry)| entry.matches(ip, Some(route), now));
            let expected = matching
                .map(|(place, entry)| (entry.network.prefix_len(), place))
                // Of entries for the same network the first one.
                .max_by_key(|(length, place)| (*length, usize::MAX - place))
                .map(|(_, place)| place.to_string());
            assert_eq!(found.and_then(|entry| entry.owner()), expected.as_deref(), "{ip} at {route}");
        }
    });
}

#[test]
fn entries_of_one_family_never_match_the_other() {
    let denying = |cidr: &str| read(&json!({ "apiKey": "key", "policies": { "login": { "deny": [cidr] } } }));
    let finds = |cidr: &str, text: &str| {
        let options = denying(cidr).unwrap();
        let address = Address::parse(text).unwrap();
        options.policies.all()[0].deny().find(address, RouteId::OTHER, 0).is_some()
    };
    assert!(finds("0.0.0.0/0", "8.8.8.8") && finds("0.0.0.0/0", "::ffff:8.8.8.8"));
    assert!(!finds("0.0.0.0/0", "2600::1") && !finds("::/0", "8.8.8.8") && !finds("::/0", "::ffff:8.8.8.8"));
    assert!(finds("::/0", "2600::1"));
    assert!(denying("::ffff:8.8.8.0/120").is_err(), "an entry that could never match is refused");
}
