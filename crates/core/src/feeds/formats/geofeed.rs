//! RFC 8805: a network and where it is, separated by commas. Only the network is used.

use super::list::is_comment;
use super::rows::Rows;
use crate::feeds::range::Range;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    if !is_comment(line, rows) {
        let network = line.split(',').next()?.trim_ascii();
        let inside = network.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        rows.add_range(Range::parse(inside.unwrap_or(network))?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn the_first_of_the_columns_is_the_network() {
        let file = "# prefix,country,region,city,postal\r\n198.51.100.0/27,GB,GB-EN,London,\r\n\
            2001:db8:4000::/64,US,US-AK,Anchorage,\n192.0.2.0/26,JP,JP-13,,\n\"192.0.2.64/26\" , ,,\n\
            192.0.2.128/26\n2001:db8::/45,,,\"Washington, D.C.\",\n\
            network,country,region\n,GB,,,\n\"192.0.2.0/24,GB\nGB,192.0.2.0/24\n";
        let (rows, summary) = read_all(Format::Geofeed, file);
        assert_eq!(
            rows,
            [
                "198.51.100.0/27",
                "2001:db8:4000::/64",
                "192.0.2.0/26",
                "192.0.2.64/26",
                "192.0.2.128/26",
                "2001:db8::/45"
            ]
        );
        assert_eq!(summary.rejected, 4);
        assert_eq!(summary.first_rejected.as_deref(), Some("network,country,region"));
    }
}
