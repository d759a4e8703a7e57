//! `feeds update`, `import` and `status` against a server that misbehaves, on files that something happened to.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod directory;
mod gate;
mod imports;
mod killed;
mod polite;
mod server;
mod transport;
mod world;
