//! What an update and an import have in common: one directory, locked; files that are judged and kept; the table at
//! the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::catalogue::{Catalogue, Feed};
use super::compile::{CompileError, Compiled, Source, compile};
use super::fetch::{FetchError, Validators};
use super::file;
use super::format::{FormatError, parse};
use super::gate::{Contents, History, Refusal, judge};
use super::info::FeedInfo;
use super::networks::Networks;
use super::own_networks;
use super::report::{FeedOutcome, FeedReport, NON_COMMERCIAL, TableOutcome, UpdateReport};
use super::signal::Signal;
use super::state::{Entry, SourceFile, State};
use super::store::{Directory, LARGEST_TABLE, Store, advice, read, sha256};
use crate::error::{Code, Error};

const LARGEST_SEED: u64 = 64 << 20;
/// Their lists of VPNs and data centres hold the networks of relays.
const LISTS_WITH_RELAYS: &str = "x4bnet-";

/// What a session is begun with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) catalogue: Option<&'a Path>,
    pub(crate) seed: Option<&'a Path>,
    pub(crate) accept_non_commercial: bool,
    pub(crate) accept_change: &'a [String],
    pub(crate) now: u64,
}

/// A locked directory, and all that judging a file needs. Everything here waits for the disk.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) catalogue: Catalogue,
    store: Store,
    state: Mutex<State>,
    networks: Option<Networks>,
    /// Our own networks, which are in everything that is compiled.
    own: Vec<Source>,
    /// How many addresses each network has.
    sizes: HashMap<u32, u64>,
    accept_non_commercial: bool,
    accept_change: Vec<String>,
    now: u64,
}

impl Session {
    /// Locks the directory, and looks at what is there. What is left out of it is told in `notes`.
    ///
    /// # Errors
    /// [`Code::Feeds`] when catalogue, seed or directory cannot be used, [`Code::FeedsBusy`], or [`Code::Option`] for
    /// a change of a feed that does not exist.
    pub(crate) fn begin(setting: Setting<'_>, notes: &mut Vec<String>) -> Result<Self, Error> {
        let catalogue = Catalogue::load(setting.catalogue)?;
        for id in setting.accept_change {
            catalogue.find(id)?;
        }
        let seed = setting.seed.map(read_seed).transpose()?;
        let (networks, networks_at) = seed.unwrap_or_default();
        let own = networks.as_ref().map(|networks| own_networks::sources(networks, networks_at));
        notes.extend_from_slice(catalogue.skipped());
        let session = Self {
            store: Store::lock(setting.directory)?,
            state: Mutex::default(),
            own: own.unwrap_or_default(),
            sizes: networks.as_ref().map(Networks::sizes).unwrap_or_default(),
            networks,
            accept_non_commercial: setting.accept_non_commercial,
            accept_change: setting.accept_change.to_vec(),
            now: setting.now,
            catalogue,
        };
        session.look(notes);
        Ok(session)
    }

    /// When it began.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out what is known of the files that are there.
    fn look(&self, notes: &mut Vec<String>) {
        let mut state = self.store.directory().state();
        for feed in self.catalogue.feeds() {
            let known = state.feeds.remove(&feed.id);
            let (entry, note) = self.look_at(feed, known);
            notes.extend(note.map(|why| format!("`{}` is left out: {why}", feed.id)));
            state.feeds.insert(feed.id.clone(), entry);
        }
        *self.state() = state;
    }

    /// What is known of a feed, and why its file is left out. A file that nothing is known of, because the state was
    /// lost or somebody put it there, is judged as if it had been imported.
    fn look_at(&self, feed: &Feed, known: Option<Entry>) -> (Entry, Option<String>) {
        let directory = self.store.directory();
        let written_at = directory.source_written_at(&feed.id);
        let mut entry = known.unwrap_or_else(|| Entry::lost(feed, written_at, self.now));
        entry.not_after(self.now);
        entry.licence_accepted |= self.accept_non_commercial;
        let Some(written_at) = written_at else {
            entry.file = None;
            return (entry, None);
        };
        if !entry.may_be_used(feed) {
            return (entry, Some(NON_COMMERCIAL.to_owned()));
        }
        let digest = directory.source(feed).and_then(sha256).ok();
        if entry.file.as_ref().is_some_and(|file| Some(&file.sha256) == digest.as_ref()) {
            return (entry, None);
        }
        entry.file = None;
        match self.adopt(feed, &mut entry.history) {
            Ok(contents) => {
                let (digest, at) = (digest.unwrap_or_default(), written_at.min(self.now));
                entry.file = Some(SourceFile::new(digest, contents, Validators::default(), at));
                entry.uncompiled = true;
                (entry, None)
            }
            Err(refusal) => (entry, Some(refusal.to_string())),
        }
    }

    fn adopt(&self, feed: &Feed, history: &mut History) -> Result<Contents, Refusal> {
        let file = self.store.directory().source(feed).map_err(FormatError::Io)?;
        let contents = Contents::read(&mut BufReader::new(file), &feed.bounds, &self.sizes)?;
        // It has been judged against what was there before it.
        judge(&contents, &feed.bounds, history, true, self.now).map(|()| contents)
    }

    /// What is remembered of a feed.
    pub(crate) fn entry(&self, feed: &Feed) -> Entry {
        self.state().feeds.get(&feed.id).cloned().unwrap_or_default()
    }

    /// Remembers that of a feed, also when the process dies.
    pub(crate) fn remember(&self, feed: &Feed, entry: Entry) -> Result<(), Error> {
        let mut state = self.state();
        state.feeds.insert(feed.id.clone(), entry);
        self.save(&state)
    }

    fn save(&self, state: &State) -> Result<(), Error> {
        self.store.save_state(state).map_err(|error| {
            let advice = advice(&error);
            Error::new(Code::Feeds, format!("the state of the feeds cannot be written: {error}; {advice}"))
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
        let outcome = match self.judge(feed, entry, &mut history, file) {
            Ok((contents, digest)) => {
                self.keep(feed, entry, file, SourceFile::new(digest, contents, validators, fetched_at))
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

    fn judge(
        &self,
        feed: &Feed,
        entry: &Entry,
        history: &mut History,
        mut file: &File,
    ) -> Result<(Contents, String), Refusal> {
        file.rewind().map_err(FormatError::Io)?;
        let contents = Contents::read(&mut BufReader::new(file), &feed.bounds, &self.sizes)?;
        let is_accepted = self.accept_change.contains(&feed.id);
        let there = entry.file.as_ref().and_then(SourceFile::says_made_at).filter(|_| !is_accepted);
        if there.zip(contents.summary.dated_at).is_some_and(|(there, new)| new < there) {
            return Err(Refusal::Older);
        }
        judge(&contents, &feed.bounds, history, is_accepted, self.now)?;
        file.rewind().map_err(FormatError::Io)?;
        Ok((contents, sha256(file).map_err(FormatError::Io)?))
    }

    fn keep(&self, feed: &Feed, entry: &mut Entry, file: &File, source: SourceFile) -> FeedOutcome {
        if let Some(there) = entry.file.as_mut().filter(|there| there.sha256 == source.sha256) {
            there.came_again(source);
            return FeedOutcome::Unchanged;
        }
        match self.store.keep(&feed.id, file) {
            Ok(()) => {
                (entry.file, entry.uncompiled) = (Some(source), true);
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
        let info = entry.usable(feed).map(|file| file.info(feed));
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
    /// there is of the same. A feed that does not fit in with the others is left out.
    pub(crate) fn finish(&self, mut report: UpdateReport) -> Result<UpdateReport, Error> {
        let mut state = self.state();
        let (table, left_out) = self.compile(&mut state, &mut report.notes);
        report.table = table;
        for (id, error) in left_out {
            let (reason, message) = report.leave_out(&id, error);
            if let Some(entry) = state.feeds.get_mut(&id) {
                entry.failed(self.now, reason, message);
            }
        }
        self.save(&state)?;
        Ok(report)
    }

    fn compile(&self, state: &mut State, notes: &mut Vec<String>) -> (TableOutcome, LeftOut) {
        let mut infos = self.infos(state);
        notes.extend(note_on_relays(&infos));
        if infos.is_empty() {
            return (TableOutcome::Empty, LeftOut::new());
        }
        if self.is_compiled(state, &infos) {
            return (TableOutcome::Kept, LeftOut::new());
        }
        let mut left_out = LeftOut::new();
        let compiled = loop {
            match self.compile_all(&mut infos, state, notes) {
                Ok(compiled) => break compiled,
                Err(error) => {
                    let place = infos.iter().position(|info| Some(info.id.as_str()) == error.feed());
                    let message = error.to_string();
                    left_out.extend(place.map(|place| (infos.remove(place).id, error)));
                    if place.is_none() || infos.is_empty() {
                        return (TableOutcome::Failed(message), left_out);
                    }
                }
            }
        };
        let outcome = self.save_table(&compiled);
        if matches!(outcome, TableOutcome::Compiled { .. }) {
            for entry in state.feeds.values_mut() {
                entry.uncompiled = false;
            }
        }
        (outcome, left_out)
    }

    fn compile_all(
        &self,
        infos: &mut Vec<FeedInfo>,
        state: &mut State,
        notes: &mut Vec<String>,
    ) -> Result<Compiled, CompileError> {
        let mut sources = self.sources(infos, state, notes);
        sources.extend(self.own.iter().cloned());
        compile(sources, self.networks.as_ref(), self.now)
    }

    fn save_table(&self, compiled: &Compiled) -> TableOutcome {
        let bytes = file::write(compiled, None, false);
        if bytes.len() as u64 > LARGEST_TABLE {
            return TableOutcome::Failed("it would be too large; fetch fewer feeds".to_owned());
        }
        match self.store.save_table(&bytes) {
            Ok(()) => TableOutcome::Compiled {
                prefixes: compiled.table().prefixes(),
                bytes: bytes.len() as u64,
                unusable_rows: compiled.unusable_rows(),
            },
            Err(error) => TableOutcome::Failed(format!("it cannot be written: {error}; {}", advice(&error))),
        }
    }

    fn infos(&self, state: &State) -> Vec<FeedInfo> {
        let of = |feed: &Feed| Some(state.feeds.get(&feed.id)?.usable(feed)?.info(feed));
        self.catalogue.feeds().iter().filter_map(of).collect()
    }

    /// Whether the table that is there can be opened, and is of these feeds as they are.
    fn is_compiled(&self, state: &State, infos: &[FeedInfo]) -> bool {
        if state.feeds.values().any(|entry| entry.uncompiled) {
            return false;
        }
        let table = self.store.directory().table().ok().and_then(|bytes| file::open(&bytes).ok());
        table.is_some_and(|table| {
            let own = self.own.iter().map(|source| &source.info);
            let (mut there, mut wanted): (Vec<_>, Vec<_>) =
                (table.feeds().iter().collect(), own.chain(infos).collect());
            for infos in [&mut there, &mut wanted] {
                infos.sort_by(|one, next| one.id.cmp(&next.id));
            }
            there == wanted
        })
    }

    /// The rows of these feeds. Those that cannot be read are taken out of `infos`.
    fn sources(&self, infos: &mut Vec<FeedInfo>, state: &mut State, notes: &mut Vec<String>) -> Vec<Source> {
        let mut sources = Vec::new();
        infos.retain(|info| {
            let read = self.catalogue.find(&info.id);
            let read = read.and_then(|feed| read_source(self.store.directory(), feed, info));
            let error = match read {
                Ok(source) => {
                    sources.push(source);
                    return true;
                }
                Err(error) => error,
            };
            notes.push(format!("`{}` is left out: {error}", info.id));
            // So that the next update fetches it anew.
            if let Some(entry) = state.feeds.get_mut(&info.id) {
                entry.file = None;
            }
            false
        });
        sources
    }
}

/// The feeds without which the others fit into a table.
type LeftOut = Vec<(String, CompileError)>;

/// What is missing when lists that hold relays are there and none that says which they are.
fn note_on_relays(infos: &[FeedInfo]) -> Option<String> {
    let list = infos.iter().find(|info| info.id.starts_with(LISTS_WITH_RELAYS))?;
    let has_relays = infos.iter().any(|info| info.signal == Signal::Relay);
    (!has_relays).then(|| {
        format!(
            "`{}` holds relays such as iCloud Private Relay, too; fetch `apple-relay`, so that their users do not look \
             like those of a VPN",
            list.id
        )
    })
}

/// The rows of a feed's last good file.
pub(crate) fn read_source(directory: &Directory, feed: &Feed, info: &FeedInfo) -> Result<Source, Error> {
    let unreadable = |error: String| Error::new(Code::Feeds, error);
    let file = directory.source(feed).map_err(|error| unreadable(error.to_string()))?;
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
