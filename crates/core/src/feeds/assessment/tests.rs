use proptest::prelude::*;

use super::*;
use crate::feeds::signal::SIGNALS;
use crate::flags::tests::cases;

const NOW: u64 = 1_780_000_000_000;
const HOUR: u64 = 60 * 60 * 1_000;

fn feed(operator: &str, signal: Signal, age: u64) -> FeedInfo {
    FeedInfo {
        id: format!("{operator}-{signal:?}"),
        title: operator.to_owned(),
        operator: operator.to_owned(),
        signal,
        weight: None,
        name: None,
        licence: "MIT".to_owned(),
        credit: None,
        seen_at: NOW - age,
        rows: 1,
    }
}

fn listed(feed: &FeedInfo) -> Listed<'_> {
    Listed { feed, signal: feed.signal, name: None, value: 0, confidence: None, seen: None }
}

fn assess_feeds(feeds: &[FeedInfo], neighbourhood: u8) -> Assessment {
    let listed: Vec<_> = feeds.iter().map(listed).collect();
    assess(&Scoring::shipped().unwrap(), &listed, neighbourhood, NOW)
}

/// The score of an address on feeds of one operator each.
fn score(signals: &[Signal]) -> u8 {
    let feeds: Vec<_> =
        signals.iter().enumerate().map(|(n, signal)| feed(&n.to_string(), *signal, 0)).collect();
    assess_feeds(&feeds, 0).score.value()
}

#[test]
fn families_are_combined_as_the_model_says() {
    use Signal::{
        Attack, AttackHistory, AttackRange, Cdn, Cloud, CorporateGateway, Criminal, CriminalAsn, GoodBot,
        Hosting, Mobile, PublicProxy, Relay, ResidentialProxy, Spam, SpamHistory, SpamRange, TorExit, Vpn,
        VpnRange,
    };
    for (signals, expected) in [
        (&[][..], 0),
        (&[Hosting], 20),
        (&[Cloud, Hosting], 24),
        (&[Cdn], 0),
        (&[VpnRange, Hosting], 32),
        (&[Vpn, VpnRange, Hosting], 36),
        (&[TorExit, Hosting], 65),
        (&[PublicProxy], 58),
        (&[ResidentialProxy], 70),
        (&[Attack], 45),
        (&[Attack, Hosting], 56),
        (&[Attack, Attack], 80),
        (&[Attack, AttackRange], 61),
        (&[AttackHistory], 12),
        (&[AttackHistory, TorExit], 65),
        (&[SpamHistory], 12),
        (&[SpamHistory, TorExit], 65),
        (&[Spam, Attack], 61),
        (&[SpamRange], 35),
        (&[Criminal], 85),
        (&[CriminalAsn, Hosting], 68),
        (&[TorExit, PublicProxy], 80),
        (&[ResidentialProxy, Vpn], 80),
        (&[Vpn, PublicProxy], 70),
        (&[Relay], 8),
        (&[Relay, VpnRange, Hosting], 11),
        (&[Relay, Attack, Attack], 16),
        (&[Relay, AttackHistory, SpamHistory], 8),
        (&[Relay, Criminal], 86),
        (&[CorporateGateway, TorExit], 44),
        (&[CorporateGateway, Attack, Attack], 80),
        (&[Mobile, Attack], 44),
        (&[GoodBot, Attack, Attack, Cloud], 44),
        (&[GoodBot, Criminal], 85),
    ] {
        assert_eq!(score(signals), expected, "{signals:?}");
    }
}

#[test]
fn one_operator_does_not_corroborate_itself() {
    let [first, second] =
        ["ssh", "mail"].map(|id| FeedInfo { id: id.into(), ..feed("one", Signal::Attack, 0) });
    assert_eq!(assess_feeds(&[first, second], 0).score.value(), 45);
}

#[test]
fn counts_and_computed_scores_stand_beside_operators_and_are_not_added() {
    let [counted, computed] = [Signal::AttackCount, Signal::Score].map(|signal| feed("many", signal, 0));
    let attack = feed("one", Signal::Attack, 0);
    let scoring = Scoring::shipped().unwrap();
    let of = |feed, value| Listed { value, ..listed(feed) };
    for (rows, expected) in [
        (vec![of(&counted, 1)], 8),
        (vec![of(&counted, 1), of(&attack, 0)], 45),
        (vec![of(&counted, 3)], 55),
        (vec![of(&counted, 4)], 80),
        (vec![of(&counted, 9)], 85),
        (vec![of(&computed, 33)], 33),
        (vec![of(&computed, 99), of(&attack, 0)], 99),
    ] {
        assert_eq!(assess(&scoring, &rows, 0, NOW).score.value(), expected, "{rows:?}");
    }
    let tor = feed("tor", Signal::TorExit, 0);
    for (count, expected) in [(2, 65), (3, 84)] {
        let rows = [listed(&tor), of(&counted, count)];
        assert_eq!(assess(&scoring, &rows, 0, NOW).score.value(), expected, "{count}");
    }
}

#[test]
fn old_evidence_weighs_less_and_settles_nothing_by_itself() {
    let aged = |signal, hours: u64| assess_feeds(&[feed("one", signal, hours * HOUR)], 0);
    for (signal, hours, expected) in [
        (Signal::Attack, 24, 45),
        (Signal::Attack, 48, 22),
        (Signal::Attack, 168, 0),
        (Signal::TorExit, 72 + 720, 32),
        (Signal::TorExit, 2_160, 0),
        (Signal::Criminal, 168 + 720, 80),
        (Signal::Criminal, 168 + 721, 42),
    ] {
        assert_eq!(aged(signal, hours).score.value(), expected, "{signal:?} {hours}");
    }
    let gone = aged(Signal::TorExit, 2_160);
    assert!(!gone.is_match && gone.flags.boolean(BooleanField::IsTor).is_none() && gone.seen_at == 0);
    assert!(aged(Signal::Criminal, 1).is_strict && !aged(Signal::Criminal, 2_000).is_strict);
    let corroborated = |hours: u64| {
        let feeds = ["one", "two"].map(|operator| feed(operator, Signal::Attack, hours * HOUR));
        assess_feeds(&feeds, 0).score.value()
    };
    assert_eq!((corroborated(48), corroborated(49)), (80, 38));
}

#[test]
fn flags_say_only_what_is_true_and_whose_it_is() {
    let named = |signal, name: &str| FeedInfo { name: Some(name.into()), ..feed("one", signal, 0) };
    let feeds = [
        named(Signal::Hosting, "A Host"),
        named(Signal::Cloud, "A Cloud"),
        named(Signal::Vpn, "B"),
        named(Signal::Vpn, "A"),
        named(Signal::VpnRange, "A"),
    ];
    let Assessment { flags, names, is_match, .. } = assess_feeds(&feeds, 0);
    assert!(is_match && flags.is(BooleanField::IsVpn) && flags.is(BooleanField::IsCloudProvider));
    assert_eq!(names.one(NameField::CloudProviderName), Some("A Cloud"));
    assert_eq!(names.list(NameListField::VpnProviderNames), ["A", "B"].map(Box::<str>::from));
    assert!(flags.last_seen(Subject::Vpn).is_some() && flags.threat_score().is_some());
    for field in [BooleanField::IsTor, BooleanField::IsProxy, BooleanField::IsKnownAttacker] {
        assert_eq!(flags.boolean(field), None, "absent, never false");
    }
}

#[test]
fn a_flag_is_said_while_at_least_half_of_the_weight_is_left() {
    for (signal, field, hours) in [
        (Signal::Criminal, BooleanField::IsKnownAttacker, 168 + 720),
        (Signal::ResidentialProxy, BooleanField::IsResidentialProxy, 168 + 336),
        (Signal::SpamRange, BooleanField::IsSpam, 168 + 720),
        (Signal::TorExit, BooleanField::IsTor, 72 + 720),
        (Signal::Relay, BooleanField::IsRelay, 720 + 2_880),
    ] {
        let flags = |hours: u64| assess_feeds(&[feed("one", signal, hours * HOUR)], 0).flags;
        assert_eq!(flags(hours).boolean(field), Some(true), "{signal:?}");
        assert_eq!(flags(hours + 1).boolean(field), None, "{signal:?}");
        assert!(flags(hours + 1).threat_score().is_some(), "{signal:?} still weighs");
    }
}

#[test]
fn what_is_no_longer_current_excuses_nothing() {
    let attacks = ["one", "two"].map(|operator| feed(operator, Signal::Attack, 0));
    for signal in [Signal::Relay, Signal::GoodBot, Signal::CorporateGateway, Signal::Mobile] {
        let old = feed(
            "three",
            signal,
            3_700 * HOUR + 20_000 * HOUR * u64::from(signal != Signal::Relay && signal != Signal::GoodBot),
        );
        let feeds = [attacks[0].clone(), attacks[1].clone(), old];
        assert!(assess_feeds(&feeds, 0).score.value() >= 80, "{signal:?}");
    }
    let counted = feed("many", Signal::AttackCount, 0);
    let tor = feed("tor", Signal::TorExit, 2_000 * HOUR);
    let rows = [Listed { value: 2, ..listed(&counted) }, listed(&tor)];
    assert!(assess(&Scoring::shipped().unwrap(), &rows, 0, NOW).score.value() >= 28);
}

#[test]
fn a_feed_that_scores_is_believed_and_its_flags_are_not_weighed_again() {
    let scoring = Scoring::shipped().unwrap();
    let database = feed("database", Signal::Score, 0);
    let says = |signal, value| Listed { signal, value, ..listed(&database) };
    for (score, others, expected) in [
        (30, &[Signal::Vpn, Signal::Cloud][..], 30),
        (0, &[Signal::Cloud], 0),
        (45, &[Signal::TorExit, Signal::PublicProxy], 45),
        (60, &[Signal::Relay], 60),
    ] {
        let mut rows = vec![says(Signal::Score, score)];
        rows.extend(others.iter().map(|signal| says(*signal, 0)));
        let assessment = assess(&scoring, &rows, 0, NOW);
        assert_eq!(assessment.score.value(), expected, "{score} {others:?}");
        assert!(assessment.flags.words()[0] != 0, "its flags are told");
    }
}

#[test]
fn a_feed_that_is_not_sure_weighs_less() {
    let scoring = Scoring::shipped().unwrap();
    let database = feed("database", Signal::Vpn, 0);
    let unsure = Listed { confidence: Some(30), ..listed(&database) };
    let assessment = assess(&scoring, &[unsure], 0, NOW);
    assert_eq!(assessment.score.value(), 10);
    assert_eq!(assessment.flags.confidence_score(Subject::Vpn).map(Percentage::value), Some(30));
}

#[test]
fn what_has_no_date_of_its_own_says_none() {
    let own = FeedInfo { seen_at: FeedInfo::ALWAYS, ..feed("own", Signal::Vpn, 0) };
    let flags = assess_feeds(&[own], 0).flags;
    assert!(flags.is(BooleanField::IsVpn) && flags.last_seen(Subject::Vpn).is_none());
    let database = feed("database", Signal::Vpn, 0);
    let long_ago = Listed { seen: Some(jiff::civil::date(1999, 1, 1)), ..listed(&database) };
    assert_eq!(assess(&Scoring::shipped().unwrap(), &[long_ago], 0, NOW).score.value(), 0);
}

#[test]
fn a_relay_is_neither_a_vpn_nor_a_cloud() {
    let feeds = [Signal::Relay, Signal::VpnRange, Signal::Cloud].map(|signal| feed("one", signal, 0));
    let flags = assess_feeds(&feeds, 0).flags;
    assert!(flags.is(BooleanField::IsRelay));
    assert!(!flags.is(BooleanField::IsVpn) && !flags.is(BooleanField::IsCloudProvider));
}

#[test]
fn the_neighbourhood_is_no_evidence_about_the_address() {
    let alone = assess_feeds(&[], 24);
    assert_eq!((alone.score.value(), alone.is_match), (24, false));
    assert_eq!(alone.adjustments, [Adjustment::Neighbourhood]);
    assert_eq!(alone.confidence, Confidence::Low);
    for (signal, points, expected) in [
        (Signal::Hosting, 5, 24),
        (Signal::Hosting, 2, 22),
        (Signal::Hosting, 23, 38),
        (Signal::Spam, 21, 39),
        (Signal::VpnRange, 28, 39),
        (Signal::Attack, 39, 45),
        (Signal::Relay, 39, 8),
        (Signal::Cloud, 39, 24),
        (Signal::Mobile, 39, 0),
        (Signal::GoodBot, 39, 0),
    ] {
        let score = assess_feeds(&[feed("one", signal, 0)], points).score.value();
        assert_eq!(score, expected, "{signal:?} {points}");
    }
}

proptest! {
    #![proptest_config(cases(2_048))]

    #[test]
    fn whatever_is_listed_the_bounds_hold(
        rows in prop::collection::vec(
            (prop::sample::select(SIGNALS.to_vec()), 0_u8..4, any::<u8>(), 0_u64..40_000, any::<Option<u8>>()), 0..12,
        ),
        neighbourhood in 0_u8..=39,
    ) {
        let feeds: Vec<_> = rows.iter().map(|(signal, operator, _, hours, weight)| FeedInfo {
            weight: *weight, ..feed(&operator.to_string(), *signal, hours * HOUR)
        }).collect();
        let listed: Vec<_> =
            feeds.iter().zip(&rows).map(|(feed, row)| Listed { value: row.2, ..listed(feed) }).collect();
        let scoring = Scoring::shipped().unwrap();
        let with = assess(&scoring, &listed, neighbourhood, NOW);
        let without = assess(&scoring, &listed, 0, NOW);
        prop_assert!(with.score >= without.score);
        prop_assert!(with.score.value() <= 39 || with.score == without.score);
        prop_assert_eq!(with.is_strict, without.is_strict);
        let is_relay = with.flags.is(BooleanField::IsRelay);
        prop_assert!(!is_relay || with.is_strict || with.score.value() <= 19);
        if with.is_strict && !is_relay {
            prop_assert!(with.score.value() >= 80);
        }
    }
}
