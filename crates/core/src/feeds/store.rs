//! The directory of feeds: the last good file of each, what is remembered of them, and the compiled table.
//!
//! Everything is replaced at once or not at all: it is written beside, brought to the disk, and renamed. Whenever a
//! process dies, what is there is the old or the new.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Take, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use ring::digest::{Context, SHA256};

use super::catalogue::{Feed, is_id};
use super::state::State;
use crate::error::{Code, Error};

const SOURCES: &str = "sources";
const STATE: &str = "state.json";
/// The compiled feeds in a directory.
pub(crate) const COMPILED: &str = "feeds.bin";
const LOCK: &str = "lock";
/// What is being written. No id of a feed has a dot.
const TEMPORARY: &str = "tmp";
const LARGEST_STATE: u64 = 4 << 20;
/// Far more than all feeds together make.
pub(crate) const LARGEST_TABLE: u64 = 256 << 20;

/// A directory of feeds, for reading.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What is remembered. Nothing, when the file is missing, damaged or absurdly large: the files of the feeds are
    /// still there then.
    pub(crate) fn state(&self) -> State {
        let text = read(&self.0.join(STATE), LARGEST_STATE).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The compiled table.
    pub(crate) fn table(&self) -> io::Result<Vec<u8>> {
        read(&self.0.join(COMPILED), LARGEST_TABLE)
    }

    /// The last good file of a feed, which is no larger than the feed may be.
    pub(crate) fn source(&self, feed: &Feed) -> io::Result<Take<File>> {
        let path = self.source_path(&feed.id);
        require_file(&path)?;
        let file = File::open(path)?;
        if file.metadata()?.len() > feed.max_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.take(feed.max_bytes))
    }

    /// When that file was written, in milliseconds since 1970, when there is one.
    pub(crate) fn source_written_at(&self, id: &str) -> Option<u64> {
        let facts = fs::metadata(self.source_path(id)).ok().filter(fs::Metadata::is_file)?;
        Some(written_at(&facts))
    }

    fn source_path(&self, id: &str) -> PathBuf {
        self.0.join(SOURCES).join(id)
    }
}

/// When a file was written, in milliseconds since 1970; 0 when that is not known.
pub(crate) fn written_at(facts: &fs::Metadata) -> u64 {
    let since = facts.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A directory of feeds, for writing. There is one of these for a directory at a time, in all processes.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Directory,
    lock: File,
}

impl Drop for Store {
    /// A process that is just being started from this one holds a copy of the file for a moment, and with it the lock
    /// if it were only closed.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Store {
    /// Makes the directory if need be, locks it, and removes what killed processes have half written.
    ///
    /// # Errors
    /// [`Code::FeedsBusy`], or [`Code::Feeds`] with what is wrong with the directory.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        let unusable = |error: io::Error| {
            let message =
                format!("the directory `{}` cannot be used: {error}; choose another", path.display());
            Error::new(Code::Feeds, message)
        };
        fs::create_dir_all(path.join(SOURCES)).map_err(unusable)?;
        let lock = open_lock(&path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(path)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        clear(path);
        Ok(Self { directory: Directory::new(path), lock })
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// An empty file for what may become the last good file of a feed.
    pub(crate) fn temporary(&self, id: &str) -> io::Result<File> {
        create(&temporary(&self.directory.source_path(id)))
    }

    /// Makes that file the last good one.
    pub(crate) fn keep(&self, id: &str, file: &File) -> io::Result<()> {
        replace(&self.directory.source_path(id), file)
    }

    /// Removes that file.
    pub(crate) fn discard(&self, id: &str) {
        // What stays is cleared next time.
        let _ = fs::remove_file(temporary(&self.directory.source_path(id)));
    }

    pub(crate) fn save_state(&self, state: &State) -> io::Result<()> {
        self.save(STATE, &serde_json::to_vec_pretty(state)?)
    }

    pub(crate) fn save_table(&self, bytes: &[u8]) -> io::Result<()> {
        self.save(COMPILED, bytes)
    }

    fn save(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.directory.0.join(name);
        let mut file = create(&temporary(&path))?;
        file.write_all(bytes)?;
        replace(&path, &file)
    }
}

/// The file that is locked. It stays empty. A link in its place is not followed, so that nobody is led to a file of
/// somebody else.
fn open_lock(path: &Path) -> io::Result<File> {
    match OpenOptions::new().create_new(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(path)?.is_file() {
                return Err(not_a_file());
            }
            OpenOptions::new().write(true).open(path)
        }
        opened => opened,
    }
}

fn busy(path: &Path) -> Error {
    let message = format!(
        "`{}` is being updated by another process; wait until it is done, or end that process",
        path.display()
    );
    Error::new(Code::FeedsBusy, message)
}

/// Removes what is half written, and nothing that somebody else put there. A file that cannot be removed fails when it
/// is written again.
fn clear(path: &Path) {
    let of_feeds = fs::read_dir(path.join(SOURCES)).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_feeds = of_feeds.filter(|path| {
        let is_ours = path.extension().is_some_and(|extension| extension == TEMPORARY);
        is_ours && path.file_stem().and_then(|stem| stem.to_str()).is_some_and(is_id)
    });
    let of_all = [STATE, COMPILED].map(|name| temporary(&path.join(name)));
    for path in of_feeds.chain(of_all) {
        let _ = fs::remove_file(path);
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension(TEMPORARY)
}

/// A new file in place of one that is half written. Links are not followed.
fn create(path: &Path) -> io::Result<File> {
    // What cannot be removed is still there, and then nothing new is made.
    let _ = fs::remove_file(path);
    OpenOptions::new().create_new(true).read(true).write(true).open(path)
}

/// The digest that tells one file from another, as text.
pub(crate) fn sha256(mut input: impl Read) -> io::Result<String> {
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        match input.read(&mut piece)? {
            0 => break,
            length => context.update(piece.get(..length).unwrap_or_default()),
        }
    }
    Ok(context.finish().as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// What to do about a file that cannot be written.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room for it",
        _ => "check the directory",
    }
}

/// Puts the temporary file of `path` in its place, for good.
fn replace(path: &Path, file: &File) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(temporary(path), path)?;
    sync_parent(path)
}

/// A rename is on the disk when its directory is. Windows has no such thing.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(not(unix))]
fn sync_parent(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The bytes of a file that is not larger than `most`.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    require_file(path)?;
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Refuses what is no file, such as a pipe, on which opening would wait.
pub(crate) fn require_file(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(not_a_file())
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::state::Entry;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_directory_is_one_process_at_a_time() {
        let directory = directory();
        let store = Store::lock(directory.path()).unwrap();
        let error = Store::lock(directory.path()).unwrap_err();
        assert_eq!(error.code(), Code::FeedsBusy);
        drop(store);
        assert!(Store::lock(directory.path()).is_ok());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = directory();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Store::lock(&path).unwrap_err();
        assert_eq!(error.code(), Code::Feeds);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn a_file_is_replaced_at_once_and_half_written_ones_are_cleared() {
        let directory = directory();
        let store = Store::lock(directory.path()).unwrap();
        let mut file = store.temporary("list").unwrap();
        file.write_all(b"first").unwrap();
        let source = directory.path().join("sources/list");
        assert!(!source.exists(), "it is not there before it is kept");
        store.keep("list", &file).unwrap();
        store.temporary("list").unwrap().write_all(b"half").unwrap();
        let half =
            ["feeds.bin.tmp", "state.json.tmp", "sources/list.tmp"].map(|name| directory.path().join(name));
        let others = ["notes.tmp", "sources/My Notes.tmp"].map(|name| directory.path().join(name));
        for path in half.iter().chain(&others) {
            fs::write(path, "half").unwrap();
        }
        drop(store);

        let store = Store::lock(directory.path()).unwrap();
        assert_eq!(fs::read(source).unwrap(), b"first");
        assert!(store.directory().source_written_at("list").is_some());
        assert!(half.iter().all(|path| !path.exists()));
        assert!(others.iter().all(|path| path.exists()), "somebody else's");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_the_directory_lead_nowhere() {
        use std::os::unix::fs::symlink;
        let (directory, others) = (directory(), directory());
        let precious = others.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        symlink(&precious, directory.path().join("lock")).unwrap();
        let error = Store::lock(directory.path()).unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
        fs::remove_file(directory.path().join("lock")).unwrap();

        let store = Store::lock(directory.path()).unwrap();
        symlink(&precious, directory.path().join("sources/list.tmp")).unwrap();
        symlink(&precious, directory.path().join("state.json.tmp")).unwrap();
        store.temporary("list").unwrap().write_all(b"list").unwrap();
        store.save_state(&State::default()).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
        assert_eq!(fs::read(directory.path().join("lock")).unwrap(), b"");
    }

    #[test]
    fn what_is_wrong_with_one_feed_in_the_state_loses_only_that() {
        let directory = directory();
        let store = Store::lock(directory.path()).unwrap();
        let text = r#"{ "feeds": { "bad": 7, "worse": { "file": { "rows": 1 } }, "good": { "nextAllowedAt": 7, "more": 1 } },
            "more": 1 }"#;
        fs::write(directory.path().join(STATE), text).unwrap();
        let state = store.directory().state();
        assert_eq!(state.feeds.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(state.feeds["good"].next_allowed_at, 7);
    }

    #[test]
    fn a_damaged_state_is_none() {
        let directory = directory();
        let store = Store::lock(directory.path()).unwrap();
        let mut state = State::default();
        state.feeds.insert("list".into(), Entry { next_allowed_at: 7, ..Entry::default() });
        store.save_state(&state).unwrap();
        assert_eq!(store.directory().state(), state);

        let path = directory.path().join(STATE);
        let whole = fs::read(&path).unwrap();
        let deep = "[".repeat(1_000_000);
        let large = " ".repeat(5 << 20);
        for text in [&whole[..whole.len() / 2], b"", b"[]", b"\xff\xfe", deep.as_bytes(), large.as_bytes()] {
            fs::write(&path, text).unwrap();
            assert_eq!(store.directory().state(), State::default());
        }
    }
}
