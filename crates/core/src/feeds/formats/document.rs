//! Reads a JSON document as it arrives, holding none of it: each format says where in the document its networks stand.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::dates;
use super::rows::Rows;
use crate::feeds::format::{Format, FormatError};
use crate::feeds::printable::printable;
use crate::feeds::range::Range;

/// What stands at a place of a document.
#[derive(Debug)]
pub(in crate::feeds) enum Shape {
    /// An object with these fields among others. At least one that is not a date has to be there.
    Object(&'static [(&'static str, Shape)]),
    /// An array of these.
    Array(&'static Shape),
    /// An address or a network.
    Network,
    /// When the document was made.
    Date,
}

/// Adds the networks of a document.
pub(in crate::feeds) fn read(
    format: Format,
    input: &mut dyn BufRead,
    shape: &'static Shape,
    rows: &mut Rows<'_>,
) -> Result<(), FormatError> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(Bounded::new(input)));
    let place = Place { shape, is_entry: false, rows };
    place.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| failure(format, error))
}

fn failure(format: Format, error: serde_json::Error) -> FormatError {
    use serde_json::error::Category;
    let reason = printable(&error.to_string());
    match error.classify() {
        Category::Io => {
            let error = io::Error::from(error);
            let is_unbounded =
                error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unbounded>);
            if is_unbounded { FormatError::Unbounded } else { FormatError::Io(error) }
        }
        Category::Syntax => FormatError::Json(reason),
        Category::Eof => FormatError::CutOff(reason),
        Category::Data => FormatError::Structure { format, reason },
    }
}

/// One place of a document while it is read.
struct Place<'r, 'a> {
    shape: &'static Shape,
    /// Whether it is one of many, so that it may be rejected by itself.
    is_entry: bool,
    rows: &'r mut Rows<'a>,
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Shape::Object(_) => deserializer.deserialize_map(self),
            Shape::Array(_) => deserializer.deserialize_seq(self),
            Shape::Network => deserializer.deserialize_str(self),
            Shape::Date => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Object(fields) => {
                let names: Vec<&str> = content(fields).collect();
                write!(text, "an object with `{}`", names.join("` or `"))
            }
            Shape::Array(_) => text.write_str("an array"),
            Shape::Network => text.write_str("a network as text"),
            Shape::Date => text.write_str("a date"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Shape::Object(fields) = self.shape else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        let mut has_content = false;
        while let Some(key) = map.next_key::<String>()? {
            match fields.iter().find(|(name, _)| *name == key) {
                Some((_, shape)) => {
                    has_content |= !matches!(shape, Shape::Date);
                    map.next_value_seed(Place { shape, is_entry: self.is_entry, rows: self.rows })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_content {
            return Ok(());
        }
        let Some(missing) = content(fields).next() else { return Ok(()) };
        if !self.is_entry {
            return Err(A::Error::custom(format_args!("`{missing}` is missing")));
        }
        self.rows.reject(&format!("an entry without `{missing}`"));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Shape::Array(shape) = self.shape else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        while sequence.next_element_seed(Place { shape, is_entry: true, rows: self.rows })?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.shape {
            Shape::Date => self.rows.dated_at(dates::read(text)),
            _ => match Range::parse(text) {
                Some(range) => self.rows.add_range(range),
                None => self.rows.reject(text),
            },
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.rows.dated_at(dates::read_number(number));
        Ok(())
    }
}

/// The names of the fields that lead to networks.
fn content(fields: &'static [(&'static str, Shape)]) -> impl Iterator<Item = &'static str> {
    fields.iter().filter(|(_, shape)| !matches!(shape, Shape::Date)).map(|(name, _)| *name)
}

/// How deep a document may be, and how much may stand between two quotation marks: a reader of JSON keeps a text, and a
/// byte for each level, until it ends. Documents of providers are 8 deep, and have less than 200 bytes there.
const DEEPEST: u32 = 64;
const LONGEST_TEXT: u32 = 64 * 1_024;

/// A document that could not be read in little memory.
#[derive(Debug, thiserror::Error)]
#[error("nested too deeply, or a text too long")]
struct Unbounded;

/// Passes a JSON document on for as long as it can be read in little memory.
struct Bounded<'a> {
    input: &'a mut dyn BufRead,
    depth: u32,
    since_quotation: u32,
    is_text: bool,
    is_escaped: bool,
}

impl<'a> Bounded<'a> {
    fn new(input: &'a mut dyn BufRead) -> Self {
        Self { input, depth: 0, since_quotation: 0, is_text: false, is_escaped: false }
    }

    fn pass(&mut self, byte: u8) {
        self.since_quotation += 1;
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = self.is_text,
            b'"' => {
                self.is_text = !self.is_text;
                self.since_quotation = 0;
            }
            b'[' | b'{' if !self.is_text => self.depth += 1,
            b']' | b'}' if !self.is_text => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        for byte in buffer.iter().take(count) {
            self.pass(*byte);
            if self.depth > DEEPEST || self.since_quotation > LONGEST_TEXT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, Unbounded));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::try_all;
    use super::*;

    const FILE: &str = r#"{"prefixes": [{"ip_prefix": "198.51.100.0/24", "more": "\"{[\\"}]}"#;

    fn error(file: &[u8]) -> FormatError {
        try_all(Format::Aws, file).unwrap_err()
    }

    #[test]
    fn a_document_that_ends_early_or_goes_on_is_refused() {
        assert_eq!(try_all(Format::Aws, FILE.as_bytes()).unwrap().0, ["198.51.100.0/24"]);
        for end in 0..FILE.len() {
            let error = error(&FILE.as_bytes()[..end]);
            assert!(matches!(error, FormatError::CutOff(_)), "{end}: {error:?}");
        }
        for rest in ["}", "{}", ",", "x", "\0"] {
            let error = error(format!("{FILE}{rest}").as_bytes());
            assert!(matches!(error, FormatError::Json(_)), "{rest}: {error:?}");
        }
        assert!(try_all(Format::Aws, format!(" \n{FILE}\n\n").as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for file in ["foo", "# a list\n", "{'prefixes':[]}", "{\"prefixes\":[],}"] {
            let error = error(file.as_bytes());
            assert!(matches!(error, FormatError::Json(_)), "{file}: {error:?}");
            assert!(error.to_string().contains("line 1 column"), "{error}");
        }
        assert!(matches!(error(b"{\"\xff\":1}"), FormatError::Json(_)));
    }

    #[test]
    fn a_document_that_would_fill_the_memory_is_refused() {
        let deep = format!("{{\"a\":{}", "[".repeat(1_000));
        let deep_objects = "{\"a\":".repeat(1_000);
        let long = format!("{{\"a\":\"{}", "x".repeat(100_000));
        let long_escaped = format!("{{\"a\":\"{}", "\\\"x".repeat(100_000));
        let long_key = format!("{{\"{}", "x".repeat(100_000));
        let long_number = format!("{{\"a\":{}", "1".repeat(100_000));
        for file in [deep, deep_objects, long, long_escaped, long_key, long_number] {
            let error = error(file.as_bytes());
            assert!(matches!(error, FormatError::Unbounded), "{error:?}");
        }
        let file = format!("{{\"a\":{}{}, {}", "[".repeat(60), "]".repeat(60), &FILE[1..]);
        assert_eq!(try_all(Format::Aws, file.as_bytes()).unwrap().0, ["198.51.100.0/24"]);
    }

    #[test]
    fn a_reason_is_short_and_printable() {
        let file = format!("{{\"prefixes\": \"{}\\u001b[31m\u{202e}\"}}", "x".repeat(1_000));
        let message = error(file.as_bytes()).to_string();
        assert!(message.len() < 300, "{message}");
        assert!(
            !message.contains(|character: char| character.is_control() || !character.is_ascii()),
            "{message}"
        );
    }
}
