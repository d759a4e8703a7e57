//! Mistakes in options: every message leads to the mistake, and none shows a secret.

use std::sync::Arc;
use std::time::Duration;

use ip_risk_core::clock::SystemClock;
use ip_risk_core::decision::Mode;
use ip_risk_core::engine::Engine;
use ip_risk_core::error::{Code, Error};
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::secret::Secret;
use ip_risk_core::spelling::Spelling;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{holds, read};

/// What no message may hold.
const API_KEY: &str = "k3y-0f-the-security-api";
const PASSWORD: &str = "pa55w0rd-of-the-endpoint";

fn with_key(mut options: Value) -> Value {
    options["apiKey"] = json!(API_KEY);
    options
}

fn mistake(options: &Value) -> Error {
    read(options).err().unwrap_or_else(|| panic!("{options} is accepted"))
}

/// The mistake of a policy called `p`.
fn policy_mistake(policy: &Value) -> Error {
    mistake(&with_key(json!({ "policies": { "p": policy } })))
}

/// What every message keeps to.
fn is_presentable(message: &str) {
    let first = message.chars().next().unwrap();
    assert!(first == '`' || first.is_lowercase(), "{message}");
    assert!(!message.contains("``") && !message.contains('\n') && message.len() < 700, "{message}");
}

#[test]
fn a_value_that_cannot_be_used_is_named_by_its_path() {
    for (options, path) in [
        (json!({ "deadlineMs": 0 }), "deadlineMs"),
        (json!({ "deadlineMs": 60_001 }), "deadlineMs"),
        (json!({ "deadlineMs": -1 }), "deadlineMs"),
        (json!({ "deadlineMs": 1.5 }), "deadlineMs"),
        (json!({ "deadlineMs": "1500" }), "deadlineMs"),
        (json!({ "deadlineMs": null }), "deadlineMs"),
        (json!({ "deadlineMs": 1e300 }), "deadlineMs"),
        (json!({ "connectTimeoutMs": 0 }), "connectTimeoutMs"),
        (json!({ "maxInFlight": 0 }), "maxInFlight"),
        (json!({ "maxInFlight": 1_000_001 }), "maxInFlight"),
        (json!({ "cache": true }), "cache"),
        (json!({ "cache": [] }), "cache"),
        (json!({ "cache": { "ttlMs": 0 } }), "cache.ttlMs"),
        (json!({ "cache": { "ttlMs": [300] } }), "cache.ttlMs"),
        (json!({ "cache": { "staleMs": -1 } }), "cache.staleMs"),
        (json!({ "cache": { "maxEntries": 0 } }), "cache.maxEntries"),
        (json!({ "cache": { "ipv6Prefix": 31 } }), "cache.ipv6Prefix"),
        (json!({ "cache": { "ipv6Prefix": 129 } }), "cache.ipv6Prefix"),
        (json!({ "policies": [] }), "policies"),
        (json!({ "policies": { "p": "strict" } }), "policies.p"),
        (json!({ "policies": { "p": null } }), "policies.p"),
    ] {
        let error = mistake(&with_key(options));
        assert_eq!(error.code(), Code::Option, "{error}");
        assert!(error.to_string().starts_with(&format!("`{path}` must be ")), "{error}");
        is_presentable(&error.to_string());
    }
}

#[test]
fn a_mistake_in_a_policy_is_named_by_its_path() {
    let rule = |rule: Value| json!({ "rules": [{ "id": "relay", "enabled": true }, rule] });
    let when = |when: Value| rule(json!({ "id": "own", "when": when, "atLeast": "log" }));
    for (policy, path) in [
        (json!({ "mode": "dry-run" }), "mode"),
        (json!({ "mode": true }), "mode"),
        (json!({ "extends": 1 }), "extends"),
        (json!({ "extends": "" }), "extends"),
        (json!({ "extends": "strict" }), "extends"),
        (json!({ "extends": "p" }), "extends"),
        (json!({ "thresholds": 80 }), "thresholds"),
        (json!({ "thresholds": { "log": 50, "challenge": 40 } }), "thresholds"),
        (json!({ "thresholds": { "challenge": 81 } }), "thresholds"),
        (json!({ "thresholds": { "block": 101 } }), "thresholds.block"),
        (json!({ "thresholds": { "block": 79.5 } }), "thresholds.block"),
        (json!({ "thresholds": { "log": "20" } }), "thresholds.log"),
        (json!({ "onFailure": "block" }), "onFailure"),
        (json!({ "onFailure": { "upstream": "hold" } }), "onFailure.upstream"),
        (json!({ "onFailure": { "exhausted": null } }), "onFailure.exhausted"),
        (json!({ "maxAction": "hold" }), "maxAction"),
        (json!({ "maxStaleMs": -1 }), "maxStaleMs"),
        (json!({ "maxStaleMs": "1h" }), "maxStaleMs"),
        (json!({ "allow": "10.0.0.0/8" }), "allow"),
        (json!({ "allow": [1] }), "allow[0]"),
        (json!({ "allow": ["10.0.0.0/8", "10.0.0.0/33"] }), "allow[1]"),
        (json!({ "allow": ["10.0.0.1/8"] }), "allow[0]"),
        (json!({ "allow": ["example.com"] }), "allow[0]"),
        (json!({ "allow": ["10.0.0"] }), "allow[0]"),
        (json!({ "allow": ["::ffff:10.0.0.0/104"] }), "allow[0]"),
        (json!({ "allow": ["0.0.0.0/0"] }), "allow[0]"),
        (json!({ "allow": ["::/0"] }), "allow[0]"),
        (json!({ "deny": [{ "owner": "me" }] }), "deny[0].cidr"),
        (json!({ "deny": [{ "cidr": "" }] }), "deny[0].cidr"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "owner": "" }] }), "deny[0].owner"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "reason": 1 }] }), "deny[0].reason"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "expires": "tomorrow" }] }), "deny[0].expires"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "expires": 1_800_000_000 }] }), "deny[0].expires"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "expires": "1969-12-31" }] }), "deny[0].expires"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "expires": "2027-02-30" }] }), "deny[0].expires"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "routes": [] }] }), "deny[0].routes"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "routes": "/login" }] }), "deny[0].routes"),
        (json!({ "deny": [{ "cidr": "8.8.8.8", "routes": ["/login", 1] }] }), "deny[0].routes[1]"),
        (json!({ "rules": {} }), "rules"),
        (rule(json!("relay")), "rules[1]"),
        (rule(json!({ "when": { "is_vpn": true }, "atLeast": "log" })), "rules[1].id"),
        (rule(json!({ "id": "Own", "when": { "is_vpn": true }, "atLeast": "log" })), "rules[1].id"),
        (rule(json!({ "id": "own rule", "when": { "is_vpn": true }, "atLeast": "log" })), "rules[1].id"),
        (rule(json!({ "id": "1own", "when": { "is_vpn": true }, "atLeast": "log" })), "rules[1].id"),
        (rule(json!({ "id": "failed_open", "when": { "is_vpn": true }, "atLeast": "log" })), "rules[1]"),
        (rule(json!({ "id": "own", "atLeast": "log" })), "rules[1].when"),
        (rule(json!({ "id": "own", "when": { "is_vpn": true } })), "rules[1]"),
        (rule(json!({ "id": "own", "when": { "is_vpn": true }, "atLeast": "hold" })), "rules[1].atLeast"),
        (
            rule(json!({ "id": "own", "when": { "is_vpn": true }, "atLeast": "block", "atMost": "log" })),
            "rules[1]",
        ),
        (
            rule(json!({ "id": "own", "when": { "is_vpn": true }, "atLeast": "log", "routes": [] })),
            "rules[1].routes",
        ),
        (
            rule(json!({ "id": "own", "when": { "is_vpn": true }, "atLeast": "log", "unless": [{}] })),
            "rules[1].unless[0]",
        ),
        (rule(json!({ "id": "relay", "enabled": "no" })), "rules[1].enabled"),
        (rule(json!({ "enabled": false })), "rules[1].id"),
        (when(json!({})), "rules[1].when"),
        (when(json!({ "is_vpn": "yes" })), "rules[1].when.is_vpn"),
        (when(json!({ "threat_score": 80 })), "rules[1].when.threat_score"),
        (when(json!({ "threat_score": {} })), "rules[1].when.threat_score"),
        (when(json!({ "threat_score": { "min": 101 } })), "rules[1].when.threat_score.min"),
        (when(json!({ "threat_score": { "min": 60, "max": 50 } })), "rules[1].when.threat_score"),
        (when(json!({ "vpn_last_seen": "2026-01-01" })), "rules[1].when.vpn_last_seen"),
        (when(json!({ "vpn_last_seen": {} })), "rules[1].when.vpn_last_seen.withinDays"),
        (when(json!({ "vpn_last_seen": { "withinDays": -1 } })), "rules[1].when.vpn_last_seen.withinDays"),
        (when(json!({ "cloud_provider_name": [] })), "rules[1].when.cloud_provider_name"),
        (when(json!({ "cloud_provider_name": ["a", ""] })), "rules[1].when.cloud_provider_name[1]"),
        (when(json!({ "vpn_provider_names": { "any": "a" } })), "rules[1].when.vpn_provider_names"),
    ] {
        let error = policy_mistake(&policy);
        assert_eq!(error.code(), Code::Option, "{error}");
        assert!(error.to_string().starts_with(&format!("`policies.p.{path}`")), "{policy}: {error}");
        is_presentable(&error.to_string());
    }
}

#[test]
fn an_option_that_does_not_exist_is_named_with_the_nearest_that_does() {
    let when = |name: &str| json!({ "rules": [{ "id": "own", "when": { name: true }, "atLeast": "log" }] });
    let inside = |policy: Value| json!({ "policies": { "p": policy } });
    for (options, path, nearest) in [
        (json!({ "apikey": "x" }), "apikey", "apiKey"),
        (json!({ "api_key": "x" }), "api_key", "apiKey"),
        (json!({ "deadline": 1 }), "deadline", "deadlineMs"),
        (json!({ "DEADLINEMS": 1 }), "DEADLINEMS", "deadlineMs"),
        (json!({ "policy": {} }), "policy", "policies"),
        (json!({ "loger": false }), "loger", "logger"),
        (json!({ "endpont": "x" }), "endpont", "endpoint"),
        (json!({ "cache": { "ttl": 1 } }), "cache.ttl", "ttlMs"),
        (json!({ "cache": { "maxEntires": 1 } }), "cache.maxEntires", "maxEntries"),
        (json!({ "cache": { "ipv6prefix": 64 } }), "cache.ipv6prefix", "ipv6Prefix"),
        (inside(json!({ "threshold": {} })), "policies.p.threshold", "thresholds"),
        (inside(json!({ "thresholds": { "blok": 1 } })), "policies.p.thresholds.blok", "block"),
        (inside(json!({ "onFail": "open" })), "policies.p.onFail", "onFailure"),
        (inside(json!({ "onFailure": { "up": "open" } })), "policies.p.onFailure.up", "upstream"),
        (inside(json!({ "deny": [{ "cdir": "8.8.8.8" }] })), "policies.p.deny[0].cdir", "cidr"),
        (
            inside(json!({ "deny": [{ "cidr": "8.8.8.8", "expire": "x" }] })),
            "policies.p.deny[0].expire",
            "expires",
        ),
        (
            inside(json!({ "rules": [{ "id": "own", "when": { "is_vpn": true }, "atleast": "log" }] })),
            "policies.p.rules[0].atleast",
            "atLeast",
        ),
        (inside(when("is_vnp")), "policies.p.rules[0].when.is_vnp", "is_vpn"),
        (inside(when("isVpn")), "policies.p.rules[0].when.isVpn", "is_vpn"),
        (
            inside(when("is_residental_proxy")),
            "policies.p.rules[0].when.is_residental_proxy",
            "is_residential_proxy",
        ),
        (inside(when("score")), "policies.p.rules[0].when.score", "threat_score"),
    ] {
        let error = mistake(&with_key(options));
        assert_eq!(error.code(), Code::UnknownOption, "{error}");
        let message = error.to_string();
        is_presentable(&message);
        assert!(message.starts_with(&format!("`{path}` is not an option; ")), "{message}");
        // Where nothing is near, all that are known are listed.
        assert!(
            message.ends_with(&format!("did you mean `{nearest}`?"))
                || message.contains(&format!("`{nearest}`")),
            "{message}"
        );
    }
}

#[test]
fn a_near_miss_gets_one_suggestion_and_a_far_one_the_whole_list() {
    let near = mistake(&with_key(json!({ "deadlinMs": 1 }))).to_string();
    assert_eq!(near, "`deadlinMs` is not an option; did you mean `deadlineMs`?");
    let far = mistake(&with_key(json!({ "zzz": 1 }))).to_string();
    assert!(far.contains("known are `apiKey`, `endpoint`, `deadlineMs`"), "{far}");
}

#[test]
fn a_rule_that_does_not_exist_is_named_when_it_is_switched() {
    let error = policy_mistake(&json!({ "rules": [{ "id": "residental_proxy", "enabled": false }] }));
    assert_eq!(error.code(), Code::UnknownOption);
    let message = error.to_string();
    assert!(message.starts_with("`policies.p.rules[0].id`"), "{message}");
    assert!(message.ends_with("did you mean `residential_proxy`?"), "{message}");
    assert!(message.contains("`residental_proxy`"), "the message shows what was written: {message}");
}

#[test]
fn a_slip_in_the_name_of_a_rules_switch_is_found_too() {
    let message = policy_mistake(&json!({ "rules": [{ "id": "relay", "enable": false }] })).to_string();
    assert!(message.starts_with("`policies.p.rules[0].enable` is not an option; "), "{message}");
    assert!(message.contains("`enabled`"), "{message}");
}

#[test]
fn without_a_key_the_message_says_what_to_do() {
    for options in [json!({}), json!({ "deadlineMs": 100 })] {
        let error = mistake(&options);
        assert_eq!(error.code(), Code::NoSource);
        for hint in ["`IPGEO_API_KEY`", "`apiKey`", "`createTestChecker()`"] {
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}

/// Keys in the wrong wrapping: what a slip in a configuration file makes of one.
fn wrapped_keys() -> Vec<Value> {
    vec![
        json!({ "key": API_KEY }),
        json!({ "apiKey": { "value": API_KEY } }),
        json!([API_KEY]),
        json!(format!("{API_KEY}\n")),
        json!(format!("\n{API_KEY}")),
        json!(format!("{API_KEY} ")),
        json!(format!("{API_KEY} {API_KEY}")),
        json!(format!("{API_KEY}\0")),
        json!(format!("Bearer {API_KEY}")),
        json!(format!("{API_KEY}ü")),
        json!(API_KEY.repeat(40)),
        json!(1_234_567_890),
        json!(1_234_567_890.5),
        json!(true),
        json!(""),
        json!(" "),
        json!(null),
    ]
}

/// No message shows the key, the password, or a number that may be the key.
fn shows_nothing(message: &str) {
    for secret in [API_KEY, PASSWORD, "1234567890", "k3y", "pa55"] {
        assert!(!message.contains(secret), "{message}");
    }
}

#[test]
fn a_key_in_any_wrapping_is_refused_without_being_shown() {
    for key in wrapped_keys() {
        let error = mistake(&json!({ "apiKey": key }));
        assert_eq!(error.code(), Code::Option, "{key}");
        assert!(error.to_string().starts_with("`apiKey` "), "{error}");
        shows_nothing(&error.to_string());
        shows_nothing(&format!("{error:?}"));
    }
}

#[test]
fn a_key_of_the_environment_is_trimmed_and_refused_without_being_shown() {
    let read = |key: &str| {
        let surroundings = Surroundings { api_key: Some(Secret::new(key)), ..Surroundings::default() };
        CheckerOptions::read(&json!({}), surroundings)
    };
    for key in [API_KEY, &format!(" {API_KEY}\n")] {
        assert_eq!(read(key).unwrap().engine.api_key.unwrap().expose(), API_KEY);
    }
    for key in ["", " ", "\n"] {
        assert_eq!(read(key).unwrap_err().code(), Code::NoSource);
    }
    for key in [format!("{API_KEY} {API_KEY}"), format!("{API_KEY}\0"), format!("\"{API_KEY}ü\"")] {
        let error = read(&key).unwrap_err();
        assert_eq!(error.code(), Code::Option);
        shows_nothing(&error.to_string());
    }
}

#[test]
fn a_written_key_wins_over_that_of_the_environment_even_when_it_is_wrong() {
    let surroundings = || Surroundings { api_key: Some(Secret::new("other")), ..Surroundings::default() };
    let options = CheckerOptions::read(&json!({ "apiKey": API_KEY }), surroundings()).unwrap();
    assert_eq!(options.engine.api_key.unwrap().expose(), API_KEY);
    let error = CheckerOptions::read(&json!({ "apiKey": "" }), surroundings()).unwrap_err();
    assert_eq!(error.code(), Code::Option);
}

#[test]
fn an_endpoint_that_cannot_be_used_is_refused_without_being_shown() {
    let key = API_KEY;
    for endpoint in [
        json!(format!("https://user:{PASSWORD}@api.example")),
        json!(format!("https://{PASSWORD}@api.example")),
        json!(format!("https://api.example/?apiKey={key}")),
        json!(format!("https://api.example/#{key}")),
        json!(format!("http://api.example/{key}")),
        json!(format!("http://192.0.2.1:8080/{key}")),
        json!(format!("ftp://api.example/{key}")),
        json!(format!("file:///{key}")),
        json!(format!("data:,{key}")),
        json!(format!("{key}.api.example")),
        json!(format!("//{key}")),
        json!(format!("https://[{key}]/")),
        json!({ "url": format!("https://user:{PASSWORD}@api.example") }),
        json!([key]),
        json!(""),
        json!(1_234_567_890),
        json!(null),
    ] {
        let error = mistake(&with_key(json!({ "endpoint": endpoint })));
        assert_eq!(error.code(), Code::Option, "{endpoint}");
        let message = error.to_string();
        assert!(message.starts_with("`endpoint` must "), "{message}");
        assert!(!message.contains("api.example") && !message.contains("192.0.2.1"), "{message}");
        shows_nothing(&message);
    }
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for endpoint in ["http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:1/path", "http://localhost"] {
        assert!(read(&with_key(json!({ "endpoint": endpoint }))).is_ok(), "{endpoint}");
    }
    for endpoint in
        ["http://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1", "http://[::2]"]
    {
        assert!(read(&with_key(json!({ "endpoint": endpoint }))).is_err(), "{endpoint}");
    }
}

#[test]
fn documentation_addresses_are_scored_only_by_a_stand_in_on_this_machine() {
    let lifting = |endpoint: Value| {
        let surroundings = Surroundings { lift_documentation: true, ..Surroundings::default() };
        CheckerOptions::read(&with_key(endpoint), surroundings)
    };
    assert!(lifting(json!({ "endpoint": "http://127.0.0.1:1" })).is_ok());
    for endpoint in [json!({}), json!({ "endpoint": "https://api.example" })] {
        let error = lifting(endpoint).unwrap_err();
        assert_eq!(error.code(), Code::Option);
        assert!(error.to_string().starts_with("`endpoint` must be the stand-in"), "{error}");
    }
}

#[test]
fn no_mistake_elsewhere_shows_the_key_or_the_endpoint() {
    let broken = prop_oneof![
        Just(json!({ "deadlineMs": "soon" })),
        Just(json!({ "cache": { "size": 1 } })),
        Just(json!({ "policies": { "p": { "mode": "x" } } })),
        Just(json!({ "policies": { "p": { "allow": ["x"] } } })),
        Just(json!({ "unknown": {} })),
        ("[a-zA-Z]{1,12}", any::<i32>()).prop_map(|(name, value)| json!({ name: value })),
        ("[a-zA-Z]{1,12}", "\\PC{0,80}").prop_map(|(name, value)| json!({ "cache": { name: value } })),
        "\\PC{0,200}".prop_map(|value| json!({ "policies": { "p": { "thresholds": value } } })),
    ];
    holds(512, &broken, |mut options| {
        options["apiKey"] = json!(API_KEY);
        options["endpoint"] = json!(format!("https://{PASSWORD}.example/{PASSWORD}"));
        if let Err(error) = read(&options) {
            shows_nothing(&error.to_string());
        }
    });
}

#[test]
fn a_key_in_place_of_the_options_is_not_shown() {
    for options in [json!(API_KEY), json!([API_KEY])] {
        let error = mistake(&options);
        assert_eq!(error.code(), Code::Option);
        shows_nothing(&error.to_string());
        assert!(!error.to_string().contains("``"), "the message names something: {error}");
    }
}

#[test]
fn nothing_that_is_printed_for_debugging_shows_the_key() {
    let surroundings = Surroundings {
        api_key: Some(Secret::new(API_KEY)),
        https_proxy: Some(Secret::new(PASSWORD)),
        ..Surroundings::default()
    };
    shows_nothing(&format!("{surroundings:?}"));
    let options = CheckerOptions::read(&json!({}), surroundings).unwrap();
    shows_nothing(&format!("{options:?}"));
    let engine = Engine::new(read(&with_key(json!({}))).unwrap().engine, Arc::new(SystemClock)).unwrap();
    shows_nothing(&format!("{engine:?}"));
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_without_being_shown() {
    // The client would go without one of another scheme, or be unable to connect.
    for rest in
        ["http://", "ftp://", "socks5://", "socks9://"].map(|scheme| format!("{scheme}user:{PASSWORD}@"))
    {
        let host = if rest.starts_with("http:") { "[proxy" } else { "proxy:3128" };
        let surroundings = Surroundings {
            https_proxy: Some(Secret::new(&format!("{rest}{host}"))),
            ..Surroundings::default()
        };
        let options = CheckerOptions::read(&with_key(json!({})), surroundings).unwrap();
        let error = Engine::new(options.engine, Arc::new(SystemClock)).unwrap_err();
        assert_eq!(error.code(), Code::Option);
        assert!(error.to_string().starts_with("`HTTPS_PROXY` must "), "{error}");
        shows_nothing(&error.to_string());
    }
}

#[test]
fn any_json_is_read_or_refused() {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        prop::sample::select(vec!["login", "8.8.8.0/24", "block", "open", "2027-01-01", "relay"])
            .prop_map(Value::from),
    ];
    let keys = vec![
        "apiKey",
        "endpoint",
        "cache",
        "ttlMs",
        "policies",
        "login",
        "payment",
        "extends",
        "mode",
        "thresholds",
        "log",
        "block",
        "rules",
        "id",
        "when",
        "unless",
        "atLeast",
        "atMost",
        "routes",
        "enabled",
        "is_vpn",
        "threat_score",
        "min",
        "vpn_last_seen",
        "withinDays",
        "allow",
        "deny",
        "cidr",
        "expires",
        "onFailure",
        "upstream",
        "maxAction",
        "maxStaleMs",
        "other",
    ];
    let any_json = leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.clone()), inner), 0..5).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    });
    let with_policies = any_json.prop_map(|json| match json {
        Value::Object(_) => with_key(json!({ "policies": json })),
        other => other,
    });
    holds(1_024, &with_policies, |options| {
        if let Err(error) = read(&options) {
            assert!(!error.to_string().is_empty() && error.to_string().len() < 2_000, "{error}");
        }
    });
}

#[test]
fn defaults_are_the_documented_ones_and_connecting_never_takes_longer_than_all() {
    let engine = read(&with_key(json!({}))).unwrap().engine;
    assert_eq!(engine.endpoint.as_str(), "https://api.ipgeolocation.io/");
    assert_eq!(engine.deadline, Duration::from_millis(1_500));
    assert_eq!(engine.connect_timeout, Duration::from_secs(1));
    assert_eq!(engine.max_in_flight, 1_000);
    assert_eq!((engine.cache.ttl, engine.cache.stale), (300_000, 86_400_000));
    assert_eq!((engine.cache.max_entries, engine.cache.ipv6_prefix), (100_000, 64));
    let engine = read(&with_key(json!({ "deadlineMs": 200 }))).unwrap().engine;
    assert_eq!(engine.connect_timeout, Duration::from_millis(200));
}

#[test]
fn the_environment_can_only_make_policies_watch() {
    let read = |mode: &str, written: &str| {
        let surroundings = Surroundings { mode: Some(mode.to_owned()), ..Surroundings::default() };
        let options = with_key(json!({ "policies": { "login": { "mode": written } } }));
        CheckerOptions::read(&options, surroundings).map(|options| {
            options.policies.all().iter().map(ip_risk_core::policy::Policy::mode).collect::<Vec<_>>()
        })
    };
    assert_eq!(read("log-only", "enforce").unwrap(), [Mode::LogOnly, Mode::LogOnly]);
    assert_eq!(read(" log-only\n", "enforce").unwrap(), [Mode::LogOnly, Mode::LogOnly]);
    for harmless in ["enforce", "", " "] {
        assert_eq!(read(harmless, "log-only").unwrap(), [Mode::LogOnly, Mode::Enforce], "`{harmless}`");
    }
    for wrong in ["logonly", "LOG-ONLY", "off", "block"] {
        let error = read(wrong, "enforce").unwrap_err();
        assert!(error.to_string().contains("`IP_RISK_MODE`"), "{error}");
    }
}

#[test]
fn policies_extend_each_other_in_any_order_and_never_in_a_circle() {
    let named = |policies: Value| read(&with_key(json!({ "policies": policies })));
    let options = named(json!({
        "a": { "extends": "b" },
        "b": { "extends": "c", "maxAction": "log" },
        "c": { "extends": "payment" },
        "payment": { "mode": "log-only" },
    }))
    .unwrap();
    let find = |name: &str| &options.policies.all()[options.policies.find(name).unwrap()];
    for name in ["a", "b", "c", "payment"] {
        assert_eq!(find(name).mode(), Mode::LogOnly, "{name}");
    }
    assert_eq!(find("login").mode(), Mode::Enforce);
    for circle in [
        json!({ "a": { "extends": "a" } }),
        json!({ "a": { "extends": "b" }, "b": { "extends": "a" } }),
        json!({ "a": { "extends": "b" }, "b": { "extends": "c" }, "c": { "extends": "b" } }),
    ] {
        let error = named(circle).unwrap_err();
        assert_eq!(error.code(), Code::Option);
        assert!(error.to_string().contains(".extends`: "), "{error}");
    }
    // A shipped policy may change itself, which is no circle.
    assert!(named(json!({ "login": { "extends": "login" } })).is_ok());
}

#[test]
fn a_policy_has_room_for_a_number_of_rules_whatever_it_extends() {
    let rules = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({ "id": format!("own_{n}"), "when": { "is_vpn": true }, "atLeast": "log" }))
            .collect()
    };
    let named = |policies: Value| read(&with_key(json!({ "policies": policies })));
    assert!(named(json!({ "p": { "rules": rules(38) } })).is_ok());
    let error = named(json!({ "p": { "rules": rules(39) } })).unwrap_err();
    assert!(error.to_string().starts_with("`policies.p.rules`: "), "{error}");
    // A block threshold of 0 needs one shipped rule less; a policy that extends it and raises it needs that again.
    let base = json!({ "thresholds": { "log": 0, "challenge": 0, "block": 0 }, "rules": rules(39) });
    assert!(named(json!({ "p": base })).is_ok());
    let raised = json!({ "extends": "p", "thresholds": { "log": 20, "challenge": 45, "block": 80 } });
    assert!(named(json!({ "p": base, "q": raised })).is_err(), "a rule without a reason of its own");
}

#[test]
fn options_mean_the_same_in_every_spelling() {
    let of = |spelling: Spelling, written: Value| {
        let surroundings = Surroundings { spelling, ..Surroundings::default() };
        CheckerOptions::read(&written, surroundings).unwrap_or_else(|error| panic!("{written}: {error}"))
    };
    let camel = of(
        Spelling::Camel,
        json!({
            "apiKey": API_KEY, "deadlineMs": 800, "connectTimeoutMs": 300, "maxInFlight": 7,
            "batch": { "waitMs": 2 },
            "budget": { "perSecond": 5, "perDay": 10 },
            "cache": { "ttlMs": 60_000, "staleMs": 1_500, "maxEntries": 9, "ipv6Prefix": 56 },
            "redis": { "url": "redis://localhost", "keyPrefix": "shop:", "timeoutMs": 20 },
            "policies": { "myOwn": {
                "onFailure": "challenge", "maxAction": "challenge", "maxStaleMs": 2_500,
                "rules": [{ "id": "seen", "when": { "vpn_last_seen": { "withinDays": 3 } }, "atLeast": "log" }],
            } },
        }),
    );
    let snake = of(
        Spelling::Snake,
        json!({
            "api_key": API_KEY, "deadline": 0.8, "connect_timeout": 0.3, "max_in_flight": 7,
            "batch": { "wait": 0.002 },
            "budget": { "per_second": 5, "per_day": 10 },
            "cache": { "ttl": 60, "stale": 1.5, "max_entries": 9, "ipv6_prefix": 56 },
            "redis": { "url": "redis://localhost", "key_prefix": "shop:", "timeout": 0.02 },
            "policies": { "myOwn": {
                "on_failure": "challenge", "max_action": "challenge", "max_stale": 2.5,
                "rules": [{ "id": "seen", "when": { "vpn_last_seen": { "within_days": 3 } }, "at_least": "log" }],
            } },
        }),
    );
    assert_eq!(camel.engine, snake.engine);
    let own = |options: &CheckerOptions| {
        let policies = options.policies.all();
        format!("{:?}", policies.iter().find(|policy| policy.name() == "myOwn").unwrap())
    };
    assert_eq!(own(&camel), own(&snake));
}

#[test]
fn a_mistake_is_named_as_it_is_spelled() {
    for (written, message) in [
        (json!({ "deadlineMs": 5 }), "`deadlineMs` is not an option; did you mean `deadline`?"),
        (json!({ "deadline": 61 }), "`deadline` must be a number of seconds from 0.001 to 60, not `61`"),
        (json!({ "api_key": "" }), "`api_key` must be a key of printable characters without blanks"),
        (
            json!({ "deadline": 0.1, "redis": { "url": "redis://localhost", "timeout": 0.05 } }),
            "`redis.timeout` must be at most a quarter of `deadline`: Redis is asked before and after the provider",
        ),
        (
            json!({ "budget": {} }),
            "`budget`: limits nothing; write `per_second`, `per_day` or `per_month`, or leave it out",
        ),
        (
            json!({ "policies": { "p": { "rules": [{ "id": "a", "when": { "is_vpn": true } }] } } }),
            "`policies.p.rules[0]`: a rule needs `at_least` or `at_most`",
        ),
    ] {
        let api_key = Some(Secret::new(API_KEY));
        let surroundings = Surroundings { api_key, spelling: Spelling::Snake, ..Surroundings::default() };
        let mistake = CheckerOptions::read(&written, surroundings).unwrap_err();
        assert_eq!(mistake.to_string(), message);
    }
    let surroundings = Surroundings { spelling: Spelling::Snake, ..Surroundings::default() };
    let unusable = json!({ "feeds": { "files": [{ "path": "/own", "flags": ["is_tor"] }] }, "policies": { "p": { "on_failure": "closed" } } });
    let mistake = CheckerOptions::read(&unusable, surroundings).unwrap_err();
    assert!(
        mistake.to_string().ends_with("write `feeds={'primary': True}` to let feeds clear it"),
        "{mistake}"
    );
}
