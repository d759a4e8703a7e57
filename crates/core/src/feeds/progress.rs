//! How far an update is, for whoever draws bars: looked at as often as one likes, never called back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an update is doing with a feed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stage {
    /// Nothing yet.
    #[default]
    Waiting,
    /// Its bytes are coming.
    Fetching,
    /// Its rows are read and judged.
    Checking,
    /// It has come to its outcome.
    Done,
}

impl Stage {
    /// A stable word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Fetching => "fetching",
            Self::Checking => "checking",
            Self::Done => "done",
        }
    }
}

/// How far one feed is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FeedProgress {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What is being done with it.
    pub stage: Stage,
    /// How many bytes have come, as they travel.
    pub bytes: u64,
    /// How many there are, when the server says it.
    pub total: Option<u64>,
    /// The word of its outcome, at the end.
    pub outcome: Option<&'static str>,
}

/// How far all feeds of one update are.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Vec<FeedProgress>>);

impl Progress {
    /// As it is now, in the order of the catalogue; empty before the update has begun.
    #[must_use]
    pub fn feeds(&self) -> Vec<FeedProgress> {
        self.locked().clone()
    }

    pub(crate) fn begin<'a>(&self, feeds: impl Iterator<Item = (&'a str, &'a str)>) {
        let of = |(id, title): (&str, &str)| FeedProgress {
            id: id.to_owned(),
            title: title.to_owned(),
            ..FeedProgress::default()
        };
        *self.locked() = feeds.map(of).collect();
    }

    fn locked(&self) -> MutexGuard<'_, Vec<FeedProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a progress that is about one feed.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    progress: Arc<Progress>,
    place: usize,
}

impl Tracker {
    pub(crate) fn new(progress: &Arc<Progress>, place: usize) -> Self {
        Self { progress: Arc::clone(progress), place }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.change(|feed| feed.stage = stage);
    }

    pub(crate) fn expect(&self, total: Option<u64>) {
        self.change(|feed| (feed.bytes, feed.total) = (0, total));
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.change(|feed| feed.bytes = feed.bytes.saturating_add(bytes as u64));
    }

    pub(crate) fn end(&self, outcome: &'static str) {
        self.change(|feed| (feed.stage, feed.outcome) = (Stage::Done, Some(outcome)));
    }

    fn change(&self, change: impl FnOnce(&mut FeedProgress)) {
        if let Some(feed) = self.progress.locked().get_mut(self.place) {
            change(feed);
        }
    }
}
