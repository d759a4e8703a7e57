//! The words of the core, for glue that carries them as numbers.

use ip_risk_core::address::Address;
use ip_risk_core::decision::{Action, Band, Mode, Provenance, Source};
use ip_risk_core::error::{Code, unknown_option};
use ip_risk_core::evidence::Provider;
use ip_risk_core::flags::Field;
use ip_risk_core::options::MOST_ADDRESSES;
use ip_risk_core::provenance::Facts;
use napi_derive::napi;
use serde_json::{Value, json};

use crate::error::{Result, coded};
use crate::text::Text;
use crate::words::WORDS;

/// All words as JSON: what stands at place N is the word for the number N.
#[napi(skip_typescript, catch_unwind)]
pub fn vocabulary() -> String {
    json!({
        "words": WORDS,
        "mostAddresses": MOST_ADDRESSES,
        "actions": Action::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "bands": Band::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "sources": Source::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "modes": Mode::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "provenances": Provenance::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "providers": Provider::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        "codes": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
        "advice": Code::ALL.iter().map(|code| code.advice()).collect::<Vec<_>>(),
        "fields": Field::ALL.map(|(name, field)| json!([name, field_place(field)])),
        "facts": {
            "framework": Facts::FRAMEWORK,
            "custom": Facts::CUSTOM,
            "trustsEveryone": Facts::TRUSTS_EVERYONE,
            "forwardedHeader": Facts::FORWARDED_HEADER,
            "isPeer": Facts::IS_PEER,
            "blockUnverified": Facts::BLOCK_UNVERIFIED,
        },
    })
    .to_string()
}

/// The version that this was built for. JavaScript of another one reads decisions by other rules.
#[napi(skip_typescript, catch_unwind)]
pub fn addon_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Where the words of a decision hold a field: its kind, and its place among those of the kind.
fn field_place(field: Field) -> Value {
    match field {
        Field::ThreatScore => json!(["score", 0]),
        Field::Boolean(field) => json!(["boolean", field as u8]),
        Field::ConfidenceScore(subject) => json!(["score", subject as u8 + 1]),
        Field::LastSeen(subject) => json!(["date", subject as u8]),
        Field::Name(_) | Field::NameList(_) => json!(["name", 0]),
    }
}

/// Throws the error for an option at `path` whose `key` is none of the `known` ones.
#[napi(skip_typescript, catch_unwind)]
pub fn refuse_option(path: String, key: String, known: Vec<String>) -> Result<()> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(coded(&unknown_option(&path, &key, &known)))
}

/// The canonical spelling of an address, empty for text that is none.
#[napi(skip_typescript, catch_unwind)]
pub fn canonical_address(text: Text) -> String {
    Address::parse_from_framework(text.as_str()).map(|address| address.to_string()).unwrap_or_default()
}

/// The network that stands for an address in logs: its /24 or /48; empty for text that is no address.
#[napi(skip_typescript, catch_unwind)]
pub fn network_of(text: Text) -> String {
    Address::parse_from_framework(text.as_str()).map(Address::network).unwrap_or_default()
}
