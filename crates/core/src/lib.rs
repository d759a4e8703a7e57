//! Scores client addresses from 0 to 100 and decides what a login or payment route should do: allow, log,
//! challenge, block or hold.
//!
//! The core is pure: it knows no Node.js, no Python, no environment and no globals. A face makes a
//! [`Checker`](checker::Checker), hands it text, and converts the [`Decision`](decision::Decision).
//!
//! How one login flows: `Checker::evaluate` parses the text into an [`Address`](address::Address), settles its
//! provenance, then asks the policy's lists, special-use space and the memory cache. If that decides, the answer is
//! there at once. Otherwise `Checker::resolve` has the [`Engine`](engine::Engine) ask the provider, together with all
//! who ask about the same address, under a deadline; a failure goes down the ladder. Either way the same pure
//! function turns the finding into the decision.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod address;
mod batcher;
pub mod breaker;
pub mod budget;
mod cache;
mod call_size;
pub mod checker;
pub mod clock;
pub mod decision;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod feeds;
pub mod flags;
mod http;
mod ipv6_text;
pub mod jitter;
mod judgement;
pub mod lists;
pub mod names;
pub mod options;
mod pace;
pub mod policies;
pub mod policy;
pub mod pressure;
pub mod provenance;
mod reader;
pub mod reasons;
pub mod retry;
pub mod routes;
mod rules;
pub mod secret;
mod security_api;
pub mod shared_cache;
pub mod special_use;
pub mod spelling;
pub mod stats;
mod upstream;

pub use cache::RECORD_BYTES;
pub use http::Roots;
