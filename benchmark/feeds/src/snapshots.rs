//! Snapshots of the feeds in the catalogue, and of a few more that only serve as somebody to be scored.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ip_risk_core::error::Error;
use ip_risk_core::feeds::catalogue::Catalogue;
use ip_risk_core::feeds::compile::{Source, compile};
use ip_risk_core::feeds::format::{Format, parse};
use ip_risk_core::feeds::info::FeedInfo;
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::own_networks;
use ip_risk_core::feeds::row::{About, Row};
use ip_risk_core::feeds::signal::Signal;
use ip_risk_core::feeds::table::Table;

use crate::files;
use crate::program::Outcome;

/// The time at which all snapshots are taken to be true, so that nothing has decayed.
pub const NOW: u64 = 1_780_000_000_000;

/// The feeds of the catalogue of which there is a snapshot, and how it is written.
const SNAPSHOTS: [(&str, &str, Format); 27] = [
    ("tor-exits", "firehol-2026-06-06/tor_exits.ipset", Format::List),
    ("apple-relay", "apple-private-relay/hroost-ip-ranges.txt", Format::List),
    ("aws", "aws/ip-ranges.json.gz", Format::Aws),
    ("azure", "azure/ServiceTags_Public.json.gz", Format::Azure),
    ("gcp", "gcp/cloud.json.gz", Format::Gcp),
    ("oracle", "oracle/public_ip_ranges.json", Format::Oracle),
    ("cloudflare-v4", "cloudflare/ips-v4.txt.gz", Format::List),
    ("cloudflare-v6", "cloudflare/ips-v6.txt.gz", Format::List),
    ("spamhaus-drop-v4", "spamhaus/drop_v4.json", Format::Spamhaus),
    ("ipsum", "ipsum/ipsum.txt.gz", Format::Ipsum),
    ("blocklist-de", "firehol-2026-06-06/blocklist_de.ipset", Format::List),
    ("greensnow", "firehol-2026-06-06/greensnow.ipset", Format::List),
    ("et-compromised", "firehol-2026-06-06/et_compromised.ipset", Format::List),
    ("bruteforceblocker", "firehol-2026-06-06/bruteforceblocker.ipset", Format::List),
    ("x4bnet-vpn-v4", "x4bnet/output/vpn/ipv4.txt", Format::List),
    ("x4bnet-vpn-v6", "x4bnet/output/vpn/ipv6.txt", Format::List),
    ("x4bnet-datacenter-v4", "x4bnet/output/datacenter/ipv4.txt", Format::List),
    ("x4bnet-datacenter-v6", "x4bnet/output/datacenter/ipv6.txt", Format::List),
    ("bad-asn-list", "bad-asn-list/bad-asn-list.csv", Format::AsnCsv),
    ("proton-vpn", "vpn-providers/protonvpn_ips.txt", Format::List),
    ("firehol-level3", "firehol-2026-06-06/firehol_level3.netset", Format::List),
    ("firehol-level4", "firehol-2026-06-06/firehol_level4.netset.gz", Format::List),
    ("firehol-abusers-30d", "firehol-2026-06-06/firehol_abusers_30d.netset.gz", Format::List),
    ("sslproxies-30d", "firehol-2026-06-06/sslproxies_30d.ipset", Format::List),
    ("socks-proxy-30d", "firehol-2026-06-06/socks_proxy_30d.ipset", Format::List),
    ("stopforumspam-7d", "firehol-2026-06-06/stopforumspam_7d.ipset", Format::List),
    ("stopforumspam-180d", "firehol-2026-06-06/stopforumspam_180d.ipset.gz", Format::List),
];

/// Lists that are not in the catalogue: it needs a token, has no format of its own, or is another's copy.
const OTHERS: [(&str, &str, Signal, Option<u8>); 3] = [
    ("cins", "firehol-2026-06-06/iblocklist_ciarmy_malicious.netset", Signal::Attack, Some(40)),
    ("mullvad", "x4bnet/input/vpn/ips/mullvadvpn.txt", Signal::Vpn, None),
    ("pia", "x4bnet/input/vpn/ips/pia.txt", Signal::Vpn, None),
];

/// Feeds that tell a hosting address from one of an access network.
pub const HOSTING: [&str; 6] = ["x4bnet-vpn-v4", "x4bnet-datacenter-v4", "aws", "azure", "gcp", "oracle"];
/// Feeds of clouds whose name is known.
pub const CLOUDS: [&str; 4] = ["aws", "azure", "gcp", "oracle"];

/// Where the snapshots are.
///
/// # Errors
/// When they are not there, with what to do.
pub fn directory() -> Outcome<PathBuf> {
    let written = env::var_os("IP_RISK_SNAPSHOTS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/feeds");
    let directory = written.unwrap_or(beside);
    if directory.is_dir() {
        return Ok(directory);
    }
    let shown = directory.display();
    Err(format!("there are no snapshots of feeds in `{shown}`; `IP_RISK_SNAPSHOTS` names another directory")
        .into())
}

/// Which AS announces what, out of the npm package that the seed is built from.
///
/// # Errors
/// When it is not installed.
pub fn networks() -> Outcome<Networks> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/@ip-location-db/asn");
    let read = |name: &str| {
        let path = package.join(name);
        fs::read(&path).map_err(|error| format!("`{}`: {error}; run `npm ci` first", path.display()))
    };
    Ok(Networks::parse(&[&read("asn-ipv4-num.csv")?, &read("asn-ipv6-num.csv")?])?)
}

/// A row beside the source that took it, for those who search without a table.
pub struct KeptRow {
    /// What it is about.
    pub about: About,
    /// The place of its feed among the sources.
    pub feed: usize,
    /// Whom it belongs to, when the row says so.
    pub name: Option<String>,
    /// Its number; 0 is none.
    pub value: u8,
}

/// What does with each row of the feed at a place among the sources what its caller wants.
type Watch<'a> = &'a mut dyn FnMut(usize, Row<'_>);

/// Reads one snapshot, unpacked where it is packed.
fn read(path: &Path, format: Format, source: &mut Source, watch: &mut dyn FnMut(Row<'_>)) -> Outcome<()> {
    let mut input = files::open(path)?;
    let summary = parse(format, &mut input, &mut |row| {
        watch(row);
        source.take(row);
    })?;
    source.info.rows = summary.rows;
    Ok(())
}

/// All feeds of which there are snapshots, our own networks among them, as if all had been fetched at [`NOW`].
///
/// # Errors
/// When a snapshot cannot be read.
pub fn sources(directory: &Path, networks: &Networks) -> Outcome<Vec<Source>> {
    watched_sources(directory, networks, &mut |_, _| {})
}

/// The same, and all their rows once more.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn sources_and_rows(directory: &Path, networks: &Networks) -> Outcome<(Vec<Source>, Vec<KeptRow>)> {
    let mut rows = Vec::new();
    let sources = watched_sources(directory, networks, &mut |feed, row| {
        rows.push(KeptRow { about: row.about, feed, name: row.name.map(str::to_owned), value: row.value });
    })?;
    Ok((sources, rows))
}

fn watched_sources(directory: &Path, networks: &Networks, watch: Watch<'_>) -> Outcome<Vec<Source>> {
    let catalogue = Catalogue::load(None)?;
    let mut sources = own_networks::sources(networks, NOW);
    watch_own(&sources, watch);
    let known = SNAPSHOTS.into_iter().map(|(id, path, format)| {
        let feed = catalogue.find(id)?;
        let mut known = info(id, feed.signal, feed.weight);
        known.title.clone_from(&feed.title);
        known.operator.clone_from(&feed.operator);
        known.name.clone_from(&feed.name);
        known.licence.clone_from(&feed.licence.name);
        Ok((known, path, format))
    });
    let others = OTHERS
        .into_iter()
        .map(|(id, path, signal, weight)| Ok((info(id, signal, weight), path, Format::List)));
    for feed in known.chain(others) {
        let (info, path, format) = feed.map_err(|error: Error| error.to_string())?;
        let (mut source, place) = (Source::new(info), sources.len());
        read(&directory.join(path), format, &mut source, &mut |row| watch(place, row))?;
        sources.push(source);
    }
    Ok(sources)
}

/// The rows of our own networks, which no parser gives.
fn watch_own(sources: &[Source], watch: Watch<'_>) {
    for (number, (signal, name)) in own_networks::by_number() {
        let place = sources.iter().position(|source| source.info.signal == signal);
        if let Some(place) = place {
            watch(place, Row { about: About::Asn(number), name, value: 0 });
        }
    }
}

pub(crate) fn info(id: &str, signal: Signal, weight: Option<u8>) -> FeedInfo {
    FeedInfo {
        id: id.to_owned(),
        title: id.to_owned(),
        operator: id.to_owned(),
        signal,
        weight,
        name: None,
        licence: String::new(),
        credit: None,
        seen_at: NOW,
        rows: 0,
    }
}

/// Those of `sources` that `keep` by their id, compiled.
///
/// # Errors
/// When they are too much for one table.
pub fn table(sources: &[Source], networks: &Networks, keep: impl Fn(&str) -> bool) -> Outcome<Table> {
    let kept = sources.iter().filter(|source| keep(&source.info.id)).cloned().collect();
    Ok(compile(kept, Some(networks), NOW)?.into_table())
}
