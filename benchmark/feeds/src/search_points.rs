//! The points of a neighbourhood, straight from their definition: a check on those in the table.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ip_risk_core::feeds::neighbourhood::{Constants, Scale};
use ip_risk_core::feeds::networks::Networks;
use ip_risk_core::feeds::range::Range;
use ip_risk_core::feeds::row::About;
use ip_risk_core::feeds::scoring::Scoring;
use ip_risk_core::feeds::signal::Signal;

use crate::snapshots::KeptRow;

/// Addresses that an AS announces, and how many of them are listed.
#[derive(Clone, Copy)]
struct System {
    addresses: f64,
    listed: f64,
}

/// What the definition needs, counted.
pub(crate) struct SearchPoints {
    constants: Constants,
    networks: Networks,
    listed: BTreeSet<u32>,
    /// How many listed addresses each network has, by its length and its bits.
    counts: HashMap<(u32, u32), f64>,
    systems: HashMap<u32, System>,
    world: f64,
}

impl SearchPoints {
    /// Nothing, when too few addresses are listed. `signals` are those of the feeds that the rows are from.
    pub(crate) fn new(rows: &[KeptRow], signals: &[Signal], networks: &Networks) -> Option<Self> {
        let constants = Scoring::shipped().ok()?.neighbourhood;
        let listed = listed(rows, signals, &constants, networks);
        let mut systems = systems(networks);
        let mut counts = HashMap::new();
        for address in &listed {
            let number = networks.number(IpAddr::V4((*address).into()))?;
            systems.get_mut(&number)?.listed += 1.0;
            for length in [16, 20, 24] {
                *counts.entry((length, address >> (32 - length))).or_default() += 1.0;
            }
        }
        let routed: f64 = systems.values().map(|system| system.addresses).sum();
        let all: f64 = systems.values().map(|system| system.listed).sum();
        (listed.len() >= constants.least_listed).then(|| Self {
            constants,
            networks: networks.clone(),
            listed,
            counts,
            systems,
            world: all / routed,
        })
    }

    /// The points of an address of which the feeds say `signals`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "points are clamped to what fits"
    )]
    pub(crate) fn of(&self, address: IpAddr, signals: &[Signal]) -> u8 {
        let has = |some: &[Signal]| signals.iter().any(|signal| some.contains(signal));
        let IpAddr::V4(ipv4) = address.to_canonical() else { return 0 };
        let system = self.networks.number(address).and_then(|number| self.systems.get(&number));
        let Some(system) = system.filter(|_| !has(&self.constants.off)) else { return 0 };
        let is_hosting = has(&self.constants.hosting);
        let Scale { start, most } =
            if is_hosting { self.constants.in_hosting } else { self.constants.elsewhere };
        let doublings = (self.rate(ipv4.to_bits(), *system) / self.world).log2();
        let points = start + self.constants.points_per_doubling * doublings;
        (points + 0.5).floor().clamp(0.0, f64::from(most)) as u8
    }

    /// The rate of listed addresses around an address.
    fn rate(&self, address: u32, system: System) -> f64 {
        let itself = f64::from(u8::from(self.listed.contains(&address)));
        let near = |length: u32| {
            let count = self.counts.get(&(length, address >> (32 - length))).copied().unwrap_or(0.0);
            (count - itself) / f64::from(1_u32 << (32 - length))
        };
        let (weights, prior) = (self.constants.weights, self.constants.prior_addresses);
        weights.network * (system.listed - itself + prior * self.world) / (system.addresses + prior)
            + weights.prefix16 * near(16)
            + weights.prefix20 * near(20)
            + weights.prefix24 * near(24)
    }
}

/// The routed addresses that count as listed.
fn listed(rows: &[KeptRow], signals: &[Signal], constants: &Constants, networks: &Networks) -> BTreeSet<u32> {
    let of_feeds = rows.iter().filter(|row| constants.listed.contains(&signals[row.feed]));
    let ranges = of_feeds.filter_map(|row| match row.about {
        About::Range(Range::V4(first, last)) if last - first < constants.widest => Some(first..=last),
        _ => None,
    });
    let is_routed = |address: &u32| networks.number(IpAddr::V4((*address).into())).is_some();
    ranges.flatten().filter(is_routed).collect()
}

#[expect(clippy::cast_precision_loss, reason = "there are 2^32 addresses")]
fn systems(networks: &Networks) -> HashMap<u32, System> {
    let system = |(number, size): (u32, u64)| (number, System { addresses: size as f64, listed: 0.0 });
    networks.sizes().into_iter().map(system).collect()
}
