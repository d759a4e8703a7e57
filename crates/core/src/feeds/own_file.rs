//! A file that the user names: a list of one's own, or a database of a provider.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::compile::{Source, compile};
use super::format::{Format, parse};
use super::info::FeedInfo;
use super::knowledge::Knowledge;
use super::mmdb::Database;
use super::networks::Networks;
use super::options::{FeedFile, FileFormat};
use super::range::Range;
use super::row::{About, Summary};
use super::signal::Signal;
use super::store::{LARGEST_TABLE, require_file};
use super::{file, store};

/// A line about more addresses of either family is a mistake, such as one that is only half written.
const MOST_IPV4: u128 = 1 << 24;
const MOST_IPV6: u128 = 1 << 112;

/// What the file holds, or why it cannot be used. `seed` carries the addresses of networks by their number.
pub(crate) fn read(own: &FeedFile, seed: Option<&Path>, now: u64) -> Result<Knowledge, String> {
    require_file(&own.path).map_err(|error| error.to_string())?;
    match own.format {
        FileFormat::List(format) => read_list(own, format, seed, now),
        FileFormat::Mmdb => read_database(own, now),
    }
}

fn read_list(own: &FeedFile, format: Format, seed: Option<&Path>, now: u64) -> Result<Knowledge, String> {
    let mut sources: Vec<Source> =
        own.signals.iter().map(|signal| Source::new(info(own, *signal, FeedInfo::ALWAYS))).collect();
    let mut has_networks = false;
    let mut widest = None;
    let mut input = BufReader::new(File::open(&own.path).map_err(|error| error.to_string())?);
    let summary = parse(format, &mut input, &mut |row| {
        match row.about {
            About::Asn(_) => has_networks = true,
            About::Range(range) if is_too_wide(range) => widest = widest.or(Some(range)),
            About::Range(_) => {}
        }
        for source in &mut sources {
            source.take(row);
        }
    });
    check(&summary.map_err(|error| error.to_string())?, format)?;
    if let Some(range) = widest {
        return Err(format!("the line of `{}` is about far too many addresses; correct it", range.first()));
    }
    let networks = seed.filter(|_| has_networks).map(read_networks).transpose()?.flatten();
    let compiled = compile(sources, networks.as_ref(), now).map_err(|error| error.to_string())?;
    if has_networks && networks.is_none() {
        return Err("it names networks by their number, whose addresses only the feeds in the package know, and those \
                    cannot be read"
            .to_owned());
    }
    Ok(Knowledge::List(compiled.into_table()))
}

fn is_too_wide(range: Range) -> bool {
    let most = match range {
        Range::V4(..) => MOST_IPV4,
        Range::V6(..) => MOST_IPV6,
    };
    range.addresses() > most
}

fn check(summary: &Summary, format: Format) -> Result<(), String> {
    if !summary.has_too_many_rejects() {
        return Ok(());
    }
    let line = summary.first_rejected.as_deref().unwrap_or_default();
    let are = if summary.rejected == 1 { "line is" } else { "lines are" };
    let (rejected, format) = (summary.rejected, format.as_str());
    Err(format!("{rejected} {are} not of the format `{format}`, such as `{line}`"))
}

fn read_networks(seed: &Path) -> Result<Option<Networks>, String> {
    let bytes = store::read(seed, LARGEST_TABLE).map_err(|error| error.to_string())?;
    file::networks(&bytes).map_err(|error| error.to_string())
}

fn read_database(own: &FeedFile, now: u64) -> Result<Knowledge, String> {
    let bytes = store::read(&own.path, u64::MAX).map_err(|error| error.to_string())?;
    let database = Database::open(bytes).map_err(|error| error.to_string())?;
    let signal = database.kind().signals().first().copied().unwrap_or(Signal::Score);
    Ok(Knowledge::Database(info(own, signal, database.built_at().min(now)), database))
}

fn info(own: &FeedFile, signal: Signal, seen_at: u64) -> FeedInfo {
    let title = own.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    FeedInfo {
        id: title.clone(),
        operator: title.clone(),
        title,
        signal,
        weight: own.weight,
        name: None,
        licence: "your own file".to_owned(),
        credit: None,
        seen_at,
        rows: 0,
    }
}
