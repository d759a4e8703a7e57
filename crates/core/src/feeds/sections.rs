//! The parts of a compiled file: numbers as bytes, and bytes compressed.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

/// What a section holds, in the order of the file. Numbers are little-endian.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// `u32`: how many runs each of the 65,536 buckets has.
    Ipv4Buckets,
    /// `u16`: the lower halves at which they begin.
    Ipv4Lows,
    /// `u16`: their records.
    Ipv4Records,
    /// `u64`: the upper halves at which runs begin.
    Ipv6Highs,
    /// `u16`: their records, or the mark of a /64 with runs inside.
    Ipv6Records,
    /// `u128`: where the runs inside begin.
    Ipv6InnerStarts,
    /// `u16`: their records.
    Ipv6InnerRecords,
    /// `u16`: the combination of each record.
    RecordCombinations,
    /// `u8`: the points of each record for its neighbourhood.
    RecordNeighbourhood,
    /// `u8`: how much each combination says.
    CombinationLengths,
    /// `u16`, `u16`, `u8`: feed, name and value of all that combinations say.
    CombinationSaid,
    /// See `networks_encoding.rs`. May be left out.
    Networks,
}

impl Kind {
    /// Those of the table itself.
    pub(crate) const TABLE: [Self; 11] = [
        Self::Ipv4Buckets,
        Self::Ipv4Lows,
        Self::Ipv4Records,
        Self::Ipv6Highs,
        Self::Ipv6Records,
        Self::Ipv6InnerStarts,
        Self::Ipv6InnerRecords,
        Self::RecordCombinations,
        Self::RecordNeighbourhood,
        Self::CombinationLengths,
        Self::CombinationSaid,
    ];
}

/// How the bytes of a section are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    Raw,
    Gzip,
}

/// A section's line in the header.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) encoding: Encoding,
    /// How many bytes it takes in the file.
    pub(crate) length: u64,
    /// How many bytes it is once decoded.
    pub(crate) raw_length: u64,
}

/// The most that a section may be once decoded: thirty times what real lists need.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// No gzip can make more out of a byte than this.
const MOST_INFLATION: u64 = 1_032;

impl Section {
    /// A section of these bytes, and how they are written.
    pub(crate) fn encode(kind: Kind, raw: Vec<u8>, compress: bool) -> (Self, Vec<u8>) {
        let raw_length = raw.len() as u64;
        let (encoding, bytes) = match compress.then(|| deflate(&raw)).flatten() {
            Some(bytes) if bytes.len() < raw.len() => (Encoding::Gzip, bytes),
            _ => (Encoding::Raw, raw),
        };
        (Self { kind, encoding, length: bytes.len() as u64, raw_length }, bytes)
    }

    /// The bytes that were written, or nothing when these are not what the header says. Never inflates more than it
    /// says, nor more than [`MOST_BYTES`].
    pub(crate) fn decode<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let raw_length = usize::try_from(self.raw_length).ok().filter(|length| *length <= MOST_BYTES)?;
        match self.encoding {
            Encoding::Raw => (bytes.len() == raw_length).then_some(Cow::Borrowed(bytes)),
            Encoding::Gzip => {
                let is_possible = self.raw_length <= MOST_INFLATION.saturating_mul(bytes.len() as u64);
                is_possible.then(|| inflate(bytes, raw_length).map(Cow::Owned)).flatten()
            }
        }
    }
}

fn deflate(raw: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(raw).ok()?;
    encoder.finish().ok()
}

fn inflate(bytes: &[u8], raw_length: usize) -> Option<Vec<u8>> {
    let mut raw = Vec::with_capacity(raw_length);
    // One byte more than expected, so that gzip gets to compare its checksum, and a longer stream is seen.
    GzDecoder::new(bytes).take(raw_length as u64 + 1).read_to_end(&mut raw).ok()?;
    (raw.len() == raw_length).then_some(raw)
}

/// A number with a fixed width.
pub(crate) trait Number: Sized {
    fn put(&self, bytes: &mut Vec<u8>);
    fn all(bytes: &[u8]) -> Option<Vec<Self>>;
}

macro_rules! number {
    ($($type:ty),*) => {
        $(impl Number for $type {
            fn put(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn all(bytes: &[u8]) -> Option<Vec<Self>> {
                let (numbers, rest) = bytes.as_chunks();
                rest.is_empty().then(|| numbers.iter().map(|number| Self::from_le_bytes(*number)).collect())
            }
        })*
    };
}

number!(u16, u32, u64, u128);

/// Numbers as bytes.
pub(crate) fn bytes_of<N: Number>(numbers: &[N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(numbers));
    for number in numbers {
        number.put(&mut bytes);
    }
    bytes
}
