//! The option `feeds`: which files are read, and what they may decide.

use std::path::PathBuf;

use super::format::Format;
use super::signal::Signal;
use crate::error::Error;
use crate::reader::{ObjectReader, Reader};

/// How many files one checker may name: each is asked at every look-up.
const MOST_FILES: usize = 32;

/// What a file of the user's own says, in the API's names.
const FLAGS: [(&str, Signal); 10] = [
    ("is_tor", Signal::TorExit),
    ("is_proxy", Signal::PublicProxy),
    ("is_residential_proxy", Signal::ResidentialProxy),
    ("is_vpn", Signal::Vpn),
    ("is_relay", Signal::Relay),
    ("is_known_attacker", Signal::Attacker),
    ("is_known_good_bot", Signal::GoodBot),
    ("is_spam", Signal::Spam),
    ("is_cloud_provider", Signal::Cloud),
    ("is_corporate_gateway", Signal::CorporateGateway),
];

/// Where feeds are read from. Checkers with equal ones share what was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedOptions {
    /// The file that is in the package.
    pub seed: Option<PathBuf>,
    /// The directory that `ip-risk feeds update` writes; what is in it replaces the seed.
    pub directory: Option<PathBuf>,
    /// Whether the code names the directory, so that it is a mistake when it does not exist. One that the environment
    /// names may be filled later.
    pub is_directory_written: bool,
    /// Files of the user's own.
    pub files: Vec<FeedFile>,
    /// Whether strict evidence answers before the provider is asked.
    pub prescreen: bool,
}

impl FeedOptions {
    /// Makes every path that users write absolute: the working directory may be another when the files are read again.
    pub fn make_absolute(&mut self) {
        let own = self.files.iter_mut().map(|file| &mut file.path);
        for path in self.directory.iter_mut().chain(own) {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
    }
}

/// A file of the user's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is read.
    pub format: FileFormat,
    /// What standing on it means; a database says so itself.
    pub signals: Vec<Signal>,
    /// From 0 to 100, when it is not that of the signals.
    pub weight: Option<u8>,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileFormat {
    /// A list.
    List(Format),
    /// A database of `MaxMind`'s format.
    Mmdb,
}

/// Reads `feeds: boolean | { dir, files, prescreen, primary }`, and whether `primary` is written. Nothing when feeds are
/// switched off, or when there is no file at all to read.
pub(crate) fn read(
    object: &ObjectReader<'_>,
    seed: Option<PathBuf>,
    directory: Option<PathBuf>,
) -> Result<(Option<FeedOptions>, bool), Error> {
    let mut options =
        FeedOptions { seed, directory, is_directory_written: false, files: Vec::new(), prescreen: true };
    let mut is_primary = false;
    match object.get("feeds") {
        Some(written) if written.value().as_bool() == Some(false) => return Ok((None, false)),
        Some(written) if written.value().is_boolean() => {}
        Some(written) => {
            let object = written.object(&["dir", "files", "prescreen", "primary"])?;
            if let Some(directory) = object.get("dir") {
                options.directory = Some(directory.text()?.into());
                options.is_directory_written = true;
            }
            if let Some(files) = object.get("files") {
                options.files = read_files(&files)?;
            }
            options.prescreen = object.get("prescreen").map_or(Ok(true), |written| written.boolean())?;
            is_primary = object.get("primary").map_or(Ok(false), |written| written.boolean())?;
        }
        None => {}
    }
    let is_there = options.seed.is_some() || options.directory.is_some() || !options.files.is_empty();
    Ok((is_there.then_some(options), is_primary))
}

fn read_files(written: &Reader<'_>) -> Result<Vec<FeedFile>, Error> {
    let files = written.items()?;
    if files.len() > MOST_FILES {
        return Err(written.refused(&format!("at most {MOST_FILES} files; put small lists into one")));
    }
    files.iter().map(read_file).collect()
}

fn read_file(written: &Reader<'_>) -> Result<FeedFile, Error> {
    let object = written.object(&["path", "format", "flags", "weight"])?;
    let path: PathBuf = object.require("path")?.text()?.into();
    let format = match object.get("format") {
        Some(format) => format.one_of(&formats())?,
        None if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mmdb")) => {
            FileFormat::Mmdb
        }
        None => FileFormat::List(Format::List),
    };
    let signals = read_flags(object.get("flags").as_ref())?;
    let weight = object.get("weight").map(|weight| weight.whole(0, 100)).transpose()?;
    match format {
        FileFormat::Mmdb if !signals.is_empty() => {
            Err(written.refused("a database says itself what its addresses are; leave out `flags`"))
        }
        FileFormat::List(_) if signals.is_empty() => {
            let why = "`flags` must say what standing on the list means, such as `['is_known_attacker']`";
            Err(written.refused(why))
        }
        _ => Ok(FeedFile { path, format, signals, weight: weight.and_then(|weight| weight.try_into().ok()) }),
    }
}

fn read_flags(written: Option<&Reader<'_>>) -> Result<Vec<Signal>, Error> {
    let Some(written) = written else { return Ok(Vec::new()) };
    let mut signals =
        written.items()?.iter().map(|flag| flag.one_of(&FLAGS)).collect::<Result<Vec<_>, _>>()?;
    signals.sort_unstable();
    signals.dedup();
    Ok(signals)
}

fn formats() -> Vec<(&'static str, FileFormat)> {
    let lists = Format::ALL.iter().map(|format| (format.as_str(), FileFormat::List(*format)));
    lists.chain([("mmdb", FileFormat::Mmdb)]).collect()
}
