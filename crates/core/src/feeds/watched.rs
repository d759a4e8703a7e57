//! A file of feeds that is read again when it changes.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::feed_source::Origin;
use super::knowledge::Knowledge;
use super::options::{FeedFile, FeedOptions};
use super::store::{COMPILED, LARGEST_TABLE};
use super::{file, own_file, store};
use crate::error::{Code, Error};

/// One file, what it held when it could last be read, and why its newest version is not in use.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    what: Arc<What>,
    /// Of the version that was read. Nothing when that failed, so that it is tried again.
    stamp: Option<Stamp>,
    content: Option<Arc<Knowledge>>,
    failure: Option<String>,
}

#[derive(Debug)]
enum What {
    /// The compiled feeds in a directory, for which the seed stands in until there are some.
    Compiled { path: Option<PathBuf> },
    /// A file of the user's own. The seed knows the addresses of networks by their number.
    Own { place: usize, file: FeedFile, seed: Option<PathBuf> },
}

/// What tells one version of a file from the next: length, time of the last change, and which file it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp(u64, Option<SystemTime>, (u64, i64, i64));

impl Watched {
    /// All files of these options, read. A directory without compiled feeds, or with damaged ones, costs only what it
    /// would have known.
    ///
    /// # Errors
    /// [`Code::Option`] when the directory or a file of the user's own cannot be used.
    pub(crate) fn all(options: &FeedOptions, now: u64) -> Result<Vec<Self>, Error> {
        let mut all = vec![Self::compiled(options)?];
        for (place, file) in options.files.iter().enumerate() {
            let what = What::Own { place, file: file.clone(), seed: options.seed.clone() };
            let own = Self { what: Arc::new(what), stamp: None, content: None, failure: None }.read(now);
            if let Some(why) = own.failure {
                return Err(Error::new(Code::Option, why));
            }
            all.push(own);
        }
        Ok(all)
    }

    fn compiled(options: &FeedOptions) -> Result<Self, Error> {
        let directory = options.directory.as_deref();
        let named = if options.is_directory_written { "feeds.dir" } else { "IP_RISK_FEEDS" };
        let missing = directory.filter(|directory| !directory.is_dir()).map(|directory| {
            let shown = directory.display();
            format!("`{named}` names `{shown}`, which is no directory; make it with `ip-risk feeds update --dir {shown}`")
        });
        if let Some(why) = missing.clone().filter(|_| options.is_directory_written) {
            return Err(Error::new(Code::Option, why));
        }
        let path = directory.map(|directory| directory.join(COMPILED));
        let there = path.as_deref().filter(|path| path.exists());
        // A job that never fetched any looks the same as one that did, until somebody says so.
        let is_empty = missing.is_none() && there.is_none();
        let missing = missing.or_else(|| {
            let shown = directory.filter(|_| is_empty)?.display();
            Some(format!("`{named}` names `{shown}`, which holds no feeds yet; fill it with `ip-risk feeds update --dir {shown}`"))
        });
        let (stamp, read) = (there.and_then(stamp), there.map(|path| read_table(path, Origin::Directory)));
        let (content, mut failure) = match read.transpose() {
            Ok(content) => (content, missing),
            Err(why) => (None, Some(why)),
        };
        let stamp = stamp.filter(|_| content.is_some());
        let seed = options.seed.as_deref().filter(|_| content.is_none());
        let stands_in = seed.map(|seed| read_table(seed, Origin::Seed)).transpose().unwrap_or_else(|why| {
            failure.get_or_insert(why);
            None
        });
        let what = Arc::new(What::Compiled { path });
        Ok(Self { what, stamp, content: content.or(stands_in).map(Arc::new), failure })
    }

    /// What it holds.
    pub(crate) fn content(&self) -> Option<&Knowledge> {
        self.content.as_deref()
    }

    /// Why its newest version is not in use.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Itself with the newest version, when that differs from the one that was read. What cannot be read leaves in use
    /// what is, and is tried again next time.
    pub(crate) fn look(&self, now: u64) -> Option<Self> {
        let path = self.path()?;
        let newest = stamp(path);
        if newest.is_some() && newest == self.stamp || newest.is_none() && !self.was_there() {
            return None;
        }
        Some(self.clone().read(now))
    }

    fn path(&self) -> Option<&Path> {
        match &*self.what {
            What::Compiled { path } => path.as_deref(),
            What::Own { file, .. } => Some(&file.path),
        }
    }

    /// Whether the file must be there, because it was: the seed standing in, it need not.
    fn was_there(&self) -> bool {
        !matches!(self.content(), Some(Knowledge::Compiled(_, Origin::Seed)) | None)
    }

    fn read(mut self, now: u64) -> Self {
        // Before the file is read: what changes meanwhile is read again.
        let stamp = self.path().and_then(stamp);
        let read = match &*self.what {
            What::Compiled { path } => {
                path.as_deref().map_or_else(|| Err(String::new()), |path| read_table(path, Origin::Directory))
            }
            What::Own { place, file, seed } => own_file::read(file, seed.as_deref(), now).map_err(|why| {
                let path = file.path.display();
                format!("`feeds.files[{place}]` names `{path}`, which cannot be used: {why}")
            }),
        };
        match read {
            Ok(content) => (self.content, self.stamp, self.failure) = (Some(Arc::new(content)), stamp, None),
            Err(why) => (self.stamp, self.failure) = (None, Some(why)),
        }
        self
    }
}

fn read_table(path: &Path, origin: Origin) -> Result<Knowledge, String> {
    let refused = |why: String| format!("`{}` cannot be used: {why}", path.display());
    let bytes = store::read(path, LARGEST_TABLE).map_err(|error| refused(error.to_string()))?;
    let table = file::open(&bytes).map_err(|error| refused(error.to_string()))?;
    Ok(Knowledge::Compiled(table, origin))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp(metadata.len(), metadata.modified().ok(), identity(&metadata)))
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}
