//! What signals weigh, as data: `scoring.json`. Changing a number there is a line in the changelog.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::neighbourhood::Constants;
use super::signal::{SIGNALS, Signal};
use crate::error::{Code, Error};

const HOUR: u64 = 60 * 60 * 1_000;

/// Evidence of one family says the same thing several times, so only the strongest of it counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// What kind of network it is.
    Network,
    /// What hides who is behind the address.
    Anonymizer,
    /// What the address did.
    Reputation,
    /// Whether it spams.
    Spam,
}

/// How one signal weighs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Weighing {
    /// What it is evidence of.
    pub family: Family,
    /// From 0 to 100 while it is fresh.
    pub weight: u8,
    fresh_hours: u64,
    half_life_hours: u64,
    max_age_hours: u64,
    /// Enough by itself, so that it may block and answers before the provider is asked.
    #[serde(default)]
    pub strict: bool,
    /// About this very address, not about its network.
    #[serde(default)]
    pub exact: bool,
    /// Collected over so long that shared addresses stand on it without having done anything.
    #[serde(default)]
    pub history: bool,
}

impl Weighing {
    /// What is left of the weight of a feed that is `age` milliseconds old, from 1 down to 0: all of it while it is
    /// fresh, half of it a half-life later, nothing at its greatest age.
    #[must_use]
    pub fn decay(&self, age: u64) -> f64 {
        if age >= self.max_age_hours * HOUR {
            return 0.0;
        }
        let over = age.saturating_sub(self.fresh_hours * HOUR);
        if over == 0 {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "hours are far below 2^53 milliseconds")]
        (-(over as f64) / (self.half_life_hours * HOUR) as f64).exp2()
    }
}

/// All numbers of the model.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scoring {
    /// Rises with every change of a number.
    pub version: u32,
    signals: Weighings,
    /// What standing on 1, 2, 3, 4, and 5 or more lists weighs.
    attack_counts: [u8; 5],
    /// Fewer lists say nothing about a Tor exit, which stands on some for being one.
    pub(crate) least_count_for_tor: u8,
    /// From so many lists on the address is a known attacker.
    pub(crate) least_count_for_attacker: u8,
    /// So many operators that saw an attack independently make a known attacker.
    pub(crate) least_operators_for_attacker: usize,
    /// A known attacker scores at least this.
    pub(crate) attacker_floor: f64,
    /// Two ways to hide at once score at least this.
    pub(crate) overlap_floor: f64,
    /// An open proxy in a VPN scores at least this.
    pub(crate) proxy_over_vpn_floor: f64,
    /// A relay scores this,
    pub(crate) relay_base: f64,
    /// plus this share of what it would score,
    pub(crate) relay_share: f64,
    /// but no more than this.
    pub(crate) relay_cap: f64,
    /// Addresses that many share, and good bots, score no more than this, unless known attackers are among them.
    pub(crate) shared_cap: f64,
    /// What the networks around an address say.
    pub neighbourhood: Constants,
}

/// How each signal weighs, by its number: they are looked up several times for each feed on which an address stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "BTreeMap<Signal, Weighing>")]
struct Weighings([Option<Weighing>; SIGNALS.len()]);

impl From<BTreeMap<Signal, Weighing>> for Weighings {
    fn from(written: BTreeMap<Signal, Weighing>) -> Self {
        Self(SIGNALS.map(|signal| written.get(&signal).copied()))
    }
}

impl Scoring {
    /// The one in this package.
    ///
    /// # Errors
    /// [`Code::Internal`] when the file in the package is damaged.
    pub fn shipped() -> Result<Self, Error> {
        let refused = |error| Error::new(Code::Internal, format!("`scoring.json` cannot be used: {error}"));
        serde_json::from_str(include_str!("scoring.json")).map_err(refused)
    }

    /// How a signal weighs; nothing for one that the file does not name.
    #[must_use]
    pub fn weighing(&self, signal: Signal) -> Option<&Weighing> {
        self.signals.0.get(signal as usize)?.as_ref()
    }

    /// What a row weighs, from 0 to 100, before it decays. `own` is the feed's own weight, `value` the row's number.
    pub(crate) fn weight(&self, signal: Signal, own: Option<u8>, value: u8) -> u8 {
        let place = usize::from(value).clamp(1, self.attack_counts.len()) - 1;
        match (signal, own) {
            (Signal::AttackCount, _) => self.attack_counts.get(place).copied().unwrap_or(0),
            (Signal::Score, _) => value.min(100),
            (_, Some(own)) => own.min(100),
            (_, None) => self.weighing(signal).map_or(0, |weighing| weighing.weight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_weighs_something_that_ends() {
        let scoring = Scoring::shipped().unwrap();
        for signal in SIGNALS {
            let weighing = scoring.weighing(signal).unwrap_or_else(|| panic!("{signal:?} is missing"));
            assert!(weighing.weight <= 100, "{signal:?}");
            assert!(
                weighing.fresh_hours < weighing.max_age_hours && weighing.half_life_hours > 0,
                "{signal:?}"
            );
        }
    }

    #[test]
    fn the_changelog_tells_of_the_version() {
        let changelog = include_str!("../../../../CHANGELOG.md");
        let version = format!("Scoring {}", Scoring::shipped().unwrap().version);
        assert!(changelog.contains(&version), "`CHANGELOG.md` says nothing of `{version}`");
    }

    #[test]
    fn weight_is_whole_while_fresh_then_halves_and_ends() {
        let scoring = Scoring::shipped().unwrap();
        let attack = scoring.weighing(Signal::Attack).unwrap();
        for (hours, left) in [(0, 1.0), (24, 1.0), (48, 0.5), (72, 0.25), (168, 0.0), (1_000_000, 0.0)] {
            assert!((attack.decay(hours * HOUR) - left).abs() < 1e-9, "{hours}");
        }
    }

    #[test]
    fn a_row_may_carry_its_own_weight() {
        let scoring = Scoring::shipped().unwrap();
        for (signal, own, value, weight) in [
            (Signal::Attack, None, 0, 45),
            (Signal::Attack, Some(40), 0, 40),
            (Signal::Attack, Some(200), 9, 100),
            (Signal::AttackCount, None, 0, 8),
            (Signal::AttackCount, None, 2, 28),
            (Signal::AttackCount, Some(1), 255, 85),
            (Signal::Score, None, 77, 77),
            (Signal::Score, None, 255, 100),
        ] {
            assert_eq!(scoring.weight(signal, own, value), weight, "{signal:?} {own:?} {value}");
        }
    }
}
