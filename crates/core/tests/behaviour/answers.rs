//! Whatever comes back over the socket, there is a decision.

use ip_risk_core::decision::{Action, Decision, Source};
use ip_risk_core::error::Code;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::server::{Reply, response};
use crate::support::{TRUSTED_PROXY, World, holds, runtime};

const ADDRESS: &str = "198.51.100.7";

/// Statuses that mean something, and any others.
fn status() -> impl Strategy<Value = u16> {
    let known = vec![
        200_u16, 201, 204, 301, 302, 304, 400, 401, 403, 404, 405, 413, 415, 423, 429, 499, 500, 503, 504,
    ];
    prop_oneof![prop::sample::select(known), 200_u16..=599, 100_u16..=999]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..256),
        "\\PC{0,64}".prop_map(String::into_bytes),
        any_json().prop_map(|json| json.to_string().into_bytes()),
        any_json().prop_map(|security| json!({ "security": security }).to_string().into_bytes()),
        any_json().prop_map(|message| json!({ "message": message }).to_string().into_bytes()),
        (any_json(), any_json()).prop_map(|(ip, score)| {
            json!({ "ip": ip, "security": { "threat_score": score } }).to_string().into_bytes()
        }),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u8..=120).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from(ADDRESS)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{0,12}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// What a decision after a look-up always keeps to.
fn is_sound(decision: &Decision) {
    assert_ne!(decision.action, Action::Hold, "`login` opens");
    assert_eq!(decision.source == Source::Api, decision.failure.is_none() || decision.checked_at.is_some());
    assert_eq!(decision.degraded, decision.source == Source::None, "{decision:?}");
    assert_eq!(decision.failed_open, decision.failure.is_some() && decision.action == Action::Allow);
    assert!(!decision.failed_closed && !decision.stale);
    if decision.band.is_none() {
        assert_eq!(decision.score.value(), 0);
        assert_eq!(decision.flags.words(), ip_risk_core::flags::Flags::default().words());
    }
}

#[test]
fn any_status_with_any_body_gives_a_decision() {
    let runtime = runtime();
    let world = runtime.block_on(World::new(json!({})));
    holds(512, &(status(), body()), |(status, body)| {
        // The connection ends with the answer, because a status without a body leaves one behind.
        world.server.answer(ADDRESS, Reply::Bytes(response(status, &body)));
        runtime.block_on(world.checker.invalidate(None)).unwrap();
        let decision = runtime.block_on(world.check(ADDRESS, "login", TRUSTED_PROXY));
        is_sound(&decision);
        if status != 200 {
            assert_eq!(decision.band, None, "only status 200 is evidence");
        }
    });
}

#[test]
fn any_bytes_in_place_of_http_give_a_decision() {
    let runtime = runtime();
    let world = runtime.block_on(World::new(json!({})));
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..128),
        "HTTP/[0-9.]{1,3} [0-9]{1,4} \\PC{0,8}\r\n(\\PC{0,8}: \\PC{0,8}\r\n){0,3}\r\n\\PC{0,16}"
            .prop_map(String::into_bytes),
        // Right at the beginning and cut off at any place.
        any::<prop::sample::Index>().prop_map(|place| {
            let whole = response(200, br#"{"security":{"threat_score":50}}"#);
            whole[..place.index(whole.len())].to_vec()
        }),
    ];
    holds(256, &bytes, |bytes| {
        world.server.answer(ADDRESS, Reply::Bytes(bytes));
        runtime.block_on(world.checker.invalidate(None)).unwrap();
        let decision = runtime.block_on(world.check(ADDRESS, "login", TRUSTED_PROXY));
        is_sound(&decision);
        assert_eq!(decision.band, None, "an answer that is not whole is no evidence");
    });
}

#[test]
fn a_body_beyond_any_documented_size_is_not_read_to_its_end() {
    let runtime = runtime();
    let world = runtime.block_on(World::new(json!({})));
    let padded = |blanks: usize| {
        let body = format!("{{\"security\":{{\"threat_score\":50}}{}}}", " ".repeat(blanks));
        Reply::Http(200, body.into_bytes())
    };
    world.server.answer(ADDRESS, padded(32 * 1024));
    let decision = runtime.block_on(world.check(ADDRESS, "login", TRUSTED_PROXY));
    assert_eq!((decision.score.value(), decision.failure), (50, None));
    runtime.block_on(world.checker.invalidate(None)).unwrap();
    world.server.answer(ADDRESS, padded(16 * 1024 * 1024));
    let decision = runtime.block_on(world.check(ADDRESS, "login", TRUSTED_PROXY));
    assert_eq!((decision.band, decision.failure), (None, Some(Code::BodyTooLarge)));
}
