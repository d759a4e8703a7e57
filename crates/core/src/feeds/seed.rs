//! The feeds that are in the package.

use std::path::Path;

use super::catalogue::{Catalogue, Feed};
use super::compile::{Source, compile};
use super::networks::Networks;
use super::session::read_source;
use super::signal::Signal;
use super::store::Directory;
use super::{file, own_networks};
use crate::error::{Code, Error};

/// The bytes of a seed: our own networks, whatever else may be given on, and the table of all networks, which compiling
/// other feeds needs. `networks_at` is when that table was made, in milliseconds since 1970. `directory` is one of
/// `ip-risk feeds update`, out of which the anonymizers are taken whose licence allows it.
///
/// # Errors
/// [`Code::Feeds`], when a feed cannot be read or the feeds are too much for one table.
pub fn build(networks: &Networks, networks_at: u64, directory: Option<&Path>) -> Result<Vec<u8>, Error> {
    let mut sources = own_networks::sources(networks, networks_at);
    if let Some(directory) = directory {
        sources.extend(others(directory)?);
    }
    let built_at = sources.iter().map(|source| source.info.seen_at).max().unwrap_or(networks_at);
    let compiled = compile(sources, Some(networks), built_at);
    let compiled = compiled.map_err(|error| Error::new(Code::Feeds, error.to_string()))?;
    Ok(file::write(&compiled, Some(networks), true))
}

fn others(directory: &Path) -> Result<Vec<Source>, Error> {
    let catalogue = Catalogue::load(None)?;
    let directory = Directory::new(directory);
    let state = directory.state();
    let feeds = catalogue.feeds().iter().filter(|feed| may_be_in_the_package(feed));
    let there = feeds.filter_map(|feed| {
        let info = state.feeds.get(&feed.id)?.file.as_ref()?.info(feed);
        Some(read_source(&directory, feed, &info))
    });
    there.collect()
}

fn may_be_in_the_package(feed: &Feed) -> bool {
    let is_anonymizer = matches!(feed.signal, Signal::TorExit | Signal::Vpn | Signal::VpnRange);
    feed.licence.redistribute && is_anonymizer
}
