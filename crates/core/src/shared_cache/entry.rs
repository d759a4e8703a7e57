//! One entry as it stands in Redis: the Security API's own JSON object, `fetched_at` and `provider`.
//!
//! ```json
//! {"threat_score":80,"is_vpn":true, ... ,"fetched_at":1770000000000,"provider":"ipgeolocation"}
//! ```
//!
//! Readers of the tutorial ignore the last two; entries of the tutorial have neither.

use serde_json::{Map, Value};

use crate::evidence::{Evidence, Provider};
use crate::flags::{Field, Flags};
use crate::names::NameTable;
use crate::security_api;

/// The largest entry that is looked at: many times a real one.
pub(super) const LARGEST: usize = 64 * 1_024;
/// How long the tutorial's entries live. Its entries do not say when they were made, only when they end.
const TUTORIAL_TTL: u64 = 5 * 60 * 1_000;
/// How far the clocks of two machines that share entries may be apart. Beyond that, an entry from the future is refused.
pub(super) const CLOCK_SKEW: u64 = 2_000;

const FETCHED_AT: &str = "fetched_at";
const PROVIDER: &str = "provider";

/// Why an entry is not used. It counts as not being there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Unusable {
    /// The key holds a list, a hash or the like.
    WrongType,
    /// Larger than any real entry.
    Oversized,
    /// Not the JSON of an answer, or one that the API's own parser would refuse.
    Malformed,
    /// From another provider than the Security API.
    Foreign,
    /// Made in the future.
    Future,
    /// Of unknown age: it has no `fetched_at`, and no time to live that the tutorial would have given it.
    Undated,
}

impl Unusable {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::WrongType, Self::Oversized, Self::Malformed, Self::Foreign, Self::Future, Self::Undated];

    /// The name as it stands in statistics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongType => "wrong_type",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::Future => "future",
            Self::Undated => "undated",
        }
    }
}

/// The text of an entry.
pub(super) fn write(evidence: &Evidence) -> String {
    let mut entry = security_object(&evidence.flags);
    entry.insert("threat_score".to_owned(), evidence.score.value().into());
    entry.insert(FETCHED_AT.to_owned(), evidence.checked_at.into());
    entry.insert(PROVIDER.to_owned(), evidence.provider.as_str().into());
    Value::Object(entry).to_string()
}

/// The `security` object as the API would send it. A field about which nothing is known is left out, or empty where the
/// API sends it empty, so that `vpn_provider_names.length` works for other readers.
fn security_object(flags: &Flags) -> Map<String, Value> {
    let names = flags.names().map(|shared| shared.names());
    let value = |field| match field {
        Field::ThreatScore => flags.threat_score().map(|score| score.value().into()),
        Field::Boolean(field) => flags.boolean(field).map(Value::Bool),
        Field::ConfidenceScore(subject) => flags.confidence_score(subject).map(|score| score.value().into()),
        Field::LastSeen(subject) => {
            Some(flags.last_seen_date(subject).map(|date| date.to_string()).unwrap_or_default().into())
        }
        Field::Name(field) => Some(names.and_then(|names| names.one(field)).unwrap_or_default().into()),
        Field::NameList(field) => {
            let list = names.map(|names| names.list(field)).unwrap_or_default();
            Some(list.iter().map(AsRef::<str>::as_ref).collect::<Vec<_>>().into())
        }
    };
    Field::ALL.into_iter().filter_map(|(name, field)| Some((name.to_owned(), value(field)?))).collect()
}

/// What an entry says. `remaining` is its time to live in milliseconds, when it has one.
///
/// It is as hostile as a body of the API, and goes through the same parser.
pub(super) fn read(
    entry: &[u8],
    remaining: Option<u64>,
    names: &NameTable,
    now: u64,
) -> Result<Evidence, Unusable> {
    if entry.len() > LARGEST {
        return Err(Unusable::Oversized);
    }
    let entry = security_api::parse(entry).ok_or(Unusable::Malformed)?;
    let entry = entry.as_object().ok_or(Unusable::Malformed)?;
    if entry.get(PROVIDER).is_some_and(|name| name.as_str() != Some(Provider::Ipgeolocation.as_str())) {
        return Err(Unusable::Foreign);
    }
    let fetched_at = match entry.get(FETCHED_AT) {
        Some(time) => time.as_u64().ok_or(Unusable::Malformed)?,
        None => tutorial_time(remaining, now).ok_or(Unusable::Undated)?,
    };
    if fetched_at > now.saturating_add(CLOCK_SKEW) {
        return Err(Unusable::Future);
    }
    security_api::read_security(entry, names, fetched_at.min(now)).ok_or(Unusable::Malformed)
}

/// When the tutorial made an entry that lives for so long still.
fn tutorial_time(remaining: Option<u64>, now: u64) -> Option<u64> {
    let age = TUTORIAL_TTL.checked_sub(remaining?)?;
    Some(now.saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::flags::tests::{any_evidence, cases};
    use crate::flags::{NameField, NameListField, Names, Percentage};

    const NOW: u64 = 1_770_000_000_000;

    fn read_json(entry: &Value, remaining: Option<u64>) -> Result<Evidence, Unusable> {
        read(entry.to_string().as_bytes(), remaining, &NameTable::default(), NOW)
    }

    fn some_names(table: &NameTable, name: &str) -> Option<std::sync::Arc<crate::flags::SharedNames>> {
        let mut names = Names::default();
        names.set_one(NameField::CloudProviderName, name);
        names.set_list(NameListField::VpnProviderNames, [name, "Nord VPN"]);
        table.share(names)
    }

    proptest! {
        #![proptest_config(cases(1_024))]

        #[test]
        fn what_is_written_is_read_again(
            mut evidence in any_evidence(), age in 0_u64..=NOW, name in "[a-z\"\\\\é]{1,20}", has_names: bool,
        ) {
            let table = NameTable::default();
            evidence.checked_at = NOW - age;
            if has_names {
                evidence.flags.set_names(some_names(&table, &name));
            }
            let found = read(write(&evidence).as_bytes(), None, &table, NOW).unwrap();
            prop_assert_eq!(found.score, evidence.score);
            prop_assert_eq!(found.provider, evidence.provider);
            prop_assert_eq!(found.checked_at, evidence.checked_at);
            prop_assert_eq!(found.flags.words(), evidence.flags.words());
            prop_assert_eq!(
                found.flags.names().map(|names| names.id()), evidence.flags.names().map(|names| names.id())
            );
        }

        #[test]
        fn any_bytes_are_an_entry_or_a_reason(
            entry in prop::collection::vec(any::<u8>(), 0..256), remaining: Option<u64>, now: u64,
        ) {
            if let Ok(evidence) = read(&entry, remaining, &NameTable::default(), now) {
                prop_assert!(evidence.checked_at <= now);
            }
        }

        #[test]
        fn an_entry_without_a_date_is_dated_by_its_time_to_live(remaining in 0_u64..1_000_000) {
            let found = read_json(&json!({ "threat_score": 1 }), Some(remaining));
            let expected = TUTORIAL_TTL.checked_sub(remaining).map(|age| NOW - age);
            let found = found.map(|evidence| evidence.checked_at);
            prop_assert_eq!(found, expected.ok_or(Unusable::Undated));
        }
    }

    #[test]
    fn an_entry_is_the_object_that_the_api_sends() {
        let sent = json!({
            "threat_score": 80, "is_tor": false, "is_proxy": true, "proxy_provider_names": ["Zyte Proxy"],
            "proxy_confidence_score": 90, "proxy_last_seen": "2025-12-12", "is_residential_proxy": true,
            "is_vpn": true, "vpn_provider_names": ["Nord VPN"], "vpn_confidence_score": 80,
            "vpn_last_seen": "2026-01-19", "is_relay": false, "relay_provider_name": "", "is_anonymous": true,
            "is_known_attacker": true, "is_bot": false, "bot_confidence_score": 0, "bot_operator_name": "",
            "bot_type": "", "is_known_good_bot": false, "bot_last_seen": "", "is_spam": false,
            "is_cloud_provider": true, "cloud_provider_name": "Packethub S.A.", "is_corporate_gateway": false,
            "corporate_gateway_type": "", "corporate_gateway_provider_name": "",
        });
        let evidence = read_json(&sent, Some(TUTORIAL_TTL)).unwrap();
        let mut expected = sent;
        expected["fetched_at"] = json!(NOW);
        expected["provider"] = json!("ipgeolocation");
        assert_eq!(serde_json::from_str::<Value>(&write(&evidence)).unwrap(), expected);
    }

    #[test]
    fn what_the_parser_of_the_api_refuses_is_refused() {
        for entry in [
            json!({}),
            json!([]),
            json!(null),
            json!({ "threat_score": 101, "fetched_at": NOW }),
            json!({ "threat_score": -1, "fetched_at": NOW }),
            json!({ "threat_score": null, "fetched_at": NOW }),
            json!({ "is_vpn": false, "fetched_at": NOW }),
            json!({ "security": { "threat_score": 0 }, "fetched_at": NOW }),
            json!({ "threat_score": 0, "fetched_at": NOW.to_string() }),
            json!({ "threat_score": 0, "fetched_at": -1 }),
            json!({ "threat_score": 0, "fetched_at": null }),
        ] {
            assert_eq!(read_json(&entry, Some(1)).unwrap_err(), Unusable::Malformed, "{entry}");
        }
        let deep = format!("{{\"threat_score\":0,\"a\":{}{}}}", "[".repeat(9_999), "]".repeat(9_999));
        assert_eq!(read(deep.as_bytes(), None, &NameTable::default(), NOW).unwrap_err(), Unusable::Malformed);
    }

    #[test]
    fn other_providers_the_future_and_what_is_too_large_are_refused() {
        let entry = |more: Value| {
            let mut entry = json!({ "threat_score": 0, "fetched_at": NOW });
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry
        };
        let refused = |more: Value| read_json(&entry(more), None).unwrap_err();
        for provider in [json!("feeds"), json!(""), json!(null), json!(1)] {
            assert_eq!(refused(json!({ "provider": provider })), Unusable::Foreign);
        }
        assert_eq!(refused(json!({ "fetched_at": NOW + CLOCK_SKEW + 1 })), Unusable::Future);
        assert_eq!(refused(json!({ "fetched_at": u64::MAX })), Unusable::Future);
        assert_eq!(refused(json!({ "padding": "x".repeat(LARGEST) })), Unusable::Oversized);
        assert_eq!(read_json(&json!({ "threat_score": 0 }), None).unwrap_err(), Unusable::Undated);
        let skewed = read_json(&entry(json!({ "fetched_at": NOW + CLOCK_SKEW })), None).unwrap();
        assert_eq!((skewed.checked_at, skewed.score), (NOW, Percentage::ZERO));
    }
}
