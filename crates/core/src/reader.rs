//! Reads options out of JSON with a message that names the path of every mistake.

use serde_json::{Map, Value};

use crate::error::{Code, Error, unknown_option};
use crate::spelling::Spelling;

/// The longest time that an option may name: ten years.
pub(crate) const MOST_MILLISECONDS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// A value and the path that leads to it, such as `policies.login.thresholds.block`.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    path: String,
    value: &'a Value,
    spelling: Spelling,
}

/// An object whose keys were all found to be known.
#[derive(Debug)]
pub(crate) struct ObjectReader<'a> {
    path: String,
    map: &'a Map<String, Value>,
    spelling: Spelling,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: impl Into<String>, value: &'a Value) -> Self {
        Self::spelled(Spelling::Camel, path, value)
    }

    /// A value whose options are spelled that way.
    pub(crate) fn spelled(spelling: Spelling, path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value, spelling }
    }

    /// A value inside this one.
    fn inner(&self, path: String, value: &'a Value) -> Self {
        Self { path, value, spelling: self.spelling }
    }

    pub(crate) fn spelling(&self) -> Spelling {
        self.spelling
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path as messages name it; that of the whole is empty.
    fn name(&self) -> &str {
        if self.path.is_empty() { "options" } else { &self.path }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// The mistake "`path` must be `expected`, not `value`". Of the whole, the value is not shown: it may be the key.
    pub(crate) fn must_be(&self, expected: &str) -> Error {
        let found =
            if self.path.is_empty() { String::new() } else { format!(", not `{}`", shown(self.value)) };
        Error::new(Code::Option, format!("`{}` must be {expected}{found}", self.name()))
    }

    /// Another mistake about this value.
    pub(crate) fn refused(&self, why: &str) -> Error {
        Error::new(Code::Option, format!("`{}`: {why}", self.name()))
    }

    pub(crate) fn boolean(&self) -> Result<bool, Error> {
        self.value.as_bool().ok_or_else(|| self.must_be("true or false"))
    }

    pub(crate) fn text(&self) -> Result<&'a str, Error> {
        self.value
            .as_str()
            .filter(|text| !text.trim().is_empty() && !text.starts_with(FOREIGN))
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

    /// A duration in milliseconds, which may be written in seconds where that is the custom.
    pub(crate) fn milliseconds(&self, least: u64, most: u64) -> Result<u64, Error> {
        if self.spelling == Spelling::Camel {
            return self.whole(least, most);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "negative and huge become 0 and most, and `NaN` becomes 0"
        )]
        let milliseconds = self.value.as_f64().map(|seconds| (seconds, (seconds * 1_000.0).round() as u64));
        let is_in_range = |(seconds, number): &(f64, u64)| *seconds >= 0.0 && (least..=most).contains(number);
        milliseconds.filter(is_in_range).map(|(_, number)| number).ok_or_else(|| {
            self.must_be(&format!("a number of seconds from {} to {}", seconds(least), seconds(most)))
        })
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
            .map(|(index, item)| self.inner(format!("{}[{index}]", self.path), item))
            .collect())
    }

    /// One value or an array of them.
    pub(crate) fn one_or_many(&self) -> Result<Vec<Reader<'a>>, Error> {
        if self.value.is_array() { self.items() } else { Ok(vec![self.clone()]) }
    }

    /// An object with no keys but the `known` ones.
    pub(crate) fn object(&self, known: &[&str]) -> Result<ObjectReader<'a>, Error> {
        let object = self.any_object()?;
        let known: Vec<_> = known.iter().map(|name| self.spelling.spell(name)).collect();
        let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
        match object.map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(unknown_option(&join(&self.path, unknown), unknown, &known)),
            None => Ok(object),
        }
    }

    /// An object whose keys the user chooses.
    pub(crate) fn any_object(&self) -> Result<ObjectReader<'a>, Error> {
        let map = self.value.as_object().ok_or_else(|| self.must_be("an object"))?;
        Ok(ObjectReader { path: self.path.clone(), map, spelling: self.spelling })
    }
}

impl<'a> ObjectReader<'a> {
    /// An object that was not written.
    pub(crate) fn empty(path: &str, map: &'a Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map, spelling: Spelling::Camel }
    }

    /// What is written under an option, which is named as the core names it.
    pub(crate) fn get(&self, key: &str) -> Option<Reader<'a>> {
        let key = self.spelling.spell(key);
        self.map.get(&*key).map(|value| self.inner(join(&self.path, &key), value))
    }

    pub(crate) fn spelling(&self) -> Spelling {
        self.spelling
    }

    pub(crate) fn require(&self, key: &str) -> Result<Reader<'a>, Error> {
        let missing = || {
            let path = join(&self.path, &self.spelling.spell(key));
            Error::new(Code::Option, format!("`{path}` is missing"))
        };
        self.get(key).ok_or_else(missing)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Reader<'a>)> + '_ {
        self.map.iter().map(|(key, value)| (key.as_str(), self.inner(join(&self.path, key), value)))
    }

    fn inner(&self, path: String, value: &'a Value) -> Reader<'a> {
        Reader::spelled(self.spelling, path, value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a face puts before a value that JSON cannot hold, such as `NaN`, so that it is refused as what it was.
const FOREIGN: char = '\0';

/// The value as it stands in a message: shortened, so that a message stays readable.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = match value.as_str().and_then(|text| text.strip_prefix(FOREIGN)) {
        Some(foreign) => foreign.to_owned(),
        None => value.to_string(),
    };
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::flags::tests::cases;

    proptest! {
        #![proptest_config(cases(1_024))]

        #[test]
        fn a_whole_number_is_read_exactly_when_it_is_one_in_its_range(
            number in prop_oneof![
                any::<i64>().prop_map(Value::from),
                any::<u64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                (-200_i32..200).prop_map(|number| json!(f64::from(number) / 2.0)),
            ],
            least in 0_u64..100, more in 0_u64..100,
        ) {
            let read = Reader::new("path", &number).whole(least, least + more).ok();
            // Compared as text, which no conversion of numbers can spoil.
            let is_in_range = |whole: &u64| {
                [whole.to_string(), format!("{whole}.0"), format!("-{whole}.0")].contains(&number.to_string())
                    && (*whole == 0 || !number.to_string().starts_with('-'))
            };
            prop_assert_eq!(read, (least..=least + more).find(is_in_range));
        }

        #[test]
        fn a_value_is_shown_short_and_whole_in_characters(value in "\\PC{0,200}") {
            let shown = shown(&json!(value));
            prop_assert!(shown.chars().count() <= 63);
            prop_assert!(!shown.contains('\n'));
        }
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let value = json!({ "a": [{ "b": 1 }] });
        let items = Reader::new("", &value).any_object().unwrap().get("a").unwrap().items().unwrap();
        let inner = items[0].any_object().unwrap().get("b").unwrap();
        assert_eq!(inner.path(), "a[0].b");
        assert_eq!(
            inner.text().unwrap_err().to_string(),
            "`a[0].b` must be a text that is not empty, not `1`"
        );
        let missing = items[0].any_object().unwrap().require("c").unwrap_err();
        assert_eq!(missing.to_string(), "`a[0].c` is missing");
    }

    #[test]
    fn options_may_be_spelled_with_underscores_and_durations_in_seconds() {
        let value = json!({ "read_timeout": 0.25, "inner": [{ "at_least": 1, "waitMs": 5 }] });
        let reader = Reader::spelled(Spelling::Snake, "", &value);
        let object = reader.object(&["readTimeoutMs", "inner"]).unwrap();
        assert_eq!(object.get("readTimeoutMs").unwrap().milliseconds(1, 1_000).unwrap(), 250);
        let refused = object.get("readTimeoutMs").unwrap().milliseconds(500, 1_000).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`read_timeout` must be a number of seconds from 0.5 to 1, not `0.25`"
        );
        let inner = &object.get("inner").unwrap().items().unwrap()[0];
        assert_eq!(inner.any_object().unwrap().get("atLeast").unwrap().path(), "inner[0].at_least");
        let unknown = inner.object(&["atLeast", "waitMs"]).unwrap_err();
        assert_eq!(unknown.to_string(), "`inner[0].waitMs` is not an option; did you mean `wait`?");
        let missing = inner.any_object().unwrap().require("atMost").unwrap_err();
        assert_eq!(missing.to_string(), "`inner[0].at_most` is missing");
    }

    #[test]
    fn a_duration_in_seconds_is_a_number_that_is_not_negative() {
        for (written, milliseconds) in [
            (json!(1), Some(1_000)),
            (json!(0.001), Some(1)),
            (json!(0.000_4), Some(0)),
            (json!(1.5), Some(1_500)),
            (json!(-0.1), None),
            (json!(1e300), None),
            (json!("1"), None),
            (json!(true), None),
            (json!(null), None),
        ] {
            let reader = Reader::spelled(Spelling::Snake, "path", &written);
            assert_eq!(reader.milliseconds(0, 1_000_000).ok(), milliseconds, "{written}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_with_an_exponent() {
        for (value, number) in
            [(json!(1e3), Some(1_000)), (json!(1.5), None), (json!(-0.0), Some(0)), (json!(1e30), None)]
        {
            assert_eq!(Reader::new("path", &value).whole(0, 1_000_000).ok(), number, "{value}");
        }
    }
}
