//! Neighbours under pressure: how many look-ups the new addresses of one network get, and whose evidence answers for
//! the rest.
//!
//! The memory is fixed: [`MOST_NETWORKS`] networks in buckets of 8, to which a hash with a key of this process
//! assigns them, so that nobody can aim at a bucket. Where a bucket is full, the network with the fewest look-ups goes,
//! the longest silent one first. So a flood from ever new networks pushes out others that asked once, which lose
//! nothing by it: below the limit a network is looked up whether it is remembered or not. A network that has reached
//! its limit, an attacker's or a large carrier's, goes only when all others in its bucket asked more.
//!
//! Pure: the time is passed in. A short lock for each bucket, two per look-up.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::address::{Address, prefix_mask};
use crate::evidence::Evidence;

/// How many look-ups one network gets in the [`WINDOW`] under pressure: enough to see most of what lives in a /24.
pub const MOST_LOOK_UPS: usize = 16;
/// In milliseconds. Also how old the evidence of a neighbour may be.
pub const WINDOW: u64 = 10 * 60_000;
/// How many networks are remembered at most, less than half a kilobyte each but for the names in their evidence.
pub const MOST_NETWORKS: usize = BUCKETS * WAYS;

const BUCKETS: usize = 512;
const WAYS: usize = 8;

/// The /24 or /48 of an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network(u128);

impl Network {
    /// The one that `address` is in. Give the judged address, so that 6to4 and the like count as their IPv4.
    #[must_use]
    pub fn of(address: Address) -> Self {
        // IPv4 is in its mapped form, after 96 bits.
        Self(address.bits() & prefix_mask(if address.ip().is_ipv4() { 96 + 24 } else { 48 }))
    }
}

/// What to do about an address of which nothing is known.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Look it up.
    LookUp,
    /// Judge by the newest evidence about a neighbour: at most `challenge`, never stored, and never enough to clear a
    /// policy that closes.
    Sibling(Evidence),
    /// Its network had its look-ups, and none of them brought evidence: [`Code::Budget`](crate::error::Code::Budget).
    Refused,
}

/// What is remembered of one network.
#[derive(Debug)]
struct Record {
    network: Network,
    /// When its latest look-ups began, oldest first from `next` on.
    look_ups: [Option<u64>; MOST_LOOK_UPS],
    next: usize,
    evidence: Option<Evidence>,
}

/// Whether that was within the window. Also what lies ahead, within as much: a clock that was set back.
fn is_recent(at: u64, now: u64) -> bool {
    now.abs_diff(at) < WINDOW
}

impl Record {
    fn new(network: Network) -> Self {
        Self { network, look_ups: [None; MOST_LOOK_UPS], next: 0, evidence: None }
    }

    fn recent(&self, now: u64) -> usize {
        self.look_ups.iter().flatten().filter(|at| is_recent(**at, now)).count()
    }

    fn latest(&self) -> Option<u64> {
        self.look_ups.iter().flatten().max().copied()
    }

    fn look_up(&mut self, now: u64) {
        if let Some(oldest) = self.look_ups.get_mut(self.next) {
            *oldest = Some(now);
        }
        self.next = (self.next + 1) % MOST_LOOK_UPS;
    }

    fn turn(&self, is_under_pressure: bool, now: u64) -> Turn {
        if !is_under_pressure || self.recent(now) < MOST_LOOK_UPS {
            return Turn::LookUp;
        }
        match &self.evidence {
            Some(evidence) if is_recent(evidence.checked_at, now) => Turn::Sibling(evidence.clone()),
            _ => Turn::Refused,
        }
    }
}

fn locked(bucket: &Mutex<Vec<Record>>) -> MutexGuard<'_, Vec<Record>> {
    // Valid after every statement, so a panic elsewhere does not spoil it.
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The networks of late. One for each engine.
#[derive(Debug)]
pub struct Neighbours {
    keys: RandomState,
    buckets: Vec<Mutex<Vec<Record>>>,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            keys: RandomState::new(),
            buckets: std::iter::repeat_with(Mutex::default).take(BUCKETS).collect(),
        }
    }
}

impl Neighbours {
    fn bucket(&self, network: Network) -> Option<MutexGuard<'_, Vec<Record>>> {
        let place = usize::try_from(self.keys.hash_one(network) % BUCKETS as u64).ok()?;
        self.buckets.get(place).map(locked)
    }

    /// What to do about a new address of `network`. Counts nothing: a look-up may yet be refused. Without pressure it is
    /// [`Turn::LookUp`].
    #[must_use]
    pub fn admit(&self, network: Network, is_under_pressure: bool, now: u64) -> Turn {
        let Some(bucket) = self.bucket(network) else { return Turn::LookUp };
        let record = bucket.iter().find(|record| record.network == network);
        record.map_or(Turn::LookUp, |record| record.turn(is_under_pressure, now))
    }

    /// The same once the look-up is paid for, and counts it: always, under pressure or not. Others may have had the last
    /// turn meanwhile; then it is not to be made.
    #[must_use]
    pub fn looked_up(&self, network: Network, is_under_pressure: bool, now: u64) -> Turn {
        let Some(mut bucket) = self.bucket(network) else { return Turn::LookUp };
        if let Some(record) = bucket.iter_mut().find(|record| record.network == network) {
            let turn = record.turn(is_under_pressure, now);
            if matches!(turn, Turn::LookUp) {
                record.look_up(now);
            }
            return turn;
        }
        let mut record = Record::new(network);
        record.look_up(now);
        if bucket.len() >= WAYS {
            let least = |(_, record): &(usize, &Record)| (record.recent(now), record.latest());
            let victim = bucket.iter().enumerate().min_by_key(least).map(|(place, _)| place);
            victim.map(|place| bucket.swap_remove(place));
        }
        bucket.push(record);
        Turn::LookUp
    }

    /// Takes note of what the provider said about an address of `network`, for its neighbours.
    pub fn learn(&self, network: Network, evidence: &Evidence) {
        let Some(mut bucket) = self.bucket(network) else { return };
        let Some(record) = bucket.iter_mut().find(|record| record.network == network) else { return };
        if record.evidence.as_ref().is_none_or(|known| known.checked_at <= evidence.checked_at) {
            record.evidence = Some(evidence.clone());
        }
    }

    /// Forgets the evidence of one network, or of all, when an address or everything is invalidated; not how many
    /// look-ups there were.
    pub fn forget(&self, network: Option<Network>) {
        let forget = |records: &mut Vec<Record>| {
            let is_meant = |record: &&mut Record| network.is_none_or(|network| record.network == network);
            records.iter_mut().filter(is_meant).for_each(|record| record.evidence = None);
        };
        match network {
            Some(network) => self.bucket(network).iter_mut().for_each(|bucket| forget(bucket)),
            None => self.buckets.iter().for_each(|bucket| forget(&mut locked(bucket))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Provider;
    use crate::flags::tests::cases;
    use crate::flags::{Flags, Percentage};

    const NOW: u64 = 1_795_435_200_000;

    fn address(ip: impl Into<IpAddr>) -> Address {
        Address::parse(&ip.into().to_string()).unwrap()
    }

    /// The /24 of that number, or one of the /48s above them.
    fn network(number: u32) -> Network {
        Network::of(address(Ipv4Addr::from_bits(number << 8)))
    }

    fn network6(number: u128) -> Network {
        Network::of(address(Ipv6Addr::from_bits(0x2600_u128 << 112 | number << 80)))
    }

    fn evidence(score: f64, checked_at: u64) -> Evidence {
        let score = Percentage::new(score).unwrap();
        Evidence { flags: Flags::default(), score, provider: Provider::Ipgeolocation, checked_at }
    }

    fn is_look_up(turn: &Turn) -> bool {
        matches!(turn, Turn::LookUp)
    }

    /// What a new address gets that nothing else refuses.
    fn turn(neighbours: &Neighbours, network: Network, is_under_pressure: bool, now: u64) -> Turn {
        match neighbours.admit(network, is_under_pressure, now) {
            Turn::LookUp => neighbours.looked_up(network, is_under_pressure, now),
            turn => turn,
        }
    }

    /// How many of `times` new addresses are looked up.
    fn look_ups(neighbours: &Neighbours, network: Network, times: usize, now: u64) -> usize {
        (0..times).filter(|_| is_look_up(&turn(neighbours, network, true, now))).count()
    }

    fn remembered(neighbours: &Neighbours) -> usize {
        neighbours.buckets.iter().map(|bucket| bucket.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_record_is_small() {
        let size = size_of::<Record>();
        assert!(size <= 512, "{size} bytes");
    }

    #[test]
    fn a_network_is_a_24_or_a_48() {
        let network = |text: &str| Network::of(Address::parse(text).unwrap());
        assert_eq!(network("198.51.100.0"), network("::ffff:198.51.100.255"));
        assert_ne!(network("198.51.100.0"), network("198.51.101.0"));
        assert_eq!(network("2600:1:2::1"), network("2600:1:2:ffff:ffff::"));
        assert_ne!(network("2600:1:2::"), network("2600:1:3::"));
    }

    #[test]
    fn under_pressure_a_network_has_16_look_ups_in_10_minutes_and_others_theirs() {
        let neighbours = Neighbours::default();
        assert_eq!(look_ups(&neighbours, network(1), 100, NOW), 16);
        assert_eq!(look_ups(&neighbours, network(2), 100, NOW), 16);
        assert_eq!(look_ups(&neighbours, network6(1), 100, NOW + 1), 16);
        assert_eq!(look_ups(&neighbours, network(1), 100, NOW + WINDOW - 1), 0);
        assert_eq!(look_ups(&neighbours, network(1), 100, NOW + WINDOW), 16);
    }

    #[test]
    fn without_pressure_all_are_looked_up_and_counted() {
        let neighbours = Neighbours::default();
        for _ in 0..100 {
            assert!(is_look_up(&turn(&neighbours, network(1), false, NOW)));
        }
        assert_eq!(look_ups(&neighbours, network(1), 10, NOW + 1), 0);
        assert!(is_look_up(&turn(&neighbours, network(1), false, NOW + 1)));
    }

    #[test]
    fn a_look_up_that_was_refused_takes_no_turn_and_the_last_turn_is_had_once() {
        let neighbours = Neighbours::default();
        for _ in 0..100 {
            assert!(is_look_up(&neighbours.admit(network(1), true, NOW)));
        }
        assert_eq!(remembered(&neighbours), 0);
        // All were admitted before the first of them was paid for.
        let made = (0..100).filter(|_| is_look_up(&neighbours.looked_up(network(1), true, NOW)));
        assert_eq!(made.count(), 16);
    }

    #[test]
    fn the_newest_evidence_of_a_neighbour_answers_while_it_is_new() {
        let neighbours = Neighbours::default();
        let score = |now: u64| match turn(&neighbours, network(1), true, now) {
            Turn::Sibling(evidence) => Some(evidence.score.value()),
            Turn::LookUp => panic!("looked up"),
            Turn::Refused => None,
        };
        // Of a network that was never asked for nothing is kept.
        neighbours.learn(network(1), &evidence(1.0, NOW));
        look_ups(&neighbours, network(1), 16, NOW);
        assert_eq!(score(NOW), None);
        for (points, checked_at, expected) in [(10.0, NOW, 10), (30.0, NOW + 2, 30), (20.0, NOW + 1, 30)] {
            neighbours.learn(network(1), &evidence(points, checked_at));
            assert_eq!(score(NOW + 3), Some(expected));
        }
        neighbours.learn(network(2), &evidence(90.0, NOW + 3));
        assert_eq!(score(NOW + 3), Some(30));
        neighbours.forget(Some(network(2)));
        assert_eq!(score(NOW + 3), Some(30));
        for forgotten in [Some(network(1)), None] {
            neighbours.forget(forgotten);
            assert_eq!(score(NOW + 3), None);
            neighbours.learn(network(1), &evidence(10.0, NOW));
            assert_eq!(score(NOW + 3), Some(10));
        }
        neighbours.forget(None);
        // Old evidence does not answer, although the network is still busy.
        neighbours.learn(network(1), &evidence(10.0, NOW - WINDOW));
        assert_eq!(score(NOW + 3), None);
    }

    #[test]
    fn a_clock_that_was_set_back_shuts_nobody_out_for_long() {
        let neighbours = Neighbours::default();
        look_ups(&neighbours, network(1), 16, NOW);
        assert_eq!(look_ups(&neighbours, network(1), 1, NOW - WINDOW + 1), 0);
        assert_eq!(look_ups(&neighbours, network(1), 1, NOW - WINDOW), 1);
    }

    #[test]
    fn a_flood_of_new_networks_is_bounded_and_forgets_nobody_who_asks_much() {
        let neighbours = Neighbours::default();
        for busy in 0..20 {
            assert_eq!(look_ups(&neighbours, network(busy), 20, NOW), 16);
            neighbours.learn(network(busy), &evidence(50.0, NOW));
        }
        // 65,536 /48s are one cheap allocation; each asks once.
        for number in 0..65_536_u128 {
            assert!(is_look_up(&turn(&neighbours, network6(number), true, NOW + 1)));
        }
        assert!(remembered(&neighbours) <= MOST_NETWORKS);
        for busy in 0..20 {
            let turn = turn(&neighbours, network(busy), true, NOW + 2);
            assert!(matches!(turn, Turn::Sibling(_)), "{busy} was forgotten");
        }
    }

    #[test]
    fn one_48_does_not_cost_unrelated_clients_their_look_ups() {
        let neighbours = Neighbours::default();
        let (mut flood, mut unrelated) = (0, 0);
        for number in 0..65_536_u32 {
            flood += usize::from(is_look_up(&turn(&neighbours, network6(7), true, NOW + u64::from(number))));
            if number % 64 == 0 {
                let turn = turn(&neighbours, network(number / 64), true, NOW + u64::from(number));
                unrelated += usize::from(is_look_up(&turn));
            }
        }
        assert_eq!((flood, unrelated), (16, 1_024));
    }

    #[test]
    fn what_is_silent_makes_room_before_what_asks_now() {
        let neighbours = Neighbours::default();
        for number in 0..65_536 {
            look_ups(&neighbours, network(number), 16, NOW);
        }
        assert!(remembered(&neighbours) > MOST_NETWORKS * 9 / 10);
        let later = NOW + WINDOW;
        assert_eq!(look_ups(&neighbours, network6(1), 10, later), 10);
        for number in 0..16_384 {
            look_ups(&neighbours, network(number), 1, later + 1);
        }
        // It was not pushed out, so its count goes on.
        assert_eq!(look_ups(&neighbours, network6(1), 10, later + 2), 6);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit(u32, bool),
        /// A look-up that is refused then.
        Look(u32, bool),
        Learn(u32, u64),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (0_u32..3, prop::bool::weighted(0.8)).prop_map(|(number, pressed)| Step::Admit(number, pressed)),
            3 => (0_u32..3, any::<bool>()).prop_map(|(number, pressed)| Step::Look(number, pressed)),
            2 => (0_u32..3, 0_u64..100_000).prop_map(|(number, age)| Step::Learn(number, age)),
            2 => (0_u64..100_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn it_answers_as_a_list_of_all_look_ups_does(steps in prop::collection::vec(step(), 0..400)) {
            let (neighbours, mut now) = (Neighbours::default(), NOW);
            let mut began: HashMap<u32, Vec<u64>> = HashMap::new();
            let mut learnt: HashMap<u32, Vec<u64>> = HashMap::new();
            for step in steps {
                match step {
                    Step::Pass(time) => now += time,
                    Step::Learn(number, age) => {
                        neighbours.learn(network(number), &evidence(1.0, now - age));
                        if began.contains_key(&number) {
                            learnt.entry(number).or_default().push(now - age);
                        }
                    }
                    Step::Admit(number, is_pressed) | Step::Look(number, is_pressed) => {
                        let is_made = matches!(step, Step::Admit(..));
                        let known = began.get(&number).map_or(&[][..], Vec::as_slice);
                        let recent = known.iter().filter(|at| **at + 600_000 > now).count();
                        let newest = learnt.get(&number).and_then(|learnt| learnt.iter().max());
                        let newest = newest.filter(|at| **at + 600_000 > now);
                        let ask = if is_made { turn } else { Neighbours::admit };
                        match ask(&neighbours, network(number), is_pressed, now) {
                            Turn::LookUp => {
                                prop_assert!(!is_pressed || recent < 16);
                                if is_made {
                                    began.entry(number).or_default().push(now);
                                }
                            }
                            Turn::Sibling(evidence) => {
                                prop_assert!(is_pressed && recent >= 16);
                                prop_assert_eq!(Some(&evidence.checked_at), newest);
                            }
                            Turn::Refused => {
                                prop_assert!(is_pressed && recent >= 16);
                                prop_assert_eq!(None, newest);
                            }
                        }
                    }
                }
            }
        }
    }
}
