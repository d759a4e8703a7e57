//! Where parsers put what they find: good rows to the caller, the rest into the summary.

use crate::feeds::printable::printable;
use crate::feeds::range::Range;
use crate::feeds::row::{About, Row, Summary};

/// The rows of one file.
pub(in crate::feeds) struct Rows<'a> {
    take: &'a mut dyn FnMut(Row<'_>),
    summary: Summary,
}

impl<'a> Rows<'a> {
    pub(in crate::feeds) fn new(take: &'a mut dyn FnMut(Row<'_>)) -> Self {
        Self { take, summary: Summary::default() }
    }

    pub(in crate::feeds) fn into_summary(self) -> Summary {
        self.summary
    }

    /// Whether neither a row nor a wrong line came before.
    pub(super) fn is_start(&self) -> bool {
        self.summary.rows == 0 && self.summary.rejected == 0
    }

    pub(super) fn add(&mut self, row: Row<'_>) {
        self.summary.rows += 1;
        if let About::Range(range) = row.about {
            self.summary.addresses = self.summary.addresses.saturating_add(range.addresses());
        }
        (self.take)(row);
    }

    pub(super) fn add_range(&mut self, range: Range) {
        self.add(Row { about: About::Range(range), name: None, value: 0 });
    }

    pub(super) fn reject(&mut self, line: &str) {
        self.summary.rejected += 1;
        self.summary.first_rejected.get_or_insert_with(|| printable(line));
    }

    /// The file says when it was made. What it says first holds.
    pub(super) fn dated_at(&mut self, milliseconds: Option<u64>) {
        self.summary.dated_at = self.summary.dated_at.or(milliseconds);
    }

    /// Something in the file was true then, so that the file was made then or later.
    pub(super) fn dated_not_before(&mut self, milliseconds: Option<u64>) {
        self.summary.dated_at = self.summary.dated_at.max(milliseconds);
    }

    pub(super) fn declared_rows(&mut self, rows: Option<u64>) {
        self.summary.declared_rows = self.summary.declared_rows.or(rows);
    }

    pub(super) fn declared_addresses(&mut self, addresses: Option<u128>) {
        self.summary.declared_addresses = self.summary.declared_addresses.or(addresses);
    }

    /// Whether the line that came last has a line break.
    pub(super) fn ends_with_line(&mut self, ends: bool) {
        self.summary.is_open_ended = !ends;
    }

    pub(super) fn credit(&mut self, line: &str) {
        self.summary.credit.get_or_insert_with(|| printable(line));
    }
}
