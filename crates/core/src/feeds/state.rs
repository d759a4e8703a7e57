//! What is remembered of each feed between updates. It is read from a file that anything may have happened to.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::catalogue::Feed;
use super::fetch::{LONGEST_RETRY, Validators, moment};
use super::gate::{Contents, History};
use super::info::FeedInfo;
use super::signal::Signal;

/// All that is remembered, by the id of the feed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct State {
    #[serde(deserialize_with = "each")]
    pub(crate) feeds: BTreeMap<String, Entry>,
}

/// Every entry that can be read, so that what is wrong with one loses only that.
fn each<'a, D: Deserializer<'a>>(input: D) -> Result<BTreeMap<String, Entry>, D::Error> {
    let written = BTreeMap::<String, Value>::deserialize(input)?;
    let read = |(id, value)| Some((id, serde_json::from_value(value).ok()?));
    Ok(written.into_iter().filter_map(read).collect())
}

/// What is remembered of one feed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Entry {
    /// The last good file, when there is one.
    pub(crate) file: Option<SourceFile>,
    /// How large its files were.
    pub(crate) history: History,
    /// Before this moment its server is not asked, whatever anybody says.
    pub(crate) next_allowed_at: u64,
    /// What went wrong last, when nothing went right since.
    pub(crate) failure: Option<LastFailure>,
    /// Somebody said that the use is not commercial, so that a feed may be used whose licence asks for that.
    pub(crate) licence_accepted: bool,
    /// The file came after the last table was made.
    pub(crate) uncompiled: bool,
}

/// The last good file of a feed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceFile {
    /// Where it came from; nothing when it was imported.
    pub(crate) url: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    /// Its digest. Another file is not what the rest is about.
    pub(crate) sha256: String,
    /// When it came.
    pub(crate) fetched_at: u64,
    /// When its server last said that it is the newest.
    pub(crate) checked_at: u64,
    /// When it was made, as it says itself.
    pub(crate) dated_at: Option<u64>,
    pub(crate) rows: u64,
    pub(crate) rejected: u64,
    /// How many IPv4 addresses it covers.
    pub(crate) addresses: u64,
    pub(crate) credit: Option<String>,
}

/// The last failure of a feed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// A stable word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Entry {
    /// What is known of a feed whose entry was lost. Its server was asked when the file was written that is there.
    pub(crate) fn lost(feed: &Feed, written_at: Option<u64>, now: u64) -> Self {
        let asked_at = written_at.map(|at| at.min(now).saturating_add(feed.min_interval));
        Self { next_allowed_at: asked_at.unwrap_or_default(), ..Self::default() }
    }

    /// Whether the feed's licence allows to use what is there of it.
    pub(crate) fn may_be_used(&self, feed: &Feed) -> bool {
        feed.licence.commercial || self.licence_accepted
    }

    /// The last good file, if it may be used.
    pub(crate) fn usable(&self, feed: &Feed) -> Option<&SourceFile> {
        self.file.as_ref().filter(|_| self.may_be_used(feed))
    }

    /// Takes back moments that have not come yet, so that a clock that was wrong, or a state that is, makes nothing
    /// look new for ever.
    pub(crate) fn not_after(&mut self, now: u64) {
        let History { baseline, change } = &mut self.history;
        for dated in [baseline, change].into_iter().flatten() {
            dated.since = dated.since.min(now);
        }
        if let Some(file) = &mut self.file {
            file.fetched_at = file.fetched_at.min(now);
            file.checked_at = file.checked_at.min(now);
        }
    }

    /// When the server may be asked next. A moment that no rule of here can have set is none.
    pub(crate) fn next_allowed(&self, feed: &Feed, now: u64) -> Option<u64> {
        let longest = LONGEST_RETRY.max(feed.min_interval);
        let is_possible = self.next_allowed_at <= now.saturating_add(longest);
        Some(self.next_allowed_at).filter(|at| is_possible && *at > now)
    }

    /// When the feed is worth fetching again: now, unless its newest file is here.
    pub(crate) fn due(&self, feed: &Feed, now: u64) -> Option<u64> {
        let file = self.file.as_ref().filter(|file| file.url.is_some() && self.failure.is_none())?;
        let at = file.checked_at.saturating_add(feed.interval);
        Some(at).filter(|at| *at > now)
    }

    /// Remembers that the server was asked, and until when it is not asked again.
    pub(crate) fn asked(&mut self, feed: &Feed, now: u64, retry_at: Option<u64>) {
        self.next_allowed_at = now.saturating_add(feed.min_interval).max(retry_at.unwrap_or_default());
    }

    /// Its server said that the file is the newest, and a change of it that was refused has gone away.
    pub(crate) fn unchanged(&mut self, now: u64) {
        self.history.change = None;
        if let Some(file) = &mut self.file {
            file.checked_at = now;
        }
    }

    pub(crate) fn failed(&mut self, now: u64, reason: &str, message: String) {
        self.failure = Some(LastFailure { at: now, reason: reason.to_owned(), message });
    }
}

impl SourceFile {
    pub(crate) fn new(sha256: String, contents: Contents, validators: Validators, now: u64) -> Self {
        Self {
            url: Some(validators.url).filter(|url| !url.is_empty()),
            etag: validators.etag,
            last_modified: validators.last_modified,
            sha256,
            fetched_at: now,
            checked_at: now,
            dated_at: contents.summary.dated_at,
            rows: contents.summary.rows,
            rejected: contents.summary.rejected,
            addresses: contents.covered.ipv4,
            credit: contents.summary.credit,
        }
    }

    /// The same file came once more: it is as old as it was, and the newest.
    pub(crate) fn came_again(&mut self, again: Self) {
        self.dated_at = self.made_at();
        if again.url.is_some() {
            (self.url, self.etag, self.last_modified) = (again.url, again.etag, again.last_modified);
        }
        self.checked_at = self.checked_at.max(again.checked_at);
    }

    /// When it was made, as it says itself. What would have been made after it came is a mistake.
    pub(crate) fn says_made_at(&self) -> Option<u64> {
        self.dated_at.filter(|at| *at <= self.fetched_at)
    }

    fn made_at(&self) -> Option<u64> {
        self.dated_at.or_else(|| self.last_modified.as_deref().and_then(moment))
    }

    /// What lets the server say that the file is the newest; nothing when it was imported.
    pub(crate) fn validators(&self) -> Option<Validators> {
        Some(Validators {
            url: self.url.clone()?,
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
        })
    }

    /// When its rows were true. What somebody saw (attacks, spam, proxies) ages from when the file was made: a server
    /// that still has the same one has seen nothing new. What an operator says of its own networks is true as long
    /// as its server says so.
    pub(crate) fn seen_at(&self, signal: Signal) -> u64 {
        if is_declared(signal) && self.url.is_some() {
            self.checked_at
        } else {
            self.made_at().unwrap_or(self.fetched_at).min(self.fetched_at)
        }
    }

    /// What the compiled table says of the feed.
    pub(crate) fn info(&self, feed: &Feed) -> FeedInfo {
        FeedInfo {
            id: feed.id.clone(),
            title: feed.title.clone(),
            operator: feed.operator.clone(),
            signal: feed.signal,
            weight: feed.weight,
            name: feed.name.clone(),
            licence: feed.licence.name.clone(),
            credit: self.credit.clone().or_else(|| feed.licence.credit.clone()),
            seen_at: self.seen_at(feed.signal),
            rows: self.rows,
        }
    }
}

/// Whether a signal says whose networks they are, and not what somebody saw of them.
const fn is_declared(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::Hosting
            | Signal::Cloud
            | Signal::Cdn
            | Signal::CorporateGateway
            | Signal::Mobile
            | Signal::GoodBot
            | Signal::Relay
            | Signal::VpnRange
    )
}
