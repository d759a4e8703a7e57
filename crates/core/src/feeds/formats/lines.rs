//! Reads a file line by line, holding one line of bounded length.

use std::io::{self, BufRead, Read};

use super::rows::Rows;

/// Longer than any line of a feed. Each piece of this size of a longer one counts as a line that is rejected, so that
/// megabytes without a line break are not one single mistake.
const LONGEST_LINE: u64 = 4_096;

/// Takes one line that is neither blank nor ended by a line break, and says whether it is the format's.
pub(in crate::feeds) type ReadLine = fn(&str, &mut Rows<'_>) -> Option<()>;

/// Gives each line of a file to `read_line`.
pub(in crate::feeds) fn read(
    input: &mut dyn BufRead,
    read_line: ReadLine,
    rows: &mut Rows<'_>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        line.clear();
        if input.take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        rows.ends_with_line(line.last() == Some(&b'\n'));
        let is_rest = is_cut;
        is_cut = line.len() as u64 == LONGEST_LINE && line.last() != Some(&b'\n');
        // What is no text becomes `U+FFFD`, which is in no row but may be in a comment.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_ascii();
        let is_wrong = is_rest || is_cut || (!text.is_empty() && read_line(text, rows).is_none());
        if is_wrong {
            rows.reject(text);
        }
    }
}
