//! Offline feeds: lists of addresses and networks, compiled into one table that is asked without a network.

pub mod assessment;
pub mod info;
pub mod range;
pub mod row;
pub mod scoring;
pub mod signal;
