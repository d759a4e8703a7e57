//! `feeds import`: takes files that were fetched elsewhere, for machines without a network.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalogue::{Catalogue, Feed, Location};
use super::fetch::{FetchError, Validators};
use super::inflate::Sink;
use super::report::{FeedOutcome, FeedReport, UpdateReport};
use super::session::{Session, Setting};
use super::state::Entry;
use super::store::{require_file, written_at};
use crate::clock::{Clock, SystemClock};
use crate::error::{Code, Error};

/// What is imported, and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Where feeds and table are kept. It is made when it does not exist.
    pub directory: PathBuf,
    /// Files, each with the id of its feed, or none when the name of the file tells it. They may be gzip.
    pub files: Vec<(Option<String>, PathBuf)>,
    /// See [`UpdateOptions`](super::update::UpdateOptions).
    pub accept_non_commercial: bool,
    /// See [`UpdateOptions`](super::update::UpdateOptions).
    pub accept_change: Vec<String>,
    /// See [`UpdateOptions`](super::update::UpdateOptions).
    pub catalogue: Option<PathBuf>,
    /// See [`UpdateOptions`](super::update::UpdateOptions).
    pub seed: Option<PathBuf>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

impl ImportOptions {
    /// Those files into that directory.
    #[must_use]
    pub fn new(directory: &Path, files: Vec<(Option<String>, PathBuf)>) -> Self {
        Self {
            directory: directory.to_owned(),
            files,
            accept_non_commercial: false,
            accept_change: Vec::new(),
            catalogue: None,
            seed: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Judges files as if they had been fetched, keeps what is good, and compiles all that is there. A file is as old as
/// it says itself, or else as it was written. Waits for the disk, and computes for a second or so.
///
/// # Errors
/// As of [`update`](super::update::update), before any file was taken; and [`Code::Feeds`] for a file that cannot be
/// read, or whose feed is not clear.
pub fn import(options: &ImportOptions) -> Result<UpdateReport, Error> {
    let mut report = UpdateReport::default();
    let setting = Setting {
        directory: &options.directory,
        catalogue: options.catalogue.as_deref(),
        seed: options.seed.as_deref(),
        accept_non_commercial: options.accept_non_commercial,
        accept_change: &options.accept_change,
        now: options.clock.now(),
    };
    let session = Session::begin(setting, &mut report.notes)?;
    let mut files = Vec::new();
    for (id, path) in &options.files {
        let feed = match id {
            Some(id) => session.catalogue.find(id)?,
            None => feed_of(&session.catalogue, path)?,
        };
        let file = require_file(path).and_then(|()| File::open(path));
        files.push((feed, file.map_err(|error| unreadable(path, &error))?));
    }
    for (feed, file) in files {
        let mut entry = session.entry(feed);
        report.feeds.push(import_one(&session, options, feed, &mut entry, &file));
        session.remember(feed, entry)?;
    }
    session.finish(report)
}

fn import_one(
    session: &Session,
    options: &ImportOptions,
    feed: &Feed,
    entry: &mut Entry,
    file: &File,
) -> FeedReport {
    let outcome = if !feed.licence.commercial && !options.accept_non_commercial {
        FeedOutcome::NeedsLicence
    } else {
        match copy(session, feed, file) {
            Ok(copy) => {
                let at = file.metadata().map_or(0, |facts| written_at(&facts)).min(session.now());
                session.take(feed, entry, &copy, Validators::default(), at)
            }
            Err(error) => {
                session.discard(feed);
                FeedOutcome::Failed(error)
            }
        }
    };
    session.report(feed, entry, outcome)
}

/// Copies a file into the directory, decompressed, up to the size that the feed may have.
fn copy(session: &Session, feed: &Feed, mut file: &File) -> Result<File, FetchError> {
    let of_sink = |error: io::Error| FetchError::of_sink(&error, feed.max_bytes);
    let mut sink = Sink::new(session.temporary(feed)?, feed.max_bytes);
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece).map_err(|error| FetchError::Unreadable(error.to_string()))?;
        if length == 0 {
            break;
        }
        sink.write_all(piece.get(..length).unwrap_or_default()).map_err(of_sink)?;
    }
    sink.finish().map_err(of_sink)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Feeds, format!("`{}` cannot be read: {error}", path.display()))
}

/// The one feed whose id is the file's name without its extensions, or whose file is called so at its server.
fn feed_of<'a>(catalogue: &'a Catalogue, path: &Path) -> Result<&'a Feed, Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let stem = name.split('.').next().unwrap_or_default();
    if let Ok(feed) = catalogue.find(stem) {
        return Ok(feed);
    }
    let mut called_so = catalogue.feeds().iter().filter(|feed| is_called(&feed.location, name));
    match (called_so.next(), called_so.next()) {
        (Some(feed), None) => Ok(feed),
        (first, _) => {
            let why = if first.is_some() { "is the file of several feeds" } else { "is the file of no feed" };
            let message = format!("`{}` {why} by its name; write `ID={0}`", path.display());
            Err(Error::new(Code::Feeds, message))
        }
    }
}

/// Whether the file at `location` has that name at its server, which may be that of a compressed file.
fn is_called(location: &Location, name: &str) -> bool {
    match location {
        Location::File(url) => {
            let last = url.path().rsplit('/').next().unwrap_or_default();
            !last.is_empty() && last.strip_suffix(".gz").unwrap_or(last) == name
        }
        Location::Page { rest, .. } => {
            let last = rest.join("*");
            let last = last.rsplit('/').next().unwrap_or_default();
            last.split_once('*').is_some_and(|(start, end)| {
                !start.is_empty() && name.strip_prefix(start).is_some_and(|left| left.ends_with(end))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_feed() {
        let catalogue = Catalogue::load(None).unwrap();
        for (path, id) in [
            ("/tmp/spamhaus-drop-v4", "spamhaus-drop-v4"),
            ("spamhaus-drop-v4.json", "spamhaus-drop-v4"),
            ("greensnow.txt.gz", "greensnow"),
            ("a/drop_v6.json", "spamhaus-drop-v6"),
            ("torbulkexitlist", "tor-exits"),
            ("listed_ip_7_ipv46.gz", "stopforumspam-7d"),
            ("ServiceTags_Public_20261123.json", "azure"),
        ] {
            assert_eq!(feed_of(&catalogue, Path::new(path)).unwrap().id, id, "{path}");
        }
        for (path, why) in
            [("ipv4.txt", "several"), ("list.txt", "no feed"), ("", "no feed"), ("..", "no feed")]
        {
            let error = feed_of(&catalogue, Path::new(path)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
