//! A compiled table as one file: what the package carries, and what an update leaves behind.
//!
//! ```text
//! magic "iprisk" CR LF   8 bytes
//! version                u32, little-endian like all numbers
//! length of the header   u32
//! header                 JSON: feeds, names, counts, and the sections with their lengths
//! sections               one after another, in the order of the header
//! SHA-256                32 bytes, over all before it
//! ```
//!
//! The checksum finds damage, not malice: whoever writes the file can write the checksum. So everything is checked
//! again when it is read, and a file is either refused or a table that cannot go wrong.

use std::borrow::Cow;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::compile::Compiled;
use super::info::FeedInfo;
use super::ipv4_index::Ipv4Index;
use super::ipv6_index::Ipv6Index;
use super::networks::Networks;
use super::networks_encoding;
use super::printable::is_printable;
use super::records::{Records, Said};
use super::sections::{Kind, Number, Section, bytes_of};
use super::table::{Facts, Table};

/// A line break in it, so that a transfer as text shows.
const MAGIC: [u8; 8] = *b"iprisk\r\n";
const VERSION: u32 = 1;
/// Twenty times what all feeds and 65,535 names need.
const LONGEST_HEADER: usize = 8 << 20;

/// Why a file is no table.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum FileError {
    /// It does not begin as such a file does.
    #[error("not a compiled feed file; run `ip-risk feeds update` to make one")]
    NotOurs,
    /// It was written by another version of this package.
    #[error(
        "a compiled feed file of version {0}, this package reads version {VERSION}; run `ip-risk feeds update` again"
    )]
    Version(u32),
    /// It is not what was written: cut off, or changed.
    #[error("the compiled feed file is damaged; run `ip-risk feeds update` again")]
    Damaged,
    /// Its checksum is right, and still it says what no compiler writes.
    #[error("the {0} of the compiled feed file cannot be; run `ip-risk feeds update` again")]
    Invalid(&'static str),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    built_at: u64,
    prefixes: u64,
    segments: u64,
    feeds: Vec<FeedInfo>,
    names: Vec<String>,
    sections: Vec<Section>,
}

impl Header {
    /// Whether there are no more feeds and names than numbers for them, and all of them can be shown.
    fn is_possible(&self) -> bool {
        let most = usize::from(u16::MAX);
        let are_few = self.feeds.len() <= most && self.names.len() <= most;
        are_few
            && self.feeds.iter().flat_map(FeedInfo::texts).chain(&self.names).all(|text| is_printable(text))
    }
}

/// The bytes of a file with a table, and the networks if it is to carry them. Compressing makes it about a third of
/// the size, and slower to open.
///
/// The same table gives the same bytes.
#[must_use]
pub fn write(compiled: &Compiled, networks: Option<&Networks>, compress: bool) -> Vec<u8> {
    let table = &compiled.table;
    let table_sections =
        table_sections(table).into_iter().map(|(kind, raw)| Section::encode(kind, raw, compress));
    // Networks are read rarely, and would be half of the file.
    let networks = networks.map(|all| Section::encode(Kind::Networks, networks_encoding::encode(all), true));
    let (sections, bodies): (Vec<_>, Vec<_>) = table_sections.chain(networks).unzip();
    let header = Header {
        built_at: table.facts.built_at,
        prefixes: table.facts.prefixes,
        segments: table.facts.segments,
        feeds: table.facts.feeds.clone(),
        names: table.facts.names.clone(),
        sections,
    };
    assemble(&header, &bodies)
}

fn table_sections(table: &Table) -> Vec<(Kind, Vec<u8>)> {
    let mut said = Vec::new();
    for one in table.records.all_said() {
        one.feed.put(&mut said);
        one.name.put(&mut said);
        said.push(one.value);
    }
    vec![
        (Kind::Ipv4Buckets, bytes_of(&table.ipv4.runs())),
        (Kind::Ipv4Lows, bytes_of(table.ipv4.lows())),
        (Kind::Ipv4Records, bytes_of(table.ipv4.records())),
        (Kind::Ipv6Highs, bytes_of(table.ipv6.highs())),
        (Kind::Ipv6Records, bytes_of(table.ipv6.records())),
        (Kind::Ipv6InnerStarts, bytes_of(table.ipv6.inner_starts())),
        (Kind::Ipv6InnerRecords, bytes_of(table.ipv6.inner_records())),
        (Kind::RecordCombinations, bytes_of(table.records.combinations())),
        (Kind::RecordNeighbourhood, table.records.all_neighbourhood().to_vec()),
        (Kind::CombinationLengths, table.records.lengths()),
        (Kind::CombinationSaid, said),
    ]
}

fn assemble(header: &Header, bodies: &[Vec<u8>]) -> Vec<u8> {
    // Text and numbers always have a JSON form.
    let header = serde_json::to_vec(header).unwrap_or_default();
    let mut bytes = MAGIC.to_vec();
    VERSION.put(&mut bytes);
    u32::try_from(header.len()).unwrap_or(u32::MAX).put(&mut bytes);
    bytes.extend(header);
    for body in bodies {
        bytes.extend(body);
    }
    let checksum = digest(&SHA256, &bytes);
    bytes.extend(checksum.as_ref());
    bytes
}

/// Reads the table of a file. Takes about 20 ms per million prefixes, and memory in proportion to what it finds.
///
/// # Errors
/// What is wrong with the file; see [`FileError`].
pub fn open(bytes: &[u8]) -> Result<Table, FileError> {
    let file = File::read(bytes)?;
    let records = file.records()?;
    let (ipv4, ipv6) = (file.ipv4(records.len())?, file.ipv6(records.len())?);
    let Header { built_at, prefixes, segments, feeds, names, .. } = file.header;
    Ok(Table { ipv4, ipv6, records, facts: Facts { built_at, prefixes, segments, feeds, names } })
}

/// Reads the networks of a file, if it carries any. Takes about 30 ms for the whole internet.
///
/// # Errors
/// What is wrong with the file; see [`FileError`].
pub fn networks(bytes: &[u8]) -> Result<Option<Networks>, FileError> {
    let file = File::read(bytes)?;
    let Some(bytes) = file.section(Kind::Networks) else { return Ok(None) };
    networks_encoding::decode(&bytes?).map(Some).ok_or(FileError::Invalid("networks"))
}

/// A file whose checksum is right, with its sections still encoded.
struct File<'a> {
    header: Header,
    bodies: Vec<&'a [u8]>,
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, FileError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(FileError::NotOurs)?;
        let (version, rest) = split_u32(rest)?;
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        let (content, checksum) = bytes.split_last_chunk::<SHA256_OUTPUT_LEN>().ok_or(FileError::Damaged)?;
        if digest(&SHA256, content).as_ref() != checksum {
            return Err(FileError::Damaged);
        }
        let rest = rest.len().checked_sub(SHA256_OUTPUT_LEN).and_then(|length| rest.get(..length));
        let (length, rest) = split_u32(rest.ok_or(FileError::Damaged)?)?;
        let header =
            rest.split_at_checked(length as usize).filter(|(header, _)| header.len() <= LONGEST_HEADER);
        let (header, bodies) = header.ok_or(FileError::Invalid("header"))?;
        let header: Header = serde_json::from_slice(header).map_err(|_| FileError::Invalid("header"))?;
        if !header.is_possible() {
            return Err(FileError::Invalid("list of feeds and names"));
        }
        let bodies = split(bodies, &header.sections).ok_or(FileError::Invalid("list of sections"))?;
        Ok(Self { header, bodies })
    }

    /// A section's bytes, if the file has it.
    fn section(&self, kind: Kind) -> Option<Result<Cow<'a, [u8]>, FileError>> {
        let mut sections = self.header.sections.iter().zip(&self.bodies);
        let (section, body) = sections.find(|(section, _)| section.kind == kind)?;
        Some(section.decode(body).ok_or(FileError::Invalid("length of a section")))
    }

    fn bytes(&self, kind: Kind) -> Result<Cow<'a, [u8]>, FileError> {
        self.section(kind).unwrap_or(Err(FileError::Invalid("list of sections")))
    }

    fn numbers<N: Number>(&self, kind: Kind) -> Result<Vec<N>, FileError> {
        N::all(&self.bytes(kind)?).ok_or(FileError::Invalid("length of a section"))
    }

    fn ipv4(&self, records: usize) -> Result<Ipv4Index, FileError> {
        let runs = self.numbers(Kind::Ipv4Buckets)?;
        let (lows, numbers) = (self.numbers(Kind::Ipv4Lows)?, self.numbers(Kind::Ipv4Records)?);
        Ipv4Index::checked(&runs, lows, numbers, records).ok_or(FileError::Invalid("IPv4 part"))
    }

    fn ipv6(&self, records: usize) -> Result<Ipv6Index, FileError> {
        let (highs, numbers) = (self.numbers(Kind::Ipv6Highs)?, self.numbers(Kind::Ipv6Records)?);
        let (starts, inner) = (self.numbers(Kind::Ipv6InnerStarts)?, self.numbers(Kind::Ipv6InnerRecords)?);
        Ipv6Index::checked(highs, numbers, starts, inner, records).ok_or(FileError::Invalid("IPv6 part"))
    }

    fn records(&self) -> Result<Records, FileError> {
        let combinations = self.numbers(Kind::RecordCombinations)?;
        let points = self.bytes(Kind::RecordNeighbourhood)?.into_owned();
        let lengths = self.bytes(Kind::CombinationLengths)?;
        let said =
            said(&self.bytes(Kind::CombinationSaid)?).ok_or(FileError::Invalid("length of a section"))?;
        let (feeds, names) = (self.header.feeds.len(), self.header.names.len());
        let is_known = |one: &Said| usize::from(one.feed) < feeds && usize::from(one.name) <= names;
        let are_known = said.iter().all(is_known);
        let records = Records::checked(combinations, points, &lengths, said).filter(|_| are_known);
        records.ok_or(FileError::Invalid("records"))
    }
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), FileError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(FileError::Damaged)?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// The bytes of each section, when they are the right ones and fill the file.
fn split<'a>(mut bytes: &'a [u8], sections: &[Section]) -> Option<Vec<&'a [u8]>> {
    let expected = Kind::TABLE.iter().chain([&Kind::Networks]).take(sections.len());
    if sections.len() < Kind::TABLE.len() || !sections.iter().map(|section| &section.kind).eq(expected) {
        return None;
    }
    let mut bodies = Vec::with_capacity(sections.len());
    for section in sections {
        let (body, rest) = bytes.split_at_checked(usize::try_from(section.length).ok()?)?;
        bodies.push(body);
        bytes = rest;
    }
    bytes.is_empty().then_some(bodies)
}

fn said(bytes: &[u8]) -> Option<Vec<Said>> {
    let (said, rest) = bytes.as_chunks();
    let said = said.iter().map(|&[feed, feed_high, name, name_high, value]| Said {
        feed: u16::from_le_bytes([feed, feed_high]),
        name: u16::from_le_bytes([name, name_high]),
        value,
    });
    rest.is_empty().then(|| said.collect())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::feeds::compile::compile;
    use crate::feeds::range::Range;
    use crate::feeds::reference::{OwnRow, Reference, plain, probes, rows};
    use crate::feeds::sections::Encoding;
    use crate::flags::tests::cases;

    fn small_feeds() -> Vec<Vec<OwnRow>> {
        let row = |text: &str, name, value| (Range::parse(text).unwrap(), name, value);
        vec![
            vec![row("192.0.2.0/24", Some("Example"), 0), row("2001:db8::/32", None, 0)],
            vec![row("192.0.2.7", None, 3), row("198.51.100.0/23", None, 0), row("2001:db8::5", None, 1)],
        ]
    }

    fn small_networks() -> Networks {
        Networks::parse(&[b"192.0.2.0,192.0.2.255,64500\n2001:db8::,2001:db8:ffff::,64501\n"]).unwrap()
    }

    fn small_file(compress: bool) -> Vec<u8> {
        let compiled = compile(Reference::new(&small_feeds()).sources(), None, 5).unwrap();
        write(&compiled, Some(&small_networks()), compress)
    }

    /// The file with the checksum that belongs to its bytes.
    fn sign(bytes: &mut [u8]) {
        if let Some((content, checksum)) = bytes.split_last_chunk_mut::<SHA256_OUTPUT_LEN>() {
            checksum.copy_from_slice(digest(&SHA256, content).as_ref());
        }
    }

    /// Asks everything that can be asked.
    fn use_up(bytes: &[u8], feeds: &[Vec<OwnRow>]) {
        if let Ok(table) = open(bytes) {
            let spread = (0..=u32::MAX).step_by(0x0fed_cba9).map(|address| IpAddr::V4(address.into()));
            for address in probes(feeds).chain(spread) {
                plain(&table, address);
                std::hint::black_box(table.look_up(address).neighbourhood());
            }
        }
        if let Ok(Some(networks)) = networks(bytes) {
            for address in probes(feeds) {
                std::hint::black_box(networks.number(address));
            }
        }
    }

    proptest! {
        #![proptest_config(cases(50))]

        #[test]
        fn a_table_comes_back_from_its_file(feeds in rows(20), compress in any::<bool>()) {
            let compiled = compile(Reference::new(&feeds).sources(), None, 7).unwrap();
            let bytes = write(&compiled, None, compress);
            let table = open(&bytes).unwrap();
            let written = compiled.into_table();
            prop_assert_eq!(table.feeds(), written.feeds());
            prop_assert_eq!(
                (table.built_at(), table.prefixes(), table.segments(), table.memory()),
                (7, written.prefixes(), written.segments(), written.memory())
            );
            for address in probes(&feeds) {
                prop_assert_eq!(plain(&table, address), plain(&written, address));
            }
            prop_assert_eq!(networks(&bytes), Ok(None));
        }

        #[test]
        fn many_changes_at_once_do_no_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            compress in any::<bool>(),
        ) {
            let mut bytes = small_file(compress);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            sign(&mut bytes);
            use_up(&bytes, &small_feeds());
        }
    }

    #[test]
    fn the_networks_come_back_from_the_file() {
        for compress in [false, true] {
            let bytes = small_file(compress);
            assert_eq!(networks(&bytes), Ok(Some(small_networks())));
            assert!(open(&bytes).is_ok());
        }
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let mut bytes = small_file(true);
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                bytes[at] ^= change;
                assert!(open(&bytes).is_err(), "byte {at}");
                assert!(networks(&bytes).is_err(), "byte {at}");
                bytes[at] ^= change;
            }
        }
        assert!(open(&bytes).is_ok());
    }

    #[test]
    fn every_truncation_is_seen() {
        let bytes = small_file(true);
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length]).is_err(), "{length} bytes");
            let mut signed = bytes[..length].to_vec();
            sign(&mut signed);
            assert!(open(&signed).is_err(), "{length} bytes with a checksum");
        }
    }

    #[test]
    fn a_changed_byte_under_a_right_checksum_does_no_harm() {
        // Not compressed, where gzip's own checksum would find nearly all of them first.
        let mut bytes = small_file(false);
        let (feeds, end) = (small_feeds(), bytes.len() - SHA256_OUTPUT_LEN);
        for at in 0..end {
            // The long runs of empty buckets are the same everywhere.
            let near = &bytes[at.saturating_sub(8)..end.min(at + 8)];
            if near.iter().all(|byte| *byte == 0) && at % 4_099 != 0 {
                continue;
            }
            let change = 1 << (at % 8);
            bytes[at] ^= change;
            sign(&mut bytes);
            use_up(&bytes, &feeds);
            bytes[at] ^= change;
        }
    }

    /// The small file with another header.
    fn with_header(change: impl Fn(&mut Header)) -> Result<Table, FileError> {
        let bytes = small_file(true);
        let mut file = File::read(&bytes).unwrap();
        let bodies: Vec<Vec<u8>> = file.bodies.iter().map(|body| body.to_vec()).collect();
        change(&mut file.header);
        open(&assemble(&file.header, &bodies))
    }

    #[test]
    fn what_no_compiler_writes_is_refused() {
        let lengths = FileError::Invalid("length of a section");
        let sections = FileError::Invalid("list of sections");
        assert!(with_header(|_| {}).is_ok());
        let refused = |change: &dyn Fn(&mut Header)| with_header(change).unwrap_err();
        assert_eq!(refused(&|header| header.feeds.clear()), FileError::Invalid("records"));
        assert_eq!(refused(&|header| header.names.clear()), FileError::Invalid("records"));
        let texts = FileError::Invalid("list of feeds and names");
        assert_eq!(refused(&|header| header.names.resize(65_536, String::new())), texts);
        assert_eq!(refused(&|header| header.names[0].push('\u{1b}')), texts);
        assert_eq!(refused(&|header| header.feeds[0].title.push('\n')), texts);
        assert_eq!(refused(&|header| header.feeds[0].credit = Some("\u{202e}".to_owned())), texts);
        let long = |header: &mut Header| header.names[0] = "a".repeat(LONGEST_HEADER);
        assert_eq!(refused(&long), FileError::Invalid("header"));
        assert_eq!(refused(&|header| header.sections.clear()), sections);
        assert_eq!(refused(&|header| header.sections.swap(0, 1)), sections);
        assert_eq!(refused(&|header| header.sections[3].length += 1), sections);
        assert_eq!(refused(&|header| header.sections[3].length = u64::MAX), sections);
        assert_eq!(refused(&|header| header.sections.truncate(11)), sections);
        assert_eq!(refused(&|header| header.sections[0].raw_length += 1), lengths);
        assert_eq!(refused(&|header| header.sections[0].raw_length = 1 << 40), lengths);
        assert_eq!(refused(&|header| header.sections[0].raw_length = u64::MAX), lengths);
        assert_eq!(refused(&|header| header.sections[0].encoding = Encoding::Raw), lengths);
    }

    #[test]
    fn a_file_of_something_else_is_named() {
        assert_eq!(open(b"").unwrap_err(), FileError::NotOurs);
        assert_eq!(open(b"<!doctype html>").unwrap_err(), FileError::NotOurs);
        let mut bytes = small_file(true);
        bytes[8] = 9;
        assert_eq!(open(&bytes).unwrap_err(), FileError::Version(9));
    }

    #[test]
    fn what_inflates_to_more_than_it_says_is_not_inflated() {
        let (mut section, bytes) = Section::encode(Kind::Ipv4Lows, vec![0; 1 << 20], true);
        assert!(section.decode(&bytes).is_some());
        for raw_length in [0, 2, (1 << 20) - 1, (1 << 20) + 1, u64::MAX] {
            section.raw_length = raw_length;
            assert_eq!(section.decode(&bytes), None, "{raw_length} bytes");
        }
    }
}
