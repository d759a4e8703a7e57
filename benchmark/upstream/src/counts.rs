//! What was asked and charged.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests of every kind, refused ones too.
    pub requests: AtomicU64,
    /// Those among them that were answered about a list.
    pub bulk: AtomicU64,
    /// Addresses in questions that were answered.
    pub addresses: AtomicU64,
    /// Credits that were charged.
    pub credits: AtomicU64,
    /// Connections that were taken.
    pub connections: AtomicU64,
}

impl Counts {
    /// Adds to one of them.
    pub fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    /// All of them as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "requests": read(&self.requests),
            "bulk": read(&self.bulk),
            "addresses": read(&self.addresses),
            "credits": read(&self.credits),
            "connections": read(&self.connections),
        })
        .to_string()
    }
}
