//! The shared cache against real servers: what it stores, what it believes, and what every fault of Redis costs.
//!
//! Needs the program `redis-server` (Debian: `apt-get install redis-server`).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod entries;
mod fake;
mod faults;
mod invalidations;
mod ledger;
mod lies;
mod reading;
mod sentinel;
mod server;
mod spending;
mod tls;
mod world;
