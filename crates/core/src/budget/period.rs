//! Seconds, days and months, all in UTC.

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

const SECOND: u64 = 1_000;
const HOUR: u64 = 60 * 60 * SECOND;
const DAY: u64 = 24 * HOUR;

/// How long a budget lasts. Days and months are those of the calendar in UTC, whatever the machine's time zone: they
/// begin at midnight UTC, months on the first.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Period {
    /// A second.
    Second,
    /// A day of the calendar.
    Day,
    /// A month of the calendar.
    Month,
}

impl Period {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::Day, Self::Month];

    /// The name as it stands in `stats()` and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Which one it is at `now`, in milliseconds since 1970: seconds or days since 1970, or months since the year 0.
    pub(super) fn number(self, now: u64) -> u64 {
        match self {
            Self::Second => now / SECOND,
            Self::Day => now / DAY,
            Self::Month => {
                let moment = civil(now);
                let part = |part: i16| u64::try_from(part).unwrap_or(0);
                part(moment.year()) * 12 + part(i16::from(moment.month())) - 1
            }
        }
    }

    /// How the one of that number is written: `1770000000`, `2026-11-23`, `2026-11`.
    pub(super) fn name(self, number: u64) -> String {
        match self {
            Self::Second => number.to_string(),
            Self::Day => civil(number.saturating_mul(DAY)).date().to_string(),
            Self::Month => format!("{:04}-{:02}", number / 12, number % 12 + 1),
        }
    }

    /// How many hours it has, for the hour's share; a second has its part of one.
    pub(super) fn share_of_an_hour(self, limit: u64, now: u64) -> u64 {
        match self {
            Self::Second => limit.saturating_mul(HOUR / SECOND),
            Self::Day => limit / 24,
            Self::Month => limit / 24 / u64::try_from(civil(now).days_in_month()).unwrap_or(31).max(1),
        }
    }

    /// How long a ledger keeps it after it was last used, in milliseconds: clocks of processes may differ.
    pub(super) const fn kept(self) -> u64 {
        match self {
            Self::Second => 10 * SECOND,
            Self::Day => 2 * DAY,
            Self::Month => 40 * DAY,
        }
    }
}

pub(super) fn hour(now: u64) -> u64 {
    now / HOUR
}

fn civil(now: u64) -> DateTime {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    TimeZone::UTC.to_datetime(Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn names(text: &str) -> [String; 3] {
        Period::ALL.map(|period| period.name(period.number(at(text))))
    }

    #[test]
    fn days_and_months_begin_at_midnight_in_utc() {
        assert_eq!(names("2026-11-30T23:59:59.999Z"), ["1796083199", "2026-11-30", "2026-11"]);
        assert_eq!(names("2026-12-01T00:00:00Z"), ["1796083200", "2026-12-01", "2026-12"]);
        assert_eq!(names("2026-12-31T23:59:59.999Z")[1..], ["2026-12-31", "2026-12"]);
        assert_eq!(names("2027-01-01T00:00:00Z")[1..], ["2027-01-01", "2027-01"]);
        assert_eq!(names("2028-02-29T12:00:00Z")[1..], ["2028-02-29", "2028-02"]);
    }

    #[test]
    fn numbers_rise_with_the_time_and_no_time_is_too_late() {
        for period in Period::ALL {
            let next = at("2026-12-31T23:59:59Z");
            assert_eq!(period.number(next) + 1, period.number(next + 1_000), "{}", period.as_str());
            assert!(period.number(u64::MAX) > period.number(next));
            assert!(!period.name(period.number(u64::MAX)).is_empty());
        }
    }

    #[test]
    fn an_hour_has_its_share_of_each() {
        let now = at("2026-11-23T12:00:00Z");
        assert_eq!(Period::Second.share_of_an_hour(2, now), 7_200);
        assert_eq!(Period::Day.share_of_an_hour(2_400, now), 100);
        assert_eq!(Period::Month.share_of_an_hour(72_000, now), 100);
        assert_eq!(Period::Month.share_of_an_hour(74_400, at("2026-12-01T00:00:00Z")), 100);
    }
}
