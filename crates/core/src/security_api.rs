//! What the Security API of ipgeolocation.io says: from a status and a body to an answer or a code.
//!
//! Pure: no input, however hostile, does anything but give one of the two.

pub(crate) mod bulk;

use jiff::civil::Date;
use serde_json_borrow::{ObjectAsVec, Value};

use crate::address::Address;
use crate::error::Code;
use crate::evidence::{Answer, Evidence, Provider};
use crate::flags::{Field, Flags, Names, Percentage};
use crate::names::{NameTable, tidy};

/// How many names one list keeps: enough for every published answer, and a bound on what a hostile one can make the
/// cache hold.
const MOST_NAMES: usize = 16;

/// The outcome of one call about `address`, the one that was asked for.
///
/// # Errors
/// The code of what is wrong with the status or the body.
pub(crate) fn read(
    status: u16,
    body: &[u8],
    address: Address,
    names: &NameTable,
    now: u64,
) -> Result<Answer, Code> {
    match status {
        200 => read_answer(body, address, names, now).map(Answer::Evidence),
        404 => read_not_found(body, now),
        423 if message(body).is_some() => Ok(Answer::Unroutable { checked_at: now }),
        _ => Err(failure(status)),
    }
}

fn failure(status: u16) -> Code {
    match status {
        300..400 => Code::Redirect,
        400 | 405 | 413 | 415 => Code::RequestRefused,
        401 => Code::KeyRefused,
        403 => Code::KeyForbidden,
        429 => Code::Quota,
        // The server saw the client go away: it was too slow for somebody on the way.
        499 | 504 => Code::Timeout,
        _ => Code::UpstreamStatus,
    }
}

/// "No record" and "no such path" share a status, and gateways answer in much the same shape. Only a message by
/// itself that speaks of an address is "no record"; anything else means that something else answers at that endpoint,
/// which must never look like an address without a record.
fn read_not_found(body: &[u8], now: u64) -> Result<Answer, Code> {
    match message(body) {
        Some(message) if speaks_of_an_address(&message) => Ok(Answer::Unknown { checked_at: now }),
        _ => Err(Code::Endpoint),
    }
}

/// Whether a message is about an address of a client, and not about that of a page.
fn speaks_of_an_address(message: &str) -> bool {
    let message = message.to_lowercase();
    let speaks_of_pages =
        ["endpoint", "url", "://", "server", "route", "page"].iter().any(|word| message.contains(word));
    message.contains("address") && !speaks_of_pages
}

/// The tree of a body. It borrows from it, so that no name of a field is copied. Of two fields of one name the first counts;
/// nothing that is asked sends two.
pub(crate) fn parse(body: &[u8]) -> Option<Value<'_>> {
    serde_json::from_slice(body).ok()
}

/// The message of an error, which is all that an error of the API holds.
fn message(body: &[u8]) -> Option<String> {
    only_message(&parse(body)?).map(str::to_owned)
}

fn only_message<'a>(body: &'a Value<'_>) -> Option<&'a str> {
    let body = body.as_object().filter(|body| body.len() == 1)?;
    body.get("message")?.as_str()
}

fn read_answer(body: &[u8], address: Address, names: &NameTable, now: u64) -> Result<Evidence, Code> {
    let body = parse(body).ok_or(Code::Malformed)?;
    let body = body.as_object().ok_or(Code::Malformed)?;
    if !is_about(body.get("ip"), address) {
        return Err(Code::Malformed);
    }
    read_scored(body, names, now)
}

/// Evidence from an answer that was found to be about the address in question.
fn read_scored(body: &ObjectAsVec<'_>, names: &NameTable, now: u64) -> Result<Evidence, Code> {
    let security = body.get("security").and_then(Value::as_object).ok_or(Code::Malformed)?;
    read_security(security, names, now).ok_or(Code::Malformed)
}

/// Whether the answer is about the address that was asked for. The field may be left out, not be another's.
fn is_about(ip: Option<&Value<'_>>, address: Address) -> bool {
    match ip {
        None => true,
        Some(Value::Str(text)) => Address::parse(text).is_some_and(|found| found.judged() == address),
        Some(_) => false,
    }
}

/// Evidence from a `security` object, or nothing when its score is not a number from 0 to 100.
///
/// Any other field of the wrong type is left out, as "cannot tell": it can then neither raise nor soften.
pub(crate) fn read_security(security: &ObjectAsVec<'_>, table: &NameTable, now: u64) -> Option<Evidence> {
    let score = percentage(security.get("threat_score")?)?;
    let mut flags = Flags::default();
    let mut names = Names::default();
    for (name, field) in Field::ALL {
        let Some(value) = security.get(name) else { continue };
        match field {
            Field::ThreatScore => flags.set_threat_score(score),
            Field::Boolean(field) => {
                boolean(value).inspect(|said| flags.set_boolean(field, *said));
            }
            Field::ConfidenceScore(subject) => {
                percentage(value).inspect(|score| flags.set_confidence_score(subject, *score));
            }
            Field::LastSeen(subject) => {
                date(value).inspect(|date| flags.set_last_seen(subject, *date));
            }
            Field::Name(field) => {
                text(value).inspect(|name| names.set_one(field, name));
            }
            Field::NameList(field) => names.set_list(field, list(value).take(MOST_NAMES)),
        }
    }
    flags.set_names(table.share(names));
    Some(Evidence { flags, score, provider: Provider::Ipgeolocation, checked_at: now })
}

pub(crate) fn percentage(value: &Value<'_>) -> Option<Percentage> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.and_then(Percentage::new)
}

pub(crate) fn boolean(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(said) => Some(*said),
        Value::Str(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Str(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

pub(crate) fn date(value: &Value<'_>) -> Option<Date> {
    // The first ten characters, because some releases send a time after the date.
    value.as_str()?.get(..10)?.parse().ok()
}

pub(crate) fn list<'a>(value: &'a Value<'_>) -> impl Iterator<Item = &'a str> {
    value.as_array().unwrap_or_default().iter().filter_map(text)
}

pub(crate) fn text<'a>(value: &'a Value<'_>) -> Option<&'a str> {
    value.as_str().and_then(tidy)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::flags::tests::cases;
    use crate::flags::{BooleanField, NameField, NameListField, Subject};
    use crate::names::LONGEST_NAME;

    const NOW: u64 = 1_700_000_000_000;

    fn address() -> Address {
        Address::parse("198.51.100.7").unwrap()
    }

    fn read_bytes(status: u16, body: &[u8]) -> Result<Answer, Code> {
        read(status, body, address(), &NameTable::default(), NOW)
    }

    fn read_json(status: u16, body: &Value) -> Result<Answer, Code> {
        read_bytes(status, body.to_string().as_bytes())
    }

    fn evidence(security: &Value) -> Result<Evidence, Code> {
        match read_json(200, &json!({ "security": security }))? {
            Answer::Evidence(evidence) => Ok(evidence),
            other => panic!("{other:?}"),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-5.0..105.0).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "(true|FALSE|[0-9]{1,3}|20[0-9]{2}-[0-9]{2}-[0-9]{2}|é{0,60}|\u{0}a)".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 24, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
                prop::collection::vec(("[a-z]{0,4}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// A `security` object in which any field has any value.
    fn any_security() -> impl Strategy<Value = Value> {
        let field = prop::sample::select(Field::ALL.map(|(name, _)| name).to_vec());
        prop::collection::vec((field, any_json()), 0..27).prop_map(|entries| {
            Value::Object(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        })
    }

    /// What evidence keeps to, however it was made.
    fn is_bounded(evidence: &Evidence) {
        assert!(evidence.score.value() <= 100);
        assert_eq!(evidence.flags.threat_score(), Some(evidence.score));
        assert_eq!(evidence.checked_at, NOW);
        for subject in [Subject::Proxy, Subject::Vpn, Subject::Bot] {
            assert!(evidence.flags.confidence_score(subject).is_none_or(|score| score.value() <= 100));
        }
        let Some(shared) = evidence.flags.names() else { return };
        let lists = [NameListField::ProxyProviderNames, NameListField::VpnProviderNames]
            .map(|field| shared.names().list(field));
        assert!(lists.iter().all(|list| list.len() <= MOST_NAMES));
        let single = [
            NameField::RelayProviderName,
            NameField::BotOperatorName,
            NameField::BotType,
            NameField::CloudProviderName,
            NameField::CorporateGatewayType,
            NameField::CorporateGatewayProviderName,
        ];
        let single = single.iter().filter_map(|field| shared.names().one(*field));
        for name in lists.iter().flat_map(|list| list.iter().map(AsRef::as_ref)).chain(single) {
            assert!(!name.is_empty() && name.len() <= LONGEST_NAME && name.trim() == name, "`{name}`");
            assert!(!name.contains(char::is_control), "`{name}`");
        }
    }

    /// Whether a JSON value is a number from 0 to 100, or the text of one.
    fn is_score(value: &Value) -> bool {
        let number = match value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            other => other.as_f64(),
        };
        number.is_some_and(|number| (0.0..=100.0).contains(&number))
    }

    proptest! {
        #![proptest_config(cases(1_024))]

        #[test]
        fn any_bytes_with_any_status_give_an_answer_or_a_code(
            status: u16, body in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            for status in [status, 200, 404, 423] {
                if let Ok(Answer::Evidence(evidence)) = read_bytes(status, &body) {
                    is_bounded(&evidence);
                }
            }
        }

        #[test]
        fn any_fields_give_bounded_evidence_exactly_when_the_score_is_one(security in any_security()) {
            let evidence = evidence(&security);
            let score = security.get("threat_score");
            prop_assert_eq!(evidence.is_ok(), score.is_some_and(is_score), "{}", security);
            match evidence {
                Ok(evidence) => is_bounded(&evidence),
                Err(code) => prop_assert_eq!(code, Code::Malformed),
            }
        }

        #[test]
        fn a_field_of_the_wrong_type_is_left_out_and_spoils_no_other(
            place in 0_usize..27, value in any_json(), score in 0_u8..=100,
        ) {
            let (name, field) = Field::ALL[place];
            prop_assume!(field != Field::ThreatScore);
            let security = json!({ "threat_score": score, "is_vpn": true, "is_tor": false, name: value });
            let flags = evidence(&security).unwrap().flags;
            prop_assert_eq!(flags.threat_score().map(Percentage::value), Some(score));
            if name != "is_vpn" && name != "is_tor" {
                prop_assert_eq!(flags.boolean(BooleanField::IsVpn), Some(true));
                prop_assert_eq!(flags.boolean(BooleanField::IsTor), Some(false));
            }
            if let Field::Boolean(field) = field {
                let said = match &value {
                    Value::Bool(said) => Some(*said),
                    Value::String(text) => text.to_ascii_lowercase().parse().ok(),
                    _ => None,
                };
                prop_assert_eq!(flags.boolean(field), said);
            }
            if let Field::ConfidenceScore(subject) = field {
                prop_assert_eq!(flags.confidence_score(subject).is_some(), is_score(&value));
            }
        }

        #[test]
        fn a_body_that_is_cut_off_is_no_evidence(place: prop::sample::Index) {
            let body = json!({ "ip": "198.51.100.7", "security": { "threat_score": 0 } }).to_string();
            let cut = &body.as_bytes()[..place.index(body.len())];
            prop_assert_eq!(read_bytes(200, cut).unwrap_err(), Code::Malformed);
        }
    }

    #[test]
    fn only_status_200_is_evidence() {
        let evidence = json!({ "security": { "threat_score": 1 } }).to_string();
        let message = json!({ "message": "no record of this address" }).to_string();
        for status in 0..=u16::MAX {
            let body = if status == 404 || status == 423 { &message } else { &evidence };
            let expected = match status {
                200 => "evidence",
                404 => "unknown",
                423 => "unroutable",
                _ => "failure",
            };
            let found = match read_bytes(status, body.as_bytes()) {
                Ok(Answer::Evidence(_)) => "evidence",
                Ok(Answer::Unknown { .. }) => "unknown",
                Ok(Answer::Unroutable { .. }) => "unroutable",
                Err(_) => "failure",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_score_that_is_none_is_never_evidence() {
        for score in
            ["-1", "-0.0001", "100.0001", "101", "1e3", "18446744073709551616", "null", "true", "[50]", "{}"]
        {
            let body = format!(r#"{{"security":{{"threat_score":{score},"is_vpn":true}}}}"#);
            assert_eq!(read_bytes(200, body.as_bytes()).unwrap_err(), Code::Malformed, "{score}");
        }
        for score in [
            "NaN", "nan", "inf", "-inf", "Infinity", "", " ", "-1", "101", "1e3", "0x10", "fifty", "50%", "٥",
        ] {
            assert_eq!(
                evidence(&json!({ "threat_score": score })).unwrap_err(),
                Code::Malformed,
                "`{score}`"
            );
        }
        for literal in ["NaN", "Infinity", "-Infinity", "1e999", "050", "+5", ".5", "0x10"] {
            let body = format!(r#"{{"security":{{"threat_score":{literal}}}}}"#);
            assert_eq!(read_bytes(200, body.as_bytes()).unwrap_err(), Code::Malformed, "{literal}");
        }
        assert_eq!(evidence(&json!({ "is_vpn": true })).unwrap_err(), Code::Malformed);
    }

    #[test]
    fn of_two_fields_of_one_name_the_first_counts() {
        let body = r#"{"security":{"threat_score":90,"threat_score":0},"security":{"threat_score":1}}"#;
        let Ok(Answer::Evidence(evidence)) = read_bytes(200, body.as_bytes()) else { panic!("no evidence") };
        assert_eq!(evidence.score.value(), 90);
        let body = r#"{"message":"no such address","message":"no such address"}"#;
        assert_eq!(read_bytes(404, body.as_bytes()).unwrap_err(), Code::Endpoint);
    }

    #[test]
    fn a_body_without_a_security_object_is_malformed() {
        for body in [
            json!(null),
            json!([]),
            json!("text"),
            json!({}),
            json!({ "ip": "198.51.100.7" }),
            json!({ "security": null }),
            json!({ "security": [{ "threat_score": 1 }] }),
            json!({ "threat_score": 1 }),
            json!([{ "security": { "threat_score": 1 } }]),
            json!({ "message": "ok" }),
        ] {
            assert_eq!(read_json(200, &body).unwrap_err(), Code::Malformed, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in ["", " ", "<html></html>", "{\"security\":{\"threat_score\":1}} x", deep.as_str()] {
            assert_eq!(read_bytes(200, body.as_bytes()).unwrap_err(), Code::Malformed);
        }
    }

    #[test]
    fn an_answer_about_another_address_is_malformed() {
        let about = |ip: &Value| read_json(200, &json!({ "ip": ip, "security": { "threat_score": 1 } }));
        for ip in ["198.51.100.7", "::ffff:198.51.100.7", "::FFFF:C633:6407"] {
            assert!(about(&json!(ip)).is_ok(), "{ip}");
        }
        for ip in
            [json!("198.51.100.8"), json!(""), json!(null), json!("198.51.100.7 "), json!(["198.51.100.7"])]
        {
            assert_eq!(about(&ip).unwrap_err(), Code::Malformed, "{ip}");
        }
    }

    #[test]
    fn every_documented_status_has_its_code() {
        for (status, code) in [
            (301, Code::Redirect),
            (302, Code::Redirect),
            (307, Code::Redirect),
            (400, Code::RequestRefused),
            (401, Code::KeyRefused),
            (403, Code::KeyForbidden),
            (405, Code::RequestRefused),
            (413, Code::RequestRefused),
            (415, Code::RequestRefused),
            (429, Code::Quota),
            (499, Code::Timeout),
            (500, Code::UpstreamStatus),
            (502, Code::UpstreamStatus),
            (503, Code::UpstreamStatus),
            (504, Code::Timeout),
            (505, Code::UpstreamStatus),
            (201, Code::UpstreamStatus),
            (204, Code::UpstreamStatus),
            (418, Code::UpstreamStatus),
        ] {
            for body in ["", "<html></html>", r#"{"message":"none"}"#, r#"{"security":{"threat_score":1}}"#] {
                assert_eq!(read_bytes(status, body.as_bytes()).unwrap_err(), code, "{status}");
            }
        }
    }

    #[test]
    fn no_record_and_a_wrong_path_are_told_apart() {
        let answer = |message: &str| read_json(404, &json!({ "message": message }));
        assert!(matches!(answer("this address has no record"), Ok(Answer::Unknown { checked_at: NOW })));
        for message in ["No endpoint GET /v4/security.", "No endpoint for this address", "Not Found", ""] {
            assert_eq!(answer(message).unwrap_err(), Code::Endpoint, "{message}");
        }
        for body in [
            "",
            "<html>404</html>",
            "{}",
            r#"{"message":404}"#,
            r#"["message"]"#,
            r#""message""#,
            r#"{"message":"no such address","status":404}"#,
        ] {
            assert_eq!(read_bytes(404, body.as_bytes()).unwrap_err(), Code::Endpoint, "{body}");
            assert_eq!(read_bytes(423, body.as_bytes()).unwrap_err(), Code::UpstreamStatus, "{body}");
        }
        assert!(matches!(
            read_json(423, &json!({ "message": "bogon" })),
            Ok(Answer::Unroutable { checked_at: NOW })
        ));
    }

    #[test]
    fn names_are_cut_to_their_bound_and_those_that_could_forge_a_line_are_left_out() {
        let names = |value: Value| {
            let evidence = evidence(&json!({ "threat_score": 1, "vpn_provider_names": value })).unwrap();
            let shared = evidence.flags.names().cloned();
            shared
                .map_or_else(Vec::new, |shared| shared.names().list(NameListField::VpnProviderNames).to_vec())
        };
        let many: Vec<String> = (0..40).map(|n| format!("VPN {n}")).collect();
        assert_eq!(names(json!(many)).len(), MOST_NAMES);
        assert_eq!(*names(json!(["x".repeat(500)]))[0], *"x".repeat(LONGEST_NAME));
        // Cut between characters, also where the bound is inside of one.
        assert_eq!(*names(json!(["€".repeat(500)]))[0], *"€".repeat(LONGEST_NAME / 3));
        assert_eq!(*names(json!([format!("x{}", "é".repeat(500))]))[0], *format!("x{}", "é".repeat(47)));
        assert_eq!(
            names(json!(["a\nb", "a\u{1b}[31m", " ", "", 5, null, " kept "])),
            [Box::<str>::from("kept")]
        );
        assert!(names(json!("Nord VPN")).is_empty(), "a text where a list belongs");
    }

    #[test]
    fn dates_are_kept_when_they_begin_with_one() {
        let day = |text: &str| {
            let evidence = evidence(&json!({ "threat_score": 1, "vpn_last_seen": text })).unwrap();
            evidence.flags.last_seen(Subject::Vpn)
        };
        assert_eq!(day("2000-01-02"), Some(1));
        assert_eq!(day("2026-01-31"), Some(9_527));
        assert_eq!(day("2026-01-31T12:00:00Z"), Some(9_527));
        for text in
            ["", "2026-01", "2026-02-30", "31-01-2026", "2026-1-31", "2026-01-3é", "yesterday", "0000-00-00"]
        {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
