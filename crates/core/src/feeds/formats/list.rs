//! An address or a network on each line, and the comments that say when the list was made.

use super::dates;
use super::rows::Rows;
use crate::feeds::range::Range;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    let (text, comment) = match line.split_once(['#', ';']) {
        Some((text, comment)) => (text.trim_ascii_end(), Some(comment)),
        None => (line, None),
    };
    if text.is_empty() {
        read_comment(comment?, rows);
    } else {
        rows.add_range(Range::parse(text)?);
    }
    Some(())
}

/// Whether a line is a comment after `#` as a whole, as in most formats; what it says of the file is kept.
pub(super) fn is_comment(line: &str, rows: &mut Rows<'_>) -> bool {
    let comment = line.strip_prefix('#');
    comment.inspect(|comment| read_comment(comment, rows)).is_some()
}

/// Keeps what a comment says of the whole file: when it was made, how many rows it has, whose it is.
fn read_comment(comment: &str, rows: &mut Rows<'_>) {
    let comment = comment.trim_start_matches(['#', ';', ' ']);
    if comment.contains("(c)") || comment.contains("(C)") || comment.contains('\u{a9}') {
        rows.credit(comment);
    }
    let Some((key, value)) = comment.split_once(':') else { return };
    let (key, value) = (key.trim_ascii(), value.trim_ascii());
    let is = |known: &[&str]| known.iter().any(|known| key.eq_ignore_ascii_case(known));
    if is(&["source file date", "this file date", "last-modified", "last update", "last updated", "updated"])
    {
        rows.dated_at(dates::read(value));
    } else if is(&["entries"]) {
        rows.declared_addresses(read_entries(value));
    }
}

/// How many addresses a list has, as FireHOL says it: `20 subnets, 5120 unique IPs`, or `22720 unique IPs`.
fn read_entries(text: &str) -> Option<u128> {
    text.strip_suffix("unique IPs")?.split(',').next_back()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn addresses_and_networks_stand_on_lines_with_comments() {
        let file = "\u{feff}# a list\r\n\r\n; of addresses\n198.51.100.7\r\n 198.51.100.0/24 # why\n2001:db8::/32;SBL1\n\
            ::ffff:192.0.2.1\nfoo\n198.51.100.0/33\n198.51.100.7 198.51.100.8\n0.0.0.0/0";
        let (rows, summary) = read_all(Format::List, file);
        assert_eq!(
            rows,
            ["198.51.100.7/32", "198.51.100.0/24", "2001:db8::/32", "192.0.2.1/32", "0.0.0.0/0"]
        );
        assert_eq!((summary.rows, summary.rejected), (5, 3));
        assert_eq!(summary.first_rejected.as_deref(), Some("foo"));
        assert_eq!((summary.dated_at, summary.declared_rows, summary.credit), (None, None, None));
    }

    #[test]
    fn the_header_says_when_the_list_was_made_and_how_long_it_is() {
        let file = "#\n# some_list\n#\n# Source File Date: Sat Jun  6 06:29:45 UTC 2026\n#\n\
            # This File Date  : Sat Jun  6 07:01:43 UTC 2026\n# Entries         : 2 subnets, 257 unique IPs\n#\n\
            198.51.100.0/24\n192.0.2.1\n";
        let (rows, summary) = read_all(Format::List, file);
        assert_eq!(rows.len(), 2);
        assert_eq!((summary.dated_at, summary.declared_addresses), (Some(1_780_727_385_000), Some(257)));
        assert_eq!((summary.addresses, summary.is_open_ended), (257, false));
        assert!(read_all(Format::List, file.trim_ascii_end()).1.is_open_ended);
        let addresses = "# Entries : 2 unique IPs\n192.0.2.1\n192.0.2.2\n";
        assert_eq!(read_all(Format::List, addresses).1.declared_addresses, Some(2));
        for entries in ["2", "many unique IPs", "2 subnets", "-2 unique IPs"] {
            let file = format!("# Entries : {entries}\n192.0.2.1\n");
            assert_eq!(read_all(Format::List, &file).1.declared_addresses, None, "{entries}");
        }
    }

    #[test]
    fn the_line_with_the_copyright_is_the_credit() {
        let file = "; A List 2026/06/06 - (c) 2026 Its Makers\n; Last-Modified: Sat, 06 Jun 2026 06:29:45 GMT\n\
            ; (c) others\n198.51.100.0/24 ; SBL1\n";
        let (rows, summary) = read_all(Format::List, file);
        assert_eq!(rows, ["198.51.100.0/24"]);
        assert_eq!(summary.credit.as_deref(), Some("A List 2026/06/06 - (c) 2026 Its Makers"));
        assert_eq!((summary.dated_at, summary.rejected), (Some(1_780_727_385_000), 0));
    }
}
