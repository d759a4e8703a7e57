//! Directories with compiled feeds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use ip_risk_core::clock::{Clock, SystemClock};
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::file;
use ip_risk_core::feeds::info::FeedInfo;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::row::{About, Row};
use ip_risk_core::feeds::signal::Signal;

/// The compiled file in a directory of feeds.
pub(crate) const COMPILED: &str = "feeds.bin";

/// A directory of its own, which goes when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// An empty one.
    pub(crate) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ip-risk-test-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One with a feed for each signal, each of an operator of its own, with these networks on it.
    pub(crate) fn with(feeds: &[(Signal, &str)]) -> Self {
        let directory = Self::new();
        directory.write(feeds);
        directory
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces what is in it, as an update does.
    pub(crate) fn write(&self, feeds: &[(Signal, &str)]) {
        self.write_bytes(&compiled(feeds));
    }

    pub(crate) fn write_bytes(&self, bytes: &[u8]) {
        let new = self.0.join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.0.join(COMPILED)).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A compiled file with a feed for each signal. The name of its addresses is `Example` and the signal.
pub(crate) fn compiled(feeds: &[(Signal, &str)]) -> Vec<u8> {
    let now = SystemClock.now();
    let sources = feeds.iter().enumerate().map(|(number, (signal, networks))| {
        let mut source = Source::new(FeedInfo {
            id: format!("example-{number}"),
            title: format!("example {number}"),
            operator: format!("operator {number}"),
            signal: *signal,
            weight: None,
            name: Some(format!("Example {signal:?}")),
            licence: "CC0".to_owned(),
            credit: None,
            seen_at: now,
            rows: 0,
        });
        for network in networks.split_whitespace() {
            let about = About::Range(Range::parse(network).unwrap());
            source.take(Row { about, name: None, value: 0 });
        }
        source
    });
    file::write(&compile(sources.collect(), None, now).unwrap(), None, false)
}
