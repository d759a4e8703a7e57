//! What the Security API of ipgeolocation.io says: from a status and a body to an answer or a code.
//!
//! Pure: no input, however hostile, does anything but give one of the two.

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::address::Address;
use crate::error::Code;
use crate::evidence::{Answer, Evidence, Provider};
use crate::flags::{Field, Flags, Names, Percentage};
use crate::names::NameTable;

/// How many names one list keeps, and how long each may be: enough for every published answer, and a bound
/// on what a hostile one can make the cache hold.
const MOST_NAMES: usize = 16;
const LONGEST_NAME: usize = 96;

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

/// "No record" and "no such path" share a status. Anything but a plain JSON message means that something else
/// answers at that endpoint, which must never look like an address without a record.
fn read_not_found(body: &[u8], now: u64) -> Result<Answer, Code> {
    match message(body) {
        Some(message) if !message.starts_with("No endpoint") => Ok(Answer::Unknown { checked_at: now }),
        _ => Err(Code::Endpoint),
    }
}

fn message(body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(body).ok()?.get_mut("message")?.take() {
        Value::String(message) => Some(message),
        _ => None,
    }
}

fn read_answer(body: &[u8], address: Address, names: &NameTable, now: u64) -> Result<Evidence, Code> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Code::Malformed)?;
    if !is_about(body.get("ip"), address) {
        return Err(Code::Malformed);
    }
    let security = body.get("security").and_then(Value::as_object).ok_or(Code::Malformed)?;
    read_security(security, names, now).ok_or(Code::Malformed)
}

/// Whether the answer is about the address that was asked for. The field may be left out, not be another's.
fn is_about(ip: Option<&Value>, address: Address) -> bool {
    match ip {
        None => true,
        Some(Value::String(text)) => Address::parse(text).is_some_and(|found| found.judged() == address),
        Some(_) => false,
    }
}

/// Evidence from a `security` object, or nothing when its score is not a number from 0 to 100.
///
/// Any other field of the wrong type is left out, as "cannot tell": it can then neither raise nor soften.
pub(crate) fn read_security(security: &Map<String, Value>, table: &NameTable, now: u64) -> Option<Evidence> {
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

fn percentage(value: &Value) -> Option<Percentage> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.and_then(Percentage::new)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(said) => Some(*said),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn date(value: &Value) -> Option<Date> {
    // The first ten characters, because some releases send a time after the date.
    value.as_str()?.get(..10)?.parse().ok()
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(text)
}

/// A name, cut to a bound. One with control characters could forge log lines and is left out.
fn text(value: &Value) -> Option<&str> {
    let text = value.as_str()?.trim();
    let end = text.floor_char_boundary(LONGEST_NAME);
    let text = text.get(..end)?.trim_end();
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}
