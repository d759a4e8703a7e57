//! A stand-in of the Security API for load: fast enough never to be what a benchmark measures, and limited in what it
//! takes at once as a real one is.
//!
//! `ip-risk/testing` has the one for tests, with faults and test cards; it is JavaScript, and would be the bottleneck.

pub mod answers;
pub mod arguments;
pub mod client;
pub mod counts;
pub mod server;
