//! What parsers give: rows, and what they saw on the way.

use super::range::Range;

/// What a row is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum About {
    /// Addresses.
    Range(Range),
    /// All addresses that a network announces, by its number.
    Asn(u32),
}

/// One row of a feed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Row<'a> {
    /// What it is about.
    pub about: About,
    /// Whom it belongs to, when the row says so: a cloud, a VPN service.
    pub name: Option<&'a str>,
    /// A number that the row carries, such as on how many lists the address stands. 0 is none.
    pub value: u8,
}

/// What a parser saw of a whole file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many rows were good.
    pub rows: u64,
    /// How many addresses the good rows hold together; one that stands on two rows counts twice.
    pub addresses: u128,
    /// How many lines were neither rows nor comments.
    pub rejected: u64,
    /// The first line that was rejected, shortened, for messages.
    pub first_rejected: Option<String>,
    /// When the file says that it was made, in milliseconds since 1970.
    pub dated_at: Option<u64>,
    /// The line that has to be shown with the data, such as the copyright of Spamhaus.
    pub credit: Option<String>,
    /// How many rows the file itself says it has.
    pub declared_rows: Option<u64>,
    /// How many addresses the file itself says its rows hold. FireHOL counts these; what its headers call subnets are
    /// rows in some of its lists, and in others what is left of them when neighbours are joined.
    pub declared_addresses: Option<u128>,
    /// Whether the last line has no line break, as when the file was cut off within it.
    pub is_open_ended: bool,
}

/// One line in so many may be none of the format's; with more it is another format.
const REJECTS: u64 = 100;

impl Summary {
    /// Whether more than one line in a hundred is no row.
    #[must_use]
    pub const fn has_too_many_rejects(&self) -> bool {
        self.rejected.saturating_mul(REJECTS) > self.rows.saturating_add(self.rejected)
    }
}
