//! From the rows of all feeds to one table.

use thiserror::Error;

use super::combinations::Combinations;
use super::fold::fold;
use super::ipv4_index::Ipv4Index;
use super::ipv6_index::Ipv6Index;
use super::merged::Merged;
use super::neighbourhood::{Constants, points};
use super::networks::Networks;
use super::records::Records;
use super::scoring::Scoring;
use super::sections::MOST_BYTES;
use super::table::{Facts, Table};

pub use super::source::Source;

/// Why feeds could not be compiled. All of it means that a feed is nothing like a feed; the ones that are named can be
/// left out.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CompileError {
    /// More than 65,535 feeds.
    #[error("more than 65,535 feeds; leave some out")]
    TooManyFeeds,
    /// More than 65,535 different names.
    #[error("the feeds name more than 65,535 owners, `{feed}` the most of them; leave that feed out")]
    TooManyNames {
        /// The feed with the most names.
        feed: String,
    },
    /// More than 255 rows with different names or values hold one address.
    #[error(
        "more than 255 different names or values stand on one address, some of `{feed}`; leave that feed out"
    )]
    Crowded {
        /// A feed that they are from.
        feed: String,
    },
    /// More than 65,534 different combinations of what feeds say.
    #[error(
        "the feeds say more than 65,534 different things, `{feed}` the most of them; leave that feed out"
    )]
    TooManyRecords {
        /// The feed with the most names and values.
        feed: String,
    },
    /// A part of the table is larger than a file may hold.
    #[error("the feeds have too many rows for one table, `{feed}` the most of them; leave that feed out")]
    TooLarge {
        /// The feed with the most rows.
        feed: String,
    },
}

impl CompileError {
    /// The id of the feed without which the others may fit.
    #[must_use]
    pub fn feed(&self) -> Option<&str> {
        match self {
            Self::TooManyFeeds => None,
            Self::TooManyNames { feed }
            | Self::Crowded { feed }
            | Self::TooManyRecords { feed }
            | Self::TooLarge { feed } => Some(feed),
        }
    }
}

/// A new table, and what could not be used.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) table: Table,
    unusable: u64,
}

impl Compiled {
    /// The table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The table.
    #[must_use]
    pub fn into_table(self) -> Table {
        self.table
    }

    /// How many rows are about an AS of which no addresses are known: all of them, without networks.
    #[must_use]
    pub const fn unusable_rows(&self) -> u64 {
        self.unusable
    }
}

/// Compiles feeds. Rows about an AS become rows about its addresses, and addresses get points for their
/// [neighbourhood](super::neighbourhood); both need `networks`. The same rows give the same table, in whatever order
/// they come. Takes about half a second for a million rows.
///
/// # Errors
/// What makes the feeds too much for a table; see [`CompileError`].
pub fn compile(
    sources: Vec<Source>,
    networks: Option<&Networks>,
    built_at: u64,
) -> Result<Compiled, CompileError> {
    compile_with(
        sources,
        networks,
        built_at,
        Scoring::shipped().ok().map(|scoring| scoring.neighbourhood).as_ref(),
    )
}

fn compile_with(
    sources: Vec<Source>,
    networks: Option<&Networks>,
    built_at: u64,
    constants: Option<&Constants>,
) -> Result<Compiled, CompileError> {
    let merged = Merged::new(sources, networks)?;
    let mut combinations = Combinations::default();
    let ipv4 = combinations.flatten(&merged.ipv4).map_err(|overflow| merged.error(&overflow))?;
    let ipv6 = combinations.flatten(&merged.ipv6).map_err(|overflow| merged.error(&overflow))?;
    let points = match (networks, constants) {
        (Some(networks), Some(constants)) => points(&merged.listed(constants, built_at), networks, constants),
        _ => Vec::new(),
    };
    let combinations = merged.combinations(&combinations, constants);
    let folded = fold(&ipv4, &ipv6, &points, &combinations).ok_or_else(|| merged.too_large())?;
    let (ipv4, ipv6) = (Ipv4Index::build(folded.ipv4.iter().copied()), Ipv6Index::build(&folded.ipv6));
    if !fit(&ipv4, &ipv6, &folded.records) {
        return Err(merged.too_large());
    }
    let table = Table {
        ipv4,
        ipv6,
        records: folded.records,
        facts: Facts {
            built_at,
            prefixes: merged.prefixes,
            segments: (said(&folded.ipv4) + said(&folded.ipv6)) as u64,
            feeds: merged.feeds,
            names: merged.names,
        },
    };
    Ok(Compiled { table, unusable: merged.unusable })
}

/// Whether every part is small enough to be read from a file again.
fn fit(ipv4: &Ipv4Index, ipv6: &Ipv6Index, records: &Records) -> bool {
    [
        size_of_val(ipv4.lows()),
        size_of_val(ipv6.highs()),
        size_of_val(ipv6.inner_starts()),
        size_of_val(records.all_said()),
    ]
    .into_iter()
    .all(|bytes| bytes <= MOST_BYTES)
}

/// How many runs say something.
fn said<B>(runs: &[(B, u16)]) -> usize {
    runs.iter().filter(|(_, record)| *record != 0).count()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::feeds::range::Range;
    use crate::feeds::reference::{Reference, feed, plain, probes, rows};
    use crate::feeds::row::{About, Row};
    use crate::feeds::signal::Signal;
    use crate::flags::tests::cases;

    proptest! {
        #![proptest_config(cases(150))]

        #[test]
        fn a_table_says_what_a_search_of_all_rows_says(feeds in rows(40), random in any::<Vec<IpAddr>>()) {
            let reference = Reference::new(&feeds);
            let table = compile(reference.sources(), None, 7).unwrap().into_table();
            for address in probes(&feeds).chain(random) {
                prop_assert_eq!(plain(&table, address), reference.look_up(address), "{}", address);
            }
        }
    }

    proptest! {
        #![proptest_config(cases(2))]

        #[test]
        fn a_larger_table_says_it_too(feeds in rows(3_000), random in prop::collection::vec(any::<IpAddr>(), 200)) {
            let reference = Reference::new(&feeds);
            let table = compile(reference.sources(), None, 7).unwrap().into_table();
            for address in probes(&feeds).step_by(37).chain(random) {
                prop_assert_eq!(plain(&table, address), reference.look_up(address), "{}", address);
            }
        }
    }

    #[test]
    fn the_same_rows_in_another_order_give_the_same_table() {
        let (one, other) = ("192.0.2.0/24", "2001:db8::/32");
        let source = |rows: &[(&str, Option<&str>, u8)]| {
            let mut source = feed("example", Signal::Hosting);
            for &(range, name, value) in rows {
                source.take(Row { about: About::Range(Range::parse(range).unwrap()), name, value });
            }
            source
        };
        let first = source(&[(one, Some("b"), 2), (other, None, 1), (one, Some("a"), 9)]);
        let second = source(&[(one, Some("a"), 9), (one, Some("b"), 2), (other, None, 1)]);
        let written =
            |source| crate::feeds::file::write(&compile(vec![source], None, 1).unwrap(), None, false);
        assert_eq!(written(first), written(second));
    }

    /// Attacks from 10.1.1.1 to 10.1.1.250, and a network in the middle of them that is something else.
    fn attacks(signal: Signal, days_old: u64) -> Table {
        let mut attacks = feed("attacks", Signal::Attack);
        for last in 1..=250 {
            let range = Range::parse(&format!("10.1.1.{last}")).unwrap();
            attacks.take(Row { about: About::Range(range), name: None, value: 0 });
        }
        let mut other = feed("other", signal);
        let range = Range::parse("10.1.1.64/26").unwrap();
        other.take(Row { about: About::Range(range), name: None, value: 0 });
        let networks =
            Networks::parse(&[b"10.0.0.0,10.255.255.255,64500\n11.0.0.0,31.255.255.255,64501\n"]).unwrap();
        let built_at = attacks.info.seen_at + days_old * 24 * 60 * 60 * 1_000;
        let constants = Constants { least_listed: 1, ..Scoring::shipped().unwrap().neighbourhood };
        compile_with(vec![attacks, other], Some(&networks), built_at, Some(&constants)).unwrap().into_table()
    }

    fn neighbourhood(table: &Table, address: &str) -> u8 {
        table.look_up(address.parse().unwrap()).neighbourhood()
    }

    #[test]
    fn addresses_near_attacks_get_points_unless_others_share_them() {
        let [hosting, relay] = [Signal::Hosting, Signal::Relay].map(|signal| attacks(signal, 1));
        for table in [&hosting, &relay] {
            assert_eq!(neighbourhood(table, "10.1.1.255"), 24);
            assert_eq!(neighbourhood(table, "10.1.1.1"), 24);
            assert_eq!(neighbourhood(table, "11.0.0.1"), 0, "a large network without attacks");
            assert_eq!(neighbourhood(table, "200.0.0.1"), 0, "nobody announces it");
            assert!(!table.look_up("10.1.1.255".parse().unwrap()).is_empty());
        }
        assert_eq!(neighbourhood(&relay, "10.1.1.64"), 0);
        assert_eq!(neighbourhood(&hosting, "10.1.1.64"), 39);
    }

    #[test]
    fn old_attacks_give_no_points() {
        assert_eq!(neighbourhood(&attacks(Signal::Hosting, 60), "10.1.1.255"), 24);
        assert_eq!(neighbourhood(&attacks(Signal::Hosting, 61), "10.1.1.255"), 0);
    }

    #[test]
    fn rows_about_an_as_are_rows_about_its_addresses() {
        let source = || {
            let mut source = feed("clouds", Signal::Cloud);
            for (number, name) in [(64_500, "Alpha"), (64_501, "Beta"), (64_502, "Gamma")] {
                source.take(Row { about: About::Asn(number), name: Some(name), value: 0 });
            }
            source
        };
        let networks = Networks::parse(&[
            b"192.0.2.0,192.0.2.127,64500\n192.0.2.128,192.0.2.255,64501\n2001:db8::,2001:db8:1::,64500\n",
        ])
        .unwrap();
        let compiled = compile(vec![source()], Some(&networks), 0).unwrap();
        assert_eq!(compiled.unusable_rows(), 1);
        assert_eq!(compiled.table().prefixes(), 3);
        let name = |address: &str| {
            let found = compiled.table().look_up(address.parse().unwrap());
            found.entries().next().and_then(|entry| entry.name)
        };
        for (address, expected) in [
            ("192.0.2.127", Some("Alpha")),
            ("192.0.2.128", Some("Beta")),
            ("192.0.3.0", None),
            ("2001:db8:0:ffff::", Some("Alpha")),
            ("2001:db8:1::1", None),
        ] {
            assert_eq!(name(address), expected, "{address}");
        }
        assert_eq!(compile(vec![source()], None, 0).unwrap().unusable_rows(), 3);
    }

    #[test]
    fn what_holds_for_a_whole_feed_needs_no_name_in_its_rows() {
        let mut source = feed("vpn", Signal::Vpn);
        let range = Range::parse("192.0.2.0/24").unwrap();
        source.take(Row { about: About::Range(range), name: None, value: 0 });
        source.take(Row { about: About::Range(range), name: Some("Own"), value: 0 });
        source.info.name = Some("Whole".to_owned());
        let table = compile(vec![source], None, 0).unwrap().into_table();
        let found = table.look_up("192.0.2.1".parse().unwrap());
        let names: Vec<_> = found.entries().map(|entry| entry.name).collect();
        assert_eq!(names, [Some("Whole"), Some("Own")]);
    }

    #[test]
    fn a_feed_that_is_nothing_like_a_feed_is_named() {
        let range = Range::parse("192.0.2.0/24").unwrap();
        let good = || {
            let mut good = feed("good", Signal::Attack);
            good.take(Row { about: About::Range(range), name: None, value: 0 });
            good
        };
        let mut crowd = feed("crowd", Signal::Hosting);
        let mut names = feed("names", Signal::Hosting);
        let mut records = feed("records", Signal::Hosting);
        for number in 0..65_600_u32 {
            let about = About::Range(Range::V4(number * 16, number * 16));
            let name = number.to_string();
            names.take(Row { about, name: Some(&name), value: 0 });
            let (name, value) = ((number / 256).to_string(), u8::try_from(number % 256).unwrap());
            records.take(Row { about, name: Some(&name), value });
            if number < 300 {
                crowd.take(Row { about: About::Range(range), name: Some(&name), value });
            }
        }
        let error = |bad: Source| {
            // Whichever comes first.
            let error = compile(vec![good(), bad.clone()], None, 0).unwrap_err();
            assert_eq!(error, compile(vec![bad, good()], None, 0).unwrap_err());
            error
        };
        assert_eq!(error(crowd), CompileError::Crowded { feed: "crowd".to_owned() });
        assert_eq!(error(names), CompileError::TooManyNames { feed: "names".to_owned() });
        assert_eq!(error(records), CompileError::TooManyRecords { feed: "records".to_owned() });
    }

    /// Two hundred networks of a thousand ranges each.
    fn many_networks() -> Networks {
        let line = |range: u32| format!("{},{},{}\n", range * 512, range * 512 + 255, 64_500 + range % 200);
        let lines: String = (32_768..232_768).map(line).collect();
        Networks::parse(&[lines.as_bytes()]).unwrap()
    }

    /// Rows that name each of these networks so many times.
    fn names(networks: std::ops::Range<u32>, names: u32) -> Source {
        let mut source = feed("names", Signal::Hosting);
        for number in networks {
            for name in 0..names {
                source.take(Row {
                    about: About::Asn(64_500 + number),
                    name: Some(&name.to_string()),
                    value: 0,
                });
            }
        }
        source
    }

    #[test]
    fn a_small_file_about_large_networks_stays_small() {
        let networks = many_networks();
        let good = || feed("good", Signal::Attack);
        let compile = |bad| compile(vec![good(), bad, good()], Some(&networks), 0);
        let repeated = (0..20_000).fold(names(0..1, 1), |mut source, _| {
            source.take(Row { about: About::Asn(64_500), name: Some("0"), value: 0 });
            source
        });
        assert_eq!(compile(repeated).unwrap().table().prefixes(), 1_000, "what is said again adds nothing");
        let named = |error| assert_eq!(error, "names");
        let crowded = compile(names(0..1, 256)).unwrap_err();
        assert!(matches!(crowded, CompileError::Crowded { .. }), "{crowded}");
        named(crowded.feed().unwrap());
        // Each network alone is allowed, all of them would be 50 million rows.
        let large = compile(names(0..200, 250)).unwrap_err();
        assert!(matches!(large, CompileError::TooLarge { .. }), "{large}");
        named(large.feed().unwrap());
        assert!(compile(names(0..200, 8)).is_ok());
    }
}
