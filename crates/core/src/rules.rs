//! Rules: data that raises or caps an action on what a source said.

use crate::decision::Action;
use crate::error::{Error, unknown_option};
use crate::evidence::Evidence;
use crate::flags::{BooleanField, Field, NameField, NameListField, Subject};
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
    when: Vec<Condition>,
    unless: Vec<Vec<Condition>>,
    pub(crate) at_least: Option<Action>,
    pub(crate) at_most: Option<Action>,
    routes: RoutesOf,
}

#[derive(Clone, Debug)]
enum Condition {
    Boolean(BooleanField, bool),
    /// The source did not say that it is so; only shipped rules need it.
    NotSaid(BooleanField),
    Score(Range),
    Confidence(Subject, Range),
    /// One of the names is enough; ASCII case does not matter.
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
        let is_wanted =
            |wanted: &[String], name: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        match self {
            Self::Boolean(field, wanted) => flags.boolean(*field) == Some(*wanted),
            Self::NotSaid(field) => !flags.is(*field),
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
        let all =
            |conditions: &[Condition]| conditions.iter().all(|condition| condition.holds(evidence, now));
        all(&self.when)
            && !self.unless.iter().any(|conditions| all(conditions))
            && self.routes.include(route)
            // Nothing softens what is said of a known attacker.
            && (self.at_most.is_none() || !evidence.flags.is(BooleanField::IsKnownAttacker))
    }

    /// One rule as the user wrote it.
    pub(crate) fn read(written: &Reader<'_>, routes: &mut Routes) -> Result<Self, Error> {
        let object = written.object(&["id", "when", "unless", "atLeast", "atMost", "routes"])?;
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
        match (rule.at_least, rule.at_most) {
            (None, None) => Err(written.refused("a rule needs `atLeast` or `atMost`")),
            (Some(least), Some(most)) if least > most => Err(written.refused("`atLeast` is above `atMost`")),
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

fn read_conditions(written: &Reader<'_>) -> Result<Vec<Condition>, Error> {
    let object = written.any_object()?;
    let conditions = object.entries().map(|(name, value)| read_condition(name, &value));
    let conditions: Vec<Condition> = conditions.collect::<Result<_, _>>()?;
    if conditions.is_empty() {
        return Err(written.must_be("an object with at least one flag; use thresholds for what holds always"));
    }
    Ok(conditions)
}

fn read_condition(name: &str, value: &Reader<'_>) -> Result<Condition, Error> {
    let Some(field) = Field::named(name) else {
        return Err(unknown_option(value.path(), name, &Field::ALL.map(|(known, _)| known)));
    };
    Ok(match field {
        Field::Boolean(field) => Condition::Boolean(field, value.boolean()?),
        Field::ThreatScore => Condition::Score(read_range(value)?),
        Field::ConfidenceScore(subject) => Condition::Confidence(subject, read_range(value)?),
        Field::Name(field) => Condition::Name(field, read_names(value)?),
        Field::NameList(field) => Condition::NameList(field, read_names(value)?),
        Field::LastSeen(subject) => {
            let days = value.object(&["withinDays"])?.require("withinDays")?.whole(0, 36_500)?;
            Condition::SeenWithinDays(subject, u16::try_from(days).unwrap_or(u16::MAX))
        }
    })
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
    let names: Vec<String> =
        written.one_or_many()?.iter().map(|name| name.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    if names.is_empty() { Err(written.must_be("a name or an array of names")) } else { Ok(names) }
}

/// The rules that every policy starts with. `block` is the policy's threshold of that name.
pub(crate) fn shipped(block: u8) -> Vec<Rule> {
    use BooleanField::{
        IsBot, IsCorporateGateway, IsKnownAttacker, IsKnownGoodBot, IsRelay, IsResidentialProxy, IsSpam,
    };
    let said = |field| Condition::Boolean(field, true);
    let rule = |id: &str, when| Rule {
        id: id.to_owned(),
        when,
        unless: Vec::new(),
        at_least: None,
        at_most: None,
        routes: RoutesOf::All,
    };
    let raising = |id, field| Rule { at_least: Some(Action::Challenge), ..rule(id, vec![said(field)]) };
    let softening = |id, when, at_most| Rule {
        at_most: Some(at_most),
        unless: vec![
            vec![said(IsKnownAttacker)],
            vec![said(IsResidentialProxy)],
            vec![said(IsSpam)],
            vec![said(IsBot), Condition::NotSaid(IsKnownGoodBot)],
        ],
        ..rule(id, when)
    };
    let mut rules = vec![
        raising("residential_proxy", IsResidentialProxy),
        raising("known_attacker", IsKnownAttacker),
        softening("relay", vec![said(IsRelay)], Action::Challenge),
        softening("corporate_gateway", vec![said(IsCorporateGateway)], Action::Challenge),
        softening("known_good_bot", vec![said(IsKnownGoodBot)], Action::Challenge),
    ];
    if let Some(max) = block.checked_sub(1) {
        let below = vec![said(IsRelay), Condition::Score(Range { min: 0, max })];
        rules.push(softening("relay_below_block", below, Action::Log));
    }
    rules
}
