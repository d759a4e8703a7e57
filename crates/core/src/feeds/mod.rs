//! Offline feeds: lists of addresses and networks, compiled into one table that is asked without a network.

pub mod info;
pub mod range;
pub mod row;
pub mod signal;
