//! The JSON lines of Spamhaus: an object for each network, and one about the file.

use std::borrow::Cow;

use serde::Deserialize;

use super::dates;
use super::rows::Rows;
use crate::feeds::range::Range;
use crate::feeds::row::{About, Row};
use crate::names::tidy;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    cidr: Option<Cow<'a, str>>,
    asn: Option<u32>,
    #[serde(borrow)]
    asname: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    timestamp: Option<u64>,
    records: Option<u64>,
    #[serde(borrow)]
    copyright: Option<Cow<'a, str>>,
}

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    match (&line.cidr, line.asn, line.kind.as_deref()) {
        (Some(network), None, None) => rows.add_range(Range::parse(network)?),
        (None, Some(number @ 1..), None) => {
            let name = line.asname.as_deref().and_then(tidy);
            rows.add(Row { about: About::Asn(number), name, value: 0 });
        }
        (None, None, Some("metadata")) => read_metadata(&line, rows),
        _ => return None,
    }
    Some(())
}

fn read_metadata(line: &Line<'_>, rows: &mut Rows<'_>) {
    rows.dated_at(line.timestamp.and_then(dates::read_number));
    rows.declared_rows(line.records);
    if let Some(copyright) = &line.copyright {
        rows.credit(copyright);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn each_line_is_a_network_and_the_last_one_is_about_the_file() {
        let file = r#"{"cidr":"198.51.100.0/24","sblid":"SBL1","rir":"apnic"}
            {"cidr":"2001:db8::/32","new":{"deep":[1,2]}}
            {"cidr":"198.51.100.0"}
            {"cidr":"foo"}
            {"cidr":1}
            {"sblid":"SBL1"}
            {"type":"other","records":9}
            {"cidr":"192.0.2.0/24","asn":64496}
            ["192.0.2.0/24"]
            {"cidr":"192.0.2.0/24"
            {"type":"metadata","timestamp":1780727385,"size":9,"records":3,"copyright":"(c) 2026 Its Makers"}"#;
        let (rows, summary) = read_all(Format::Spamhaus, file);
        assert_eq!(rows, ["198.51.100.0/24", "2001:db8::/32", "198.51.100.0/32"]);
        assert_eq!((summary.rejected, summary.declared_rows), (7, Some(3)));
        assert_eq!(summary.first_rejected.as_deref(), Some(r#"{"cidr":"foo"}"#));
        assert_eq!(summary.dated_at, Some(1_780_727_385_000));
        assert_eq!(summary.credit.as_deref(), Some("(c) 2026 Its Makers"));
    }

    #[test]
    fn a_network_may_be_its_number() {
        let file = r#"{"asn":64496,"rir":"ripencc","domain":"example.org","cc":"DE","asname":"EXAMPLE"}
            {"asn":64497,"asname":"a\nb"}
            {"asn":0}
            {"asn":4294967296}
            {"asn":"64498"}"#;
        let (rows, summary) = read_all(Format::Spamhaus, file);
        assert_eq!(rows, ["AS64496 EXAMPLE", "AS64497"]);
        assert_eq!(summary.rejected, 3);
    }
}
