//! What tests of formats share, and what holds for all formats.

use std::io::BufReader;

use proptest::prelude::*;

use crate::feeds::format::{Format, FormatError, parse};
use crate::feeds::range::Range;
use crate::feeds::row::{About, Row, Summary};
use crate::flags::tests::cases;

/// A row as text: `198.51.100.0/24`, `AS64496`, then a value and a name when there are any.
fn shown(row: Row<'_>) -> String {
    let mut text = match row.about {
        About::Asn(number) => format!("AS{number}"),
        About::Range(range) => {
            // All of IPv6 is counted as one address less than it has.
            let host = if range == Range::V6(0, u128::MAX) { 128 } else { range.addresses().ilog2() };
            let bits = if matches!(range, Range::V4(..)) { 32 } else { 128 };
            format!("{}/{}", range.first(), bits - host)
        }
    };
    if row.value != 0 {
        text = format!("{text} {}", row.value);
    }
    row.name.map_or_else(|| text.clone(), |name| format!("{text} {name}"))
}

/// What a reader of any kind gives.
pub(super) fn try_all(
    format: Format,
    mut input: impl std::io::BufRead,
) -> Result<(Vec<String>, Summary), FormatError> {
    let mut rows = Vec::new();
    let summary = parse(format, &mut input, &mut |row| rows.push(shown(row)))?;
    assert_eq!(rows.len() as u64, summary.rows);
    assert_eq!(summary.first_rejected.is_some(), summary.rejected > 0);
    Ok((rows, summary))
}

/// The rows of a file that is one, which do not depend on how its reader cuts it.
pub(super) fn read_all(format: Format, file: &str) -> (Vec<String>, Summary) {
    let whole = try_all(format, file.as_bytes()).unwrap();
    for capacity in [1, 2, 3, 7, 64] {
        let cut = try_all(format, BufReader::with_capacity(capacity, file.as_bytes())).unwrap();
        assert_eq!(cut, whole, "in pieces of {capacity}");
    }
    whole
}

const PREFIXES: [&str; 6] =
    ["198.51.100.0/24", "192.0.2.1/32", "203.0.113.128/25", "2001:db8::/32", "2001:db8::7/128", "0.0.0.0/0"];

/// A small file of each format that is one, with what stands in headers.
fn example(format: Format) -> &'static str {
    match format {
        Format::List => {
            "# a list\n# Source File Date: Sat Jun  6 06:29:45 UTC 2026\n# Entries : 1 subnets, 256 unique IPs\n\
             198.51.100.0/24 ; SBL1\r\n"
        }
        Format::Spamhaus => {
            "{\"cidr\":\"198.51.100.0/24\",\"sblid\":\"SBL1\"}\n{\"asn\":64496,\"asname\":\"EXAMPLE\"}\n\
             {\"type\":\"metadata\",\"timestamp\":1780727385,\"records\":2,\"copyright\":\"(c) 2026\"}\n"
        }
        Format::Aws => {
            "{\"syncToken\":\"1780727385\",\"prefixes\":[{\"ip_prefix\":\"198.51.100.0/24\",\"service\":\"A\"}],\
             \"ipv6_prefixes\":[{\"ipv6_prefix\":\"2001:db8::/32\"}]}"
        }
        Format::Azure => {
            "{\"changeNumber\":1,\"values\":[{\"name\":\"A\",\"properties\":{\"addressPrefixes\":[\"198.51.100.0/24\"]}}]}"
        }
        Format::Gcp => {
            "{\"creationTime\":\"2026-06-06T06:29:45.1\",\"prefixes\":[{\"ipv4Prefix\":\"198.51.100.0/24\"}]}"
        }
        Format::Oracle => {
            "{\"last_updated_timestamp\":\"2026-06-06T06:29:45\",\"regions\":[{\"cidrs\":[{\"cidr\":\"192.0.2.0/24\"}]}]}"
        }
        Format::Geofeed => "# feed\n198.51.100.0/27,GB,GB-EN,\"London, City\",\n2001:db8::/45,US,,,\n",
        Format::Ipsum => "# Last update: Sat, 06 Jun 2026 08:29:45 +0200\n198.51.100.7\t10\n",
        Format::AsnCsv => "ASN,Entity\n64496,\"EXAMPLE, \"\"US\"\"\"\nAS64497 # other\n",
        Format::Dshield => {
            "Start\tEnd\tNetmask\n198.51.100.0\t198.51.100.255\t24\t579\tA\tUS\tb@example.org\n"
        }
        Format::TorExitAddresses => {
            "ExitNode 0123456789ABCDEF0123456789ABCDEF01234567\nExitAddress 198.51.100.7 2026-06-06 06:29:45\n"
        }
    }
}

/// One of many entries of a format, and the row as it has to come back.
fn entry(format: Format, (place, value): (usize, u8)) -> (String, String) {
    let network = PREFIXES[place % PREFIXES.len()];
    let entry = match format {
        Format::List => network.to_owned(),
        Format::Spamhaus => format!("{{\"rir\":\"a\",\"cidr\":\"{network}\"}}"),
        Format::Aws => format!("{{\"region\": \"\", \"ip_prefix\": \"{network}\"}}"),
        Format::Azure => format!("\"{network}\""),
        Format::Gcp => format!("{{\"ipv6Prefix\": \"{network}\"}}"),
        Format::Oracle => format!("{{\"cidr\": \"{network}\", \"tags\": []}}"),
        Format::Geofeed => format!("{network},GB,,,"),
        Format::TorExitAddresses => format!("ExitAddress {network} 2026-06-06 06:29:45"),
        Format::Ipsum => {
            let value = value.max(1);
            return (format!("{network}\t{value}"), format!("{network} {}", value.min(5)));
        }
        Format::AsnCsv => {
            let number = place + 1;
            return (format!("{number}, \"name, {value}\" "), format!("AS{number} name, {value}"));
        }
        Format::Dshield => {
            let start = format!("10.{}.{value}", place % 256);
            return (format!("{start}.0\t{start}.255\t24\t9"), format!("{start}.0/24"));
        }
    };
    (entry, network.to_owned())
}

/// What stands before, between and after the entries of a format.
fn frame(format: Format) -> [&'static str; 3] {
    match format {
        Format::Aws | Format::Gcp => ["{\"prefixes\": [", ", ", "]}"],
        Format::Azure => ["{\"values\": [{\"properties\": {\"addressPrefixes\": [", ",", "]}}]}"],
        Format::Oracle => ["{\"regions\": [{\"cidrs\": []}, {\"cidrs\": [", ",\n", "]}]}"],
        Format::Geofeed | Format::List => ["# a feed\r\n\r\n", "\r\n", "\r\n"],
        _ => ["\n", "\n", ""],
    }
}

fn format() -> impl Strategy<Value = Format> {
    prop::sample::select(Format::ALL.to_vec())
}

/// What any input has to keep to: the same outcome however it is cut, and a summary that is bounded.
fn is_bounded(format: Format, file: &[u8]) {
    let whole = try_all(format, file);
    for capacity in [1, 5] {
        let cut = try_all(format, BufReader::with_capacity(capacity, file));
        match (&whole, &cut) {
            (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
            (Err(_), Err(_)) => {}
            _ => panic!("{whole:?} is {cut:?} in pieces of {capacity}"),
        }
    }
    let texts = match whole {
        Ok((_, summary)) => vec![summary.first_rejected, summary.credit],
        Err(error) => vec![Some(error.to_string())],
    };
    for text in texts.into_iter().flatten() {
        assert!(text.len() < 300 && !text.contains(char::is_control), "`{text}`");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes_give_rows_or_an_error(format in format(), file in prop::collection::vec(any::<u8>(), 0..512)) {
        is_bounded(format, &file);
    }

    #[test]
    fn any_damage_gives_rows_or_an_error(
        format in format(),
        bits in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4),
        garbage in prop::collection::vec(any::<u8>(), 0..16),
        place: prop::sample::Index,
    ) {
        let mut file = example(format).as_bytes().to_vec();
        for (place, bit) in bits {
            let place = place.index(file.len());
            file[place] ^= 1_u8 << bit;
        }
        let place = place.index(file.len());
        file.splice(place..place, garbage);
        is_bounded(format, &file);
    }

    #[test]
    fn rows_come_back_as_they_were_written_however_the_reader_cuts_them(
        format in format(),
        rows in prop::collection::vec((0_usize..10_000, any::<u8>()), 0..40),
        capacity in 1_usize..100,
    ) {
        let (entries, rows): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| entry(format, row)).unzip();
        let [before, between, after] = frame(format);
        let file = format!("{before}{}{after}", entries.join(between));
        let (found, summary) = try_all(format, BufReader::with_capacity(capacity, file.as_bytes())).unwrap();
        prop_assert_eq!(found, rows);
        prop_assert_eq!(summary.rejected, 0);
    }
}

#[test]
fn an_example_is_whole_and_cut_off_anywhere_it_is_not() {
    for format in Format::ALL {
        let file = example(format);
        let (rows, summary) = read_all(format, file);
        assert!(!rows.is_empty() && summary.rejected == 0, "{format:?}: {summary:?}");
        for end in 0..file.len() {
            is_bounded(format, &file.as_bytes()[..end]);
            let cut = try_all(format, &file.as_bytes()[..end]);
            if file.starts_with('{') && format != Format::Spamhaus {
                assert!(matches!(cut, Err(FormatError::CutOff(_))), "{format:?} {end}: {cut:?}");
            } else {
                assert!(cut.unwrap().0.len() <= rows.len(), "{format:?} {end}");
            }
        }
    }
}

#[test]
fn a_line_without_an_end_is_cut_into_pieces_that_are_rejected() {
    let junk = vec![b'x'; 1_000_000];
    for format in [Format::List, Format::Spamhaus, Format::Geofeed, Format::AsnCsv, Format::TorExitAddresses]
    {
        let (rows, summary) = try_all(format, junk.as_slice()).unwrap();
        assert_eq!((rows.len(), summary.rejected), (0, 245), "{format:?}");
    }
    // What stands at the end of such a line is no row, and what follows it is.
    let mut file = b"198.51.100.7 ".to_vec();
    file.resize(4_096, b' ');
    file.extend_from_slice(b"192.0.2.1\n192.0.2.2\n");
    let (rows, summary) = try_all(Format::List, file.as_slice()).unwrap();
    assert_eq!((rows, summary.rejected), (vec!["192.0.2.2/32".to_owned()], 2));
    let longest = format!("192.0.2.1 #{}\n192.0.2.2\n", "x".repeat(4_096 - 12));
    assert_eq!(read_all(Format::List, &longest).0.len(), 2);
}

#[test]
fn what_is_no_text_is_rejected_outside_of_comments() {
    let file = b"# M\xfcller\n198.51.100.7 # M\xfcller\n198.51.100.8\xff\n\x00\x01\x02\n198.51.100.9\x00\n";
    let (rows, summary) = try_all(Format::List, file.as_slice()).unwrap();
    assert_eq!((rows, summary.rejected), (vec!["198.51.100.7/32".to_owned()], 3));
    assert_eq!(summary.first_rejected.as_deref(), Some("198.51.100.8?"));
}
