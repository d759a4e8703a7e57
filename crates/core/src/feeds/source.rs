//! One feed's rows, before they are compiled.

use std::collections::HashMap;

use super::info::FeedInfo;
use super::printable::is_printable;
use super::range::Range;
use super::row::{About, Row};
use super::sweep::Span;

/// Longer names are left out: nobody is called that.
const LONGEST_NAME: usize = 96;

/// One feed and its rows, as compact as they can be before all feeds are there: 12 bytes per IPv4 row.
///
/// ```
/// # use ip_risk_core::feeds::{compile::{Source, compile}, info::FeedInfo, range::Range, row::{About, Row}, signal::Signal};
/// # fn info() -> FeedInfo {
/// #     FeedInfo { id: "example".into(), title: "Example".into(), operator: "Example".into(), signal: Signal::Hosting,
/// #         weight: None, name: None, licence: "CC0-1.0".into(), credit: None, seen_at: 0, rows: 0 }
/// # }
/// let mut source = Source::new(info());
/// let range = Range::parse("192.0.2.0/24").unwrap();
/// source.take(Row { about: About::Range(range), name: Some("Example Cloud"), value: 0 });
///
/// let table = compile(vec![source], None, 0).unwrap().into_table();
/// let found = table.look_up("192.0.2.7".parse().unwrap());
/// assert_eq!(found.entries().next().unwrap().name, Some("Example Cloud"));
/// ```
#[derive(Clone, Debug)]
pub struct Source {
    /// The feed. What is known only after its rows may be written later.
    pub info: FeedInfo,
    /// Names by their number, which begins at 1; 0 is no name.
    pub(super) names: HashMap<String, u32>,
    /// Name and value by the number that rows carry.
    pub(super) tags: HashMap<(u32, u8), u32>,
    pub(super) ipv4: Vec<Span<u32>>,
    pub(super) ipv6: Vec<Span<u128>>,
    /// AS numbers and tags.
    pub(super) systems: Vec<(u32, u32)>,
}

impl Source {
    /// A feed without rows.
    #[must_use]
    pub fn new(info: FeedInfo) -> Self {
        Self {
            info,
            names: HashMap::new(),
            tags: HashMap::new(),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            systems: Vec::new(),
        }
    }

    /// Adds a row. Names longer than 96 bytes, or not printable, are left out.
    pub fn take(&mut self, row: Row<'_>) {
        let is_name = |name: &&str| name.len() <= LONGEST_NAME && is_printable(name);
        let tag = self.tag(row.name.filter(is_name), row.value);
        match row.about {
            About::Range(Range::V4(first, last)) => self.ipv4.push(Span { first, last, tag }),
            About::Range(Range::V6(first, last)) => self.ipv6.push(Span { first, last, tag }),
            About::Asn(number) => self.systems.push((number, tag)),
        }
    }

    /// The ranges that were taken. Rows about an AS have none before they are compiled.
    pub fn ranges(&self) -> impl Iterator<Item = Range> {
        let ipv4 = self.ipv4.iter().map(|span| Range::V4(span.first, span.last));
        ipv4.chain(self.ipv6.iter().map(|span| Range::V6(span.first, span.last)))
    }

    /// How many rows were taken.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.ipv4.len() + self.ipv6.len() + self.systems.len()
    }

    fn tag(&mut self, name: Option<&str>, value: u8) -> u32 {
        let name = name.map_or(0, |name| self.name(name));
        let next = count(self.tags.len());
        *self.tags.entry((name, value)).or_insert(next)
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = count(self.names.len() + 1);
        self.names.insert(name.to_owned(), number);
        number
    }
}

/// Rows are counted in 32 bits; four thousand million of them do not fit into memory.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
