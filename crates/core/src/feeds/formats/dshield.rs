//! `block.txt` of DShield: first address, last address, length of the prefix and more, separated by tabs.

use std::net::IpAddr;

use ipnet::IpNet;

use super::list::is_comment;
use super::rows::Rows;
use crate::feeds::range::Range;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    let is_heading = |rows: &Rows<'_>| rows.is_start() && line.starts_with("Start\tEnd\t");
    if is_comment(line, rows) || is_heading(rows) {
        return Some(());
    }
    let mut columns = line.split('\t');
    let mut next = || columns.next().map(str::trim_ascii);
    let first: IpAddr = next()?.parse().ok()?;
    let last = next()?.parse().ok()?;
    let length = next()?.parse().ok()?;
    let range = Range::between(first, last)?;
    // Said twice, so a line that was damaged says two things.
    if Range::of_network(IpNet::new(first, length).ok()?) != range {
        return None;
    }
    rows.add_range(range);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn a_line_is_a_network_from_its_first_to_its_last_address() {
        let file = "#\n#   (c) 2026 Its Makers\n#  updated: 2026-06-06 06:29:45\n#\n\
            Start\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n\
            198.51.100.0\t198.51.100.255\t24\t579\tEXAMPLE\tUS\tabuse@example.org\n\
            192.0.2.0\t192.0.2.127\t25\t3\t\t\t\n\
            192.0.2.0\t192.0.2.255\t25\t3\t\t\t\n192.0.2.255\t192.0.2.0\t24\t3\t\t\t\n\
            192.0.2.1\t192.0.2.255\t24\t3\t\t\t\n192.0.2.0\t192.0.2.255\n192.0.2.0/24\n\
            192.0.2.0\t192.0.2.255\t99\nStart\tEnd\tNetmask\n";
        let (rows, summary) = read_all(Format::Dshield, file);
        assert_eq!(rows, ["198.51.100.0/24", "192.0.2.0/25"]);
        assert_eq!((summary.rejected, summary.dated_at), (7, Some(1_780_727_385_000)));
        assert_eq!(summary.credit.as_deref(), Some("(c) 2026 Its Makers"));
    }
}
