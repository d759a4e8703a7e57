//! What a feed says of the addresses on it.

use serde::{Deserialize, Serialize};

/// What standing on a feed means. What it weighs is in `scoring.json`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Signal {
    /// Rented servers: data centres, colocation.
    Hosting,
    /// Rented servers of a cloud whose name is known.
    Cloud,
    /// A content delivery network and its proxies.
    Cdn,
    /// A security gateway through which companies reach the internet.
    CorporateGateway,
    /// A mobile carrier, whose addresses thousands share.
    Mobile,
    /// A crawler whose operator publishes its addresses.
    GoodBot,
    /// An egress of a privacy relay such as iCloud Private Relay.
    Relay,
    /// A network in which VPN services rent.
    VpnRange,
    /// An egress that a VPN service itself publishes.
    Vpn,
    /// A Tor exit.
    TorExit,
    /// An open proxy.
    PublicProxy,
    /// A home connection that is sold as a proxy.
    ResidentialProxy,
    /// A network or host that is wholly in criminal hands (Spamhaus DROP grade): enough by itself.
    Criminal,
    /// The same of a whole network by its number, which is coarser.
    CriminalAsn,
    /// An attacker, as a source says that is trusted to know and that nobody corroborates.
    Attacker,
    /// An attack on a login or SSH within about 48 hours.
    Attack,
    /// Attacks out of the network around the address.
    AttackRange,
    /// Attacks at some time within weeks; shared addresses collect these.
    AttackHistory,
    /// On how many attack lists of others the address stands; the row's value counts them.
    AttackCount,
    /// A network that spams.
    SpamRange,
    /// Spam within about a week.
    Spam,
    /// Spam at some time within months.
    SpamHistory,
    /// A score from 0 to 100 that the feed itself computed; it is the row's value.
    Score,
}

impl Signal {
    /// Whether it says that the address attacked somebody, at some time.
    #[must_use]
    pub const fn is_attack(self) -> bool {
        matches!(
            self,
            Self::Criminal
                | Self::CriminalAsn
                | Self::Attacker
                | Self::Attack
                | Self::AttackRange
                | Self::AttackHistory
        )
    }
}

/// All signals, in the order of their numbers.
pub const SIGNALS: [Signal; 23] = [
    Signal::Hosting,
    Signal::Cloud,
    Signal::Cdn,
    Signal::CorporateGateway,
    Signal::Mobile,
    Signal::GoodBot,
    Signal::Relay,
    Signal::VpnRange,
    Signal::Vpn,
    Signal::TorExit,
    Signal::PublicProxy,
    Signal::ResidentialProxy,
    Signal::Criminal,
    Signal::CriminalAsn,
    Signal::Attacker,
    Signal::Attack,
    Signal::AttackRange,
    Signal::AttackHistory,
    Signal::AttackCount,
    Signal::SpamRange,
    Signal::Spam,
    Signal::SpamHistory,
    Signal::Score,
];
