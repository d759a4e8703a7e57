//! What the core promises, through its public API and real sockets: properties that hold for any input, and the table
//! of what is answered when.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod answers;
mod batches;
mod calls;
mod feeds;
mod lists;
mod options;
mod order;
mod order_table;
mod outages;
mod requests;
mod space;
mod spending;
mod thresholds;
