//! What is kept about a feed beside its rows.

use serde::{Deserialize, Serialize};

use super::signal::Signal;

/// A feed as it was when a table was compiled.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedInfo {
    /// Its stable name, such as `spamhaus-drop-v4`.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Who makes it. Feeds of one operator corroborate nothing.
    pub operator: String,
    /// What standing on it means.
    pub signal: Signal,
    /// Its weight from 0 to 100, when it is not that of its signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Whom its addresses belong to, when all belong to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its licence, in a few words.
    pub licence: String,
    /// What has to be shown with its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<String>,
    /// When its rows were true, in milliseconds since 1970: when the file was made, or else fetched.
    pub seen_at: u64,
    /// How many rows it has.
    pub rows: u64,
}

impl FeedInfo {
    /// The `seen_at` of what holds as long as it is there, such as a list of the user's own.
    pub const ALWAYS: u64 = u64::MAX;

    /// All that people are shown of it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        let always = [&self.id, &self.title, &self.operator, &self.licence];
        always.into_iter().chain(&self.name).chain(&self.credit)
    }
}
