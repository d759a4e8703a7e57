//! How a face spells options: there is one vocabulary, and two customs of writing it.

use std::borrow::Cow;

/// How the users of a face write the names of options and durations. The core's own names are [`Spelling::Camel`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Spelling {
    /// `deadlineMs`, in milliseconds.
    #[default]
    Camel,
    /// `deadline`, in seconds.
    Snake,
}

impl Spelling {
    /// The name of an option, or a path of names, as users write it.
    #[must_use]
    pub fn spell(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Camel => Cow::Borrowed(name),
            Self::Snake => Cow::Owned(snake(name.strip_suffix("Ms").unwrap_or(name))),
        }
    }

    /// What lets feeds clear policies that close, as users write it.
    pub(crate) fn primary_feeds(self) -> &'static str {
        match self {
            Self::Camel => "feeds: { primary: true }",
            Self::Snake => "feeds={'primary': True}",
        }
    }
}

fn snake(name: &str) -> String {
    let mut spelled = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            spelled.push('_');
        }
        spelled.push(character.to_ascii_lowercase());
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_users_write_them() {
        for (name, spelled) in [
            ("apiKey", "api_key"),
            ("redis", "redis"),
            ("deadlineMs", "deadline"),
            ("connectTimeoutMs", "connect_timeout"),
            ("redis.timeoutMs", "redis.timeout"),
            ("ipv6Prefix", "ipv6_prefix"),
        ] {
            assert_eq!(Spelling::Snake.spell(name), spelled);
            assert_eq!(Spelling::Camel.spell(name), name);
        }
    }
}
