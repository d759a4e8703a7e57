//! What keys and messages are called.

use crate::address::{Address, CacheKey};
use crate::budget::Period;

/// What is to be forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invalidation {
    /// What is known of one address or network.
    Key(CacheKey),
    /// Whatever was learnt until this time, in milliseconds since 1970.
    AllUntil(u64),
}

/// The names, which depend on the options `keyPrefix` and `ipv6Prefix`.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    ipv6_prefix: u8,
}

impl Keys {
    pub(super) fn new(prefix: &str, ipv6_prefix: u8) -> Self {
        Self { prefix: prefix.to_owned(), ipv6_prefix }
    }

    /// `203.0.113.7` or `2606:4700::/64`.
    fn text(&self, key: CacheKey) -> String {
        let text = key.to_string();
        if is_ipv4(&text) { text } else { format!("{text}/{}", self.ipv6_prefix) }
    }

    /// The fresh copy.
    pub(super) fn fresh(&self, key: CacheKey) -> String {
        format!("{}ip-risk:{}", self.prefix, self.text(key))
    }

    /// The fresh copies that may be there: of IPv4 also the one that the tutorial makes on a dual-stack socket.
    pub(super) fn all_fresh(&self, key: CacheKey) -> Vec<String> {
        let text = self.text(key);
        let mapped = is_ipv4(&text).then(|| format!("{}ip-risk:::ffff:{text}", self.prefix));
        [self.fresh(key)].into_iter().chain(mapped).collect()
    }

    /// The copy that outlives the fresh one.
    pub(super) fn stale(&self, key: CacheKey) -> String {
        format!("{}ip-risk-stale:{}", self.prefix, self.text(key))
    }

    /// What processes leased of a budget.
    pub(super) fn budget(&self, period: Period, name: &str) -> String {
        format!("{}ip-risk:budget:{}:{name}", self.prefix, period.as_str())
    }

    /// Holds what was forgotten, for those who were not there.
    pub(super) fn forgotten(&self) -> String {
        format!("{}ip-risk-forgotten", self.prefix)
    }

    /// Where invalidations are published.
    pub(super) fn channel(&self) -> String {
        format!("{}ip-risk-invalidations", self.prefix)
    }

    /// An invalidation made at `now` as it is published and kept: `203.0.113.7 1770000000000`,
    /// `2606:4700::/64 1770000000000`, or `until 1770000000000`.
    pub(super) fn message(&self, invalidation: Invalidation, now: u64) -> String {
        match invalidation {
            Invalidation::Key(key) => format!("{} {now}", self.text(key)),
            Invalidation::AllUntil(time) => format!("until {time}"),
        }
    }

    /// What a message says, and of what time, unless it is none of ours.
    pub(super) fn read_message(&self, message: &[u8]) -> Option<(Invalidation, u64)> {
        let text = str::from_utf8(message).ok().filter(|text| text.len() <= 80)?;
        let (what, time) = text.split_once(' ')?;
        let time = time.parse().ok()?;
        if what == "until" {
            return Some((Invalidation::AllUntil(time), time));
        }
        let (address, length) = what.split_once('/').unzip();
        let address = Address::parse(address.unwrap_or(what))?;
        // Networks of another length are keys of somebody else.
        let is_ours = length.is_none_or(|length| length == self.ipv6_prefix.to_string());
        is_ours.then(|| (Invalidation::Key(address.cache_key(self.ipv6_prefix)), time))
    }
}

fn is_ipv4(text: &str) -> bool {
    !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> CacheKey {
        Address::parse(text).unwrap().cache_key(64)
    }

    #[test]
    fn keys_are_those_of_the_tutorial_for_ipv4_and_networks_for_ipv6() {
        let keys = Keys::new("", 64);
        assert_eq!(keys.all_fresh(key("8.8.8.8")), ["ip-risk:8.8.8.8", "ip-risk:::ffff:8.8.8.8"]);
        assert_eq!(keys.all_fresh(key("2606:4700::1:2")), ["ip-risk:2606:4700::/64"]);
        assert_eq!(keys.stale(key("8.8.8.8")), "ip-risk-stale:8.8.8.8");
        let keys = Keys::new("shop:", 56);
        assert_eq!(keys.fresh(key("8.8.8.8")), "shop:ip-risk:8.8.8.8");
        assert_eq!(keys.stale(key("2606:4700::1")), "shop:ip-risk-stale:2606:4700::/56");
        assert_eq!(keys.channel(), "shop:ip-risk-invalidations");
    }

    #[test]
    fn messages_say_what_was_said_and_others_say_nothing() {
        let keys = Keys::new("", 64);
        for said in [
            Invalidation::Key(key("8.8.8.8")),
            Invalidation::Key(key("2606:4700::1")),
            Invalidation::AllUntil(7),
        ] {
            assert_eq!(keys.read_message(keys.message(said, 7).as_bytes()), Some((said, 7)));
        }
        for text in [
            "",
            "all",
            "until",
            "until x",
            "until -1",
            "8.8.8.8",
            "8.8.8.8 ",
            "8.8.8.8 x",
            "8.8.8.8 1 2",
            "2606:4700::/56 7",
            "8.8.8.8/ 7",
            "\u{fffd} 7",
            "8.8.8 7",
        ] {
            assert_eq!(keys.read_message(text.as_bytes()), None, "`{text}`");
        }
        assert_eq!(keys.read_message(&[0xff; 9]), None);
        assert_eq!(keys.read_message(" ".repeat(1_000).as_bytes()), None);
    }
}
