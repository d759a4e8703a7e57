//! The formats of feed files, and the one door through which a file becomes rows.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

use super::formats::document::{self, Shape};
use super::formats::lines::{self, ReadLine};
use super::formats::rows::Rows;
use super::formats::{asn_csv, clouds, dshield, geofeed, ipsum, list, spamhaus, tor};
use super::row::{Row, Summary};

/// How the files of a feed are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// An address or a network on each line, with comments after `#` or `;`: blocklist.de, the Tor bulk exit list,
    /// `.ipset` and `.netset` of FireHOL, the text form of Spamhaus.
    List,
    /// The JSON lines of Spamhaus: DROP, and ASN-DROP, whose rows are networks by their number.
    Spamhaus,
    /// `ip-ranges.json` of AWS.
    Aws,
    /// The service tags of Azure, `ServiceTags_Public_*.json`.
    Azure,
    /// `cloud.json` and `goog.json` of Google, and the same by crawlers: Googlebot, Bingbot, GPTBot.
    Gcp,
    /// `public_ip_ranges.json` of Oracle Cloud.
    Oracle,
    /// A network and where it is on each line, after RFC 8805: DigitalOcean, Linode, Vultr, iCloud Private Relay.
    Geofeed,
    /// An address and on how many lists it stands on each line; the count, at most 5, is the row's value.
    Ipsum,
    /// A network by its number, with or without `AS`, and whose it is on each line: the last of several columns is the
    /// row's name. The first line may name the columns. Comments after `#`.
    AsnCsv,
    /// `block.txt` of DShield.
    Dshield,
    /// `exit-addresses` of Tor, an address and when it was seen on some of the lines.
    TorExitAddresses,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::List,
        Self::Spamhaus,
        Self::Aws,
        Self::Azure,
        Self::Gcp,
        Self::Oracle,
        Self::Geofeed,
        Self::Ipsum,
        Self::AsnCsv,
        Self::Dshield,
        Self::TorExitAddresses,
    ];

    /// The name that users write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Spamhaus => "spamhaus",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::Oracle => "oracle",
            Self::Geofeed => "geofeed",
            Self::Ipsum => "ipsum",
            Self::AsnCsv => "asn-csv",
            Self::Dshield => "dshield",
            Self::TorExitAddresses => "tor-exit-addresses",
        }
    }
}

/// Why a file is none of its format at all. Single wrong lines are counted instead, see [`Summary::rejected`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Reading failed.
    #[error("the feed cannot be read: {0}; try again")]
    Io(#[from] io::Error),
    /// A page for people instead of a file: a login, an error, a notice.
    #[error(
        "this is an HTML or XML page, not a feed; open its address in a browser to see what it says, and correct the address"
    )]
    Page,
    /// The file is no JSON.
    #[error("this is not valid JSON ({0}); fetch the feed again, or correct its format")]
    Json(String),
    /// The file is JSON that could not be read in little memory, which no provider publishes.
    #[error(
        "this JSON is nested too deeply, or holds a text that is too long, for a feed; correct the address"
    )]
    Unbounded,
    /// The file is JSON that ends before it is complete.
    #[error("this JSON ends before it is complete ({0}); fetch the feed again")]
    CutOff(String),
    /// The file is JSON of another shape than the format's.
    #[error("this JSON is not of the format `{}` ({reason}); correct the format or the address", format.as_str())]
    Structure {
        /// The format that was expected.
        format: Format,
        /// What differs, and where.
        reason: String,
    },
}

/// Reads a file of that format, calls `take` for each good row in the order of the file, and returns what was seen.
///
/// Lines and entries that are not the format's are counted and left out; networks are not judged here, and may be as
/// large as the internet. A byte order mark and blanks at the start are skipped. The rows are the same however
/// `input` cuts the file, and memory is bounded by some kilobytes however long it is; how much is read is for `input` to
/// bound.
///
/// # Errors
/// When reading fails, the file is a page for people, or a JSON document is not valid, not complete or of another
/// shape. Rows that were taken before are to be thrown away then.
///
/// # Examples
/// ```
/// use ip_risk_core::feeds::format::{Format, parse};
///
/// let mut rows = 0;
/// let summary = parse(Format::List, &mut "198.51.100.7\nfoo\n".as_bytes(), &mut |_row| rows += 1)?;
/// assert_eq!((rows, summary.rejected), (1, 1));
/// assert_eq!(summary.first_rejected.as_deref(), Some("foo"));
/// # Ok::<(), ip_risk_core::feeds::format::FormatError>(())
/// ```
pub fn parse(
    format: Format,
    input: &mut dyn BufRead,
    take: &mut dyn FnMut(Row<'_>),
) -> Result<Summary, FormatError> {
    let head = read_head(input)?;
    if is_page(&head) {
        return Err(FormatError::Page);
    }
    let mut input = head.as_slice().chain(input);
    let mut rows = Rows::new(take);
    match Reading::of(format) {
        Reading::Lines(read_line) => lines::read(&mut input, read_line, &mut rows)?,
        Reading::Document(shape) => document::read(format, &mut input, shape, &mut rows)?,
    }
    Ok(rows.into_summary())
}

/// How the files of a format are read.
enum Reading {
    Lines(ReadLine),
    Document(&'static Shape),
}

impl Reading {
    fn of(format: Format) -> Self {
        match format {
            Format::List => Self::Lines(list::read_line),
            Format::Spamhaus => Self::Lines(spamhaus::read_line),
            Format::Aws => Self::Document(&clouds::AWS),
            Format::Azure => Self::Document(&clouds::AZURE),
            Format::Gcp => Self::Document(&clouds::GCP),
            Format::Oracle => Self::Document(&clouds::ORACLE),
            Format::Geofeed => Self::Lines(geofeed::read_line),
            Format::Ipsum => Self::Lines(ipsum::read_line),
            Format::AsnCsv => Self::Lines(asn_csv::read_line),
            Format::Dshield => Self::Lines(dshield::read_line),
            Format::TorExitAddresses => Self::Lines(tor::read_line),
        }
    }
}

/// The first two bytes, or fewer at the end, after a byte order mark and blanks.
fn read_head(input: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let mut head = Vec::new();
    input.take(MARK.len() as u64).read_to_end(&mut head)?;
    if head == MARK {
        head.clear();
    }
    loop {
        let blanks = head.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        head.drain(..blanks);
        if head.len() >= 2 || input.take(2).read_to_end(&mut head)? == 0 {
            return Ok(head);
        }
    }
}

/// Whether a file starts as HTML and XML do; no feed starts with a tag.
fn is_page(head: &[u8]) -> bool {
    matches!(head, [b'<', second, ..] if second.is_ascii_alphabetic() || b"!?".contains(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a broken archive"))
        }
    }

    fn outcome(format: Format, file: &[u8]) -> Result<Summary, FormatError> {
        parse(format, &mut &*file, &mut |_row| {})
    }

    #[test]
    fn a_format_has_one_name() {
        for format in Format::ALL {
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
            assert_eq!(serde_json::from_value::<Format>(format.as_str().into()).unwrap(), format);
        }
        assert!(serde_json::from_str::<Format>("\"csv\"").is_err());
    }

    #[test]
    fn a_page_is_no_feed() {
        for page in [
            "<!DOCTYPE html>",
            "\u{feff}\r\n \t<HTML>",
            "<html><body>",
            "<?xml version=\"1.0\"?>",
            "<!-- -->",
        ] {
            for format in Format::ALL {
                let error = outcome(format, page.as_bytes()).unwrap_err();
                assert!(matches!(error, FormatError::Page), "{page}: {error:?}");
                assert!(error.to_string().contains("an HTML or XML page"));
            }
        }
        for line in ["<", "< html", "<3", "# <html>"] {
            assert!(outcome(Format::List, line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_failure_to_read_is_an_error_wherever_it_happens() {
        for format in Format::ALL {
            for start in [b"".as_slice(), b"\n", b"{\"a\":"] {
                let mut input = io::BufReader::new(start.chain(Failing));
                let error = parse(format, &mut input, &mut |_row| {}).unwrap_err();
                assert!(matches!(error, FormatError::Io(_)), "{error:?}");
                assert!(error.to_string().contains("a broken archive"), "{error}");
            }
        }
    }

    #[test]
    fn an_empty_file_has_no_rows_and_is_no_document() {
        for empty in [b"".as_slice(), b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r\n\n"] {
            assert_eq!(outcome(Format::List, empty).unwrap(), Summary::default());
            assert!(matches!(outcome(Format::Aws, empty), Err(FormatError::CutOff(_))));
        }
    }
}
