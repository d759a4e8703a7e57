//! `feeds status`: what is there of each feed, and how old it is.

use std::path::Path;

use super::catalogue::{Catalogue, Feed, Licence, Profile};
use super::state::{Entry, LastFailure};
use super::store::{Directory, sha256};
use crate::error::Error;

/// One feed of the catalogue. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedStatus {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Who makes it.
    pub operator: String,
    /// The smallest profile that holds it.
    pub profile: Profile,
    /// What may be done with it.
    pub licence: Licence,
    /// The file that is there.
    pub file: Option<FileStatus>,
    /// Before this moment its server is not asked, not even by force.
    pub next_allowed_at: Option<u64>,
    /// When it is worth fetching again; nothing when that is now.
    pub due_at: Option<u64>,
    /// Whether somebody said that the use is not commercial.
    pub licence_accepted: bool,
    /// What went wrong last, when nothing went right since.
    pub last_failure: Option<LastFailure>,
}

/// The last good file of a feed. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileStatus {
    /// How many rows it has.
    pub rows: u64,
    /// When its rows were true; what its age counts from.
    pub seen_at: u64,
    /// When it came.
    pub fetched_at: u64,
    /// Whether it was imported.
    pub is_imported: bool,
    /// What has to be shown with its data.
    pub credit: Option<String>,
}

/// What is there of each feed of the catalogue. Nothing is locked or changed.
///
/// # Errors
/// [`Code::Feeds`](crate::error::Code::Feeds), when the catalogue cannot be used.
pub fn status(directory: &Path, catalogue: Option<&Path>, now: u64) -> Result<Vec<FeedStatus>, Error> {
    let catalogue = Catalogue::load(catalogue)?;
    let directory = Directory::new(directory);
    let mut state = directory.state();
    let of = |feed: &Feed| {
        let entry = state.feeds.remove(&feed.id);
        let mut entry =
            entry.unwrap_or_else(|| Entry::lost(feed, directory.source_written_at(&feed.id), now));
        let digest = directory.source(feed).and_then(sha256).ok();
        entry.file = entry.file.filter(|file| digest.as_ref() == Some(&file.sha256));
        entry.not_after(now);
        status_of(feed, entry, now)
    };
    Ok(catalogue.feeds().iter().map(of).collect())
}

fn status_of(feed: &Feed, entry: Entry, now: u64) -> FeedStatus {
    let file = entry.file.as_ref().map(|file| {
        let info = file.info(feed);
        FileStatus {
            rows: info.rows,
            seen_at: info.seen_at,
            fetched_at: file.fetched_at,
            is_imported: file.url.is_none(),
            credit: info.credit,
        }
    });
    FeedStatus {
        id: feed.id.clone(),
        title: feed.title.clone(),
        operator: feed.operator.clone(),
        profile: feed.profile,
        licence: feed.licence.clone(),
        file,
        next_allowed_at: entry.next_allowed(feed, now),
        due_at: entry.due(feed, now),
        licence_accepted: entry.licence_accepted,
        last_failure: entry.failure,
    }
}
