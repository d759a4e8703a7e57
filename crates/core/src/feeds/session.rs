//! What an update and an import have in common: one directory, locked; files that are judged and kept; the table at
//! the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use super::catalogue::{Catalogue, Feed};
use super::compile::{Source, compile};
use super::fetch::{FetchError, Validators};
use super::file;
use super::format::parse;
use super::gate::{Contents, History, Refusal, judge};
use super::info::FeedInfo;
use super::networks::Networks;
use super::own_networks;
use super::report::{FeedOutcome, FeedReport, TableOutcome};
use super::state::{Entry, SourceFile, State};
use super::store::{Directory, Store, read};
use crate::error::{Code, Error};

const LARGEST_SEED: u64 = 64 << 20;

/// A locked directory, and all that judging a file needs. Everything here waits for the disk.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) catalogue: Catalogue,
    store: Store,
    networks: Option<Networks>,
    /// Our own networks, which are in everything that is compiled.
    own: Vec<Source>,
    /// How many addresses each network has.
    sizes: HashMap<u32, u64>,
    accept_change: Vec<String>,
    now: u64,
}

impl Session {
    /// Locks the directory.
    ///
    /// # Errors
    /// [`Code::Feeds`] when catalogue, seed or directory cannot be used, [`Code::FeedsBusy`], or [`Code::Option`] for
    /// a change of a feed that does not exist.
    pub(crate) fn begin(
        directory: &Path,
        catalogue: Option<&Path>,
        seed: Option<&Path>,
        accept_change: &[String],
        now: u64,
    ) -> Result<Self, Error> {
        let catalogue = Catalogue::load(catalogue)?;
        for id in accept_change {
            catalogue.find(id)?;
        }
        let seed = seed.map(read_seed).transpose()?;
        let (networks, networks_at) = seed.unwrap_or_default();
        let own = networks.as_ref().map(|networks| own_networks::sources(networks, networks_at));
        let own = own.unwrap_or_default();
        let sizes = networks.as_ref().map(Networks::sizes).unwrap_or_default();
        let store = Store::lock(directory)?;
        Ok(Self { catalogue, store, networks, own, sizes, accept_change: accept_change.to_vec(), now })
    }

    /// When it began.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// What is remembered of feeds whose files are as they were left. A file that nothing is known of, because the
    /// state was lost or somebody put it there, is judged as if it had been imported.
    pub(crate) fn state(&self, notes: &mut Vec<String>) -> State {
        let mut state = self.store.directory().state();
        for feed in self.catalogue.feeds() {
            let entry = state.feeds.entry(feed.id.clone()).or_default();
            let Some((bytes, written_at)) = self.store.directory().source_facts(&feed.id) else {
                entry.file = None;
                continue;
            };
            if let Some(file) = entry.file.as_mut().filter(|file| file.bytes == bytes) {
                file.not_after(self.now);
                continue;
            }
            entry.file = None;
            match self.adopt(feed, &mut entry.history) {
                Ok(contents) => {
                    let at = written_at.min(self.now);
                    entry.file = Some(SourceFile::new(bytes, contents, Validators::default(), at));
                }
                Err(refusal) => notes.push(format!("`{}` is left out: {refusal}", feed.id)),
            }
        }
        state
    }

    fn adopt(&self, feed: &Feed, history: &mut History) -> Result<Contents, Refusal> {
        let file = self.store.directory().source(&feed.id).map_err(super::format::FormatError::Io)?;
        let contents = Contents::read(&mut BufReader::new(file), &feed.bounds, &self.sizes)?;
        // It has been judged against what was there before it.
        judge(&contents, &feed.bounds, history, true, self.now).map(|()| contents)
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        self.store.save_state(state).map_err(|error| {
            Error::new(
                Code::Feeds,
                format!("the state of the feeds cannot be written: {error}; make room for it"),
            )
        })
    }

    /// An empty file for a feed.
    pub(crate) fn temporary(&self, feed: &Feed) -> Result<File, FetchError> {
        self.store.temporary(&feed.id).map_err(|error| FetchError::Storage(error.to_string()))
    }

    /// Forgets that file, whatever is in it.
    pub(crate) fn discard(&self, feed: &Feed) {
        self.store.discard(&feed.id);
    }

    /// Judges a feed's temporary file, and makes it the last good one or removes it.
    pub(crate) fn take(
        &self,
        feed: &Feed,
        entry: &mut Entry,
        file: &File,
        validators: Validators,
        fetched_at: u64,
    ) -> FeedOutcome {
        let mut history = entry.history;
        let outcome = match self.judge(feed, &mut history, file) {
            Ok(contents) => {
                self.keep(feed, entry, file, SourceFile::new(0, contents, validators, fetched_at))
            }
            Err(refusal) => FeedOutcome::Refused(refusal),
        };
        if !matches!(outcome, FeedOutcome::Failed(_)) {
            entry.history = history;
        }
        if !matches!(outcome, FeedOutcome::Updated) {
            self.discard(feed);
        }
        outcome
    }

    fn judge(&self, feed: &Feed, history: &mut History, mut file: &File) -> Result<Contents, Refusal> {
        file.rewind().map_err(super::format::FormatError::Io)?;
        let contents = Contents::read(&mut BufReader::new(file), &feed.bounds, &self.sizes)?;
        let is_accepted = self.accept_change.contains(&feed.id);
        judge(&contents, &feed.bounds, history, is_accepted, self.now).map(|()| contents)
    }

    fn keep(&self, feed: &Feed, entry: &mut Entry, file: &File, source: SourceFile) -> FeedOutcome {
        let kept = file.metadata().and_then(|facts| {
            self.store.keep(&feed.id, file)?;
            Ok(facts.len())
        });
        match kept {
            Ok(bytes) => {
                entry.file = Some(SourceFile { bytes, ..source });
                FeedOutcome::Updated
            }
            Err(error) => FeedOutcome::Failed(FetchError::Storage(error.to_string())),
        }
    }

    /// Remembers what came of a feed, and reports it.
    pub(crate) fn report(&self, feed: &Feed, entry: &mut Entry, outcome: FeedOutcome) -> FeedReport {
        match (&outcome, outcome.reason(), outcome.message()) {
            (FeedOutcome::Updated | FeedOutcome::Unchanged, ..) => entry.failure = None,
            (_, Some(reason), Some(message)) => entry.failed(self.now, reason, message),
            _ => {}
        }
        let info = entry.file.as_ref().map(|file| file.info(feed));
        FeedReport {
            id: feed.id.clone(),
            title: feed.title.clone(),
            outcome,
            rows: info.as_ref().map(|info| info.rows),
            seen_at: info.as_ref().map(|info| info.seen_at),
            credit: info.and_then(|info| info.credit),
        }
    }

    /// Compiles all feeds that are there, also imported ones and those of other profiles, unless the table that is
    /// there is of the same.
    pub(crate) fn compile(&self, state: &mut State, notes: &mut Vec<String>) -> TableOutcome {
        let infos = self.infos(state);
        if infos.is_empty() {
            return TableOutcome::Empty;
        }
        let own = self.own.iter().map(|source| source.info.clone());
        if self.is_compiled(&own.chain(infos.iter().cloned()).collect::<Vec<_>>()) {
            return TableOutcome::Kept;
        }
        let mut sources = self.sources(infos, state, notes);
        sources.extend(self.own.iter().cloned());
        let compiled = match compile(sources, self.networks.as_ref(), self.now) {
            Ok(compiled) => compiled,
            Err(error) => return TableOutcome::Failed(error.to_string()),
        };
        let bytes = file::write(&compiled, None, false);
        match self.store.save_table(&bytes) {
            Ok(()) => TableOutcome::Compiled {
                prefixes: compiled.table().prefixes(),
                bytes: bytes.len() as u64,
                unusable_rows: compiled.unusable_rows(),
            },
            Err(error) => TableOutcome::Failed(format!("it cannot be written: {error}; make room for it")),
        }
    }

    fn infos(&self, state: &State) -> Vec<FeedInfo> {
        let of = |feed: &Feed| Some(state.feeds.get(&feed.id)?.file.as_ref()?.info(feed));
        self.catalogue.feeds().iter().filter_map(of).collect()
    }

    /// Whether the table that is there can be opened, and is of these feeds as they are.
    fn is_compiled(&self, infos: &[FeedInfo]) -> bool {
        let table = self.store.directory().table().ok().and_then(|bytes| file::open(&bytes).ok());
        table.is_some_and(|table| {
            let key = |info: &&FeedInfo| info.id.clone();
            let (mut there, mut wanted): (Vec<_>, Vec<_>) =
                (table.feeds().iter().collect(), infos.iter().collect());
            there.sort_by_key(key);
            wanted.sort_by_key(key);
            there == wanted
        })
    }

    fn sources(&self, infos: Vec<FeedInfo>, state: &mut State, notes: &mut Vec<String>) -> Vec<Source> {
        let mut sources = Vec::new();
        for info in infos {
            let read = self.catalogue.find(&info.id);
            let read = read.and_then(|feed| read_source(self.store.directory(), feed, &info));
            match read {
                Ok(source) => sources.push(source),
                Err(error) => {
                    notes.push(format!("`{}` is left out: {error}", info.id));
                    // So that the next update fetches it anew.
                    if let Some(entry) = state.feeds.get_mut(&info.id) {
                        entry.file = None;
                    }
                }
            }
        }
        sources
    }
}

/// The rows of a feed's last good file.
pub(crate) fn read_source(directory: &Directory, feed: &Feed, info: &FeedInfo) -> Result<Source, Error> {
    let unreadable = |error: String| Error::new(Code::Feeds, error);
    let file = directory.source(&feed.id).map_err(|error| unreadable(error.to_string()))?;
    let mut source = Source::new(info.clone());
    parse(feed.bounds.format, &mut BufReader::new(file), &mut |row| source.take(row))
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(source)
}

/// The networks of a seed, and when they were known.
fn read_seed(seed: &Path) -> Result<(Option<Networks>, u64), Error> {
    let refused = |error: String| {
        Error::new(Code::Feeds, format!("`{}` cannot be used as a seed: {error}", seed.display()))
    };
    let bytes = read(seed, LARGEST_SEED).map_err(|error| refused(error.to_string()))?;
    let built_at = file::open(&bytes).map_err(|error| refused(error.to_string()))?.built_at();
    let networks = file::networks(&bytes).map_err(|error| refused(error.to_string()))?;
    Ok((networks, built_at))
}
