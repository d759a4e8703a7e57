//! IPsum: an address and on how many lists it stands, as far as scoring tells these apart.

use super::list::is_comment;
use super::rows::Rows;
use crate::feeds::range::Range;
use crate::feeds::row::{About, Row};

/// More lists than this say no more: scoring has no weight for it, and different values take room in the table.
const MOST_LISTS: u32 = 5;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    if is_comment(line, rows) {
        return Some(());
    }
    let (address, count) = line.split_once(|character: char| character.is_ascii_whitespace())?;
    let range = Range::parse(address)?;
    let count = count.trim_ascii_start().parse::<u32>().ok().filter(|count| *count > 0)?;
    let value = u8::try_from(count.min(MOST_LISTS)).unwrap_or(u8::MAX);
    rows.add(Row { about: About::Range(range), name: None, value });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn the_count_is_the_value() {
        let file = "# A Feed\n#\n# Last update: Sat, 06 Jun 2026 08:29:45 +0200\n#\n# IP\tnumber of (black)lists\n#\n\
            198.51.100.7\t10\n198.51.100.8\t1\n198.51.100.9  300\n\
            198.51.100.10\n198.51.100.11\t0\n198.51.100.12\t-1\n198.51.100.13\t1\t2\n3\t198.51.100.14\n";
        let (rows, summary) = read_all(Format::Ipsum, file);
        assert_eq!(rows, ["198.51.100.7/32 5", "198.51.100.8/32 1", "198.51.100.9/32 5"]);
        assert_eq!((summary.rejected, summary.dated_at), (5, Some(1_780_727_385_000)));
        assert_eq!(summary.first_rejected.as_deref(), Some("198.51.100.10"));
    }
}
