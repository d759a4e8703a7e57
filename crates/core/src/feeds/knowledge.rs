//! What one file of feeds knows.

use std::net::IpAddr;

use super::assessment::Listed;
use super::feed_source::Origin;
use super::info::FeedInfo;
use super::mmdb::{Database, Found};
use super::scoring::Scoring;
use super::signal::Signal;
use super::table::{Found as Row, Table};

/// A file of feeds in memory.
#[derive(Debug)]
pub(crate) enum Knowledge {
    /// All feeds of the package or of a directory, compiled.
    Compiled(Table, Origin),
    /// A list of the user's own.
    List(Table),
    /// A database of the user's own. Of its feed only the name, the weight and the time count.
    Database(FeedInfo, Database),
}

/// What a file says of an address, before it is put into one list with what others say.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    row: Option<Row<'a>>,
    /// What a database said, which it decodes for each address anew.
    database: Option<(&'a FeedInfo, Vec<Found>)>,
}

impl Knowledge {
    /// What it says of `address`.
    pub(crate) fn ask(&self, address: IpAddr) -> Said<'_> {
        let row = self.table().map(|table| table.look_up(address));
        let database = match self {
            Self::Database(info, database) => Some((info, database.look_up(address))),
            Self::Compiled(..) | Self::List(_) => None,
        };
        Said { row, database }
    }

    /// The table of compiled feeds.
    pub(crate) const fn table(&self) -> Option<&Table> {
        match self {
            Self::Compiled(table, _) | Self::List(table) => Some(table),
            Self::Database(..) => None,
        }
    }

    /// Its feeds.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = &FeedInfo> {
        let feeds = self.table().map_or(&[][..], Table::feeds);
        let database = match self {
            Self::Database(info, _) => Some(info),
            Self::Compiled(..) | Self::List(_) => None,
        };
        feeds.iter().chain(database)
    }

    /// Whether it still says one of these things at `now`.
    pub(crate) fn sees(&self, signals: &[Signal], scoring: &Scoring, now: u64) -> bool {
        let is_current = |signal: Signal, seen_at: u64| {
            let age = now.saturating_sub(seen_at);
            signals.contains(&signal)
                && scoring.weighing(signal).is_some_and(|weighing| weighing.decay(age) > 0.0)
        };
        match self {
            Self::Database(info, database) => {
                database.kind().signals().iter().any(|signal| is_current(*signal, info.seen_at))
            }
            Self::Compiled(..) | Self::List(_) => {
                self.feeds().any(|feed| is_current(feed.signal, feed.seen_at))
            }
        }
    }
}

impl Said<'_> {
    /// The feeds on which the address stands.
    pub(crate) fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        let rows = self.row.iter().flat_map(Row::entries).map(Listed::from);
        let found =
            self.database.iter().flat_map(|(feed, found)| found.iter().map(move |found| (*feed, found)));
        rows.chain(found.map(|(feed, found)| Listed {
            feed,
            signal: found.signal,
            name: found.name.as_deref(),
            value: if found.signal == Signal::Score { found.value } else { 0 },
            confidence: (found.signal != Signal::Score && found.value > 0).then_some(found.value),
            seen: found.seen,
        }))
    }
}
