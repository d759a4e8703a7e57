//! Evidence: flags and score of one source about one address.

use crate::flags::{Flags, Percentage};

/// Who answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Provider {
    /// The Security API of ipgeolocation.io.
    Ipgeolocation,
    /// Offline feeds.
    Feeds,
}

impl Provider {
    /// All providers, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Ipgeolocation, Self::Feeds];

    /// The name as it stands in decisions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipgeolocation => "ipgeolocation",
            Self::Feeds => "feeds",
        }
    }
}

/// Flags and score of one source about one address, with the time at which the source answered.
/// Caches hold evidence, never decisions, so that a change of policy acts at once.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the source said.
    pub flags: Flags,
    /// The source's own score where it has one, else ours.
    pub score: Percentage,
    /// The source.
    pub provider: Provider,
    /// When the source answered, in milliseconds since 1970.
    pub checked_at: u64,
}

/// What offline feeds say of an address on which they say something.
#[derive(Clone, Debug)]
pub struct FeedEvidence {
    /// Flags and score.
    pub evidence: Evidence,
    /// Whether they say it of the address itself. Otherwise only its neighbourhood is known.
    pub is_match: bool,
    /// Whether it is enough by itself, so that it may block.
    pub is_strict: bool,
    /// Whether the neighbourhood raised the score so much that it is told.
    pub is_raised_by_neighbourhood: bool,
}

/// What a source answers when it can be asked.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The source knows the address.
    Evidence(Evidence),
    /// The source has no record of the address; when it said so.
    Unknown {
        /// In milliseconds since 1970.
        checked_at: u64,
    },
    /// The source says that the address is not routed on the internet; when it said so.
    Unroutable {
        /// In milliseconds since 1970.
        checked_at: u64,
    },
}

impl Answer {
    /// When the source answered, in milliseconds since 1970.
    #[must_use]
    pub fn checked_at(&self) -> u64 {
        match self {
            Self::Evidence(evidence) => evidence.checked_at,
            Self::Unknown { checked_at } | Self::Unroutable { checked_at } => *checked_at,
        }
    }
}
