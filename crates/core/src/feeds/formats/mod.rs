//! How each format writes its rows. Lines and documents are read here, and judged nowhere but in the caller.

pub(super) mod asn_csv;
pub(super) mod clouds;
mod dates;
pub(super) mod document;
pub(super) mod dshield;
pub(super) mod geofeed;
pub(super) mod ipsum;
pub(super) mod lines;
pub(super) mod list;
pub(super) mod rows;
pub(super) mod spamhaus;
pub(super) mod tor;

#[cfg(test)]
mod tests;
