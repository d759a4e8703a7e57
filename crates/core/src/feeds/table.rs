//! What all feeds say of an address, in memory.

use std::net::IpAddr;

use super::info::FeedInfo;
use super::ipv4_index::Ipv4Index;
use super::ipv6_index::Ipv6Index;
use super::records::{Records, Said};

/// All feeds, flattened to runs of addresses of which the same is said.
///
/// A look-up costs well below a microsecond and allocates nothing. A table of real lists takes about 6 bytes per
/// prefix. It is made by [`compile`](super::compile::compile) or read by [`open`](super::file::open).
#[derive(Debug)]
pub struct Table {
    pub(crate) ipv4: Ipv4Index,
    pub(crate) ipv6: Ipv6Index,
    pub(crate) records: Records,
    pub(crate) facts: Facts,
}

/// What a table knows beside its addresses.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) built_at: u64,
    pub(crate) prefixes: u64,
    pub(crate) segments: u64,
    pub(crate) feeds: Vec<FeedInfo>,
    pub(crate) names: Vec<String>,
}

impl Table {
    /// What is said of an address. IPv4-mapped IPv6 is IPv4; the IPv4 inside transition addresses is not looked for.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> Found<'_> {
        let record = match address.to_canonical() {
            IpAddr::V4(address) => self.ipv4.record(address.to_bits()),
            IpAddr::V6(address) => self.ipv6.record(address.to_bits()),
        };
        Found { table: self, record }
    }

    /// The feeds that were compiled, by number.
    #[must_use]
    pub fn feeds(&self) -> &[FeedInfo] {
        &self.facts.feeds
    }

    /// When it was compiled, in milliseconds since 1970.
    #[must_use]
    pub const fn built_at(&self) -> u64 {
        self.facts.built_at
    }

    /// How many different networks and ranges its feeds speak of.
    #[must_use]
    pub const fn prefixes(&self) -> u64 {
        self.facts.prefixes
    }

    /// How many runs of addresses they became, not counting those of which nothing is said.
    #[must_use]
    pub const fn segments(&self) -> u64 {
        self.facts.segments
    }

    /// How many different combinations of what is said there are.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len() - 1
    }

    /// How many different combinations of what is said there are, whatever the neighbourhood, the empty one included.
    pub(crate) fn combinations(&self) -> usize {
        self.records.different()
    }

    /// How many bytes the parts take that grow with the feeds' rows.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.ipv4.memory() + self.ipv6.memory() + self.records.memory()
    }
}

/// What the feeds say of one address.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    table: &'a Table,
    record: u16,
}

/// One thing that a feed says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    /// The feed.
    pub feed: &'a FeedInfo,
    /// Its place in [`Table::feeds`].
    pub feed_number: usize,
    /// Whom the address belongs to: what the row said, or else what holds for the whole feed.
    pub name: Option<&'a str>,
    /// The number that the row carries; 0 is none.
    pub value: u8,
}

impl<'a> Found<'a> {
    /// Whether nothing is said of the address, and nothing of its neighbourhood.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.record == 0
    }

    /// Points for attacks out of the networks around the address, the address itself not counted; 0 is none.
    #[must_use]
    pub fn neighbourhood(&self) -> u8 {
        self.table.records.neighbourhood(self.record)
    }

    /// The table that was asked.
    pub(crate) const fn table(&self) -> &'a Table {
        self.table
    }

    /// The number of the combination of what is said, of which many addresses have the same one.
    pub(crate) fn combination(&self) -> u16 {
        self.table.records.combination(self.record)
    }

    /// What is said, in the order of the feeds. A feed that says more than one thing comes more than once.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let table = self.table;
        table.records.said(self.record).iter().filter_map(move |said| table.entry(*said))
    }
}

impl Table {
    fn entry(&self, said: Said) -> Option<Entry<'_>> {
        let feed_number = usize::from(said.feed);
        let feed = self.facts.feeds.get(feed_number)?;
        let own = usize::from(said.name).checked_sub(1).and_then(|place| self.facts.names.get(place));
        let name = own.or(feed.name.as_ref()).map(String::as_str);
        Some(Entry { feed, feed_number, name, value: said.value })
    }
}
