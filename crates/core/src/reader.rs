//! Reads options out of JSON with a message that names the path of every mistake.

use serde_json::{Map, Value};

use crate::error::{Code, Error, unknown_option};

/// A value and the path that leads to it, such as `policies.login.thresholds.block`.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    path: String,
    value: &'a Value,
}

/// An object whose keys were all found to be known.
#[derive(Debug)]
pub(crate) struct ObjectReader<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// The mistake "`path` must be `expected`, not `value`".
    pub(crate) fn must_be(&self, expected: &str) -> Error {
        Error::new(Code::Option, format!("`{}` must be {expected}, not `{}`", self.path, shown(self.value)))
    }

    /// Another mistake about this value.
    pub(crate) fn refused(&self, why: &str) -> Error {
        Error::new(Code::Option, format!("`{}`: {why}", self.path))
    }

    pub(crate) fn boolean(&self) -> Result<bool, Error> {
        self.value.as_bool().ok_or_else(|| self.must_be("true or false"))
    }

    pub(crate) fn text(&self) -> Result<&'a str, Error> {
        self.value
            .as_str()
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| self.must_be("a text that is not empty"))
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole(&self, least: u64, most: u64) -> Result<u64, Error> {
        let number = self.value.as_u64().or_else(|| {
            // JavaScript writes whole numbers above 2^53 with an exponent.
            let number = self.value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and not negative"
            )]
            Some(number as u64)
        });
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.must_be(&format!("a whole number from {least} to {most}")))
    }

    pub(crate) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Error> {
        let found = self.value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            self.must_be(&format!("one of {}", names.join(", ")))
        })
    }

    pub(crate) fn items(&self) -> Result<Vec<Reader<'a>>, Error> {
        let items = self.value.as_array().ok_or_else(|| self.must_be("an array"))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, item)| Reader::new(format!("{}[{index}]", self.path), item))
            .collect())
    }

    /// One value or an array of them.
    pub(crate) fn one_or_many(&self) -> Result<Vec<Reader<'a>>, Error> {
        if self.value.is_array() { self.items() } else { Ok(vec![self.clone()]) }
    }

    /// An object with no keys but the `known` ones.
    pub(crate) fn object(&self, known: &[&str]) -> Result<ObjectReader<'a>, Error> {
        let object = self.any_object()?;
        match object.map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(unknown_option(&join(&self.path, unknown), unknown, known)),
            None => Ok(object),
        }
    }

    /// An object whose keys the user chooses.
    pub(crate) fn any_object(&self) -> Result<ObjectReader<'a>, Error> {
        let map = self.value.as_object().ok_or_else(|| self.must_be("an object"))?;
        Ok(ObjectReader { path: self.path.clone(), map })
    }
}

impl<'a> ObjectReader<'a> {
    /// An object that was not written.
    pub(crate) fn empty(path: &str, map: &'a Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Reader<'a>> {
        self.map.get(key).map(|value| Reader::new(join(&self.path, key), value))
    }

    pub(crate) fn require(&self, key: &str) -> Result<Reader<'a>, Error> {
        self.get(key)
            .ok_or_else(|| Error::new(Code::Option, format!("`{}` is missing", join(&self.path, key))))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Reader<'a>)> + '_ {
        self.map.iter().map(|(key, value)| (key.as_str(), Reader::new(join(&self.path, key), value)))
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The value as it stands in a message: shortened, so that a message stays readable.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
