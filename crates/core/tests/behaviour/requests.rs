//! What leaves the process: a canonical address and the key, whatever text was checked.

use std::net::IpAddr;
use std::sync::Arc;

use ip_risk_core::address::Address;
use ip_risk_core::checker::Request;
use ip_risk_core::clock::SystemClock;
use ip_risk_core::decision::{PolicyId, Source};
use ip_risk_core::engine::Handle;
use ip_risk_core::error::Code;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::provenance::Facts;
use ip_risk_core::routes::RouteId;
use ip_risk_core::{checker::Checker, engine::Engine, special_use};
use proptest::prelude::*;
use serde_json::json;

use crate::addresses::any_ip;
use crate::support::server::{Reply, Server};
use crate::support::{KEY, TRUSTED_PROXY, checker, holds, runtime};

/// What attackers put beside, inside and instead of an address.
const HOSTILE: [&str; 34] = [
    "\r\n",
    "\r\nHost: evil.example\r\n\r\n",
    " HTTP/1.1\r\nX: y",
    "%0d%0a",
    "%00",
    "\0",
    "&apiKey=other",
    "&ip=9.9.9.9",
    "?apiKey=other",
    "#",
    "#fragment",
    "/../../admin",
    "//evil.example",
    "@evil.example",
    ":80@evil.example",
    "\\",
    ";",
    ",1.1.1.1",
    " ",
    "\t",
    "\u{a0}",
    "\u{feff}",
    "\u{200b}",
    "\u{202e}",
    "\u{ff11}",
    "\u{661}",
    "\u{2488}",
    "\u{3002}",
    "%",
    "%25eth0",
    "[",
    "]",
    "evil.example",
    "localhost",
];

/// An address with something hostile at any place in it, or that alone.
fn hostile() -> impl Strategy<Value = String> {
    let hostile = prop_oneof![
        6 => prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => Just(String::new()),
    ];
    let ip = prop_oneof![3 => any_ip().prop_map(|ip| ip.to_string()), 1 => Just(String::new())];
    let wrapped = prop_oneof![Just(("", "")), Just(("[", "]")), Just(("[", "]:443")), Just(("", ":443"))];
    (ip, hostile, any::<prop::sample::Index>(), wrapped).prop_map(
        |(mut text, hostile, place, (open, close))| {
            text.insert_str(place.index(text.len() + 1), &hostile);
            format!("{open}{text}{close}")
        },
    )
}

/// The one target that a check of `address` may have; none when nobody is to be asked about it.
fn target_for(address: Option<Address>) -> Option<String> {
    let judged = address?.judged();
    // A colon is the only character of an address that a query escapes.
    let ip = match judged.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string().replace(':', "%3A"),
    };
    special_use::name(judged).is_none().then(|| format!("/v3/security?apiKey={KEY}&ip={ip}"))
}

#[test]
fn nothing_but_a_canonical_address_reaches_the_url() {
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    // Nothing is cached, repeated or held back, so that every address is asked about once.
    server.answer_otherwise(Reply::status(400));
    let checker = checker(&server, json!({}), Arc::new(SystemClock), false);
    holds(4_096, &hostile(), |text| {
        for (facts, address) in
            [(Facts::default(), Address::parse(&text)), (TRUSTED_PROXY, Address::parse_from_framework(&text))]
        {
            let request =
                Request { text: &text, policy: PolicyId::from_number(0), route: RouteId::OTHER, facts };
            let decision = runtime.block_on(checker.check(request));
            let expected: Vec<String> = target_for(address).into_iter().collect();
            assert_eq!(server.take_targets(), expected, "`{text}`");
            assert_eq!(decision.address, address);
            assert_eq!(decision.failure == Some(Code::InvalidAddress), address.is_none());
        }
    });
}

#[test]
fn the_address_that_is_judged_is_asked_about_in_full() {
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    let checker = checker(&server, json!({}), Arc::new(SystemClock), false);
    for (text, ip) in [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.4.4", "8.8.4.4"),
        ("2606:4700:0::1111", "2606%3A4700%3A%3A1111"),
        ("2002:808:101::1", "8.8.1.1"),
        ("64:ff9b::8.8.2.2", "8.8.2.2"),
    ] {
        let request = Request {
            text,
            policy: PolicyId::from_number(0),
            route: RouteId::OTHER,
            facts: Facts::default(),
        };
        assert_eq!(runtime.block_on(checker.check(request)).source, Source::Api);
        assert_eq!(server.take_targets(), [format!("/v3/security?apiKey={KEY}&ip={ip}")], "{text}");
    }
}

#[test]
fn a_key_and_an_endpoint_path_are_sent_as_they_are_meant() {
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    for (path, sent_path) in
        [("", ""), ("/", ""), ("/mirror", "/mirror"), ("/mirror/", "/mirror"), ("/a/b//", "/a/b")]
    {
        let endpoint = format!("{}{path}", server.url());
        let options = json!({ "apiKey": "a&ip=9.9.9.9#b%00+c", "endpoint": endpoint });
        let options = CheckerOptions::read(&options, Surroundings::default()).unwrap();
        let engine = Arc::new(Engine::new(options.engine.clone(), Arc::new(SystemClock)).unwrap());
        let checker = Checker::new(Handle::on(engine).unwrap(), options);
        let request = Request {
            text: "8.8.8.8",
            policy: PolicyId::from_number(0),
            route: RouteId::OTHER,
            facts: Facts::default(),
        };
        runtime.block_on(checker.check(request));
        let target = format!("{sent_path}/v3/security?apiKey=a%26ip%3D9.9.9.9%23b%2500%2Bc&ip=8.8.8.8");
        assert_eq!(server.take_targets(), [target]);
    }
}
