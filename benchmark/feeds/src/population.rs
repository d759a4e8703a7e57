//! Populations of IPv4 addresses: they are drawn evenly, and scored.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use ip_risk_core::address::Address;
use ip_risk_core::feeds::assessment::{Listed, assess};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::scoring::Scoring;
use ip_risk_core::feeds::table::Table;
use ip_risk_core::special_use;

use crate::merged::{is_in, merge};
use crate::program::Outcome;
use crate::snapshots::NOW;

/// Ranges without overlaps, with how many addresses come before each.
pub struct Population {
    ranges: Vec<(u32, u32)>,
    before: Vec<u64>,
    total: u64,
}

impl Population {
    /// Out of any ranges; special-use space is left out when addresses are drawn.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let ipv4 = ranges.into_iter().filter_map(|range| match range {
            Range::V4(first, last) => Some((first, last)),
            Range::V6(..) => None,
        });
        let ranges = merge(ipv4.collect());
        let mut total = 0;
        let count = |(first, last): &(u32, u32)| {
            let before = total;
            total += u64::from(last - first) + 1;
            before
        };
        let before = ranges.iter().map(count).collect();
        Self { ranges, before, total }
    }

    /// The addresses that a feed lists.
    ///
    /// # Errors
    /// When there is no such feed among `sources`.
    pub fn of_feeds(sources: &[Source], ids: &[&str]) -> Outcome<Self> {
        let mut ranges = Vec::new();
        for id in ids {
            let source = sources.iter().find(|source| source.info.id == *id);
            ranges.extend(source.ok_or_else(|| format!("no feed is called `{id}`"))?.ranges());
        }
        Ok(Self::new(ranges))
    }

    /// All routed addresses.
    #[must_use]
    pub fn routed(networks: &Networks) -> Self {
        Self::new(networks.ranges().map(|(range, _)| range))
    }

    /// How many addresses it has.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Whether it holds an address.
    #[must_use]
    pub fn holds(&self, address: u32) -> bool {
        is_in(&self.ranges, address)
    }

    /// `count` addresses, each as likely as any other, of which `keep` holds and which are not special-use space.
    pub fn draw(&self, count: usize, rng: &mut Rng, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut drawn = Vec::with_capacity(count);
        // A population that has next to none of them gives fewer.
        for _ in 0..count * 1_000 {
            if drawn.len() == count {
                break;
            }
            let at = rng.u64(0..self.total);
            let place = self.before.partition_point(|before| *before <= at) - 1;
            #[expect(clippy::cast_possible_truncation, reason = "ranges are IPv4")]
            let address = self.ranges[place].0 + (at - self.before[place]) as u32;
            if keep(address) && !is_special(address) {
                drawn.push(address);
            }
        }
        drawn
    }
}

/// Whether it is in special-use space, which no feed decides about.
#[must_use]
pub fn is_special(address: u32) -> bool {
    Address::parse(&Ipv4Addr::from_bits(address).to_string())
        .is_none_or(|address| special_use::name(address).is_some())
}

/// The score of an address at the time of the snapshots, with or without its neighbourhood.
#[must_use]
pub fn score(table: &Table, scoring: &Scoring, address: u32, has_neighbourhood: bool) -> u8 {
    let found = table.look_up(IpAddr::V4(Ipv4Addr::from_bits(address)));
    let listed: Vec<Listed<'_>> = found.entries().map(Listed::from).collect();
    let neighbourhood = if has_neighbourhood { found.neighbourhood() } else { 0 };
    assess(scoring, &listed, neighbourhood, NOW).score.value()
}

/// A table of one feed by itself.
///
/// # Errors
/// When there is no such feed among `sources`.
pub fn alone(sources: &[Source], networks: &Networks, id: &str) -> Outcome<Table> {
    let source = sources.iter().find(|source| source.info.id == id).cloned();
    let source = source.ok_or_else(|| format!("no feed is called `{id}`"))?;
    Ok(compile(vec![source], Some(networks), NOW)?.into_table())
}
