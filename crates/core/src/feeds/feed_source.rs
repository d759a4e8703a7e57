//! Feeds as a source: the files that were read, asked about an address, and read again when they change.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use super::assessment::{Assessment, Listed, assess};
use super::knowledge::{Knowledge, Said};
use super::options::FeedOptions;
use super::scoring::Scoring;
use super::signal::Signal;
use super::table::Table;
use super::watched::Watched;
use crate::error::Error;

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
    /// The compiled feeds, then the files of the user's own.
    files: RwLock<Arc<[Watched]>>,
    next_look: AtomicU64,
    is_reading: AtomicBool,
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
            files: RwLock::new(Watched::all(options, now)?.into()),
            next_look: AtomicU64::new(now.saturating_add(LOOK_INTERVAL)),
            is_reading: AtomicBool::new(false),
        })
    }

    /// What the feeds say of `address`. Costs well below a microsecond, with databases of the user's own a few.
    #[must_use]
    pub fn assess(self: &Arc<Self>, address: IpAddr, now: u64) -> Assessment {
        self.look_for_changes(now);
        let mut assessment = self.with_listed(address, now, |listed, neighbourhood| {
            assess(&self.scoring, listed, neighbourhood, now)
        });
        if assessment.seen_at == 0 {
            assessment.seen_at = compiled(&self.files()).map_or(now, |(table, _)| table.built_at());
        }
        assessment
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
        let points = said.iter().find_map(|said| said.neighbourhood);
        let neighbourhood = points
            .filter(|(_, built_at)| self.scoring.neighbourhood.are_usable(now.saturating_sub(*built_at)));
        read(&listed, neighbourhood.map_or(0, |(points, _)| points))
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
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
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
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = files.collect();
    }
}

fn known(files: &[Watched]) -> impl Iterator<Item = &Knowledge> {
    files.iter().filter_map(Watched::content)
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
