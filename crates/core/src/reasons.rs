//! Reasons: why an action was chosen, as a set with a fixed order of importance.

/// How many rules one policy may have: what is left of 64 bits.
pub const MAX_RULES: usize = 44;
const FIRST_RULE: u32 = 10;
const FIRST_AFTER_RULES: u32 = FIRST_RULE + 44;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident($bit:expr) = $text:literal),+ $(,)?) => {
        /// A reason that is not a rule of the policy.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The code as users see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text),+ }
            }

            const fn bit(self) -> u32 {
                match self { $(Reason::$name => $bit),+ }
            }
        }
    };
}

reasons! {
    /// The text is not an address.
    InvalidAddress(0) = "invalid_address",
    /// The application's `skip` let the request through unjudged.
    Skipped(1) = "skipped",
    /// An allow entry matches.
    AllowList(2) = "allow_list",
    /// A deny entry matches.
    DenyList(3) = "deny_list",
    /// No evidence, and the failure mode is closed.
    FailedClosed(4) = "failed_closed",
    /// No evidence that may clear the request, and the failure mode is challenge.
    FailedChallenge(5) = "failed_challenge",
    /// No evidence, and the failure mode is open.
    FailedOpen(6) = "failed_open",
    /// The address is special-use space.
    SpecialUse(7) = "special_use",
    /// The provider has no record of the address.
    UnknownAddress(8) = "unknown_address",
    /// No feed says anything for or against the address, where feeds are the source that was chosen.
    NoRecord(9) = "no_record",
    /// The score reaches the policy's `block` threshold.
    ThresholdBlock(FIRST_AFTER_RULES) = "threshold_block",
    /// The score reaches the policy's `challenge` threshold.
    ThresholdChallenge(FIRST_AFTER_RULES + 1) = "threshold_challenge",
    /// The score reaches the policy's `log` threshold.
    ThresholdLog(FIRST_AFTER_RULES + 2) = "threshold_log",
    /// The score reaches no threshold.
    BelowThresholds(FIRST_AFTER_RULES + 3) = "below_thresholds",
    /// The evidence is older than its time to live.
    StaleEvidence(FIRST_AFTER_RULES + 4) = "stale_evidence",
    /// The policy's `maxAction` lowered the action.
    MaxAction(FIRST_AFTER_RULES + 5) = "max_action",
    /// Anybody could have written the address, which capped or raised the action.
    UnverifiedAddress(FIRST_AFTER_RULES + 6) = "unverified_address",
    /// What feeds know is not enough for what their score asks for, which lowered the action.
    FeedsNotStrict(FIRST_AFTER_RULES + 7) = "feeds_not_strict",
    /// Addresses around it attack, which raised the score; it is no evidence about the address itself.
    Neighbourhood(FIRST_AFTER_RULES + 8) = "neighbourhood",
    /// Under pressure the newest evidence about a neighbour in the same /24 or /48 answered.
    NeighbourEvidence(FIRST_AFTER_RULES + 9) = "neighbour_evidence",
}

/// A set of reasons. The lower the bit, the more important the reason; the bits between the first and the
/// second group of [`Reason`] are the rules of the policy, in their order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reasons(u64);

impl Reasons {
    /// The set with `reason`.
    #[must_use]
    pub(crate) const fn with(self, reason: Reason) -> Self {
        Self(self.0 | 1 << reason.bit())
    }

    /// The set with the rule at that place in the policy.
    #[must_use]
    pub(crate) const fn with_rule(self, place: u8) -> Self {
        Self(self.0 | 1 << (FIRST_RULE + place as u32))
    }

    /// The set as bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// What each bit of [`Reasons`] means in a policy with these rules, most important first; unused bits are empty.
pub(crate) fn names<'a>(rule_ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names = vec![String::new(); 64];
    for reason in Reason::ALL {
        reason.as_str().clone_into(&mut names[reason.bit() as usize]);
    }
    for (name, id) in names[FIRST_RULE as usize..FIRST_AFTER_RULES as usize].iter_mut().zip(rule_ids) {
        id.clone_into(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_bit_of_its_own_outside_the_rules() {
        let bits: std::collections::HashSet<u32> = Reason::ALL.iter().map(|reason| reason.bit()).collect();
        assert_eq!(bits.len(), Reason::ALL.len());
        assert!(bits.iter().all(|bit| *bit < FIRST_RULE || (FIRST_AFTER_RULES..64).contains(bit)));
        assert_eq!(FIRST_AFTER_RULES - FIRST_RULE, u32::try_from(MAX_RULES).unwrap());
    }
}
