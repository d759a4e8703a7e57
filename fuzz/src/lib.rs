//! What holds for any file of any format.

use std::io::{BufRead, BufReader};

use ip_risk_core::feeds::format::{Format, FormatError, parse};
use ip_risk_core::feeds::row::{About, Summary};

/// The row's subject, value and name.
type Seen = (About, u8, Option<String>);

fn read(format: Format, mut input: impl BufRead) -> Result<(Vec<Seen>, Summary), FormatError> {
    let mut rows = Vec::new();
    let summary = parse(format, &mut input, &mut |row| {
        rows.push((row.about, row.value, row.name.map(str::to_owned)));
    })?;
    Ok((rows, summary))
}

/// Takes the format from the first byte and the file from the others, and reads the file whole and in small pieces.
///
/// # Panics
/// When the two differ, or what is kept for messages is long or not printable.
pub fn check(formats: &[Format], input: &[u8]) {
    let Some((choice, file)) = input.split_first() else { return };
    let format = formats[usize::from(*choice) % formats.len()];
    let whole = read(format, file);
    let cut = read(format, BufReader::with_capacity(usize::from(*choice % 7) + 1, file));
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => {
            assert_eq!(whole, cut);
            for text in [whole.1.first_rejected, whole.1.credit].into_iter().flatten() {
                assert!(text.len() < 200 && !text.contains(char::is_control), "{text:?}");
            }
        }
        (Err(error), Err(_)) => assert!(error.to_string().len() < 300, "{error}"),
        (whole, cut) => panic!("{whole:?} is {cut:?} in pieces"),
    }
}
