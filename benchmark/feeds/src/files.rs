//! Files of feeds.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::program::Outcome;

/// A file, unpacked when its name ends in `.gz`.
///
/// # Errors
/// When it cannot be opened, with its path.
pub fn open(path: &Path) -> Outcome<Box<dyn BufRead>> {
    let file = File::open(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let file = BufReader::new(file);
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}
