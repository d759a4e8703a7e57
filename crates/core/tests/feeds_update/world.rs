//! A directory of feeds, a server that has them, and a clock.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ip_risk_core::clock::{AdjustableClock, Clock};
use ip_risk_core::error::Error;
use ip_risk_core::feeds::fetch::Limits;
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::import::{ImportOptions, import};
use ip_risk_core::feeds::progress::Progress;
use ip_risk_core::feeds::report::{FeedReport, UpdateReport};
use ip_risk_core::feeds::status::{FeedStatus, status};
use ip_risk_core::feeds::table::Table;
use ip_risk_core::feeds::update::{UpdateOptions, update};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Reply, Server};

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// A busy machine must not turn an answer into a timeout.
const PATIENT: Limits =
    Limits { connect: Duration::from_secs(20), idle: Duration::from_secs(20), total: Duration::from_mins(1) };

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) clock: Arc<AdjustableClock>,
    pub(crate) directory: TempDir,
    feeds: Vec<Value>,
}

impl World {
    /// With one feed, `list`, that has three addresses.
    pub(crate) async fn new() -> Self {
        let mut world = Self::empty().await;
        world.add("list", |_| ());
        world.server.answer("/list", Reply::ok(list(0, 3)));
        world
    }

    pub(crate) async fn empty() -> Self {
        Self {
            server: Server::start().await,
            clock: Arc::new(AdjustableClock::default()),
            directory: tempfile::tempdir().unwrap(),
            feeds: Vec::new(),
        }
    }

    /// Adds a feed that is fetched hourly, at most every ten minutes, and has at most 100 KB.
    pub(crate) fn add(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let mut feed = json!({
            "id": id, "title": format!("The {id}"), "operator": id, "url": self.server.url(&format!("/{id}")),
            "format": "list", "signal": "attack", "profile": "default", "intervalMinutes": 60,
            "minIntervalMinutes": 10, "maxBytes": 100_000, "rows": [1, 50_000],
            "licence": { "name": "CC0", "commercial": true, "redistribute": true },
        });
        change(&mut feed);
        self.feeds.push(feed);
        let catalogue = json!({ "version": 1, "feeds": self.feeds });
        fs::write(self.catalogue(), catalogue.to_string()).unwrap();
    }

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.path("catalogue.json")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn feeds_directory(&self) -> PathBuf {
        self.path("feeds")
    }

    pub(crate) fn options(&self) -> UpdateOptions {
        UpdateOptions {
            catalogue: Some(self.catalogue()),
            limits: PATIENT,
            jitter: Duration::ZERO,
            clock: Arc::<AdjustableClock>::clone(&self.clock),
            ..UpdateOptions::new(&self.feeds_directory())
        }
    }

    pub(crate) async fn update_with(
        &self,
        change: impl FnOnce(&mut UpdateOptions),
    ) -> Result<UpdateReport, Error> {
        let mut options = self.options();
        change(&mut options);
        update(options, Arc::new(Progress::default())).await
    }

    pub(crate) async fn update(&self) -> UpdateReport {
        self.update_with(|_| ()).await.unwrap()
    }

    /// What came of an update of the only feed: its outcome, or why not.
    pub(crate) async fn word(&self) -> &'static str {
        word(&self.update().await.feeds[0])
    }

    pub(crate) fn import(
        &self,
        files: Vec<(Option<String>, PathBuf)>,
        change: impl FnOnce(&mut ImportOptions),
    ) -> Result<UpdateReport, Error> {
        let mut options = ImportOptions {
            catalogue: Some(self.catalogue()),
            clock: Arc::<AdjustableClock>::clone(&self.clock),
            ..ImportOptions::new(&self.feeds_directory(), files)
        };
        change(&mut options);
        import(&options)
    }

    pub(crate) fn status(&self) -> Vec<FeedStatus> {
        status(&self.feeds_directory(), Some(&self.catalogue()), self.clock.now()).unwrap()
    }

    pub(crate) fn table(&self) -> Table {
        file::open(&fs::read(self.feeds_directory().join("feeds.bin")).unwrap()).unwrap()
    }

    /// The ids of the feeds that name an address.
    pub(crate) fn named_by(&self, address: Ipv4Addr) -> Vec<String> {
        let table = self.table();
        table.look_up(address.into()).entries().map(|entry| entry.feed.id.clone()).collect()
    }

    /// Whether the only feed has as many rows as `list(block, rows)`, and its last address.
    pub(crate) fn has(&self, block: u8, rows: u32) -> bool {
        self.table().feeds()[0].rows == u64::from(rows) && self.named_by(address(block, rows - 1)) == ["list"]
    }

    /// The files that an update has not finished.
    pub(crate) fn half_written(&self) -> Vec<PathBuf> {
        let directories = [self.feeds_directory(), self.feeds_directory().join("sources")];
        let files = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
        let paths = files.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "tmp")).collect()
    }
}

pub(crate) fn word(report: &FeedReport) -> &'static str {
    report.outcome.reason().unwrap_or(report.outcome.as_str())
}

/// The address of a row of a list; every block has others.
pub(crate) fn address(block: u8, row: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(((u32::from(block) + 0x20) << 24) + row * 2)
}

/// A list of single addresses.
pub(crate) fn list(block: u8, rows: u32) -> String {
    (0..rows).fold(String::new(), |text, row| text + &address(block, row).to_string() + "\n")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
