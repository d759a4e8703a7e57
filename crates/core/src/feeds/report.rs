//! What came of an update or an import.

use super::compile::CompileError;
use super::fetch::FetchError;
use super::gate::Refusal;

/// Why a feed that is not for commercial use is not used.
pub(crate) const NON_COMMERCIAL: &str =
    "it is not for commercial use; if yours is none, say so with `--accept-non-commercial`";

/// What came of one feed.
#[derive(Debug)]
pub enum FeedOutcome {
    /// A new file took the place of the last one.
    Updated,
    /// Its server says that the last file is still the newest.
    Unchanged,
    /// Its server is not to be asked before then.
    NotDue {
        /// In milliseconds since 1970.
        next_at: u64,
    },
    /// The file that came is not to be trusted; the last good one stays.
    Refused(Refusal),
    /// No file came; the last good one stays.
    Failed(FetchError),
    /// It is not for commercial use, and nobody said that this is none.
    NeedsLicence,
    /// Its file is too much for a table together with the others, which are compiled without it.
    LeftOut(CompileError),
}

impl FeedOutcome {
    /// A stable word for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::NotDue { .. } => "not_due",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::NeedsLicence => "needs_licence",
            Self::LeftOut(_) => "left_out",
        }
    }

    /// A stable word for why it was refused or failed.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason()),
            Self::Failed(error) => Some(error.reason()),
            Self::LeftOut(_) => Some("does_not_fit"),
            _ => None,
        }
    }

    /// For people, why it was not updated and what to do.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.to_string()),
            Self::Failed(error) => Some(error.to_string()),
            Self::NeedsLicence => Some(NON_COMMERCIAL.to_owned()),
            Self::LeftOut(error) => Some(error.to_string()),
            _ => None,
        }
    }

    const fn is_good(&self) -> bool {
        matches!(self, Self::Updated | Self::Unchanged | Self::NotDue { .. } | Self::NeedsLicence)
    }
}

/// What came of one feed, and what is there of it.
#[derive(Debug)]
pub struct FeedReport {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What came of it.
    pub outcome: FeedOutcome,
    /// How many rows the file has that is used now; nothing when there is none.
    pub rows: Option<u64>,
    /// When its rows were true, in milliseconds since 1970.
    pub seen_at: Option<u64>,
    /// What has to be shown with its data.
    pub credit: Option<String>,
}

/// What came of the table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum TableOutcome {
    /// There is no feed to compile.
    #[default]
    Empty,
    /// The table that is there holds all this already.
    Kept,
    /// A new one.
    Compiled {
        /// How many different networks it has.
        prefixes: u64,
        /// How many bytes its file has.
        bytes: u64,
        /// How many rows are about networks by their number, of which no addresses are known.
        unusable_rows: u64,
    },
    /// It could not be made or written, for this reason; the old one stays.
    Failed(String),
}

/// What came of an update or an import as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A feed or the table is new, and nothing went wrong.
    Updated,
    /// Nothing is new, and nothing went wrong.
    Unchanged,
    /// Some feeds were refused or failed, and others were not.
    Partial,
    /// Nothing that was tried went right, or there is no new table.
    Failed,
}

impl Outcome {
    /// A stable word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }

    /// For scripts. 2 is a mistake in the usage, as everywhere; [`BUSY`] is another update under way.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Updated => 0,
            Self::Failed => 1,
            Self::Unchanged => 3,
            Self::Partial => 4,
        }
    }
}

/// The exit code for [`Code::FeedsBusy`](crate::error::Code::FeedsBusy).
pub const BUSY: u8 = 5;

/// What came of an update or an import.
#[derive(Debug, Default)]
pub struct UpdateReport {
    /// Each feed that was chosen, in the order of the catalogue or of the files.
    pub feeds: Vec<FeedReport>,
    /// Lines for people about what was left out.
    pub notes: Vec<String>,
    /// The table.
    pub table: TableOutcome,
}

impl UpdateReport {
    /// Tells that a feed is left out of the table, and returns the word and the message for that.
    pub(crate) fn leave_out(&mut self, id: &str, error: CompileError) -> (&'static str, String) {
        let outcome = FeedOutcome::LeftOut(error);
        let told = (outcome.reason().unwrap_or_default(), outcome.message().unwrap_or_default());
        self.notes.push(format!("`{id}` is left out: {}", told.1));
        if let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == id) {
            (feed.outcome, feed.rows, feed.seen_at) = (outcome, None, None);
        }
        told
    }

    /// As a whole.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let bad = self.feeds.iter().filter(|feed| !feed.outcome.is_good()).count();
        let is_new = |feed: &FeedReport| matches!(feed.outcome, FeedOutcome::Updated);
        // Those that were not asked say nothing about whether asking works.
        let tried = |feed: &&FeedReport| {
            !matches!(feed.outcome, FeedOutcome::NotDue { .. } | FeedOutcome::NeedsLicence)
        };
        if matches!(self.table, TableOutcome::Failed(_))
            || bad > 0 && bad == self.feeds.iter().filter(tried).count()
        {
            Outcome::Failed
        } else if bad > 0 {
            Outcome::Partial
        } else if self.feeds.iter().any(is_new) || matches!(self.table, TableOutcome::Compiled { .. }) {
            Outcome::Updated
        } else {
            Outcome::Unchanged
        }
    }
}
