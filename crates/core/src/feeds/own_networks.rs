//! Whose networks are whose: a table of our own, `networks.csv`, which is in the seed and in everything compiled later.

use std::collections::{HashMap, HashSet};

use super::compile::Source;
use super::info::FeedInfo;
use super::networks::Networks;
use super::row::{About, Row};
use super::signal::Signal;

/// `asn,kind,name` on each line; `#` begins a comment.
const TABLE: &str = include_str!("networks.csv");

/// The kinds in the table, the stable names of the feeds they become, and their names for people.
const KINDS: [(&str, &str, &str, Signal); 5] = [
    ("cloud", "own-clouds", "clouds by AS number", Signal::Cloud),
    ("hosting", "own-hosting", "hosting by AS number", Signal::Hosting),
    ("cdn", "own-delivery", "content delivery by AS number", Signal::Cdn),
    ("gateway", "own-gateways", "corporate gateways by AS number", Signal::CorporateGateway),
    ("mobile", "own-mobile", "mobile carriers by AS number", Signal::Mobile),
];

/// The table as feeds, as far as its networks announce addresses. `seen_at` is when the addresses were known to be theirs.
#[must_use]
pub fn sources(networks: &Networks, seen_at: u64) -> Vec<Source> {
    let announced: HashSet<u32> = networks.ranges().map(|(_, number)| number).collect();
    KINDS.iter().map(|kind| source(kind, &announced, seen_at)).collect()
}

/// What is said of a network, and whose it is.
pub type Known = (Signal, Option<&'static str>);

/// What the table says, by the numbers of networks.
#[must_use]
pub fn by_number() -> HashMap<u32, Known> {
    let known = |(number, kind, name): (u32, &str, &'static str)| {
        let (.., signal) = KINDS.iter().find(|(known, ..)| *known == kind)?;
        Some((number, (*signal, Some(name).filter(|name| !name.is_empty()))))
    };
    rows().filter_map(known).collect()
}

fn source(
    (kind, id, title, signal): &(&str, &str, &str, Signal),
    announced: &HashSet<u32>,
    seen_at: u64,
) -> Source {
    let mut source = Source::new(FeedInfo {
        id: (*id).to_owned(),
        title: (*title).to_owned(),
        operator: "ip-risk".to_owned(),
        signal: *signal,
        weight: None,
        name: None,
        licence: "MIT".to_owned(),
        credit: None,
        seen_at,
        rows: 0,
    });
    let of_kind = rows().filter(|(number, of_kind, _)| of_kind == kind && announced.contains(number));
    for (number, _, name) in of_kind {
        source.take(Row {
            about: About::Asn(number),
            name: Some(name).filter(|name| !name.is_empty()),
            value: 0,
        });
    }
    source.info.rows = source.rows() as u64;
    source
}

fn rows() -> impl Iterator<Item = (u32, &'static str, &'static str)> {
    TABLE.lines().filter_map(|line| {
        let mut columns = line.splitn(3, ',');
        let number = columns.next()?.parse().ok()?;
        Some((number, columns.next()?, columns.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_network_of_a_known_kind_that_stands_once() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#') && *line != "asn,kind,name");
        assert_eq!(lines.count(), rows().count());
        let numbers: HashSet<u32> = rows().map(|(number, ..)| number).collect();
        assert_eq!(numbers.len(), rows().count());
        for (number, kind, name) in rows() {
            assert!(KINDS.iter().any(|(known, ..)| *known == kind), "{number}: `{kind}`");
            assert!(name.trim() == name && !name.contains('"'), "{number}: `{name}`");
            assert!(kind != "cloud" || !name.is_empty(), "{number} has no name");
        }
    }

    #[test]
    fn a_network_is_found_by_its_number() {
        assert_eq!(by_number().get(&16_509), Some(&(Signal::Cloud, Some("Amazon.com, Inc."))));
        assert_eq!(by_number().get(&4_200_000_000), None);
    }

    #[test]
    fn the_table_becomes_a_feed_for_each_kind_of_the_networks_that_announce_something() {
        let networks =
            Networks::parse(&[b"2600:1f00::,2600:1fff::,16509\n1.0.1.0,1.0.1.255,64500\n"]).unwrap();
        let sources = sources(&networks, 1);
        assert_eq!(sources.len(), KINDS.len());
        assert!(sources.iter().all(|source| source.info.seen_at == 1));
        let rows: Vec<u64> = sources.iter().map(|source| source.info.rows).collect();
        assert_eq!(rows, [1, 0, 0, 0, 0]);
    }
}
