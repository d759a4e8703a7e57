//! What a check answers: the action, and everything that led to it.

use crate::address::Address;
use crate::error::Code;
use crate::evidence::Provider;
use crate::flags::{Flags, Percentage};
use crate::reasons::Reasons;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word that users see and write.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

words! {
    /// What the route should do. The first four rise; `hold` stands outside that order.
    Action {
        /// Let the request through.
        Allow = "allow",
        /// Let it through and keep a record.
        Log = "log",
        /// Let it through to a second factor.
        Challenge = "challenge",
        /// Refuse it.
        Block = "block",
        /// What a closed policy answers without evidence: neither cleared nor refused.
        Hold = "hold",
    }
}

words! {
    /// Where a score lies on the fixed scale.
    Band {
        /// 0 to 19.
        Low = "low",
        /// 20 to 44.
        Guarded = "guarded",
        /// 45 to 79.
        Elevated = "elevated",
        /// 80 to 100.
        High = "high",
    }
}

impl Band {
    /// The band of a score. Lower edges belong to the band.
    #[must_use]
    pub const fn of(score: Percentage) -> Self {
        match score.value() {
            0..20 => Self::Low,
            20..45 => Self::Guarded,
            45..80 => Self::Elevated,
            _ => Self::High,
        }
    }
}

words! {
    /// Which rung answered.
    Source {
        /// Nothing: the failure mode, or a request that was not judged.
        None = "none",
        /// An allow or deny entry.
        List = "list",
        /// Special-use address space.
        Special = "special",
        /// The in-process cache.
        Memory = "memory",
        /// The shared cache.
        Redis = "redis",
        /// The provider.
        Api = "api",
        /// Offline feeds.
        Feeds = "feeds",
    }
}

words! {
    /// Whether decisions act.
    Mode {
        /// They act.
        Enforce = "enforce",
        /// They are only recorded: the action is `allow`, `would_be` says what it would have been.
        LogOnly = "log-only",
    }
}

words! {
    /// How the client address became known.
    Provenance {
        /// Given to `check()` by the application, which answers for it.
        Application = "application",
        /// The peer of the process's own socket.
        Socket = "socket",
        /// A forwarded header that a trusted proxy wrote.
        TrustedProxy = "trusted-proxy",
        /// The application's own `clientIp`.
        Custom = "custom",
        /// Anybody could have written it.
        Unverified = "unverified",
    }
}

/// The place of a policy in its checker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolicyId(u16);

impl PolicyId {
    pub(crate) const fn new(place: u16) -> Self {
        Self(place)
    }

    /// The policy with that number, when a face carries numbers instead of names.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The answer to one check. Never an error: what failed stands in [`Decision::failure`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field that users read on its own")]
pub struct Decision {
    /// The address, unless the text was refused.
    pub address: Option<Address>,
    /// 0 to 100; 0 when nothing is known, which `band` tells apart from a clean score.
    pub score: Percentage,
    /// Where the score lies; nothing when nothing is known.
    pub band: Option<Band>,
    /// What the source said.
    pub flags: Flags,
    /// What the route should do.
    pub action: Action,
    /// What `enforce` would have answered.
    pub would_be: Action,
    /// Why, most important first.
    pub reasons: Reasons,
    /// Which rung answered.
    pub source: Source,
    /// Who said it.
    pub provider: Option<Provider>,
    /// Whether the evidence is older than its time to live.
    pub stale: bool,
    /// Whether a source that should have been asked could not answer.
    pub degraded: bool,
    /// When the source answered, in milliseconds since 1970.
    pub checked_at: Option<u64>,
    /// Whether the failure mode let the request through.
    pub failed_open: bool,
    /// Whether the failure mode held the request.
    pub failed_closed: bool,
    /// What failed.
    pub failure: Option<Code>,
    /// Whether the decision acts.
    pub mode: Mode,
    /// The policy that decided.
    pub policy: PolicyId,
    /// How the address became known.
    pub provenance: Provenance,
    /// A mistake in the application's set-up that this request shows, to be reported once.
    pub warning: Option<Code>,
}
