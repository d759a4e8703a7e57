//! Decisions of look-ups on their way to JavaScript: words, and what words cannot hold.

use std::collections::HashMap;

use ip_risk_core::decision::Decision;
use ip_risk_core::flags::{Field, Names};
use napi::bindgen_prelude::{Either, Uint32Array};
use serde_json::{Map, Value};

use crate::words;

/// All decisions as words, one after the other; the canonical address of each, empty for text that is none; the
/// names that they speak of, as JSON by their number.
///
/// Of a few decisions the words are a plain array: a typed one is memory outside of the heap, which is only given back
/// when the collector comes for the old, and in a spray that was some hundred megabytes.
pub(crate) type Outcome = (Either<Vec<u32>, Uint32Array>, Vec<String>, HashMap<String, String>);

/// Up to so many decisions are a few.
const A_FEW: usize = 16;

/// The outcome of these decisions.
pub(crate) fn of<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Outcome {
    let mut all_words = Vec::new();
    let mut addresses = Vec::new();
    let mut names = HashMap::new();
    for decision in decisions {
        let address = decision.address.map(|address| address.to_string()).unwrap_or_default();
        all_words.extend(words::write(decision, &address));
        addresses.push(address);
        if let Some(shared) = decision.flags.names() {
            names.entry(shared.id().to_string()).or_insert_with(|| to_json(shared.names()));
        }
    }
    let words = if addresses.len() <= A_FEW { Either::A(all_words) } else { Either::B(all_words.into()) };
    (words, addresses, names)
}

/// Names in the fields of the Security API.
pub(crate) fn to_json(names: &Names) -> String {
    let mut object = Map::new();
    for (name, field) in Field::ALL {
        let value = match field {
            Field::Name(field) => names.one(field).map(Value::from),
            Field::NameList(field) => {
                let list: Vec<&str> = names.list(field).iter().map(AsRef::as_ref).collect();
                (!list.is_empty()).then(|| Value::from(list))
            }
            _ => None,
        };
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    }
    Value::Object(object).to_string()
}
