//! The ways in which feeds write a moment.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

/// Numbers above this are milliseconds since 1970: as seconds they would be in the year 5138.
const MOST_SECONDS: u64 = 99_999_999_999;

/// Those without a zone are in UTC.
const WITHOUT_ZONE: [&str; 5] = [
    // FireHOL: `Sat Jun  6 06:29:45 UTC 2026`.
    "%a %b %e %H:%M:%S UTC %Y",
    // AWS.
    "%Y-%m-%d-%H-%M-%S",
    // abuse.ch.
    "%Y-%m-%d %H:%M:%S UTC",
    // Tor.
    "%Y-%m-%d %H:%M:%S",
    // Oracle and Google.
    "%Y-%m-%dT%H:%M:%S%.f",
];

/// The moment in milliseconds since 1970, or nothing when it is not written in one of these ways, or before 1970.
pub(super) fn read(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return read_number(number);
    }
    let moment = text.parse().ok().or_else(|| read_header(text)).or_else(|| read_without_zone(text))?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// The same of a number of seconds or milliseconds since 1970.
pub(super) fn read_number(number: u64) -> Option<u64> {
    let milliseconds = if number > MOST_SECONDS { number } else { number * 1_000 };
    let moment = Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// As in a header of mail or HTTP: IPsum, Spamhaus.
fn read_header(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

fn read_without_zone(text: &str) -> Option<Timestamp> {
    let moment = WITHOUT_ZONE.iter().find_map(|format| DateTime::strptime(format, text).ok())?;
    TimeZone::UTC.to_timestamp(moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_each_way_that_feeds_write_it() {
        for text in [
            "1780727385",
            "1780727385000",
            "Sat Jun  6 06:29:45 UTC 2026",
            "Sat, 06 Jun 2026 06:29:45 GMT",
            "Sat, 6 Jun 2026 08:29:45 +0200",
            "2026-06-06-06-29-45",
            "2026-06-06 06:29:45",
            "2026-06-06 06:29:45 UTC",
            "2026-06-06T06:29:45",
            "2026-06-06T06:29:45.000000",
            "2026-06-06T06:29:45Z",
            "2026-06-06T08:29:45+02:00",
        ] {
            assert_eq!(read(text), Some(1_780_727_385_000), "`{text}`");
        }
    }

    #[test]
    fn what_is_no_moment_since_1970_is_none() {
        for text in [
            "",
            "yesterday",
            "-1",
            "18446744073709551615",
            "99999999999999999999",
            "1969-12-31 23:59:59",
            "2026-02-30 00:00:00",
            "2026-06-06 06:29:45 CEST",
            "Sun Jun  6 06:29:45 UTC 2026",
        ] {
            assert_eq!(read(text), None, "`{text}`");
        }
    }
}
