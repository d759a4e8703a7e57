//! How much attacks come out of the networks around an address.
//!
//! The rate of listed addresses around an address is estimated as a weighted mean of four: those of its AS, its /16, its
//! /20 and its /24, the address itself not counted. The rate of an AS is pulled towards that of the world by as many
//! average addresses as a /16 has, so that a small AS without listings is unknown and not clean. A rate like that of the
//! world gets some points, each doubling adds to them, each halving takes away. In hosting space the points start lower,
//! because the score holds most of what hosting means already.

use std::collections::HashMap;

use serde::Deserialize;

use super::fold::Space;
use super::info::FeedInfo;
use super::networks::Networks;
use super::signal::Signal;

/// In milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;

/// The constants of the estimate.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constants {
    /// Whose addresses count as listed.
    pub listed: Vec<Signal>,
    /// Where there are no points: many share these addresses, or the neighbours are others.
    pub off: Vec<Signal>,
    /// What makes hosting space.
    pub hosting: Vec<Signal>,
    /// Up to how many addresses a row counts as that many addresses, and not as a network.
    pub widest: u32,
    /// Older feeds do not count, in days before the table is compiled.
    pub max_age_days: u64,
    /// With fewer listed addresses the rates are noise, and there are no points at all.
    pub least_listed: usize,
    /// The weight of each network; their sum is 1.
    pub weights: Weights,
    /// How many average addresses are added to an AS.
    pub prior_addresses: f64,
    /// How many points a doubled rate adds.
    pub points_per_doubling: f64,
    /// The points outside hosting space.
    pub elsewhere: Scale,
    /// The points in hosting space.
    pub in_hosting: Scale,
    /// For how many days after a table was compiled its points say something.
    pub usable_days: u64,
    /// Together with the score of the address itself the points reach at most this, which is below a challenge.
    pub most_total: u8,
    /// From so many points on they are told as a reason.
    pub least_for_reason: u8,
}

/// How much each network around an address counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Weights {
    /// Its AS.
    pub network: f64,
    /// Its /16.
    pub prefix16: f64,
    /// Its /20.
    pub prefix20: f64,
    /// Its /24.
    pub prefix24: f64,
}

/// From a rate to points.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The points for the rate of the world.
    pub start: f64,
    /// The most points.
    pub most: u8,
}

impl Constants {
    /// Whether the points of a table that was compiled `age` milliseconds ago say something.
    #[must_use]
    pub const fn are_usable(&self, age: u64) -> bool {
        age < self.usable_days * DAY
    }

    /// Whether the addresses of a feed count as listed.
    pub(crate) fn counts(&self, feed: &FeedInfo, built_at: u64) -> bool {
        let age = built_at.saturating_sub(feed.seen_at);
        self.listed.contains(&feed.signal) && age <= self.max_age_days.saturating_mul(DAY)
    }

    /// The kind of space that has these signals.
    pub(crate) fn space(&self, signals: &[Signal]) -> Space {
        let has = |some: &[Signal]| signals.iter().any(|signal| some.contains(signal));
        if has(&self.off) {
            Space::Off
        } else if has(&self.hosting) {
            Space::Hosting
        } else {
            Space::Elsewhere
        }
    }

    /// The rate of listed addresses around an address, when that of the world is `world`.
    fn rate(&self, around: &Around, world: f64) -> f64 {
        let (system, prior) = (around.network, self.prior_addresses);
        self.weights.network * (system.listed + prior * world) / (system.addresses + prior)
            + self.weights.prefix16 * around.prefix16 / 65_536.0
            + self.weights.prefix20 * around.prefix20 / 4_096.0
            + self.weights.prefix24 * around.prefix24 / 256.0
    }

    /// How much more than the world's rate each number of points takes, from one point on.
    fn thresholds(&self, scale: Scale) -> Vec<f64> {
        let needed = |points: u8| ((f64::from(points) - 0.5 - scale.start) / self.points_per_doubling).exp2();
        (1..=scale.most).map(needed).collect()
    }
}

/// How many listed addresses are around an address, itself not counted.
#[derive(Clone, Copy)]
struct Around {
    network: System,
    prefix16: f64,
    prefix20: f64,
    prefix24: f64,
}

/// An AS: how many addresses it announces, and how many of those are listed.
#[derive(Clone, Copy, Default)]
struct System {
    addresses: f64,
    listed: f64,
}

/// The points of a run of addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Points {
    pub(crate) elsewhere: u8,
    pub(crate) in_hosting: u8,
}

/// The points of all IPv4 addresses: where they change, and what they are from there on. Before the first run, and
/// where no AS announces the addresses, there are none. `listed` is sorted and holds each address once.
pub(crate) fn points(listed: &[u32], networks: &Networks, constants: &Constants) -> Vec<(u32, Points)> {
    let listed: Vec<u32> =
        listed.iter().copied().filter(|address| networks.ipv4_number(*address).is_some()).collect();
    if listed.len() < constants.least_listed.max(1) {
        return Vec::new();
    }
    let cuts = cuts(&listed);
    let mut estimate = Estimate::new(&listed, networks, constants);
    let mut runs = Runs::default();
    let mut cuts = cuts.iter().copied().peekable();
    for span in &networks.ipv4 {
        while cuts.next_if(|cut| *cut <= span.first).is_some() {}
        runs.push(span.first, estimate.points(span.first, span.tag));
        while let Some(cut) = cuts.next_if(|cut| *cut <= span.last) {
            runs.push(cut, estimate.points(cut, span.tag));
        }
        if let Some(after) = span.last.checked_add(1) {
            runs.push(after, Points::default());
        }
    }
    runs.0
}

/// Runs of which neighbours differ.
#[derive(Default)]
struct Runs(Vec<(u32, Points)>);

impl Runs {
    fn push(&mut self, at: u32, points: Points) {
        // What a network's end wrote is written over by the network right after it.
        self.0.pop_if(|(last, _)| *last == at);
        if self.0.last().map_or(Points::default(), |(_, points)| *points) != points {
            self.0.push((at, points));
        }
    }
}

/// The addresses at which counts can change: around every listed address and its /24, /20 and /16.
fn cuts(listed: &[u32]) -> Vec<u32> {
    let around = |address: u32| {
        [0, 8, 12, 16].into_iter().flat_map(move |bits| {
            let first = address >> bits << bits;
            [Some(first), first.checked_add(1 << bits)].into_iter().flatten()
        })
    };
    let mut cuts: Vec<u32> = listed.iter().copied().flat_map(around).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The estimate for one address after another, in ascending order.
struct Estimate<'a> {
    constants: &'a Constants,
    /// How many listed addresses there are per routed one.
    world: f64,
    /// The rate of each AS by its number, still with all its listed addresses.
    systems: HashMap<u32, System>,
    address: Counter<'a>,
    prefix24: Counter<'a>,
    prefix20: Counter<'a>,
    prefix16: Counter<'a>,
    elsewhere: Vec<f64>,
    in_hosting: Vec<f64>,
}

impl<'a> Estimate<'a> {
    fn new(listed: &'a [u32], networks: &Networks, constants: &'a Constants) -> Self {
        let systems = systems(listed, networks);
        let routed: f64 = systems.values().map(|system| system.addresses).sum();
        let all: f64 = systems.values().map(|system| system.listed).sum();
        Self {
            constants,
            world: all / routed,
            systems,
            address: Counter::new(listed, 0),
            prefix24: Counter::new(listed, 8),
            prefix20: Counter::new(listed, 12),
            prefix16: Counter::new(listed, 16),
            elsewhere: constants.thresholds(constants.elsewhere),
            in_hosting: constants.thresholds(constants.in_hosting),
        }
    }

    fn points(&mut self, address: u32, number: u32) -> Points {
        let around = self.around(address, number);
        let ratio = self.constants.rate(&around, self.world) / self.world;
        let points = |thresholds: &[f64]| {
            let reached = thresholds.partition_point(|threshold| *threshold <= ratio);
            u8::try_from(reached).unwrap_or(u8::MAX)
        };
        Points { elsewhere: points(&self.elsewhere), in_hosting: points(&self.in_hosting) }
    }

    fn around(&mut self, address: u32, number: u32) -> Around {
        let itself = self.address.count(address);
        let system = self.systems.get(&number).copied().unwrap_or_default();
        Around {
            network: System { listed: system.listed - itself, ..system },
            prefix16: self.prefix16.count(address) - itself,
            prefix20: self.prefix20.count(address) - itself,
            prefix24: self.prefix24.count(address) - itself,
        }
    }
}

fn systems(listed: &[u32], networks: &Networks) -> HashMap<u32, System> {
    let mut systems: HashMap<u32, System> = HashMap::new();
    for span in &networks.ipv4 {
        systems.entry(span.tag).or_default().addresses += f64::from(span.last - span.first) + 1.0;
    }
    for number in listed.iter().filter_map(|address| networks.ipv4_number(*address)) {
        systems.entry(number).or_default().listed += 1.0;
    }
    systems
}

/// How many listed addresses are in the network of an address, for addresses in ascending order.
struct Counter<'a> {
    /// Those that are not before the network.
    rest: &'a [u32],
    /// How many bits of the address are within the network.
    bits: u32,
    network: Option<u32>,
    count: f64,
}

impl<'a> Counter<'a> {
    const fn new(listed: &'a [u32], bits: u32) -> Self {
        Self { rest: listed, bits, network: None, count: 0.0 }
    }

    fn count(&mut self, address: u32) -> f64 {
        let network = address >> self.bits;
        if self.network != Some(network) {
            while let Some((first, rest)) = self.rest.split_first()
                && first >> self.bits < network
            {
                self.rest = rest;
            }
            let inside = self.rest.iter().take_while(|listed| *listed >> self.bits == network);
            self.count = inside.map(|_| 1.0).sum();
            self.network = Some(network);
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feeds::sweep::Span;
    use crate::flags::tests::cases;

    /// With no least number of listed addresses.
    fn constants() -> Constants {
        Constants { least_listed: 0, ..crate::feeds::scoring::Scoring::shipped().unwrap().neighbourhood }
    }

    fn networks(spans: &[(u32, u32, u32)]) -> Networks {
        let spans = spans.iter().map(|&(first, last, tag)| Span { first, last, tag });
        Networks::new(spans.collect(), Vec::new()).unwrap()
    }

    fn at(runs: &[(u32, Points)], address: u32) -> Points {
        let before = runs.partition_point(|(start, _)| *start <= address);
        before.checked_sub(1).map_or(Points::default(), |place| runs[place].1)
    }

    #[test]
    fn the_constants_are_what_was_measured() {
        let constants = crate::feeds::scoring::Scoring::shipped().unwrap().neighbourhood;
        let weights = constants.weights;
        assert!(
            (weights.network + weights.prefix16 + weights.prefix20 + weights.prefix24 - 1.0).abs() < 1e-9
        );
        // A challenge takes 45; these are never enough by themselves.
        assert!(constants.elsewhere.most < 45 && constants.in_hosting.most < 45);
    }

    #[test]
    fn a_rate_becomes_points() {
        let constants = constants();
        let world = 1.705_514_665e-5;
        let points = |around: [f64; 5], scale: Scale| {
            let [prefix24, prefix20, prefix16, listed, addresses] = around;
            let around = Around { network: System { addresses, listed }, prefix16, prefix20, prefix24 };
            let ratio = constants.rate(&around, world) / world;
            constants.thresholds(scale).iter().filter(|threshold| **threshold <= ratio).count()
        };
        for (around, expected) in [
            ([0.0, 0.0, 0.0, 0.0, 256.0], 8),
            ([0.0, 0.0, 0.0, 0.0, 65_536.0], 6),
            ([0.0, 0.0, 0.0, 0.0, 50_000_000.0], 0),
            ([0.0, 0.0, 1.0, 212.0, 67_801_856.0], 5),
            ([0.0, 0.0, 2.0, 117.0, 12_225_024.0], 8),
            ([0.0, 1.0, 1.0, 1.0, 65_536.0], 14),
            ([1.0, 1.0, 1.0, 1.0, 65_536.0], 21),
            ([3.0, 11.0, 22.0, 30.0, 5_120.0], 24),
        ] {
            assert_eq!(points(around, constants.elsewhere), expected, "{around:?}");
        }
        for (around, expected) in [
            ([0.0, 0.0, 0.0, 121.0, 3_238_144.0], 5),
            ([0.0, 0.0, 0.0, 33.0, 2_482_176.0], 2),
            ([10.0, 12.0, 20.0, 40.0, 4_096.0], 23),
            ([66.0, 79.0, 79.0, 66.0, 768.0], 28),
        ] {
            assert_eq!(points(around, constants.in_hosting), expected, "{around:?}");
        }
    }

    #[test]
    fn what_stands_alone_has_no_neighbours() {
        let networks = networks(&[
            (0x0a00_0000, 0x0a0f_ffff, 1),
            (0x0b00_0000, 0x0b0f_ffff, 2),
            (0x0c00_0000, 0x0eff_ffff, 3),
        ]);
        let elsewhere = (0..600).map(|place| 0x0c00_0000 + place * 0x1_3000);
        let listed: Vec<u32> = [0x0a01_0107].into_iter().chain(elsewhere).collect();
        let runs = points(&listed, &networks, &constants());
        let of = |address| at(&runs, address).elsewhere;
        // The AS has no other listed address, so its only one is as well off as the AS without any.
        assert_eq!(of(0x0a01_0107), of(0x0b01_0107));
        assert!(of(0x0a01_0108) > of(0x0a01_0207), "in the /24");
        assert!(of(0x0a01_0207) > of(0x0a01_1007), "in the /20");
        assert!(of(0x0a01_1007) > of(0x0a02_0107), "in the /16");
        assert!(of(0x0a02_0107) > of(0x0b02_0107), "in the AS");
        assert_eq!(of(0x0f00_0000), 0, "nobody announces it");
    }

    #[test]
    fn few_listed_addresses_say_nothing() {
        let networks = networks(&[(0x0a00_0000, 0x0aff_ffff, 1)]);
        let constants = Constants { least_listed: 3, ..constants() };
        assert_eq!(points(&[0x0a00_0001, 0x0a00_0002], &networks, &constants), []);
        // Addresses that nobody announces do not count.
        assert_eq!(points(&[0x0a00_0001, 0x0a00_0002, 0x0b00_0000], &networks, &constants), []);
        assert_ne!(points(&[0x0a00_0001, 0x0a00_0002, 0x0a00_0003], &networks, &constants), []);
    }

    /// The same from the definition, for one address.
    fn defined(address: u32, listed: &[u32], networks: &Networks, constants: &Constants) -> Points {
        let listed: Vec<u32> =
            listed.iter().copied().filter(|one| networks.ipv4_number(*one).is_some()).collect();
        let Some(system) = networks.ipv4_number(address) else { return Points::default() };
        let number = |count: usize| f64::from(u32::try_from(count).unwrap());
        let size = |only: Option<u32>| {
            let spans = networks.ipv4.iter().filter(|span| only.is_none_or(|only| span.tag == only));
            spans.map(|span| f64::from(span.last - span.first) + 1.0).sum::<f64>()
        };
        let count = |is_near: &dyn Fn(u32) -> bool| {
            number(listed.iter().filter(|one| **one != address && is_near(**one)).count())
        };
        let around = Around {
            network: System {
                addresses: size(Some(system)),
                listed: count(&|one| networks.ipv4_number(one) == Some(system)),
            },
            prefix16: count(&|one| one >> 16 == address >> 16),
            prefix20: count(&|one| one >> 12 == address >> 12),
            prefix24: count(&|one| one >> 8 == address >> 8),
        };
        let world = number(listed.len()) / size(None);
        let ratio = constants.rate(&around, world) / world;
        let reached = |scale: Scale, points: u8| {
            scale.start + constants.points_per_doubling * ratio.log2() >= f64::from(points) - 0.5
        };
        let points =
            |scale: Scale| (0..=scale.most).rev().find(|points| reached(scale, *points)).unwrap_or(0);
        Points { elsewhere: points(constants.elsewhere), in_hosting: points(constants.in_hosting) }
    }

    /// Addresses that crowd in a few networks.
    fn address() -> impl Strategy<Value = u32> {
        let high =
            prop::sample::select(vec![0, 0x0a00_0000, 0x0a01_0000, 0x0a01_1000, 0xffff_0000, 0xffff_f000]);
        let low = prop_oneof![0..20_u32, 250..260_u32, 0x0ff0..0x1000_u32, 0..0x1000_u32];
        (high, low).prop_map(|(high, low)| high + low)
    }

    proptest! {
        #![proptest_config(cases(200))]

        #[test]
        fn runs_have_the_points_that_the_definition_gives(
            mut listed in prop::collection::vec(address(), 1..60),
            spans in prop::collection::vec((address(), 0..0x2_0000_u32, 1..5_u32), 1..12),
            others in prop::collection::vec(address(), 20),
        ) {
            listed.sort_unstable();
            listed.dedup();
            let spans: Vec<_> = spans.iter().map(|&(at, more, tag)| (at, at.saturating_add(more), tag)).collect();
            let (networks, constants) = (networks(&spans), constants());
            let runs = points(&listed, &networks, &constants);
            prop_assert!(runs.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1));
            if listed.iter().all(|address| networks.ipv4_number(*address).is_none()) {
                return Ok(());
            }
            let edges = spans.iter().flat_map(|&(first, last, _)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)]);
            let near = listed.iter().flat_map(|one| [one.wrapping_sub(1), *one, one.wrapping_add(1), one ^ 0x100]);
            for address in edges.chain(near).chain(others) {
                let expected = defined(address, &listed, &networks, &constants);
                prop_assert_eq!(at(&runs, address), expected, "{:#x}", address);
            }
        }
    }
}
