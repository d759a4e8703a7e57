//! What the bulk endpoint says: from a status and a body to one outcome for each address, in the order of the question.
//!
//! The order is all that ties a failed entry to its address. So an entry with an address must name the one that was
//! asked about at its place, and an entry without one counts only when nothing in the whole answer is out of place.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json_borrow::Value;

use super::{failure, only_message, read_scored, speaks_of_an_address};
use crate::address::Address;
use crate::budget::CREDITS_PER_LOOK_UP;
use crate::error::Code;
use crate::evidence::Answer;
use crate::names::NameTable;

/// An entry in bytes, as far as it is read: as much as a single answer may have. The body as a whole may be far larger, and
/// must not become the tree of one entry.
const LARGEST_ENTRY: usize = 64 * 1024;

/// What one address got out of a call.
pub(crate) type Outcome = Result<Answer, Code>;

/// An outcome, with the credits that it cost; where that is not known, what it costs by the price list.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    pub(crate) charged: u64,
}

impl Reply {
    /// It failed, and cost nothing.
    pub(crate) fn free(code: Code) -> Self {
        Self { outcome: Err(code), charged: 0 }
    }

    /// It failed, and may have been charged.
    pub(crate) fn unknown(code: Code) -> Self {
        Self { outcome: Err(code), charged: CREDITS_PER_LOOK_UP }
    }
}

/// Why a bulk call brought nothing for any of its addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BulkFailure {
    /// Status 413: fewer addresses may pass.
    TooLarge,
    /// Anything else.
    Failed(Code),
}

impl From<Code> for BulkFailure {
    fn from(code: Code) -> Self {
        Self::Failed(code)
    }
}

/// One entry, looked at by itself.
enum Entry {
    /// It names the address that was asked about at its place.
    Named(Outcome),
    /// It names another address.
    Misplaced,
    /// It failed, and only its place says for whom.
    Message(Outcome),
    /// None of these.
    Malformed,
}

/// The outcomes of one bulk call about `addresses`, as many and in their order.
///
/// # Errors
/// When the call as a whole failed.
pub(crate) fn read(
    status: u16,
    body: &[u8],
    addresses: &[Address],
    names: &NameTable,
    now: u64,
) -> Result<Vec<Outcome>, BulkFailure> {
    match status {
        200 => read_list(body, addresses, names, now).ok_or(BulkFailure::Failed(Code::Malformed)),
        413 => Err(BulkFailure::TooLarge),
        // Addresses without a record are entries, so this is about the path.
        404 => Err(BulkFailure::Failed(Code::Endpoint)),
        _ => Err(BulkFailure::Failed(failure(status))),
    }
}

/// Nothing when the body is not a whole JSON array.
fn read_list(body: &[u8], addresses: &[Address], names: &NameTable, now: u64) -> Option<Vec<Outcome>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let list = deserializer.deserialize_seq(ListReader { addresses, names, now }).ok()?;
    deserializer.end().ok()?;
    let is_misplaced = |entry: &Entry| matches!(entry, Entry::Misplaced);
    let is_in_order = list.length == addresses.len() && !list.entries.iter().any(is_misplaced);
    let mut outcomes: Vec<Outcome> =
        list.entries.into_iter().map(|entry| entry.into_outcome(is_in_order)).collect();
    outcomes.resize_with(addresses.len(), || Err(Code::Malformed));
    Some(outcomes)
}

/// As many entries as there are addresses, and how many the array has.
struct List {
    entries: Vec<Entry>,
    length: usize,
}

/// Reads one entry after the other, so that a hostile array of small values cannot become a large tree.
struct ListReader<'a> {
    addresses: &'a [Address],
    names: &'a NameTable,
    now: u64,
}

impl<'de> Visitor<'de> for ListReader<'_> {
    type Value = List;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array with an entry for each address")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<List, A::Error> {
        let mut entries = Vec::with_capacity(self.addresses.len());
        for address in self.addresses {
            let Some(entry) = array.next_element::<&RawValue>()? else { break };
            entries.push(read_entry(entry.get(), *address, self.names, self.now));
        }
        let mut length = entries.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        Ok(List { entries, length })
    }
}

impl Entry {
    fn into_outcome(self, is_in_order: bool) -> Outcome {
        match self {
            Self::Named(outcome) => outcome,
            Self::Message(outcome) if is_in_order => outcome,
            Self::Message(_) | Self::Misplaced | Self::Malformed => Err(Code::Malformed),
        }
    }
}

fn read_entry(text: &str, address: Address, names: &NameTable, now: u64) -> Entry {
    if text.len() > LARGEST_ENTRY {
        return Entry::Malformed;
    }
    let Ok(entry) = serde_json::from_str::<Value<'_>>(text) else { return Entry::Malformed };
    if let Some(message) = only_message(&entry) {
        return if quotes_another(message, address) {
            Entry::Misplaced
        } else {
            Entry::Message(read_message(message, now))
        };
    }
    let Some(entry) = entry.as_object() else { return Entry::Malformed };
    match entry.get("ip").and_then(Value::as_str).and_then(Address::parse) {
        Some(found) if found.judged() == address => {
            Entry::Named(read_scored(entry, names, now).map(Answer::Evidence))
        }
        Some(_) => Entry::Misplaced,
        None => Entry::Malformed,
    }
}

/// What failed for one address. An entry has no status, so its words have to do: those of "no record", which clears an
/// address, must be the documented ones; others are failures, so that a rewording is seen.
fn read_message(message: &str, now: u64) -> Outcome {
    let is_about_an_address = speaks_of_an_address(message);
    let message = message.to_lowercase();
    let has_one_of = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if message.contains("bogon") {
        Ok(Answer::Unroutable { checked_at: now })
    } else if has_one_of(&["valid", "domain", "host name"]) {
        Err(Code::RequestRefused)
    } else if is_about_an_address && message.contains("database") && has_one_of(&["not exist", "no record"]) {
        Ok(Answer::Unknown { checked_at: now })
    } else {
        Err(Code::UpstreamStatus)
    }
}

/// Whether a message quotes an address that is not the one in question.
fn quotes_another(message: &str, address: Address) -> bool {
    let is_of_an_address = |letter: char| letter.is_ascii_hexdigit() || matches!(letter, ':' | '.');
    message
        .split(|letter| !is_of_an_address(letter))
        // A full stop or a colon may follow.
        .filter_map(|word| Address::parse(word).or_else(|| Address::parse(word.trim_end_matches(['.', ':']))))
        .any(|quoted| quoted.judged() != address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::flags::tests::cases;

    const NOW: u64 = 1_700_000_000_000;
    const NO_RECORD: &str = "this address does not exist in the database";

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn question() -> Vec<Address> {
        ["198.51.100.1", "198.51.100.2", "2001:db8::3"].map(address).to_vec()
    }

    fn scored(ip: &str, score: u8) -> Value {
        json!({ "ip": ip, "security": { "threat_score": score } })
    }

    fn read_bytes(status: u16, body: &[u8], addresses: &[Address]) -> Result<Vec<Outcome>, BulkFailure> {
        read(status, body, addresses, &NameTable::default(), NOW)
    }

    /// Each outcome in a word.
    fn words(body: &Value) -> Vec<String> {
        let outcomes = read_bytes(200, body.to_string().as_bytes(), &question()).unwrap();
        outcomes.iter().map(word).collect()
    }

    fn word(outcome: &Outcome) -> String {
        match outcome {
            Ok(Answer::Evidence(evidence)) => evidence.score.value().to_string(),
            Ok(Answer::Unknown { checked_at: NOW }) => "unknown".to_owned(),
            Ok(Answer::Unroutable { checked_at: NOW }) => "unroutable".to_owned(),
            Ok(other) => panic!("{other:?}"),
            Err(Code::Malformed) => "malformed".to_owned(),
            Err(code) => code.as_str().to_owned(),
        }
    }

    #[test]
    fn entries_answer_in_the_order_of_the_question() {
        let body = json!([scored("198.51.100.1", 1), { "message": NO_RECORD }, scored("2001:DB8:0::3", 3)]);
        assert_eq!(words(&body), ["1", "unknown", "3"]);
    }

    #[test]
    fn a_short_array_answers_only_for_entries_that_name_their_address() {
        assert_eq!(
            words(&json!([scored("198.51.100.1", 1), { "message": NO_RECORD }])),
            ["1", "malformed", "malformed"]
        );
        assert_eq!(
            words(&json!([scored("198.51.100.2", 2), scored("2001:db8::3", 3)])),
            ["malformed", "malformed", "malformed"]
        );
        assert_eq!(words(&json!([])), ["malformed", "malformed", "malformed"]);
    }

    #[test]
    fn a_long_array_answers_only_for_entries_that_name_their_address() {
        let body =
            json!([{ "message": NO_RECORD }, scored("198.51.100.2", 2), scored("2001:db8::3", 3), null]);
        assert_eq!(words(&body), ["malformed", "2", "3"]);
    }

    #[test]
    fn a_reordered_array_gives_nobody_the_answer_of_another() {
        let body = json!([scored("2001:db8::3", 3), scored("198.51.100.2", 2), scored("198.51.100.1", 1)]);
        assert_eq!(words(&body), ["malformed", "2", "malformed"]);
        let moved = json!([{ "message": NO_RECORD }, scored("198.51.100.1", 1), scored("2001:db8::3", 3)]);
        assert_eq!(words(&moved), ["malformed", "malformed", "3"]);
        let quoted = json!([
            { "message": NO_RECORD },
            { "message": "'198.51.100.1' is a bogon address" },
            scored("2001:db8::3", 3),
        ]);
        assert_eq!(words(&quoted), ["malformed", "malformed", "3"]);
    }

    #[test]
    fn an_entry_that_is_none_spoils_no_other() {
        for entry in [
            json!(null),
            json!([]),
            json!({}),
            json!("198.51.100.2"),
            json!({ "security": { "threat_score": 2 } }),
            json!({ "ip": null, "security": { "threat_score": 2 } }),
            json!({ "ip": "198.51.100.2" }),
            json!({ "ip": "198.51.100.2", "security": null }),
            json!({ "ip": "198.51.100.2", "security": { "threat_score": 101 } }),
            json!({ "message": null }),
            json!({ "message": NO_RECORD, "status": 404 }),
            json!({ "ip": "198.51.100.2", "security": { "threat_score": 2 }, "x": "x".repeat(LARGEST_ENTRY) }),
        ] {
            let body = json!([scored("198.51.100.1", 1), entry, { "message": NO_RECORD }]);
            assert_eq!(words(&body), ["1", "malformed", "unknown"], "{entry}");
        }
    }

    #[test]
    fn only_documented_words_are_more_than_a_failure() {
        for (message, expected) in [
            ("Address 198.51.100.1 does NOT exist in our database.", "unknown"),
            ("this address has no record in the database", "unknown"),
            ("`198.51.100.1` is a bogon address", "unroutable"),
            ("the IP address '198.51.100.1' is not valid", "ERR_IP_RISK_REQUEST_REFUSED"),
            ("`198.51.100.1` is a host name", "ERR_IP_RISK_REQUEST_REFUSED"),
            ("the database of addresses has no valid licence", "ERR_IP_RISK_REQUEST_REFUSED"),
            ("the database of addresses is not there for the moment", "ERR_IP_RISK_UPSTREAM_STATUS"),
            ("this address does not exist", "ERR_IP_RISK_UPSTREAM_STATUS"),
            ("this address is not known", "ERR_IP_RISK_UPSTREAM_STATUS"),
            ("no endpoint for addresses in the database", "ERR_IP_RISK_UPSTREAM_STATUS"),
            ("", "ERR_IP_RISK_UPSTREAM_STATUS"),
        ] {
            let body = json!([{ "message": message }, scored("198.51.100.2", 2), scored("2001:db8::3", 3)]);
            assert_eq!(words(&body), [expected, "2", "3"], "{message}");
        }
    }

    #[test]
    fn quoted_addresses_are_found_whatever_is_around_them() {
        for message in ["'10.0.0.1' is", "10.0.0.1: no", "no 10.0.0.1.", "(2001:db8::9)", "for 2001:db8::9:"]
        {
            assert!(quotes_another(message, address("198.51.100.1")), "{message}");
        }
        for message in ["'198.51.100.1'", "::ffff:198.51.100.1", "version 1.24.0, a bad face: dead. beef"] {
            assert!(!quotes_another(message, address("198.51.100.1")), "{message}");
        }
    }

    #[test]
    fn what_is_not_a_whole_array_answers_for_nobody() {
        let body = json!([scored("198.51.100.1", 1), scored("198.51.100.2", 2), scored("2001:db8::3", 3)]);
        let body = body.to_string();
        for end in 0..body.len() {
            let outcomes = read_bytes(200, &body.as_bytes()[..end], &question());
            assert_eq!(outcomes.unwrap_err(), BulkFailure::Failed(Code::Malformed), "{end}");
        }
        let deep = "[".repeat(100_000);
        for body in ["<html></html>", "null", "{}", "7", r#"{"message":"no"}"#, "[] []", &deep] {
            let outcomes = read_bytes(200, body.as_bytes(), &question());
            assert_eq!(outcomes.unwrap_err(), BulkFailure::Failed(Code::Malformed), "{body}");
        }
    }

    #[test]
    fn the_status_decides_before_the_body() {
        let body = json!([scored("198.51.100.1", 1), scored("198.51.100.2", 2), scored("2001:db8::3", 3)]);
        for (status, failure) in [
            (301, BulkFailure::Failed(Code::Redirect)),
            (400, BulkFailure::Failed(Code::RequestRefused)),
            (401, BulkFailure::Failed(Code::KeyRefused)),
            (403, BulkFailure::Failed(Code::KeyForbidden)),
            (404, BulkFailure::Failed(Code::Endpoint)),
            (405, BulkFailure::Failed(Code::RequestRefused)),
            (413, BulkFailure::TooLarge),
            (415, BulkFailure::Failed(Code::RequestRefused)),
            (423, BulkFailure::Failed(Code::UpstreamStatus)),
            (429, BulkFailure::Failed(Code::Quota)),
            (499, BulkFailure::Failed(Code::Timeout)),
            (500, BulkFailure::Failed(Code::UpstreamStatus)),
            (504, BulkFailure::Failed(Code::Timeout)),
            (204, BulkFailure::Failed(Code::UpstreamStatus)),
        ] {
            for body in [body.to_string().as_str(), "<html></html>", "", r#"{"message":"no address"}"#] {
                assert_eq!(
                    read_bytes(status, body.as_bytes(), &question()).unwrap_err(),
                    failure,
                    "{status}"
                );
            }
        }
    }

    /// An entry about the address at a place of `question()`, another one's, or none.
    fn any_entry() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => (0_usize..3).prop_map(|place| scored(&question()[place].to_string(), u8::try_from(place).unwrap())),
            1 => Just(scored("203.0.113.9", 99)),
            1 => (0_usize..3).prop_map(|place| json!({ "message": format!("'{}' is a bogon", question()[place]) })),
            1 => Just(json!({ "message": NO_RECORD })),
            1 => Just(json!(null)),
        ]
    }

    proptest! {
        #![proptest_config(cases(1_024))]

        #[test]
        fn nothing_is_ever_said_of_another_address(entries in prop::collection::vec(any_entry(), 0..6)) {
            let body = Value::from(entries.clone()).to_string();
            let outcomes = read_bytes(200, body.as_bytes(), &question()).unwrap();
            prop_assert_eq!(outcomes.len(), 3);
            for (place, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    // Its score is the place of the address that it is about.
                    Ok(Answer::Evidence(evidence)) => prop_assert_eq!(usize::from(evidence.score.value()), place),
                    Ok(_) => {
                        prop_assert_eq!(entries.len(), 3);
                        prop_assert!(entries[place].get("message").is_some());
                    }
                    Err(code) => prop_assert_eq!(*code, Code::Malformed),
                }
            }
        }

        #[test]
        fn any_bytes_give_as_many_outcomes_as_addresses_or_a_failure(
            status: u16, body in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            for status in [status, 200] {
                if let Ok(outcomes) = read_bytes(status, &body, &question()) {
                    prop_assert_eq!(outcomes.len(), 3);
                }
            }
        }
    }
}
