//! Rules: data that raises or caps an action on what a source said.

use crate::decision::Action;
use crate::error::{Error, unknown_option};
use crate::evidence::Evidence;
use crate::flags::{BooleanField, BooleanMask, Field, NameField, NameListField, Subject};
use crate::reader::Reader;
use crate::routes::{RouteId, Routes, RoutesOf};

/// The actions that rules and caps may name.
pub(crate) const RISING_ACTIONS: &[(&str, Action)] = &[
    ("allow", Action::Allow),
    ("log", Action::Log),
    ("challenge", Action::Challenge),
    ("block", Action::Block),
];

/// `when` holds and no `unless` does: the action is at least and at most what the rule says.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    when: Conditions,
    unless: Vec<Conditions>,
    pub(crate) at_least: Option<Action>,
    pub(crate) at_most: Option<Action>,
    routes: RoutesOf,
}

/// Conditions that hold together. Those on booleans are one comparison, because every rule is asked at every decision.
#[derive(Clone, Debug, Default)]
struct Conditions {
    booleans: BooleanMask,
    others: Vec<Condition>,
}

impl Conditions {
    fn hold(&self, evidence: &Evidence, now: u64) -> bool {
        self.booleans.holds(&evidence.flags)
            && self.others.iter().all(|condition| condition.holds(evidence, now))
    }

    /// Adds what the user wrote about the flag called `name`.
    fn add(&mut self, name: &str, value: &Reader<'_>) -> Result<(), Error> {
        let Some(field) = Field::named(name) else {
            return Err(unknown_option(value.path(), name, &Field::ALL.map(|(known, _)| known)));
        };
        let condition = match field {
            Field::Boolean(field) => {
                self.booleans = self.booleans.said(field, value.boolean()?);
                return Ok(());
            }
            Field::ThreatScore => Condition::Score(read_range(value)?),
            Field::ConfidenceScore(subject) => Condition::Confidence(subject, read_range(value)?),
            Field::Name(field) => Condition::Name(field, read_names(value)?),
            Field::NameList(field) => Condition::NameList(field, read_names(value)?),
            Field::LastSeen(subject) => {
                let days = value.object(&["withinDays"])?.require("withinDays")?.whole(0, 36_500)?;
                Condition::SeenWithinDays(subject, u16::try_from(days).unwrap_or(u16::MAX))
            }
        };
        self.others.push(condition);
        Ok(())
    }
}

impl From<BooleanMask> for Conditions {
    fn from(booleans: BooleanMask) -> Self {
        Self { booleans, others: Vec::new() }
    }
}

#[derive(Clone, Debug)]
enum Condition {
    Score(Range),
    Confidence(Subject, Range),
    /// Names in lower case; one of them is enough.
    Name(NameField, Vec<String>),
    NameList(NameListField, Vec<String>),
    SeenWithinDays(Subject, u16),
}

#[derive(Clone, Copy, Debug)]
struct Range {
    min: u8,
    max: u8,
}

impl Range {
    fn holds(self, value: u8) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// The day in UTC that `now` is in, counted as [`Flags::last_seen`](crate::flags::Flags::last_seen) counts.
fn today(now: u64) -> Option<u16> {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    const DAYS_FROM_1970_TO_2000: u64 = 10_957;
    u16::try_from((now / DAY).checked_sub(DAYS_FROM_1970_TO_2000)?).ok()
}

impl Condition {
    fn holds(&self, evidence: &Evidence, now: u64) -> bool {
        let flags = &evidence.flags;
        let is_wanted = |wanted: &[String], name: &str| wanted.contains(&name.to_lowercase());
        match self {
            Self::Score(range) => range.holds(evidence.score.value()),
            Self::Confidence(subject, range) => {
                flags.confidence_score(*subject).is_some_and(|score| range.holds(score.value()))
            }
            Self::Name(field, wanted) => flags
                .names()
                .and_then(|shared| shared.names().one(*field))
                .is_some_and(|name| is_wanted(wanted, name)),
            Self::NameList(field, wanted) => flags
                .names()
                .is_some_and(|shared| shared.names().list(*field).iter().any(|name| is_wanted(wanted, name))),
            // A date in the future is the source's clock running ahead: seen today.
            Self::SeenWithinDays(subject, days) => flags
                .last_seen(*subject)
                .zip(today(now))
                .is_some_and(|(seen, today)| today.saturating_sub(seen) <= *days),
        }
    }
}

impl Rule {
    pub(crate) fn applies(&self, evidence: &Evidence, route: RouteId, now: u64) -> bool {
        self.when.hold(evidence, now)
            && !self.unless.iter().any(|conditions| conditions.hold(evidence, now))
            && self.routes.include(route)
            && (self.at_least.is_some() || self.cap(evidence).is_some())
    }

    /// The highest action that the rule leaves. Nothing softens what is said of a known attacker.
    pub(crate) fn cap(&self, evidence: &Evidence) -> Option<Action> {
        self.at_most.filter(|_| !evidence.flags.is(BooleanField::IsKnownAttacker))
    }

    /// One rule as the user wrote it.
    pub(crate) fn read(written: &Reader<'_>, routes: &mut Routes) -> Result<Self, Error> {
        let object = written.object(&["id", "when", "unless", "atLeast", "atMost", "routes", "enabled"])?;
        let action = |key| object.get(key).map(|reader| reader.one_of(RISING_ACTIONS)).transpose();
        let rule = Self {
            id: read_id(&object.require("id")?)?.to_owned(),
            when: read_conditions(&object.require("when")?)?,
            unless: match object.get("unless") {
                Some(unless) => {
                    unless.one_or_many()?.iter().map(read_conditions).collect::<Result<_, _>>()?
                }
                None => Vec::new(),
            },
            at_least: action("atLeast")?,
            at_most: action("atMost")?,
            routes: RoutesOf::read(object.get("routes"), routes)?,
        };
        let [least_name, most_name] = ["atLeast", "atMost"].map(|name| written.spelling().spell(name));
        match (rule.at_least, rule.at_most) {
            (None, None) => Err(written.refused(&format!("a rule needs `{least_name}` or `{most_name}`"))),
            (Some(least), Some(most)) if least > most => {
                Err(written.refused(&format!("`{least_name}` is above `{most_name}`")))
            }
            _ => Ok(rule),
        }
    }
}

/// The id of a rule is a reason code, so it has the shape of one.
pub(crate) fn read_id<'a>(written: &Reader<'a>) -> Result<&'a str, Error> {
    let expected = "a lower_snake code of at most 64 letters, digits and `_`, such as `trusted_cloud`";
    let is_code = |id: &&str| {
        id.len() <= 64
            && id.starts_with(|first: char| first.is_ascii_lowercase())
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    written.value().as_str().filter(is_code).ok_or_else(|| written.must_be(expected))
}

fn read_conditions(written: &Reader<'_>) -> Result<Conditions, Error> {
    let object = written.any_object()?;
    let mut conditions = Conditions::default();
    let mut is_empty = true;
    for (name, value) in object.entries() {
        conditions.add(name, &value)?;
        is_empty = false;
    }
    if is_empty {
        return Err(written.must_be("an object with at least one flag; use thresholds for what holds always"));
    }
    Ok(conditions)
}

fn read_range(written: &Reader<'_>) -> Result<Range, Error> {
    let object = written.object(&["min", "max"])?;
    let edge = |key| object.get(key).map(|reader| read_percentage(&reader)).transpose();
    match (edge("min")?, edge("max")?) {
        (None, None) => Err(written.must_be("an object with `min`, `max` or both")),
        (min, max) => {
            let range = Range { min: min.unwrap_or(0), max: max.unwrap_or(100) };
            if range.min <= range.max { Ok(range) } else { Err(written.refused("`min` is above `max`")) }
        }
    }
}

pub(crate) fn read_percentage(written: &Reader<'_>) -> Result<u8, Error> {
    Ok(u8::try_from(written.whole(0, 100)?).unwrap_or(100))
}

fn read_names(written: &Reader<'_>) -> Result<Vec<String>, Error> {
    let names: Vec<String> = written
        .one_or_many()?
        .iter()
        .map(|name| name.text().map(str::to_lowercase))
        .collect::<Result<_, _>>()?;
    if names.is_empty() { Err(written.must_be("a name or an array of names")) } else { Ok(names) }
}

/// The rules that every policy starts with. `block` is the policy's threshold of that name.
pub(crate) fn shipped(block: u8) -> Vec<Rule> {
    use BooleanField::{
        IsBot, IsCorporateGateway, IsKnownAttacker, IsKnownGoodBot, IsRelay, IsResidentialProxy, IsSpam,
    };
    let said = |field| BooleanMask::default().said(field, true);
    let rule = |id: &str, when: Conditions| Rule {
        id: id.to_owned(),
        when,
        unless: Vec::new(),
        at_least: None,
        at_most: None,
        routes: RoutesOf::All,
    };
    let raising = |id, field| Rule { at_least: Some(Action::Challenge), ..rule(id, said(field).into()) };
    let softening = |id, when, at_most| Rule {
        at_most: Some(at_most),
        unless: vec![
            said(IsKnownAttacker).into(),
            said(IsResidentialProxy).into(),
            said(IsSpam).into(),
            said(IsBot).not_true(IsKnownGoodBot).into(),
        ],
        ..rule(id, when)
    };
    let mut rules = vec![
        raising("residential_proxy", IsResidentialProxy),
        raising("known_attacker", IsKnownAttacker),
        softening("relay", said(IsRelay).into(), Action::Challenge),
        softening("corporate_gateway", said(IsCorporateGateway).into(), Action::Challenge),
        softening("known_good_bot", said(IsKnownGoodBot).into(), Action::Challenge),
    ];
    if let Some(max) = block.checked_sub(1) {
        let below =
            Conditions { booleans: said(IsRelay), others: vec![Condition::Score(Range { min: 0, max })] };
        rules.push(softening("relay_below_block", below, Action::Log));
    }
    rules
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::Provider;
    use crate::flags::tests::{any_evidence, cases};
    use crate::flags::{Flags, Names, Percentage};
    use crate::names::NameTable;

    const DAY: u64 = 24 * 60 * 60 * 1_000;
    /// Noon of 2026-01-31.
    const NOW: u64 = 20_484 * DAY + DAY / 2;

    fn rule(written: &Value) -> Rule {
        Rule::read(&Reader::new("rule", written), &mut Routes::default()).unwrap()
    }

    fn applies(when: &Value, evidence: &Evidence) -> bool {
        rule(&json!({ "id": "own", "when": when, "atLeast": "log" })).applies(evidence, RouteId::OTHER, NOW)
    }

    fn evidence(score: u8, set: impl FnOnce(&mut Flags)) -> Evidence {
        let mut flags = Flags::default();
        set(&mut flags);
        let score = Percentage::new(f64::from(score)).unwrap();
        Evidence { flags, score, provider: Provider::Ipgeolocation, checked_at: 0 }
    }

    /// Conditions that hold often.
    fn conditions() -> impl Strategy<Value = Value> {
        let boolean =
            prop::sample::select(vec!["is_vpn", "is_bot", "is_relay", "is_known_attacker", "is_spam"]);
        prop_oneof![
            (boolean, any::<bool>()).prop_map(|(name, wanted)| json!({ name: wanted })),
            (0_u8..=60).prop_map(|min| json!({ "threat_score": { "min": min } })),
            (40_u8..=100).prop_map(|max| json!({ "vpn_confidence_score": { "max": max } })),
        ]
    }

    proptest! {
        #![proptest_config(cases(2_048))]

        #[test]
        fn nothing_softens_what_is_said_of_a_known_attacker(
            mut evidence in any_evidence(),
            when in conditions(),
            unless in prop::option::of(conditions()),
            at_most in prop::sample::select(vec!["allow", "log", "challenge", "block"]),
        ) {
            let mut written = json!({ "id": "own", "when": when, "atMost": at_most });
            if let Some(unless) = unless {
                written["unless"] = unless;
            }
            evidence.flags.set_boolean(BooleanField::IsKnownAttacker, true);
            let softening = rule(&written);
            prop_assert!(!softening.applies(&evidence, RouteId::OTHER, NOW));
            for shipped in shipped(80).iter().filter(|rule| rule.at_most.is_some()) {
                prop_assert!(!shipped.applies(&evidence, RouteId::OTHER, NOW), "{}", shipped.id);
            }
        }

        #[test]
        fn unless_is_the_opposite_of_when(evidence in any_evidence(), when in conditions()) {
            let always = json!({ "threat_score": { "min": 0 } });
            let never = rule(&json!({ "id": "own", "when": always, "unless": when, "atLeast": "log" }));
            prop_assert_eq!(never.applies(&evidence, RouteId::OTHER, NOW), !applies(&when, &evidence));
        }

        #[test]
        fn every_condition_of_when_and_one_of_unless_must_hold(
            evidence in any_evidence(), first in conditions(), second in conditions(),
        ) {
            let mut both = first.clone();
            both.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
            // The same name twice is one condition.
            prop_assume!(both.as_object().unwrap().len() == 2);
            let (first_holds, second_holds) = (applies(&first, &evidence), applies(&second, &evidence));
            prop_assert_eq!(applies(&both, &evidence), first_holds && second_holds);
            let always = json!({ "threat_score": { "min": 0 } });
            let unless = |unless: Value| {
                let rule = rule(&json!({ "id": "own", "when": always, "unless": unless, "atLeast": "log" }));
                rule.applies(&evidence, RouteId::OTHER, NOW)
            };
            prop_assert_eq!(unless(json!([first, second])), !(first_holds || second_holds));
            prop_assert_eq!(unless(both), !(first_holds && second_holds));
        }
    }

    #[test]
    fn an_absent_flag_is_neither_true_nor_false() {
        let absent = evidence(50, |_| {});
        for when in [
            json!({ "is_vpn": true }),
            json!({ "is_vpn": false }),
            json!({ "vpn_confidence_score": { "min": 0 } }),
            json!({ "vpn_last_seen": { "withinDays": 36_500 } }),
            json!({ "cloud_provider_name": "Google LLC" }),
            json!({ "vpn_provider_names": "Nord VPN" }),
        ] {
            assert!(!applies(&when, &absent), "{when}");
        }
        let denied = evidence(50, |flags| flags.set_boolean(BooleanField::IsVpn, false));
        assert!(applies(&json!({ "is_vpn": false }), &denied));
        assert!(!applies(&json!({ "is_vpn": true }), &denied));
    }

    #[test]
    fn ranges_hold_at_both_edges() {
        for (range, first, last) in [
            (json!({ "min": 20, "max": 30 }), 20, 30),
            (json!({ "min": 50 }), 50, 100),
            (json!({ "max": 10 }), 0, 10),
        ] {
            for score in 0..=100 {
                let holds = applies(&json!({ "threat_score": range }), &evidence(score, |_| {}));
                assert_eq!(holds, (first..=last).contains(&score), "{range} {score}");
            }
        }
    }

    #[test]
    fn names_are_compared_whole_and_without_regard_to_case() {
        let table = NameTable::default();
        let mut names = Names::default();
        names.set_one(NameField::CloudProviderName, "Google LLC");
        names.set_list(NameListField::VpnProviderNames, ["Nord VPN", "SurfShark VPN"]);
        let evidence = evidence(5, |flags| flags.set_names(table.share(names)));
        for (when, holds) in [
            (json!({ "cloud_provider_name": "google llc" }), true),
            (json!({ "cloud_provider_name": ["Amazon", "GOOGLE LLC"] }), true),
            (json!({ "cloud_provider_name": "Google" }), false),
            (json!({ "cloud_provider_name": "Google LLC." }), false),
            (json!({ "vpn_provider_names": "surfshark vpn" }), true),
            (json!({ "vpn_provider_names": ["Mullvad", "Nord VPN"] }), true),
            (json!({ "vpn_provider_names": "VPN" }), false),
            (json!({ "proxy_provider_names": "Nord VPN" }), false),
        ] {
            assert_eq!(applies(&when, &evidence), holds, "{when}");
        }
    }

    #[test]
    fn within_days_counts_whole_days_and_a_date_to_come_is_today() {
        for (seen, days, holds) in [
            ("2026-01-31", 0, true),
            ("2026-01-30", 0, false),
            ("2026-01-30", 1, true),
            ("2026-01-01", 29, false),
            ("2026-01-01", 30, true),
            ("2026-02-01", 0, true),
            ("2179-01-01", 0, true),
            ("2000-01-02", 9_525, false),
            ("2000-01-02", 9_526, true),
        ] {
            let seen_then = evidence(5, |flags| flags.set_last_seen(Subject::Vpn, seen.parse().unwrap()));
            let when = json!({ "vpn_last_seen": { "withinDays": days } });
            assert_eq!(applies(&when, &seen_then), holds, "{seen} within {days}");
        }
    }

    #[test]
    fn today_is_counted_in_utc_from_2000() {
        const FIRST: u64 = 10_957 * DAY;
        for (now, day) in [
            (0, None),
            (FIRST - 1, None),
            (FIRST, Some(0)),
            (FIRST + DAY - 1, Some(0)),
            (FIRST + DAY, Some(1)),
            (NOW, Some(9_527)),
            (u64::MAX, None),
        ] {
            assert_eq!(today(now), day, "{now}");
        }
    }

    #[test]
    fn a_rule_is_for_its_routes() {
        let mut routes = Routes::default();
        let always = json!({ "threat_score": { "min": 0 } });
        let written = json!({ "id": "own", "when": always, "atLeast": "log", "routes": ["/a", "/b"] });
        let rule = Rule::read(&Reader::new("rule", &written), &mut routes).unwrap();
        let applies_at = |route: &str| rule.applies(&evidence(5, |_| {}), routes.find(route), NOW);
        assert!(applies_at("/a") && applies_at("/b") && !applies_at("/c"));
    }
}
