//! What compiled feeds say, assessed once for all addresses on the same feeds.
//!
//! An assessment depends on the feeds on which an address stands, and on the time, because they age. There are far fewer
//! combinations of feeds than addresses, and within a minute an assessment hardly ever changes; where it does, it is made
//! anew for each look-up.

use std::ops::Range;
use std::sync::OnceLock;

use super::assessment::{Listed, assess_steady};
use super::direct_evidence::DirectEvidence;
use super::scoring::Scoring;
use super::table::Found;
use crate::names::NameTable;

/// For how many milliseconds assessments are kept.
const PERIOD: u64 = 60_000;
/// For how many combinations. Real feeds with networks have 11,000; more than these are assessed for each look-up, so that
/// what is kept stays below 2 MB whatever a file holds.
const MOST_COMBINATIONS: usize = 32_768;

/// What each combination of one table says for a while.
#[derive(Debug)]
pub(crate) struct Ready {
    period: Range<u64>,
    /// Filled by the first look-up. Nothing for a combination whose assessment changes within the period.
    by_combination: Box<[OnceLock<Option<DirectEvidence>>]>,
}

impl Ready {
    /// Nothing yet of a table with so many combinations, for a while from `now` on.
    pub(crate) fn new(combinations: usize, now: u64) -> Self {
        let by_combination = (0..combinations.min(MOST_COMBINATIONS)).map(|_| OnceLock::new()).collect();
        Self { period: now..now.saturating_add(PERIOD), by_combination }
    }

    /// Whether it is made for this time.
    pub(crate) fn is_for(&self, now: u64) -> bool {
        self.period.contains(&now)
    }

    /// What is said of addresses with the same combination as `found`, if it is made for this time, and the same for the
    /// whole period.
    pub(crate) fn direct_evidence(
        &self,
        found: Found<'_>,
        scoring: &Scoring,
        names: &NameTable,
        now: u64,
    ) -> Option<&DirectEvidence> {
        let assess = || {
            let listed: Vec<_> = found.entries().map(Listed::from).collect();
            let Range { start: first, end } = self.period;
            let assessment = assess_steady(scoring, &listed, first, end - 1)?;
            Some(DirectEvidence::new(assessment, names, found.table().built_at()))
        };
        if !self.is_for(now) {
            return None;
        }
        self.by_combination.get(usize::from(found.combination()))?.get_or_init(assess).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::evidence::FeedEvidence;
    use crate::feeds::assessment::assess;
    use crate::feeds::compile::compile;
    use crate::feeds::info::FeedInfo;
    use crate::feeds::range::Range as Addresses;
    use crate::feeds::reference::feed;
    use crate::feeds::row::{About, Row};
    use crate::feeds::signal::{SIGNALS, Signal};
    use crate::feeds::source::Source;
    use crate::feeds::table::Table;
    use crate::flags::Names;
    use crate::flags::tests::cases;

    const NOW: u64 = 1_780_000_000_000;
    const HOUR: u64 = 60 * 60 * 1_000;
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

    /// A feed on which the address stands, last seen at that time.
    fn source(number: usize, signal: Signal, value: u8, seen_at: u64) -> Source {
        let mut source = feed(&format!("feed-{number}"), signal);
        source.info = FeedInfo { seen_at, name: Some(format!("Name {}", number % 3)), ..source.info };
        source.take(Row { about: About::Range(Addresses::parse("8.8.8.0/24").unwrap()), name: None, value });
        source
    }

    fn table(sources: Vec<Source>) -> Table {
        compile(sources, None, NOW).unwrap().into_table()
    }

    type Told = (u8, [u32; 4], Names, u64, [bool; 3]);

    fn told(evidence: &FeedEvidence) -> Told {
        let FeedEvidence { evidence, is_match, is_strict, is_raised_by_neighbourhood } = evidence;
        let names = evidence.flags.names().map(|shared| shared.names().clone()).unwrap_or_default();
        let facts = [*is_match, *is_strict, *is_raised_by_neighbourhood];
        (evidence.score.value(), evidence.flags.words(), names, evidence.checked_at, facts)
    }

    /// What is told of the address when it is assessed at that very time.
    fn assessed(scoring: &Scoring, table: &Table, points: u8, now: u64) -> Option<Told> {
        let listed: Vec<_> = table.look_up(ADDRESS).entries().map(Listed::from).collect();
        let assessment = assess(scoring, &listed, points, now);
        let is_raised = assessment.neighbourhood >= scoring.neighbourhood.least_for_reason;
        let seen_at = if assessment.seen_at == 0 { table.built_at() } else { assessment.seen_at };
        let facts = [assessment.is_match, assessment.is_strict, is_raised];
        (assessment.is_match || assessment.neighbourhood > 0)
            .then(|| (assessment.score.value(), assessment.flags.words(), assessment.names, seen_at, facts))
    }

    /// An age at which weights begin to fall, are half or end, and less than two minutes around it; or any.
    fn age() -> impl Strategy<Value = u64> {
        let ends =
            [2, 24, 36, 48, 72, 96, 168, 504, 720, 792, 888, 2_160, 3_600, 4_320, 8_760, 11_640, 26_280];
        let around = (prop::sample::select(ends.to_vec()), 0..240_000_u64);
        prop_oneof![
            around.prop_map(|(hours, more)| hours * HOUR - 120_000 + more),
            0..30_000 * HOUR,
            0..10 * HOUR,
        ]
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_is_kept_is_what_would_be_assessed(
            rows in prop::collection::vec((prop::sample::select(SIGNALS.to_vec()), 0_u8..6, age()), 0..6),
            offsets in prop::collection::vec(0..PERIOD, 4),
        ) {
            let sources = rows.iter().enumerate();
            let sources = sources.map(|(number, (signal, value, age))| source(number, *signal, *value, NOW - age));
            let table = table(sources.collect());
            let (scoring, names) = (Scoring::shipped().unwrap(), NameTable::default());
            let ready = Ready::new(table.combinations(), NOW);
            for now in offsets.into_iter().chain([0, PERIOD - 1]).map(|offset| NOW + offset) {
                let found = table.look_up(ADDRESS);
                let Some(direct) = ready.direct_evidence(found, &scoring, &names, now) else { continue };
                for points in [0, 1, 7, 13, 24, 39] {
                    let kept = direct.among(&scoring.neighbourhood, points);
                    prop_assert_eq!(kept.as_ref().map(told), assessed(&scoring, &table, points, now));
                }
            }
        }
    }

    /// Whether what is said of an address on these feeds is kept from now on.
    fn is_kept(feeds: &[(Signal, u64)]) -> bool {
        let sources = feeds.iter().enumerate();
        let table =
            table(sources.map(|(number, (signal, seen_at))| source(number, *signal, 0, *seen_at)).collect());
        let ready = Ready::new(table.combinations(), NOW);
        let (scoring, names) = (Scoring::shipped().unwrap(), NameTable::default());
        ready.direct_evidence(table.look_up(ADDRESS), &scoring, &names, NOW).is_some()
    }

    #[test]
    fn what_changes_within_the_period_is_not_kept() {
        let (attack, tor, relay) = (Signal::Attack, Signal::TorExit, Signal::Relay);
        for (feeds, expected) in [
            (vec![], true),
            (vec![(attack, NOW)], true),
            (vec![(attack, NOW - 24 * HOUR + PERIOD - 1), (tor, NOW - HOUR)], true),
            // Half of the weight is left, which settles something.
            (vec![(attack, NOW - 48 * HOUR + PERIOD / 2)], false),
            (vec![(relay, NOW - 3_600 * HOUR + PERIOD / 2)], false),
            (vec![(attack, NOW - 168 * HOUR + PERIOD / 2)], false),
            (vec![(attack, NOW - 169 * HOUR)], true),
            // From 45 to 44 right after it is no longer fresh.
            (vec![(attack, NOW - 24 * HOUR + PERIOD / 2)], false),
            (vec![(attack, NOW - 25 * HOUR)], true),
            // What is dated in the future is seen at each moment anew.
            (vec![(attack, NOW + HOUR)], false),
        ] {
            assert_eq!(is_kept(&feeds), expected, "{feeds:?}");
        }
    }

    #[test]
    fn what_is_kept_is_for_its_period_and_bounded() {
        let table = table(vec![source(0, Signal::Attack, 0, NOW)]);
        let (scoring, names) = (Scoring::shipped().unwrap(), NameTable::default());
        let ready = Ready::new(table.combinations(), NOW);
        for (now, expected) in
            [(NOW - 1, false), (NOW, true), (NOW + PERIOD - 1, true), (NOW + PERIOD, false)]
        {
            let kept = ready.direct_evidence(table.look_up(ADDRESS), &scoring, &names, now);
            assert_eq!(kept.is_some(), expected, "{now}");
        }
        let most = Ready::new(70_000, NOW).by_combination;
        assert!(size_of_val(&*most) <= 2_000_000, "{}", size_of_val(&*most));
    }
}
