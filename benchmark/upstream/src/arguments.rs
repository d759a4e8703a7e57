//! `--name number` on a command line.

use std::error::Error;
use std::str::FromStr;

/// What can go wrong in a program that is run by hand.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The words after a program's name.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Words such as `--port 0`.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().collect())
    }

    /// Takes the value of `--name` out, or gives the default.
    ///
    /// # Errors
    /// When there is no value, or none of that kind.
    pub fn take<T: FromStr>(&mut self, name: &str, default: T) -> Outcome<T> {
        let Some(at) = self.0.iter().position(|word| word.strip_prefix("--") == Some(name)) else {
            return Ok(default);
        };
        let value = self.0.drain(at..self.0.len().min(at + 2)).nth(1);
        let value = value.ok_or_else(|| format!("`--{name}` needs a value"))?;
        value.parse().map_err(|_| format!("`--{name}` cannot be `{value}`").into())
    }

    /// Nothing must be left when everything known was taken.
    ///
    /// # Errors
    /// Names the first word that is left.
    pub fn end(self) -> Outcome<()> {
        self.0.first().map_or(Ok(()), |word| Err(format!("`{word}` is no option here").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &str) -> Arguments {
        Arguments::new(words.split(' ').map(str::to_owned))
    }

    #[test]
    fn values_are_taken_by_name_and_defaults_stand_in() {
        let mut arguments = arguments("--latency-ms 0 --port 8080");
        assert_eq!(arguments.take("port", 0_u16).unwrap(), 8080);
        assert_eq!(arguments.take("connections", 100_usize).unwrap(), 100);
        assert_eq!(arguments.take("latency-ms", 50_u64).unwrap(), 0);
        arguments.end().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(arguments("--port").take("port", 0).unwrap_err().to_string(), "`--port` needs a value");
        let wrong = arguments("--port x").take("port", 0).unwrap_err();
        assert_eq!(wrong.to_string(), "`--port` cannot be `x`");
        assert_eq!(arguments("--slow 1").end().unwrap_err().to_string(), "`--slow` is no option here");
    }
}
