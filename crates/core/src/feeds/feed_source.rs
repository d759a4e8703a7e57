//! Feeds as a source: the files that were read, asked about an address, and read again when they change.

use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use super::assessment::{Listed, assess_alone};
use super::direct_evidence::DirectEvidence;
use super::knowledge::{Knowledge, Said};
use super::options::FeedOptions;
use super::ready::Ready;
use super::scoring::Scoring;
use super::signal::Signal;
use super::table::{Found, Table};
use super::watched::Watched;
use crate::error::Error;
use crate::evidence::FeedEvidence;
use crate::names::NameTable;

/// How often, in milliseconds, the files are looked at while there are look-ups.
const LOOK_INTERVAL: u64 = 10_000;

/// What people want to know of a source, and the signals that it takes to see it.
const SIGHTS: [(&str, &[Signal]); 7] = [
    ("clouds and hosting", &[Signal::Hosting, Signal::Cloud]),
    ("VPNs", &[Signal::Vpn, Signal::VpnRange]),
    ("relays", &[Signal::Relay]),
    ("Tor exits", &[Signal::TorExit]),
    ("open proxies", &[Signal::PublicProxy]),
    ("residential proxies", &[Signal::ResidentialProxy]),
    ("attackers", &[Signal::Criminal, Signal::Attacker, Signal::Attack, Signal::AttackCount]),
];

/// Feeds, asked without a network. Cheap to share; look-ups never wait for a file.
#[derive(Debug)]
pub struct FeedSource {
    scoring: Scoring,
    in_use: RwLock<InUse>,
    next_look: AtomicU64,
    is_reading: AtomicBool,
}

/// The files as they were last read.
#[derive(Debug)]
struct InUse {
    /// The compiled feeds, then the files of the user's own.
    files: Arc<[Watched]>,
    /// What these compiled feeds say.
    ready: Ready,
}

/// Where the table is from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The package.
    Seed,
    /// The directory of `ip-risk feeds update`.
    Directory,
    /// There is none, only files of the user's own.
    Files,
}

impl Origin {
    /// The word that users see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Directory => "directory",
            Self::Files => "files",
        }
    }
}

/// What is in use.
#[derive(Clone, Debug)]
pub struct FeedStats {
    /// Where the table is from.
    pub origin: Origin,
    /// When the table was compiled, in milliseconds since 1970.
    pub built_at: Option<u64>,
    /// How many feeds there are.
    pub feeds: usize,
    /// How many different networks and ranges they speak of.
    pub prefixes: u64,
    /// Why the newest file is not in use, if it is not.
    pub failure: Option<String>,
}

impl FeedSource {
    /// Reads the files.
    ///
    /// A damaged file in the directory costs only what it would have known: the seed stands in, and
    /// [`FeedSource::stats`] says why.
    ///
    /// # Errors
    /// [`Code::Option`] when the directory or a file of the user's own cannot be used.
    pub fn open(options: &FeedOptions, now: u64) -> Result<Self, Error> {
        Ok(Self {
            scoring: Scoring::shipped()?,
            in_use: RwLock::new(InUse::new(Watched::all(options, now)?.into(), now)),
            next_look: AtomicU64::new(now.saturating_add(LOOK_INTERVAL)),
            is_reading: AtomicBool::new(false),
        })
    }

    /// What the feeds say of `address`, if they say anything, with names out of `names`, which must be the same ones each
    /// time. Costs well below a microsecond, with databases of the user's own a few.
    #[must_use]
    pub fn ask(self: &Arc<Self>, address: IpAddr, names: &NameTable, now: u64) -> Option<FeedEvidence> {
        self.look_for_changes(now);
        let in_use = self.in_use_at(now);
        let compiled = compiled(&in_use.files).map(|(table, _)| table.look_up(address));
        let said: Vec<_> = own(&in_use.files).map(|knowledge| knowledge.ask(address)).collect();
        let mut own = said.iter().flat_map(Said::listed).peekable();
        let points = compiled.map_or(0, |found| self.points(found, now));
        if let Some(found) = compiled
            && own.peek().is_none()
            && let Some(direct) = in_use.ready.direct_evidence(found, &self.scoring, names, now)
        {
            return direct.among(&self.scoring.neighbourhood, points);
        }
        let listed: Vec<_> = compiled.iter().flat_map(Found::entries).map(Listed::from).chain(own).collect();
        let built_at = compiled.map_or(now, |found| found.table().built_at());
        let assessment = assess_alone(&self.scoring, &listed, now);
        DirectEvidence::new(assessment, names, built_at).among(&self.scoring.neighbourhood, points)
    }

    /// The weights in use.
    #[must_use]
    pub const fn scoring(&self) -> &Scoring {
        &self.scoring
    }

    /// Calls `read` with what `address` stands on, and the points of its neighbourhood.
    pub fn with_listed<T>(&self, address: IpAddr, now: u64, read: impl FnOnce(&[Listed<'_>], u8) -> T) -> T {
        let files = self.files();
        let said: Vec<_> = known(&files).map(|knowledge| knowledge.ask(address)).collect();
        let listed: Vec<Listed<'_>> = said.iter().flat_map(Said::listed).collect();
        let found = compiled(&files).map(|(table, _)| table.look_up(address));
        read(&listed, found.map_or(0, |found| self.points(found, now)))
    }

    /// The points of a neighbourhood that is not too old.
    fn points(&self, found: Found<'_>, now: u64) -> u8 {
        let age = now.saturating_sub(found.table().built_at());
        if self.scoring.neighbourhood.are_usable(age) { found.neighbourhood() } else { 0 }
    }

    /// What is in use, for operators.
    #[must_use]
    pub fn stats(&self) -> FeedStats {
        let files = self.files();
        FeedStats {
            origin: compiled(&files).map_or(Origin::Files, |(_, origin)| origin),
            built_at: compiled(&files).map(|(table, _)| table.built_at()),
            feeds: known(&files).flat_map(Knowledge::feeds).count(),
            prefixes: known(&files).filter_map(Knowledge::table).map(Table::prefixes).sum(),
            failure: files.iter().find_map(Watched::failure).map(str::to_owned),
        }
    }

    /// Whether there is nothing at all to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        known(&self.files()).next().is_none()
    }

    /// One line on what these feeds can and cannot see, for the start of a gate that has no other source.
    #[must_use]
    pub fn sight(&self, now: u64) -> String {
        let files = self.files();
        let has = |signals: &[Signal]| known(&files).any(|file| file.sees(signals, &self.scoring, now));
        let words = |is_seen: bool| {
            let sights = SIGHTS.iter().filter(|(_, signals)| has(signals) == is_seen);
            sights.map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
        };
        let (seen, not_seen) = (words(true), words(false));
        let advice = "`ip-risk feeds update` fetches more, `IPGEO_API_KEY` asks a provider";
        match (seen.is_empty(), not_seen.is_empty()) {
            (_, true) => format!("no key: scores come from offline feeds, which see {seen}"),
            (true, _) => {
                format!("no key: scores come from offline feeds, which do not see {not_seen}; {advice}")
            }
            _ => format!(
                "no key: scores come from offline feeds, which see {seen}, but not {not_seen}; {advice}"
            ),
        }
    }

    fn files(&self) -> Arc<[Watched]> {
        Arc::clone(&self.in_use().files)
    }

    fn in_use(&self) -> RwLockReadGuard<'_, InUse> {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, and what the compiled feeds say is made for this time, unless others ask at another one.
    fn in_use_at(&self, now: u64) -> RwLockReadGuard<'_, InUse> {
        let in_use = self.in_use();
        if in_use.ready.is_for(now) {
            return in_use;
        }
        drop(in_use);
        // One of those who notice makes it; the others find it made.
        self.replace(|before| {
            (!before.ready.is_for(now)).then(|| InUse::new(Arc::clone(&before.files), now))
        });
        self.in_use()
    }

    /// Nobody who asks waits longer than this takes, which no file is read for.
    fn replace(&self, replacement: impl FnOnce(&InUse) -> Option<InUse>) {
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = replacement(&in_use) else { return };
        let before = mem::replace(&mut *in_use, next);
        drop(in_use);
        drop(before);
    }

    /// Now and then has another thread look whether the files changed. The look-up that is due does not wait for it.
    fn look_for_changes(self: &Arc<Self>, now: u64) {
        let due = self.next_look.load(Ordering::Relaxed);
        // A clock that was set back must not stop the looking until it has caught up.
        let is_due = now >= due || due - now > LOOK_INTERVAL;
        if !is_due || self.is_reading.swap(true, Ordering::Acquire) {
            return;
        }
        self.next_look.store(now.saturating_add(LOOK_INTERVAL), Ordering::Relaxed);
        let source = Arc::clone(self);
        let reader = thread::Builder::new().name("ip-risk-feeds".to_owned()).spawn(move || {
            let _ends = EndsReading(&source.is_reading);
            source.read_again(now);
        });
        if reader.is_err() {
            self.is_reading.store(false, Ordering::Release);
        }
    }

    /// Reads the files that changed.
    fn read_again(&self, now: u64) {
        let before = self.files();
        let newest: Vec<_> = before.iter().map(|file| file.look(now)).collect();
        if newest.iter().all(Option::is_none) {
            return;
        }
        let files =
            before.iter().zip(newest).map(|(before, newest)| newest.unwrap_or_else(|| before.clone()));
        let files = files.collect();
        self.replace(|_| Some(InUse::new(files, now)));
    }
}

impl InUse {
    fn new(files: Arc<[Watched]>, now: u64) -> Self {
        let combinations = compiled(&files).map_or(0, |(table, _)| table.combinations());
        Self { files, ready: Ready::new(combinations, now) }
    }
}

fn known(files: &[Watched]) -> impl Iterator<Item = &Knowledge> {
    files.iter().filter_map(Watched::content)
}

fn own(files: &[Watched]) -> impl Iterator<Item = &Knowledge> {
    known(files).filter(|knowledge| !matches!(knowledge, Knowledge::Compiled(..)))
}

fn compiled(files: &[Watched]) -> Option<(&Table, Origin)> {
    known(files).find_map(|knowledge| match knowledge {
        Knowledge::Compiled(table, origin) => Some((table, *origin)),
        Knowledge::List(_) | Knowledge::Database(..) => None,
    })
}

/// Lets others read, also after a panic.
struct EndsReading<'a>(&'a AtomicBool);

impl Drop for EndsReading<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::feeds::assessment::assess;
    use crate::feeds::compile::compile;
    use crate::feeds::file;
    use crate::feeds::format::Format;
    use crate::feeds::options::{FeedFile, FileFormat};
    use crate::feeds::range::Range;
    use crate::feeds::reference::feed;
    use crate::feeds::row::{About, Row};
    use crate::feeds::store::COMPILED;
    use crate::flags::Names;

    const NOW: u64 = 1_780_000_000_000;
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    /// Writes compiled feeds with a feed for each signal, which holds 8.8.8.8 and was last seen at that time.
    fn write(directory: &Path, feeds: &[(Signal, u64)]) {
        let sources = feeds.iter().enumerate().map(|(number, (signal, seen_at))| {
            let mut source = feed(&format!("feed-{number}"), *signal);
            source.info.seen_at = *seen_at;
            source.info.name = Some(format!("Name {number}"));
            let about = About::Range(Range::parse("8.8.8.8").unwrap());
            source.take(Row { about, name: None, value: 0 });
            source
        });
        let compiled = compile(sources.collect(), None, NOW).unwrap();
        fs::write(directory.join("new"), file::write(&compiled, None, false)).unwrap();
        fs::rename(directory.join("new"), directory.join(COMPILED)).unwrap();
    }

    /// A source that reads its files again only where a test says so.
    fn open(directory: &Path, files: Vec<FeedFile>) -> Arc<FeedSource> {
        let directory = Some(directory.to_owned());
        let options =
            FeedOptions { seed: None, directory, is_directory_written: true, files, prescreen: true };
        let source = Arc::new(FeedSource::open(&options, NOW).unwrap());
        source.is_reading.store(true, Ordering::Release);
        source
    }

    /// Asks about both addresses at that time, and compares with assessments made at that very time. Gives the score of
    /// the first.
    fn ask(source: &Arc<FeedSource>, names: &NameTable, now: u64) -> u8 {
        let scores = ["8.8.8.8", "9.9.9.9"].map(|address| {
            let address = address.parse().unwrap();
            let assessment = source
                .with_listed(address, now, |listed, points| assess(source.scoring(), listed, points, now));
            let told = source.ask(address, names, now).map(|FeedEvidence { evidence, is_strict, .. }| {
                let own = evidence.flags.names().map(|shared| shared.names().clone());
                (evidence.score, evidence.flags.words(), own.unwrap_or_default(), is_strict)
            });
            let expected: (_, _, Names, _) =
                (assessment.score, assessment.flags.words(), assessment.names, assessment.is_strict);
            assert_eq!(told, assessment.is_match.then_some(expected), "{address} at {now}");
            assessment.score.value()
        });
        scores[0]
    }

    #[test]
    fn what_is_kept_ends_with_its_time_and_with_the_files_it_is_from() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &[(Signal::Attack, NOW - HOUR), (Signal::VpnRange, NOW - HOUR)]);
        let source = open(directory.path(), Vec::new());
        let names = NameTable::default();
        assert_eq!(ask(&source, &names, NOW), 62);
        for step in 0..4 * 60 {
            let _ = ask(&source, &names, NOW + 22 * HOUR + step * MINUTE);
        }
        assert_eq!(ask(&source, &names, NOW + 47 * HOUR), 47, "half of an attack, in a VPN");
        assert_eq!(ask(&source, &names, NOW + 200 * HOUR), 32, "the VPN alone");
        assert_eq!(ask(&source, &names, NOW), 62, "a clock that is set back");

        write(directory.path(), &[(Signal::TorExit, NOW - HOUR)]);
        assert_eq!(ask(&source, &names, NOW), 62, "not read yet");
        source.read_again(NOW);
        assert_eq!(ask(&source, &names, NOW), 65);
    }

    #[test]
    fn files_of_ones_own_are_asked_each_time() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &[(Signal::VpnRange, NOW - HOUR)]);
        let list = directory.path().join("list.txt");
        fs::write(&list, "9.9.9.0/24\n").unwrap();
        let format = FileFormat::List(Format::List);
        let file = FeedFile { path: list.clone(), format, signals: vec![Signal::Attacker], weight: None };
        let source = open(directory.path(), vec![file]);
        let names = NameTable::default();
        assert_eq!(ask(&source, &names, NOW), 32);
        fs::write(&list, "9.9.9.0/24\n8.8.8.8\n").unwrap();
        source.read_again(NOW);
        assert!(ask(&source, &names, NOW) > 60);
    }
}
