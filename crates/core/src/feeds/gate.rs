//! Whether a file may take the place of the last good one.
//!
//! A list that was cut off, replaced by a page, or blown up must not decide about logins; a list that only changed
//! must not be kept out for ever. So sizes are compared with a dated baseline that moves only once a week, and a
//! change that stays for a week, or that somebody accepts, becomes the new baseline.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::coverage::{Coverage, Covered, IPV4_LENGTH, IPV6_LENGTH};
use super::format::{Format, FormatError, parse};
use super::row::{About, Summary};

const WEEK: u64 = 7 * 24 * 60 * 60 * 1_000;
/// No feed covers more than a tenth of IPv4, unless its recipe says so.
const MOST_IPV4: u64 = (1 << 32) / 10;
/// Nor more of IPv6 than a `/16`. The largest real one covers a tenth of that.
const MOST_IPV6: u128 = 1 << (128 - 16);
/// Short lists double by themselves: a change of fewer rows than this is none.
const LEAST_ROWS: u64 = 100;
/// And so does what they cover, by one network of this size, or as many IPv6 networks as a `/32` has.
const LEAST_ADDRESSES: u64 = 1 << 16;
/// The length of an IPv6 network that one customer gets.
const SITE_BITS: u32 = 128 - 48;

/// What the recipe of a feed expects of its files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// How its files are written.
    pub format: Format,
    /// The least and the most rows.
    pub rows: (u64, u64),
    /// The most IPv4 addresses that they cover, when that is not a tenth of all.
    pub max_addresses: Option<u64>,
}

/// What is in a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// What its parser saw.
    pub summary: Summary,
    /// What its rows about addresses cover outside special-use space.
    pub covered: Covered,
    /// How many IPv4 addresses the networks have that it names by their number, as far as that is known.
    pub announced: u64,
}

impl Contents {
    /// Reads a file. `sizes` tells how many IPv4 addresses a network has, by its number; a file that names networks by
    /// their number cannot be judged when it is empty. Time and memory are bounded by
    /// `bounds`, and by the caller's bound on the file.
    ///
    /// # Errors
    /// [`Refusal::Format`], when the file is none of its format at all, and [`Refusal::UnknownNetworks`].
    pub fn read(
        input: &mut dyn BufRead,
        bounds: &Bounds,
        sizes: &HashMap<u32, u64>,
    ) -> Result<Self, Refusal> {
        let (mut coverage, mut numbers, mut rows) = (Coverage::default(), HashSet::new(), 0);
        let summary = parse(bounds.format, input, &mut |row| {
            rows += 1;
            // A file with more rows is refused for that.
            if rows <= bounds.rows.1 {
                match row.about {
                    About::Range(range) => coverage.add(range),
                    About::Asn(number) => drop(numbers.insert(number)),
                }
            }
        })?;
        if sizes.is_empty() && !numbers.is_empty() {
            return Err(Refusal::UnknownNetworks);
        }
        let announced = numbers.iter().filter_map(|number| sizes.get(number)).sum();
        Ok(Self { summary, covered: coverage.finish(), announced })
    }

    /// How many IPv4 addresses its rows cover, and those of the networks that it names.
    #[must_use]
    pub const fn ipv4(&self) -> u64 {
        self.covered.ipv4.saturating_add(self.announced)
    }

    fn size(&self) -> Size {
        Size {
            rows: self.summary.rows,
            addresses: self.ipv4(),
            ipv6_sites: u64::try_from(self.covered.ipv6 >> SITE_BITS).unwrap_or(u64::MAX),
            ends_with_line: !self.summary.is_open_ended,
        }
    }
}

/// How large a feed is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Size {
    /// How many rows.
    pub rows: u64,
    /// How many IPv4 addresses outside special-use space, also of networks that it names by their number.
    pub addresses: u64,
    /// How many IPv6 networks of the length 48 outside special-use space.
    pub ipv6_sites: u64,
    /// Whether its last line is ended as the others are.
    pub ends_with_line: bool,
}

impl Size {
    /// Whether a file of this size is something else than one of the size `before`: more than twice or less than half of
    /// it, without a fifth of its rows, or cut off within a line.
    fn is_far_from(self, before: Self) -> bool {
        let is_far =
            |a: u64, b: u64, least: u64| a.abs_diff(b) >= least && a.max(b) > a.min(b).saturating_mul(2);
        let lost = before.rows.saturating_sub(self.rows);
        is_far(self.rows, before.rows, LEAST_ROWS)
            || lost >= LEAST_ROWS && lost.saturating_mul(5) >= before.rows
            || is_far(self.addresses, before.addresses, LEAST_ADDRESSES)
            || is_far(self.ipv6_sites, before.ipv6_sites, LEAST_ADDRESSES)
            || self.is_cut(before)
    }

    const fn is_cut(self, before: Self) -> bool {
        before.ends_with_line && !self.ends_with_line
    }
}

/// A size, and since when it is known, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dated {
    /// The size.
    pub size: Size,
    /// Since when.
    pub since: u64,
}

/// What is remembered of the sizes of a feed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct History {
    /// What files are compared with; it moves once a week.
    pub baseline: Option<Dated>,
    /// The first of the files that were refused because their size is far from the baseline.
    pub change: Option<Dated>,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is none of its format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Too many of its lines are not the format's.
    #[error(
        "{rejected} of {lines} lines are not rows, the first is `{first}`; its format may have changed, update this package"
    )]
    Rejects {
        /// How many lines are not.
        rejected: u64,
        /// Of how many.
        lines: u64,
        /// The first of them, shortened.
        first: String,
    },
    /// It has no rows.
    #[error("it has no rows; try again later")]
    Empty,
    /// It has less than it says itself, or does not say it although its format does, or ends within a line, which the
    /// one before did not.
    #[error(
        "it was cut off after {rows} rows; try again later, or accept it with `--accept-change ID` if it is whole"
    )]
    Truncated {
        /// How many came.
        rows: u64,
    },
    /// It has fewer or more rows than the recipe expects.
    #[error(
        "it has {rows} rows, where {least} to {most} are expected; update this package, or correct the recipe"
    )]
    Rows {
        /// How many it has.
        rows: u64,
        /// How many are expected at least.
        least: u64,
        /// How many are expected at most.
        most: u64,
    },
    /// One row covers more than an IPv4 `/8` or an IPv6 `/20`.
    #[error(
        "the row at `{first}` covers more than a network of the length {length}; the list is damaged, try again later"
    )]
    TooWide {
        /// Its first address.
        first: std::net::IpAddr,
        /// The length of the largest network that is taken.
        length: u8,
    },
    /// All rows cover more addresses than a feed may.
    #[error(
        "it covers {percent} % of the public {family} addresses, more than a feed may; the list is damaged, try again later"
    )]
    Coverage {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// How much of all.
        percent: u64,
    },
    /// It names networks by their number, and nobody knows which addresses these have.
    #[error(
        "it names networks by their number, whose addresses only the feeds in the package know; use these as the seed"
    )]
    UnknownNetworks,
    /// It says that it was made before the one that is there.
    #[error(
        "it was made before the file that is there; get a newer one, or accept it with `--accept-change ID`"
    )]
    Older,
    /// It is more than twice, or less than half, of what the feed was, or has lost a fifth of its rows.
    #[error(
        "its size went from {} rows, {} IPv4 addresses and {} IPv6 networks (/48) to {}, {} and {}; accept that with \
         `--accept-change ID`, or wait: a change that stays for a week is taken",
        from.rows, from.addresses, from.ipv6_sites, to.rows, to.addresses, to.ipv6_sites
    )]
    Changed {
        /// What it is compared with.
        from: Size,
        /// What it is.
        to: Size,
    },
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Format(FormatError::Page) => "html_page",
            Self::Format(FormatError::CutOff(_)) | Self::Truncated { .. } => "truncated",
            Self::Format(_) => "malformed",
            Self::Rejects { .. } => "rejected_lines",
            Self::Empty => "empty",
            Self::Rows { .. } => "row_count",
            Self::TooWide { .. } => "too_wide",
            Self::Coverage { .. } => "coverage",
            Self::UnknownNetworks => "unknown_networks",
            Self::Older => "older",
            Self::Changed { .. } => "changed",
        }
    }
}

/// Judges a file by itself, then by what the feed was before, and remembers what has to be remembered in `history`.
/// With `accept_change`, its size may be far from what it was.
///
/// # Errors
/// Why it is refused. The history then only remembers since when the size is another.
pub fn judge(
    contents: &Contents,
    bounds: &Bounds,
    history: &mut History,
    accept_change: bool,
    now: u64,
) -> Result<(), Refusal> {
    check_rows(&contents.summary, bounds)?;
    check_coverage(contents, bounds)?;
    compare(contents.size(), history, accept_change, now)
}

fn check_rows(summary: &Summary, bounds: &Bounds) -> Result<(), Refusal> {
    let (rows, lines) = (summary.rows, summary.rows.saturating_add(summary.rejected));
    if rows == 0 && summary.rejected == 0 {
        return Err(Refusal::Empty);
    }
    if summary.has_too_many_rejects() {
        let first = summary.first_rejected.clone().unwrap_or_default();
        return Err(Refusal::Rejects { rejected: summary.rejected, lines, first });
    }
    if is_cut_off(summary, lines, bounds.format) {
        return Err(Refusal::Truncated { rows });
    }
    let (least, most) = bounds.rows;
    if rows < least || rows > most {
        return Err(Refusal::Rows { rows, least, most });
    }
    Ok(())
}

/// The last line of Spamhaus' files says how many rows there are, and is missing from a file that was cut off. Headers
/// of FireHOL say how many addresses there are; those of its lists of the last 30 days are up to a third too high, so
/// that only half a file is surely not whole.
fn is_cut_off(summary: &Summary, lines: u64, format: Format) -> bool {
    let lacks_rows = match summary.declared_rows {
        Some(declared) => lines.saturating_add(1) < declared,
        None => format == Format::Spamhaus,
    };
    lacks_rows || summary.declared_addresses.is_some_and(|declared| summary.addresses < declared / 2)
}

fn check_coverage(contents: &Contents, bounds: &Bounds) -> Result<(), Refusal> {
    let covered = &contents.covered;
    if let Some(range) = covered.widest {
        let first = range.first();
        return Err(Refusal::TooWide {
            first,
            length: if first.is_ipv4() { IPV4_LENGTH } else { IPV6_LENGTH },
        });
    }
    let ipv4 = contents.ipv4();
    if ipv4 > bounds.max_addresses.unwrap_or(MOST_IPV4) {
        return Err(Refusal::Coverage { family: "IPv4", percent: ipv4 / ((1 << 32) / 100) });
    }
    if covered.ipv6 > MOST_IPV6 {
        let percent = u64::try_from(covered.ipv6 / (u128::MAX / 100)).unwrap_or(100);
        return Err(Refusal::Coverage { family: "IPv6", percent });
    }
    Ok(())
}

fn compare(size: Size, history: &mut History, accept_change: bool, now: u64) -> Result<(), Refusal> {
    let Some(baseline) = history.baseline.filter(|baseline| size.is_far_from(baseline.size)) else {
        let is_recent = |baseline: &Dated| now.saturating_sub(baseline.since) < WEEK;
        let baseline = history.baseline.filter(is_recent).unwrap_or(Dated { size, since: now });
        *history = History { baseline: Some(baseline), change: None };
        return Ok(());
    };
    // A list that goes on changing is not one that has found its new size.
    let change = history.change.filter(|change| !size.is_far_from(change.size));
    let change = change.unwrap_or(Dated { size, since: now });
    if accept_change || now.saturating_sub(change.since) >= WEEK {
        *history = History { baseline: Some(Dated { size, since: now }), change: None };
        return Ok(());
    }
    history.change = Some(change);
    if size.is_cut(baseline.size) {
        return Err(Refusal::Truncated { rows: size.rows });
    }
    Err(Refusal::Changed { from: baseline.size, to: size })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = WEEK / 7;
    const LIST: Bounds = Bounds { format: Format::List, rows: (1, 100_000), max_addresses: None };
    const SPAMHAUS: Bounds = Bounds { format: Format::Spamhaus, ..LIST };

    fn read(text: &str, bounds: &Bounds) -> Result<Contents, Refusal> {
        let sizes = HashMap::from([(64_500, MOST_IPV4), (64_501, 1)]);
        Contents::read(&mut text.as_bytes(), bounds, &sizes)
    }

    /// What becomes of a file of a feed that nothing is known of.
    fn outcome(text: &str, bounds: &Bounds) -> &'static str {
        let judged = read(text, bounds)
            .and_then(|contents| judge(&contents, bounds, &mut History::default(), false, DAY));
        judged.map_or_else(|refusal| refusal.reason(), |()| "taken")
    }

    fn lines<Line: std::fmt::Display>(lines: impl Iterator<Item = Line>) -> String {
        lines.fold(String::new(), |text, line| text + &line.to_string() + "\n")
    }

    fn list(rows: u32) -> String {
        lines((0..rows).map(|row| std::net::Ipv4Addr::from_bits(0x0b00_0000 + 2 * row)))
    }

    fn slash_eights(networks: std::ops::Range<u8>) -> String {
        lines(networks.map(|first| format!("{first}.0.0.0/8")))
    }

    #[test]
    fn a_file_is_judged_by_itself() {
        for (text, expected) in [
            (list(5), "taken"),
            (String::new(), "empty"),
            ("# nothing today\n".into(), "empty"),
            ("<!doctype html><p>moved</p>".into(), "html_page"),
            (list(98) + "foo\n", "rejected_lines"),
            (list(99) + "foo\n", "taken"),
            ("0.0.0.0/0\n".into(), "too_wide"),
            ("::/0\n".into(), "too_wide"),
            ("8.0.0.0/7\n".into(), "too_wide"),
            ("8.0.0.0/8\n10.0.0.0/8\n224.0.0.0/3\n".into(), "taken"),
            (slash_eights(20..45), "taken"),
            (slash_eights(20..46), "coverage"),
            ("2a00::/20\n".into(), "taken"),
            ("2a00::/19\n".into(), "too_wide"),
            (lines((0..16).map(|part| format!("2a00:{part:x}000::/20"))), "taken"),
            (lines((0..17).map(|part| format!("2a{:02x}:{:x}000::/20", part / 16, part % 16))), "coverage"),
            (list(100_001), "row_count"),
            ("# Entries         : 9 unique IPs\n".to_owned() + &list(3), "truncated"),
            ("# Entries         : 9 unique IPs\n".to_owned() + &list(4), "taken"),
        ] {
            assert_eq!(outcome(&text, &LIST), expected, "{}", &text[..text.len().min(60)]);
        }
        assert_eq!(outcome(&list(5), &Bounds { rows: (6, 9), ..LIST }), "row_count");
        let fifth = Bounds { max_addresses: Some(1 << 31), ..LIST };
        assert_eq!(outcome(&slash_eights(20..46), &fifth), "taken");
    }

    #[test]
    fn a_spamhaus_file_says_how_many_rows_it_has() {
        let rows = lines((0..40).map(|row| format!("{{\"cidr\":\"11.0.{row}.0/24\"}}")));
        let end = |records| {
            format!("{{\"type\":\"metadata\",\"timestamp\":1784798042,\"size\":9,\"records\":{records}}}\n")
        };
        for (text, expected) in [
            (rows.clone() + &end(40), "taken"),
            (rows.clone() + &end(41), "taken"),
            (rows.clone() + &end(42), "truncated"),
            (rows, "truncated"),
        ] {
            assert_eq!(outcome(&text, &SPAMHAUS), expected);
        }
    }

    #[test]
    fn networks_by_their_number_cover_what_they_announce() {
        let bounds = Bounds { format: Format::AsnCsv, ..LIST };
        assert_eq!(outcome("64500\n64500\n64499\n", &bounds), "taken");
        assert_eq!(outcome("64500\n64501\n", &bounds), "coverage");
    }

    /// A feed, and the days on which its files come.
    #[derive(Default)]
    struct Days(History);

    impl Days {
        fn judge(&mut self, day: u64, rows: u64, addresses: u64, accept_change: bool) -> bool {
            let covered = Covered { ipv4: addresses, ..Covered::default() };
            let contents =
                Contents { summary: Summary { rows, ..Summary::default() }, covered, announced: 0 };
            judge(&contents, &LIST, &mut self.0, accept_change, day * DAY).is_ok()
        }

        fn takes(&mut self, day: u64, rows: u64) -> bool {
            self.judge(day, rows, rows, false)
        }
    }

    #[test]
    fn without_networks_a_list_of_their_numbers_cannot_be_judged() {
        let bounds = Bounds { format: Format::AsnCsv, ..LIST };
        let read = Contents::read(&mut "64500\n".as_bytes(), &bounds, &HashMap::new());
        assert_eq!(read.unwrap_err().reason(), "unknown_networks");
    }

    #[test]
    fn announced_addresses_and_ipv6_networks_are_part_of_the_size() {
        for (announced, ipv6, is_taken) in [
            (1_000, 80, true),
            (100_000, 80, false),
            (1_000, 160, true),
            (1_000, 161, false),
            (1_000, 40, true),
            (1_000, 39, false),
        ] {
            let contents = |announced, ipv6: u128| Contents {
                summary: Summary { rows: 5, ..Summary::default() },
                covered: Covered { ipv6: ipv6 << 96, ..Covered::default() },
                announced,
            };
            let mut history = History::default();
            assert!(judge(&contents(1_000, 80), &LIST, &mut history, false, 0).is_ok());
            let judged = judge(&contents(announced, ipv6), &LIST, &mut history, false, DAY);
            assert_eq!(judged.is_ok(), is_taken, "{announced} {ipv6}");
        }
    }

    #[test]
    fn a_list_that_ends_within_a_line_was_cut_off_if_it_did_not_before() {
        let (whole, cut) = (list(50), list(50).trim_ascii_end().to_owned());
        let judge_after = |first: &str, then: &str| {
            let mut history = History::default();
            judge(&read(first, &LIST).unwrap(), &LIST, &mut history, false, 0).unwrap();
            let then = read(then, &LIST).unwrap();
            let judged = judge(&then, &LIST, &mut history, false, DAY);
            let later = judge(&then, &LIST, &mut history, false, DAY + WEEK);
            (judged.map_or_else(|refusal| refusal.reason(), |()| "taken"), later.is_ok())
        };
        assert_eq!(judge_after(&whole, &cut), ("truncated", true), "after a week it is how the list is");
        assert_eq!(judge_after(&cut, &cut), ("taken", true));
        assert_eq!(judge_after(&cut, &whole), ("taken", true));
    }

    #[test]
    fn a_list_that_doubles_or_loses_a_fifth_overnight_is_refused() {
        for (rows, is_taken) in [(2_000, true), (2_001, false), (801, true), (800, false)] {
            let mut days = Days::default();
            assert!(days.takes(0, 1_000));
            assert_eq!(days.takes(1, rows), is_taken, "{rows}");
        }
        // The same rows, each about a larger network.
        let mut days = Days::default();
        assert!(days.judge(0, 1_000, 100_000, false));
        assert!(!days.judge(1, 1_000, 201_000, false));
        assert!(days.judge(1, 1_000, 199_000, false));
    }

    #[test]
    fn short_lists_may_double() {
        let mut days = Days::default();
        assert!(days.takes(0, 5));
        assert!(days.takes(1, 90));
        assert!(days.takes(2, 1));
    }

    #[test]
    fn the_baseline_moves_once_a_week_so_that_small_steps_do_not_add_up() {
        let mut days = Days::default();
        assert!(days.takes(0, 1_000));
        assert!(days.takes(1, 1_800));
        assert!(!days.takes(2, 2_500), "compared with the first day");
        assert!(days.takes(7, 1_800), "a week later the baseline moves");
        assert!(days.takes(8, 2_500));
    }

    #[test]
    fn a_change_that_stays_for_a_week_is_taken_and_so_is_an_accepted_one() {
        let mut days = Days::default();
        assert!(days.takes(0, 1_000));
        for day in 10..17 {
            assert!(!days.takes(day, 5_000), "day {day}");
        }
        assert!(days.takes(17, 5_100));
        assert!(days.takes(18, 5_000));
        assert!(!days.takes(19, 1_000));
        assert!(days.judge(19, 1_000, 1_000, true));
        assert!(days.takes(20, 1_000));
    }

    #[test]
    fn a_change_that_went_away_or_goes_on_begins_anew() {
        let mut days = Days::default();
        assert!(days.takes(0, 1_000));
        assert!(!days.takes(1, 5_000));
        assert!(days.takes(4, 1_000));
        assert!(!days.takes(8, 5_000), "it was back in between");
        assert!(!days.takes(12, 20_000));
        assert!(!days.takes(15, 20_000), "it went on since");
        assert!(days.takes(19, 20_000));
    }

    #[test]
    fn a_history_from_the_future_does_no_harm() {
        let size = Size { rows: 1_000, addresses: 1_000, ..Size::default() };
        let dated = Dated { size, since: u64::MAX };
        let mut days = Days(History { baseline: Some(dated), change: Some(dated) });
        assert!(days.takes(0, 1_000));
        assert!(!days.takes(0, 5_000));
        assert!(days.judge(0, 5_000, 5_000, true));
    }
}
