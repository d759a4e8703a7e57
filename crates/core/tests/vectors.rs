//! The golden vectors of `vectors/`, which run in every face.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod support;

use std::fs;
use std::path::Path;

use ip_risk_core::address::Address;
use ip_risk_core::checker::Request;
use ip_risk_core::decision::{Band, Decision};
use ip_risk_core::error::{Code, FailureClass};
use ip_risk_core::flags::{Field, Flags};
use ip_risk_core::routes::RouteId;
use ip_risk_core::special_use;
use serde_json::{Map, Value, json};

use support::server::Reply;
use support::{LONGEST_COOL_DOWN, TRUSTED_PROXY, World, runtime};

/// The address that payloads and policies are about.
const ADDRESS: &str = "198.51.100.7";

/// The cases of one file, with how many there are at least: a file that lost its cases must not pass.
fn cases(name: &str, at_least: usize) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name);
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= at_least, "{name} has {} cases", cases.len());
    cases
}

/// The texts under `key`.
fn texts(case: &Value, key: &str) -> Vec<String> {
    case[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The answer that a case describes.
fn reply(answer: &Value) -> Reply {
    let status = answer.get("status").map_or(200, |status| u16::try_from(status.as_u64().unwrap()).unwrap());
    let body = match (answer.get("security"), answer.get("body"), answer.get("text")) {
        (Some(security), None, None) => json!({ "ip": ADDRESS, "security": security }).to_string(),
        (None, Some(body), None) => body.to_string(),
        (None, None, Some(text)) => text.as_str().unwrap().to_owned(),
        _ => panic!("not one answer: {answer}"),
    };
    Reply::Http(status, body.into_bytes())
}

/// Flags as faces give them.
fn flags_json(flags: &Flags) -> Value {
    let value_of = |field| match field {
        Field::ThreatScore => flags.threat_score().map(|score| json!(score.value())),
        Field::Boolean(field) => flags.boolean(field).map(Value::from),
        Field::ConfidenceScore(subject) => flags.confidence_score(subject).map(|score| json!(score.value())),
        Field::LastSeen(subject) => flags.last_seen(subject).map(|day| json!(date(day))),
        Field::Name(field) => flags.names().and_then(|names| names.names().one(field)).map(Value::from),
        Field::NameList(field) => {
            let names =
                flags.names().map(|names| names.names().list(field)).filter(|list| !list.is_empty())?;
            Some(Value::from(names.iter().map(|name| Value::from(&**name)).collect::<Vec<_>>()))
        }
    };
    let entries =
        Field::ALL.into_iter().filter_map(|(name, field)| Some((name.to_owned(), value_of(field)?)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn date(day: u16) -> String {
    let date = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
    date.to_string()
}

fn action(decision: &Decision) -> &'static str {
    decision.action.as_str()
}

#[test]
fn addresses() {
    for case in cases("addresses.json", 180) {
        let text = case["text"].as_str().unwrap();
        let plain = Address::parse(text);
        let framework = Address::parse_from_framework(text);
        assert_eq!(plain.map(|address| address.to_string()).as_deref(), case["plain"].as_str(), "{case}");
        assert_eq!(
            framework.map(|address| address.to_string()).as_deref(),
            case["framework"].as_str(),
            "{case}"
        );
        let judged = framework.map(Address::judged);
        assert_eq!(judged.map(|address| address.to_string()).as_deref(), case["judged"].as_str(), "{case}");
        assert_eq!(judged.and_then(special_use::name), case["special"].as_str(), "{case}");
    }
}

#[test]
fn payloads() {
    runtime().block_on(async {
        let world = World::new(json!({})).await;
        for case in cases("payloads.json", 45) {
            world.server.answer(ADDRESS, reply(&case));
            world.checker.invalidate(None).await.unwrap();
            world.clock.advance(LONGEST_COOL_DOWN);
            let decision = world.check(ADDRESS, "login", TRUSTED_PROXY).await;
            assert_eq!(decision.failure.map(Code::as_str), case["failure"].as_str(), "{case}");
            if decision.failure.is_none() {
                assert_eq!(json!(decision.score.value()), case["score"], "{case}");
                assert_eq!(flags_json(&decision.flags), case["flags"], "{case}");
            }
        }
    });
}

#[test]
fn policies() {
    let cases = cases("policies.json", 70);
    let mut policies = json!({});
    for (place, case) in cases.iter().enumerate() {
        policies[format!("case-{place}")] = case["policy"].clone();
    }
    runtime().block_on(async {
        let world = World::new(json!({ "policies": policies })).await;
        for (place, case) in cases.iter().enumerate() {
            world.server.answer(ADDRESS, reply(&json!({ "security": case["security"] })));
            world.checker.invalidate(None).await.unwrap();
            world.clock.advance(LONGEST_COOL_DOWN);
            let policy = world.policy(&format!("case-{place}"));
            let route = case.get("route").map_or(RouteId::OTHER, |route| {
                world.checker.with_policies(|policies| {
                    policies.all()[usize::from(policy.number())].routes().find(route.as_str().unwrap())
                })
            });
            let request = Request { text: ADDRESS, policy, route, facts: TRUSTED_PROXY };
            let decision = world.checker.check(request).await;
            let expected = case["action"].as_str().unwrap();
            assert_eq!(action(&decision), expected, "{case}");
            assert_eq!(decision.would_be.as_str(), case["wouldBe"].as_str().unwrap_or(expected), "{case}");
            assert_eq!(world.reasons(&decision), texts(case, "reasons"), "{case}");
            assert_eq!(decision.failure, None, "{case}");
        }
    });
}

#[test]
fn failures() {
    runtime().block_on(async {
        let world = World::new(json!({ "policies": {
            "open": { "onFailure": "open" },
            "challenge": { "onFailure": "challenge" },
            "closed": { "onFailure": "closed" },
        } }))
        .await;
        for case in cases("failures.json", 30) {
            let code = *Code::ALL.iter().find(|code| case["code"] == code.as_str()).unwrap();
            let class = if code.class() == FailureClass::Exhausted { "exhausted" } else { "upstream" };
            assert_eq!(case["class"], class, "{case}");
            for (policy, expected) in case["actions"].as_object().unwrap() {
                let decision = match case.get("answer") {
                    None => world.checker.failed(world.policy(policy), code),
                    Some(answer) => {
                        world.server.answer(ADDRESS, reply(answer));
                        world.checker.invalidate(None).await.unwrap();
                        world.clock.advance(LONGEST_COOL_DOWN);
                        world.check(ADDRESS, policy, TRUSTED_PROXY).await
                    }
                };
                assert_eq!(decision.failure, Some(code), "{policy}: {case}");
                assert_eq!(action(&decision), expected.as_str().unwrap(), "{policy}: {case}");
                assert_eq!(decision.failed_open, action(&decision) == "allow", "{policy}: {case}");
                assert_eq!(decision.failed_closed, action(&decision) == "hold", "{policy}: {case}");
                assert_eq!(decision.band, None, "{policy}: {case}");
            }
        }
    });
}

#[test]
fn feeds() {
    runtime().block_on(async {
        for case in cases("feeds.json", 40) {
            let directory = tempfile::tempdir().unwrap();
            let files = case["lists"].as_array().unwrap().iter().enumerate().map(|(place, list)| {
                let path = directory.path().join(format!("{place}.txt"));
                fs::write(&path, texts(list, "lines").join("\n")).unwrap();
                let mut file = list.clone();
                file.as_object_mut().unwrap().remove("lines");
                file["path"] = json!(path);
                file
            });
            let files: Vec<Value> = files.collect();
            let world = World::new(json!({ "apiKey": null, "feeds": { "files": files } })).await;
            let decision = world.check(case["address"].as_str().unwrap(), "login", TRUSTED_PROXY).await;
            assert_eq!(json!(decision.score.value()), case["score"], "{case}");
            assert_eq!(decision.band.map(Band::as_str), case["band"].as_str(), "{case}");
            assert_eq!(action(&decision), case["action"].as_str().unwrap(), "{case}");
            assert_eq!(world.reasons(&decision), texts(&case, "reasons"), "{case}");
            assert_eq!(flags_json(&decision.flags), case["flags"], "{case}");
        }
    });
}
