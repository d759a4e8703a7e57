//! `exit-addresses` of Tor: for each exit some lines that begin with a keyword.

use super::dates;
use super::rows::Rows;
use crate::feeds::range::Range;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    let (keyword, rest) = line.split_once(' ')?;
    match keyword {
        "ExitAddress" => {
            let (address, seen) = rest.split_once(' ').unwrap_or((rest, ""));
            rows.add_range(Range::parse(address)?);
            // The file has no date of its own.
            rows.dated_not_before(dates::read(seen));
        }
        "ExitNode" => return is_fingerprint(rest).then_some(()),
        "Published" | "LastStatus" => {}
        _ => return None,
    }
    Some(())
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn an_exit_may_have_several_addresses_and_the_newest_dates_the_file() {
        let file = "ExitNode 0123456789ABCDEF0123456789ABCDEF01234567\nPublished 2026-06-05 20:00:00\n\
            LastStatus 2026-06-06 06:00:00\nExitAddress 198.51.100.7 2026-06-06 06:29:45\n\
            ExitAddress 2001:db8::7 2026-06-06 05:00:00\nExitNode 0123\nExitAddress foo 2026-06-06 07:00:00\n\
            ExitAddress\n198.51.100.8\n";
        let (rows, summary) = read_all(Format::TorExitAddresses, file);
        assert_eq!(rows, ["198.51.100.7/32", "2001:db8::7/128"]);
        assert_eq!((summary.rejected, summary.dated_at), (4, Some(1_780_727_385_000)));
        assert_eq!(summary.first_rejected.as_deref(), Some("ExitNode 0123"));
    }
}
