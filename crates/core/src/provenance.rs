//! How a client address became known, from what a face saw of the request.

use crate::decision::Provenance;

/// What a face saw of a request, as bits. It reports; what follows from it is decided here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Facts(u32);

impl Facts {
    /// The text comes from a web framework, not from a caller of `check()`.
    pub const FRAMEWORK: u32 = 1;
    /// The application's own `clientIp` gave the text.
    pub const CUSTOM: u32 = 1 << 1;
    /// The framework trusts forwarded headers from anybody.
    pub const TRUSTS_EVERYONE: u32 = 1 << 2;
    /// The request has a header that only proxies write.
    pub const FORWARDED_HEADER: u32 = 1 << 3;
    /// The text is the address of the socket's peer.
    pub const IS_PEER: u32 = 1 << 4;
    /// The route blocks unverified addresses too.
    pub const BLOCK_UNVERIFIED: u32 = 1 << 5;

    /// The facts with those bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether `fact` was seen.
    #[must_use]
    pub const fn has(self, fact: u32) -> bool {
        self.0 & fact != 0
    }

    /// How the address became known. `is_special` says whether it is special-use space, or no address at all.
    pub(crate) fn provenance(self, is_special: bool) -> Provenance {
        if !self.has(Self::FRAMEWORK) {
            return Provenance::Application;
        }
        if self.has(Self::CUSTOM) {
            return Provenance::Custom;
        }
        if self.has(Self::TRUSTS_EVERYONE) {
            return Provenance::Unverified;
        }
        if !self.has(Self::IS_PEER) {
            return Provenance::TrustedProxy;
        }
        // A private peer that forwards requests is a proxy that nobody told the framework about.
        if is_special && self.has(Self::FORWARDED_HEADER) {
            Provenance::Unverified
        } else {
            Provenance::Socket
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of facts, with whether the address is special-use space or none.
    fn all() -> impl Iterator<Item = (Facts, bool)> {
        (0..64).flat_map(|bits| [(Facts::from_bits(bits), false), (Facts::from_bits(bits), true)])
    }

    #[test]
    fn only_what_the_text_alone_shows_makes_an_address_verified() {
        for (facts, is_special) in all() {
            let said = facts.provenance(is_special);
            let from_framework = facts.has(Facts::FRAMEWORK);
            let custom = facts.has(Facts::CUSTOM);
            let everyone = facts.has(Facts::TRUSTS_EVERYONE);
            let peer = facts.has(Facts::IS_PEER);
            let hidden_proxy = peer && is_special && facts.has(Facts::FORWARDED_HEADER);
            for (provenance, is_so) in [
                (Provenance::Application, !from_framework),
                (Provenance::Custom, from_framework && custom),
                (Provenance::Unverified, from_framework && !custom && (everyone || hidden_proxy)),
                (Provenance::Socket, from_framework && !custom && !everyone && peer && !hidden_proxy),
                (Provenance::TrustedProxy, from_framework && !custom && !everyone && !peer),
            ] {
                assert_eq!(said == provenance, is_so, "{facts:?}, special {is_special}: {said:?}");
            }
        }
    }

    #[test]
    fn a_route_that_blocks_unverified_addresses_does_not_verify_them() {
        for (facts, is_special) in all() {
            let blocking = Facts::from_bits(facts.0 | Facts::BLOCK_UNVERIFIED);
            assert_eq!(blocking.provenance(is_special), facts.provenance(is_special));
        }
    }
}
