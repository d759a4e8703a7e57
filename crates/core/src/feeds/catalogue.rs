//! Which feeds there are, and how each is fetched and used.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::format::Format;
use super::gate::Bounds;
use super::printable::is_printable;
use super::signal::Signal;
use crate::error::{Code, Error, nearest};
use crate::options::is_on_this_machine;

const SHIPPED: &str = include_str!("feeds.json");
const LARGEST_CATALOGUE: u64 = 1 << 20;
const LARGEST_FEED: u64 = 256 << 20;
const MOST_ROWS: u64 = 10_000_000;
const LONGEST_ID: usize = 64;
const LONGEST_TEXT: usize = 256;

/// Which feeds are fetched. Each profile holds those before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Tor, privacy relays, clouds: what an address is, not what it did.
    Minimal,
    /// And networks in criminal hands, recent attacks, VPN services, data centres, crawlers.
    #[default]
    Default,
    /// And long histories, open proxies, spammers; some of these are not for commercial use.
    Full,
}

/// Where a feed is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// At this address.
    File(Url),
    /// Behind the first link of a page that begins and ends like this, because its address changes.
    Page {
        /// The page.
        page: Url,
        /// How the link begins: scheme, host and the start of the path.
        start: String,
        /// What stands in it somewhere after that, and at its end.
        rest: Vec<String>,
    },
}

/// What may be done with a feed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Licence {
    /// Its name, in a few words.
    pub name: String,
    /// Where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether commercial use is allowed, or at least not forbidden.
    pub commercial: bool,
    /// Whether its data may be passed on.
    pub redistribute: bool,
    /// What has to be shown with its data, when the file itself does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<String>,
}

/// The recipe of one feed, as it is written.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    title: String,
    operator: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    format: Format,
    signal: Signal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    profile: Profile,
    interval_minutes: u32,
    min_interval_minutes: u32,
    max_bytes: u64,
    rows: (u64, u64),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_addresses: Option<u64>,
    licence: Licence,
}

/// The recipe of one feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// Its stable name, of lower-case letters, digits and hyphens. It is a file name, too.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Who makes it. Feeds of one operator corroborate nothing.
    pub operator: String,
    /// Where it is.
    pub location: Location,
    /// What standing on it means.
    pub signal: Signal,
    /// Its weight from 0 to 100, when it is not that of its signal.
    pub weight: Option<u8>,
    /// Whom its addresses belong to, when all belong to one.
    pub name: Option<String>,
    /// The smallest profile that holds it.
    pub profile: Profile,
    /// After how many milliseconds it is worth fetching again.
    pub interval: u64,
    /// How many milliseconds its operator wants between two requests at least. Nothing overrides it.
    pub min_interval: u64,
    /// How many bytes its file has at most, as it comes and after decompression.
    pub max_bytes: u64,
    /// What its files are like.
    pub bounds: Bounds,
    /// What may be done with it.
    pub licence: Licence,
}

/// All feeds that can be fetched or imported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Catalogue {
    feeds: Vec<Feed>,
    skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    version: u32,
    feeds: Vec<Value>,
}

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// [`Code::Option`], naming the nearest one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "minimal" => Ok(Self::Minimal),
            "default" => Ok(Self::Default),
            "full" => Ok(Self::Full),
            _ => {
                let nearest = nearest(text, &["minimal", "default", "full"]);
                Err(Error::new(Code::Option, format!("`{text}` is not a profile; {nearest}")))
            }
        }
    }
}

impl Catalogue {
    /// The catalogue of this package, or the one in a file.
    ///
    /// # Errors
    /// [`Code::Feeds`], when the file cannot be read or has a mistake, which the message names.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else { return Self::parse(SHIPPED) };
        let refused = |why: &str| unusable(&format!("the catalogue `{}` {why}", path.display()));
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LARGEST_CATALOGUE + 1).read_to_string(&mut text))
            .map_err(|error| refused(&format!("cannot be read: {error}")))?;
        if text.len() as u64 > LARGEST_CATALOGUE {
            return Err(refused("is larger than 1 MiB; it should only hold recipes"));
        }
        Self::parse(&text).map_err(|error| refused(&format!("cannot be used: {error}")))
    }

    /// Reads a catalogue. Feeds that a newer version may know (another format or signal) are left out with a note.
    ///
    /// # Errors
    /// [`Code::Feeds`] with the feed and its mistake.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document: Document = serde_json::from_str(text)
            .map_err(|error| unusable(&format!("a catalogue needs `version` and `feeds`: {error}")))?;
        if document.version == 0 {
            return Err(unusable("the `version` of a catalogue is 1 or more"));
        }
        let mut catalogue = Self::default();
        for value in document.feeds {
            catalogue.add(value)?;
        }
        Ok(catalogue)
    }

    /// The feeds, in their order.
    #[must_use]
    pub fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// A line for each feed that was left out, saying why.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The feed with that id.
    ///
    /// # Errors
    /// [`Code::Option`], naming the nearest one.
    pub fn find(&self, id: &str) -> Result<&Feed, Error> {
        self.feeds.iter().find(|feed| feed.id == id).ok_or_else(|| {
            let known: Vec<&str> = self.feeds.iter().map(|feed| feed.id.as_str()).collect();
            Error::new(Code::Option, format!("`{id}` is not a feed; {}", nearest(id, &known)))
        })
    }

    /// The feeds of `profile`, or the ones that are named instead.
    ///
    /// # Errors
    /// [`Code::Option`] for a name that none has.
    pub fn choose(&self, profile: Profile, only: &[String]) -> Result<Vec<&Feed>, Error> {
        for id in only {
            self.find(id)?;
        }
        let is_chosen = |feed: &&Feed| match only {
            [] => feed.profile <= profile,
            ids => ids.contains(&feed.id),
        };
        Ok(self.feeds.iter().filter(is_chosen).collect())
    }

    fn add(&mut self, value: Value) -> Result<(), Error> {
        let id = value.get("id").and_then(Value::as_str).filter(|id| is_id(id)).map(str::to_owned);
        let id = id.ok_or_else(|| {
            unusable(
                "each feed needs an `id` of lower-case letters, digits and hyphens that can be a file name",
            )
        })?;
        if let Some(note) = unknown_word(&id, &value) {
            self.skipped.push(note);
            return Ok(());
        }
        if self.feeds.iter().any(|feed| feed.id == id) {
            return Err(unusable(&format!("two feeds have the id `{id}`")));
        }
        let feed = serde_json::from_value::<Written>(value).map_err(|error| error.to_string());
        let feed = feed.and_then(|written| Feed::read(written).map_err(str::to_owned));
        self.feeds.push(feed.map_err(|why| unusable(&format!("the feed `{id}` is not right: {why}")))?);
        Ok(())
    }
}

impl Feed {
    fn read(written: Written) -> Result<Self, &'static str> {
        let location = location(&written)?;
        let licence = &written.licence;
        let texts = [Some(&written.title), Some(&written.operator), written.name.as_ref()];
        let more = [Some(&licence.name), licence.url.as_ref(), licence.credit.as_ref()];
        if !texts.into_iter().chain(more).flatten().all(|text| is_text(text)) {
            return Err("a text is empty, longer than 256 bytes, or not printable");
        }
        let (least, most) = written.rows;
        if least > most || most > MOST_ROWS {
            return Err("`rows` is the least and the most, at most 10,000,000");
        }
        if written.max_bytes == 0 || written.max_bytes > LARGEST_FEED {
            return Err("`maxBytes` is from 1 to 268,435,456");
        }
        if written.min_interval_minutes == 0 || written.interval_minutes < written.min_interval_minutes {
            return Err("`minIntervalMinutes` is at least 1, and `intervalMinutes` not less");
        }
        if written.weight.is_some_and(|weight| weight > 100) {
            return Err("`weight` is from 0 to 100");
        }
        let milliseconds = |minutes: u32| u64::from(minutes) * 60_000;
        Ok(Self {
            location,
            signal: written.signal,
            weight: written.weight,
            profile: written.profile,
            interval: milliseconds(written.interval_minutes),
            min_interval: milliseconds(written.min_interval_minutes),
            max_bytes: written.max_bytes,
            bounds: Bounds {
                format: written.format,
                rows: written.rows,
                max_addresses: written.max_addresses,
            },
            id: written.id,
            title: written.title,
            operator: written.operator,
            name: written.name,
            licence: written.licence,
        })
    }
}

/// The note on a feed whose format, signal or profile this version does not know.
fn unknown_word(id: &str, value: &Value) -> Option<String> {
    fn is_unknown<Word: for<'a> Deserialize<'a>>(value: &Value) -> bool {
        value.is_string() && Word::deserialize(value).is_err()
    }
    let key = if is_unknown::<Format>(value.get("format")?) {
        "format"
    } else if is_unknown::<Signal>(value.get("signal")?) {
        "signal"
    } else if is_unknown::<Profile>(value.get("profile")?) {
        "profile"
    } else {
        return None;
    };
    Some(format!("`{id}` is left out: this version does not know its {key}; update this package"))
}

fn location(written: &Written) -> Result<Location, &'static str> {
    const WRONG: &str = "`url` and `page` are addresses that start with `https://`, without a password";
    match (&written.url, &written.page, &written.link) {
        (Some(url), None, None) => Ok(Location::File(fetchable(url).ok_or(WRONG)?)),
        (None, Some(page), Some(link)) => {
            let mut parts = link.split('*').map(str::to_owned);
            let start = parts.next().unwrap_or_default();
            // The path begins before the first `*`, so that the host is fixed.
            let has_path = fetchable(&start).is_some_and(|url| url.path().len() > 1);
            if !has_path || start.len() == link.len() {
                return Err("`link` is an address with a `*` in its path for what changes");
            }
            Ok(Location::Page { page: fetchable(page).ok_or(WRONG)?, start, rest: parts.collect() })
        }
        _ => Err("it needs `url`, or else `page` and `link`"),
    }
}

/// An address that may be fetched. Plain http is for this machine only.
pub(crate) fn fetchable(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_on_this_machine(&url);
    (is_safe && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Whether a text can be an id, which is the name of a file on every system.
pub(crate) fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_device = matches!(text, "con" | "prn" | "aux" | "nul")
        || text.len() == 4 && (text.starts_with("com") || text.starts_with("lpt"));
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(is_plain) && !is_device
}

/// Whether a text can stand in a table on a terminal.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_TEXT && is_printable(text)
}

fn unusable(message: &str) -> Error {
    Error::new(Code::Feeds, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn feed(change: impl FnOnce(&mut Value)) -> Value {
        let mut feed = json!({
            "id": "some-list", "title": "Some list", "operator": "Somebody", "url": "https://feeds.example/list",
            "format": "list", "signal": "attack", "profile": "default", "intervalMinutes": 60,
            "minIntervalMinutes": 30, "maxBytes": 1000, "rows": [1, 10],
            "licence": { "name": "CC0", "commercial": true, "redistribute": true },
        });
        change(&mut feed);
        feed
    }

    fn parse(feeds: &[Value]) -> Result<Catalogue, Error> {
        Catalogue::parse(&json!({ "version": 1, "feeds": feeds }).to_string())
    }

    #[test]
    fn the_shipped_catalogue_is_read_whole_and_every_key_of_it_means_something() {
        let document: Value = serde_json::from_str(SHIPPED).unwrap();
        for value in document["feeds"].as_array().unwrap() {
            if unknown_word("", value).is_none() {
                let written: Written = serde_json::from_value(value.clone()).unwrap();
                assert_eq!(&serde_json::to_value(written).unwrap(), value);
            }
        }
        let catalogue = Catalogue::load(None).unwrap();
        assert_eq!(catalogue.skipped(), [""; 0]);
        for feed in catalogue.feeds() {
            let url = match &feed.location {
                Location::File(url) => url,
                Location::Page { page, .. } => page,
            };
            assert_eq!(url.scheme(), "https", "{}", feed.id);
        }
    }

    #[test]
    fn profiles_hold_those_before_them_and_what_is_not_for_commerce_is_only_in_the_last() {
        let catalogue = Catalogue::load(None).unwrap();
        let ids = |profile| -> Vec<&str> {
            catalogue.choose(profile, &[]).unwrap().iter().map(|feed| feed.id.as_str()).collect()
        };
        let (minimal, default, full) = (ids(Profile::Minimal), ids(Profile::Default), ids(Profile::Full));
        assert!(minimal.contains(&"tor-exits") && !minimal.contains(&"ipsum"));
        assert!(default.contains(&"spamhaus-drop-v4") && !default.contains(&"dshield"));
        assert!(full.contains(&"dshield") && full.len() == catalogue.feeds().len());
        assert!(minimal.iter().all(|id| default.contains(id)) && default.iter().all(|id| full.contains(id)));
        let chosen = catalogue.choose(Profile::Default, &[]).unwrap();
        assert!(chosen.iter().all(|feed| feed.licence.commercial));
        let spamhaus = catalogue.find("spamhaus-drop-v4").unwrap();
        assert!(spamhaus.min_interval >= 60 * 60_000 && spamhaus.licence.credit.is_some());
    }

    #[test]
    fn a_profile_has_a_name() {
        assert_eq!(Profile::parse("full").unwrap(), Profile::Full);
        let error = Profile::parse("minimum").unwrap_err();
        assert_eq!(error.code(), Code::Option);
        assert!(error.to_string().contains("did you mean `minimal`?"), "{error}");
    }

    #[test]
    fn single_feeds_are_chosen_whatever_the_profile_and_slips_in_their_names_are_found() {
        let catalogue = Catalogue::load(None).unwrap();
        let chosen = catalogue.choose(Profile::Minimal, &["dshield".into()]).unwrap();
        assert_eq!(chosen.iter().map(|feed| feed.id.as_str()).collect::<Vec<_>>(), ["dshield"]);
        let error = catalogue.choose(Profile::Full, &["dsheild".into()]).unwrap_err();
        assert_eq!(error.code(), Code::Option);
        assert!(error.to_string().contains("`dshield`"), "{error}");
    }

    #[test]
    fn what_a_newer_version_knows_is_left_out_with_a_note() {
        for key in ["format", "signal", "profile"] {
            let newer = feed(|feed| {
                feed["id"] = json!("newer");
                feed[key] = json!("of-tomorrow");
                feed["more"] = json!({});
            });
            let catalogue = parse(&[newer, feed(|feed| feed["more"] = json!(1))]).unwrap();
            assert_eq!(catalogue.feeds().len(), 1);
            assert!(catalogue.skipped()[0].contains("`newer`") && catalogue.skipped()[0].contains(key));
        }
    }

    #[test]
    fn a_mistake_is_an_error_that_names_the_feed() {
        let long = "a".repeat(257);
        for (key, value) in [
            ("url", json!("http://feeds.example/list")),
            ("url", json!("ftp://feeds.example/list")),
            ("url", json!("https://user:secret@feeds.example/list")),
            ("url", json!("list")),
            ("url", Value::Null),
            ("page", json!("https://feeds.example/")),
            ("format", json!(1)),
            ("title", json!("")),
            ("title", json!("a\u{1b}[31m")),
            ("operator", json!(long)),
            ("rows", json!([2, 1])),
            ("rows", json!([0, 100_000_000])),
            ("rows", json!([-1, 1])),
            ("maxBytes", json!(0)),
            ("maxBytes", json!(u64::MAX)),
            ("minIntervalMinutes", json!(0)),
            ("minIntervalMinutes", json!(61)),
            ("weight", json!(101)),
            ("licence", json!({ "name": "CC0" })),
        ] {
            let error = parse(&[feed(|feed| feed[key] = value.clone())]).unwrap_err();
            assert_eq!(error.code(), Code::Feeds);
            assert!(error.to_string().contains("`some-list`"), "{key}: {value}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn an_id_is_a_safe_file_name_and_stands_once() {
        let long = "a".repeat(65);
        for id in ["", "..", "a/b", "a\\b", "A", "a.b", "ä", "con", "nul", "com1", "lpt9", &long] {
            let error = parse(&[feed(|feed| feed["id"] = json!(id))]).unwrap_err();
            assert_eq!(error.code(), Code::Feeds, "`{id}`");
        }
        assert!(parse(&[feed(|feed| feed["id"] = json!("com10"))]).is_ok());
        assert!(parse(&[feed(|_| ()), feed(|_| ())]).unwrap_err().to_string().contains("`some-list`"));
    }

    #[test]
    fn a_link_on_a_page_has_a_fixed_host() {
        let with_link = |link: &str| {
            parse(&[feed(|feed| {
                feed["url"] = Value::Null;
                feed["page"] = json!("https://feeds.example/");
                feed["link"] = json!(link);
            })])
        };
        assert!(with_link("https://files.example/a/*/b_*.json").is_ok());
        for link in [
            "https://*/a",
            "https://files.example*",
            "https://files.example/*",
            "*",
            "http://files.example/a*",
        ] {
            assert!(with_link(link).is_err(), "{link}");
        }
        assert!(with_link("https://files.example/a.json").is_err(), "nothing changes");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        assert!(parse(&[feed(|feed| feed["url"] = json!("http://127.0.0.1:8080/list"))]).is_ok());
    }

    #[test]
    fn a_document_that_is_no_catalogue_is_an_error() {
        for text in ["", "[]", "{}", r#"{"version":0,"feeds":[]}"#, r#"{"version":1,"feeds":[1]}"#] {
            assert_eq!(Catalogue::parse(text).unwrap_err().code(), Code::Feeds, "{text}");
        }
    }
}
