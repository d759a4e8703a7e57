//! What feeds say of an address, found without the table: a check on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::slice;

use ip_risk_core::feeds::compile::Source;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::row::About;
use ip_risk_core::feeds::signal::Signal;
use ip_risk_core::feeds::table::Table;

use crate::merged::Merged;
use crate::search_points::SearchPoints;
use crate::snapshots::KeptRow;

/// What a row says: the place of its feed, its name and its value.
type Said = (usize, Option<String>, u8);

/// All rows, searched without the table: for each thing that is said, the ranges of which it is said, sorted.
pub struct Search {
    ranges: Vec<Range>,
    said: BTreeMap<Said, Merged>,
    all: Merged,
    signals: Vec<Signal>,
    points: Option<SearchPoints>,
}

impl Search {
    /// Of the rows of `sources`. Without `networks` those about an AS say nothing, and there is no neighbourhood.
    #[must_use]
    pub fn new(sources: &[Source], rows: &[KeptRow], networks: Option<&Networks>) -> Self {
        let systems = systems(networks);
        let (mut ranges, mut said) = (Vec::new(), BTreeMap::<Said, Vec<Range>>::new());
        for row in rows {
            let about = match &row.about {
                About::Range(range) => slice::from_ref(range),
                About::Asn(number) => systems.get(number).map_or(&[][..], Vec::as_slice),
            };
            let name = row.name.as_ref().or(sources[row.feed].info.name.as_ref());
            said.entry((row.feed, name.cloned(), row.value)).or_default().extend(about);
            ranges.extend(about);
        }
        let signals: Vec<Signal> = sources.iter().map(|source| source.info.signal).collect();
        let points = networks.and_then(|networks| SearchPoints::new(rows, &signals, networks));
        let said = said.into_iter().map(|(said, ranges)| (said, Merged::new(&ranges))).collect();
        Self { all: Merged::new(&ranges), ranges, said, signals, points }
    }

    /// The ranges of all rows.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Looks `address` up in both.
    ///
    /// # Errors
    /// When the table says something else; the text has both.
    pub fn compare(&self, table: &Table, address: IpAddr) -> Result<(), String> {
        let found = table.look_up(address);
        let told: BTreeSet<Said> = found
            .entries()
            .map(|entry| (entry.feed_number, entry.name.map(str::to_owned), entry.value))
            .collect();
        let said = self.said(address);
        let signals: Vec<Signal> = said.iter().map(|said| self.signals[said.0]).collect();
        let points = self.points.as_ref().map_or(0, |points| points.of(address, &signals));
        if said == told && points == found.neighbourhood() {
            return Ok(());
        }
        let points_told = found.neighbourhood();
        Err(format!(
            "{address}: {said:?}, {points} points, but the table says {told:?}, {points_told} points"
        ))
    }

    fn said(&self, address: IpAddr) -> BTreeSet<Said> {
        if !self.all.holds(address) {
            return BTreeSet::new();
        }
        let of_address = self.said.iter().filter(|(_, ranges)| ranges.holds(address));
        of_address.map(|(said, _)| said.clone()).collect()
    }
}

/// What each AS announces.
fn systems(networks: Option<&Networks>) -> HashMap<u32, Vec<Range>> {
    let mut systems: HashMap<u32, Vec<Range>> = HashMap::new();
    for (range, number) in networks.into_iter().flat_map(Networks::ranges) {
        systems.entry(number).or_default().push(range);
    }
    systems
}
