//! From the feeds on which an address stands to a score and flags.
//!
//! Pure: what is listed and the time in, an assessment out. Families are independent of each other and combined as
//! chances are; inside a family the strongest counts.

use jiff::civil::Date;

use super::info::FeedInfo;
use super::neighbourhood::Constants;
use super::scoring::{Family, Scoring};
use super::signal::Signal;
use super::table::Entry;
use crate::flags::{self, BooleanField, Flags, NameField, NameListField, Names, Percentage, Subject};

const DAY: u64 = 24 * 60 * 60 * 1_000;
/// 2000-01-01 in milliseconds since 1970, from which flags count days.
const FIRST_DAY: u64 = 946_684_800_000;

/// An address stands on a feed.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The feed.
    pub feed: &'a FeedInfo,
    /// What that means; a database says several things, so it need not be the feed's own.
    pub signal: Signal,
    /// Whom the address belongs to.
    pub name: Option<&'a str>,
    /// The row's number; 0 is none.
    pub value: u8,
    /// How sure the feed is, from 1 to 100, when it says so for each address.
    pub confidence: Option<u8>,
    /// The day on which the feed last saw it, when it says so for each address.
    pub seen: Option<Date>,
}

impl<'a> From<Entry<'a>> for Listed<'a> {
    fn from(entry: Entry<'a>) -> Self {
        let Entry { feed, name, value, .. } = entry;
        Self { feed, signal: feed.signal, name, value, confidence: None, seen: None }
    }
}

impl<'a> Listed<'a> {
    /// When it was last true, in milliseconds since 1970. What is dated in the future is true now.
    #[must_use]
    pub fn seen_at(&self, now: u64) -> u64 {
        // A date that flags cannot hold is one of long ago.
        let moment = |date| flags::day_number(date).map_or(0, |day| FIRST_DAY + u64::from(day) * DAY);
        self.seen.map_or(self.feed.seen_at, moment).min(now)
    }

    pub(crate) fn owner(&self) -> Option<&'a str> {
        self.name.or(self.feed.name.as_deref())
    }
}

/// What a row weighs at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// From 0 to 1.
    pub weight: f64,
    /// What is left of it, from 1 to 0.
    pub decay: f64,
}

/// What raised or capped a score after the families were combined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Adjustment {
    /// A known attacker: strict evidence, or evidence that others corroborate.
    Attacker,
    /// Two ways to hide at once.
    Overlap,
    /// An open proxy in a VPN.
    ProxyOverVpn,
    /// A relay, whose users share the address.
    Relay,
    /// A gateway, a carrier or a good bot, which many share or which is known.
    Shared,
    /// Other addresses around it attack.
    Neighbourhood,
}

/// The strongest weight of each family, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Families {
    /// What kind of network it is.
    pub network: f64,
    /// What hides who is behind it.
    pub anonymizer: f64,
    /// What it did.
    pub reputation: f64,
    /// Whether it spams.
    pub spam: f64,
}

/// How sure the score is: on what kind of evidence it rests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Confidence {
    /// On nothing, on whole networks or on the neighbourhood.
    Low,
    /// On one kind of evidence about this very address.
    Medium,
    /// On strict evidence, or on two kinds about this very address.
    High,
}

/// What feeds say of an address.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// From 0 to 100.
    pub score: Percentage,
    /// Only what is true; what feeds cannot tell is left out. Without names.
    pub flags: Flags,
    /// The names that go into the flags.
    pub names: Names,
    /// Whether a feed says something about the address itself. The neighbourhood alone is none.
    pub is_match: bool,
    /// Whether the evidence is enough by itself.
    pub is_strict: bool,
    /// When the newest of the evidence was true, in milliseconds since 1970; 0 when there is none.
    pub seen_at: u64,
    /// What was combined.
    pub families: Families,
    /// What happened to the score afterwards, in this order.
    pub adjustments: Vec<Adjustment>,
    /// How sure that is.
    pub confidence: Confidence,
    /// The points of the neighbourhood, where they raised the score.
    pub neighbourhood: u8,
    /// Whether the neighbourhood can raise it. Where many share an address, or where it is known whose it is, its
    /// neighbours say nothing.
    pub(crate) heeds_neighbours: bool,
}

impl Assessment {
    /// The same with `points` of the neighbourhood.
    fn among(mut self, scoring: &Scoring, points: u8) -> Self {
        let raised = scoring.neighbourhood.raised(self.score, points).filter(|_| self.heeds_neighbours);
        if let Some(score) = raised {
            self.score = score;
            self.flags.set_threat_score(score);
            self.adjustments.push(Adjustment::Neighbourhood);
            self.neighbourhood = points;
        }
        self
    }
}

/// The signals of an address that count at a time, as bits.
#[derive(Clone, Copy, Default)]
struct Signals(u32);

impl Signals {
    fn add(&mut self, signal: Signal) {
        self.0 |= 1 << signal as u32;
    }

    fn has(self, signal: Signal) -> bool {
        self.0 & 1 << signal as u32 != 0
    }

    fn has_any(self, signals: &[Signal]) -> bool {
        signals.iter().any(|signal| self.has(*signal))
    }
}

/// What `listed` weighs at `now`.
#[must_use]
pub fn weigh(scoring: &Scoring, listed: &Listed<'_>, now: u64) -> Weighed {
    let age = now - listed.seen_at(now);
    let decay = scoring.weighing(listed.signal).map_or(0.0, |weighing| weighing.decay(age));
    let whole = scoring.weight(listed.signal, listed.feed.weight, listed.value);
    let sure = f64::from(listed.confidence.unwrap_or(100).min(100)) / 100.0;
    Weighed { weight: f64::from(whole) / 100.0 * sure * decay, decay }
}

/// What feeds say of an address that stands on `listed`, with `neighbourhood` points.
#[must_use]
pub fn assess(scoring: &Scoring, listed: &[Listed<'_>], neighbourhood: u8, now: u64) -> Assessment {
    assess_alone(scoring, listed, now).among(scoring, neighbourhood)
}

/// The same, without a neighbourhood.
pub(crate) fn assess_alone(scoring: &Scoring, listed: &[Listed<'_>], now: u64) -> Assessment {
    let mut tally = Tally::new(scoring);
    // Whether history counts depends on what else the address is.
    for listed in listed {
        tally.look_at(listed, now);
    }
    for listed in listed {
        tally.count(listed, now);
    }
    let families = tally.families();
    let (score, adjustments) = tally.score(families);
    let (flags, names) = tally.say(listed, score, now);
    Assessment {
        score,
        is_match: flags.words()[0] != 0 || families != Families::default(),
        is_strict: tally.is_strict,
        seen_at: tally.seen_at,
        confidence: tally.confidence(),
        flags,
        names,
        families,
        adjustments,
        neighbourhood: 0,
        heeds_neighbours: !tally.current.has_any(&scoring.neighbourhood.off),
    }
}

/// What is said of an address that stands on `listed`, without its neighbourhood, if that is the same at all times from
/// `first` to `last`. What a feed settles it settles until a certain age. As long as none gets there, weights only fall,
/// and the score with them: what is the same at both ends is the same in between.
pub(crate) fn assess_steady(
    scoring: &Scoring,
    listed: &[Listed<'_>],
    first: u64,
    last: u64,
) -> Option<Assessment> {
    let settles = |listed: &Listed<'_>, time| {
        let Weighed { decay, .. } = weigh(scoring, listed, time);
        (decay == 0.0, decay >= 0.5, listed.seen_at(time))
    };
    if !listed.iter().all(|listed| settles(listed, first) == settles(listed, last)) {
        return None;
    }
    let assessment = assess_alone(scoring, listed, first);
    let weighs_alike = |listed: &Listed<'_>| weigh(scoring, listed, first) == weigh(scoring, listed, last);
    let is_steady =
        listed.iter().all(weighs_alike) || assess_alone(scoring, listed, last).score == assessment.score;
    is_steady.then_some(assessment)
}

struct Tally<'a> {
    scoring: &'a Scoring,
    /// What has lost at most half of its weight. What is older still weighs, but settles nothing.
    current: Signals,
    /// The same, without what is already in a score that its feed computed.
    weighed: Signals,
    /// The feeds that computed a score themselves, by their ids: their flags are told, and not weighed again.
    scored: Vec<&'a str>,
    is_strict: bool,
    seen_at: u64,
    highest_count: u8,
    network: f64,
    anonymizer: f64,
    spam: f64,
    /// Of those that count lists and those that compute a score: not independent of the operators below.
    aggregate: f64,
    /// Who saw an attack, how sure that is, and whether it is one on the address itself that is still current.
    operators: Vec<(&'a str, f64, bool)>,
    exact: [bool; 4],
}

impl<'a> Tally<'a> {
    fn new(scoring: &'a Scoring) -> Self {
        Self {
            scoring,
            current: Signals::default(),
            weighed: Signals::default(),
            scored: Vec::new(),
            is_strict: false,
            seen_at: 0,
            highest_count: 0,
            network: 0.0,
            anonymizer: 0.0,
            spam: 0.0,
            aggregate: 0.0,
            operators: Vec::new(),
            exact: [false; 4],
        }
    }

    fn look_at(&mut self, listed: &Listed<'a>, now: u64) {
        let Weighed { decay, .. } = weigh(self.scoring, listed, now);
        if decay == 0.0 {
            return;
        }
        self.seen_at = self.seen_at.max(listed.seen_at(now));
        if listed.signal == Signal::Score {
            self.scored.push(&listed.feed.id);
        }
        if decay >= 0.5 {
            self.current.add(listed.signal);
        }
    }

    fn count(&mut self, listed: &Listed<'a>, now: u64) {
        let Some(weighing) = self.scoring.weighing(listed.signal) else { return };
        let is_in_a_score = listed.signal != Signal::Score && self.scored.contains(&listed.feed.id.as_str());
        if is_in_a_score || self.says_nothing(listed, weighing.history) {
            return;
        }
        let Weighed { weight, decay } = weigh(self.scoring, listed, now);
        if decay >= 0.5 {
            self.weighed.add(listed.signal);
            self.is_strict |= weighing.strict;
            if listed.signal == Signal::AttackCount {
                self.highest_count = self.highest_count.max(listed.value);
            }
        }
        if weight == 0.0 {
            return;
        }
        self.exact[weighing.family as usize] |= weighing.exact;
        let strongest = match weighing.family {
            Family::Network => &mut self.network,
            Family::Anonymizer => &mut self.anonymizer,
            Family::Spam => &mut self.spam,
            Family::Reputation if listed.signal.is_attack() => {
                let is_current = listed.signal == Signal::Attack && decay >= 0.5;
                return self.attacked(&listed.feed.operator, weight, is_current);
            }
            Family::Reputation => &mut self.aggregate,
        };
        *strongest = strongest.max(weight);
    }

    /// Addresses that many share stand on long and on short lists without having done anything.
    fn says_nothing(&self, listed: &Listed<'_>, is_history: bool) -> bool {
        let is_tor = self.current.has(Signal::TorExit);
        let is_low_count =
            listed.signal == Signal::AttackCount && listed.value < self.scoring.least_count_for_tor;
        is_history && (is_tor || self.current.has(Signal::Relay)) || is_low_count && is_tor
    }

    fn attacked(&mut self, operator: &'a str, weight: f64, is_current: bool) {
        match self.operators.iter_mut().find(|(known, ..)| *known == operator) {
            Some((_, strongest, was_current)) => {
                *strongest = strongest.max(weight);
                *was_current |= is_current;
            }
            None => self.operators.push((operator, weight, is_current)),
        }
    }

    fn families(&self) -> Families {
        let seen = any_of(self.operators.iter().map(|(_, weight, _)| *weight));
        let Self { network, anonymizer, spam, .. } = *self;
        Families { network, anonymizer, reputation: seen.max(self.aggregate), spam }
    }

    fn is_attacker(&self) -> bool {
        let corroborated = self.operators.iter().filter(|(_, _, is_current)| *is_current).count();
        self.is_strict
            || corroborated >= self.scoring.least_operators_for_attacker
            || self.highest_count >= self.scoring.least_count_for_attacker
    }

    fn score(&self, families: Families) -> (Percentage, Vec<Adjustment>) {
        let Families { network, anonymizer, reputation, spam } = families;
        // A VPN is in a data centre: that is one fact, not two.
        let context = network.max(anonymizer);
        let mut score = Score::new(100.0 * any_of([context, reputation, spam].into_iter()));
        let scoring = self.scoring;
        if self.is_attacker() {
            score.raise(scoring.attacker_floor, Adjustment::Attacker);
        }
        if self.hides_twice() {
            score.raise(scoring.overlap_floor, Adjustment::Overlap);
        }
        let weighed = self.weighed;
        if weighed.has(Signal::PublicProxy) && weighed.has_any(&[Signal::Vpn, Signal::VpnRange]) {
            score.raise(scoring.proxy_over_vpn_floor, Adjustment::ProxyOverVpn);
        }
        if self.weighed.has(Signal::Relay) && !self.is_strict {
            let most = scoring.relay_base + scoring.relay_share * score.value;
            score.cap(most.min(scoring.relay_cap), Adjustment::Relay);
        }
        let is_shared =
            self.weighed.has_any(&[Signal::CorporateGateway, Signal::Mobile]) && !self.is_attacker();
        if is_shared || self.weighed.has(Signal::GoodBot) && !self.is_strict {
            score.cap(scoring.shared_cap, Adjustment::Shared);
        }
        (percentage(score.value), score.adjustments)
    }

    fn hides_twice(&self) -> bool {
        const OTHERS: [Signal; 5] =
            [Signal::Vpn, Signal::VpnRange, Signal::TorExit, Signal::PublicProxy, Signal::Relay];
        let weighed = self.weighed;
        weighed.has(Signal::TorExit) && weighed.has(Signal::PublicProxy)
            || weighed.has(Signal::ResidentialProxy) && weighed.has_any(&OTHERS)
    }

    fn confidence(&self) -> Confidence {
        let exact = self.exact.iter().filter(|is_exact| **is_exact).count();
        match exact {
            _ if self.is_strict => Confidence::High,
            0 => Confidence::Low,
            1 => Confidence::Medium,
            _ => Confidence::High,
        }
    }

    fn say(&self, listed: &[Listed<'_>], score: Percentage, now: u64) -> (Flags, Names) {
        let mut saying = Saying { now, ..Saying::default() };
        let is_relay = self.current.has(Signal::Relay);
        let is_current = |listed: &&Listed<'_>| weigh(self.scoring, listed, now).decay >= 0.5;
        for listed in listed.iter().filter(is_current) {
            // A relay runs in data centres, and lists of VPN networks hold it too; it is neither.
            let is_its_network =
                matches!(listed.signal, Signal::Hosting | Signal::Cloud | Signal::VpnRange | Signal::Vpn);
            if !(is_relay && is_its_network) {
                saying.say(listed);
            }
        }
        if self.is_attacker() {
            saying.flags.set_boolean(BooleanField::IsKnownAttacker, true);
        }
        if saying.flags.words()[0] != 0 || score != Percentage::ZERO {
            saying.flags.set_threat_score(score);
        }
        saying.end()
    }
}

/// A score, and what happened to it.
struct Score {
    value: f64,
    adjustments: Vec<Adjustment>,
}

impl Score {
    const fn new(value: f64) -> Self {
        Self { value, adjustments: Vec::new() }
    }

    fn raise(&mut self, least: f64, adjustment: Adjustment) {
        if self.value < least {
            self.value = least;
            self.adjustments.push(adjustment);
        }
    }

    fn cap(&mut self, most: f64, adjustment: Adjustment) {
        if self.value > most {
            self.value = most;
            self.adjustments.push(adjustment);
        }
    }
}

/// Flags in the making.
#[derive(Default)]
struct Saying<'a> {
    now: u64,
    flags: Flags,
    names: Names,
    vpns: Vec<&'a str>,
    proxies: Vec<&'a str>,
}

impl<'a> Saying<'a> {
    fn say(&mut self, listed: &Listed<'a>) {
        use BooleanField::{
            IsAnonymous, IsBot, IsCloudProvider, IsCorporateGateway, IsKnownAttacker, IsKnownGoodBot,
            IsProxy, IsRelay, IsResidentialProxy, IsSpam, IsTor, IsVpn,
        };
        match listed.signal {
            Signal::Hosting | Signal::Cloud => {
                self.one(listed, &[IsCloudProvider], NameField::CloudProviderName);
            }
            Signal::CorporateGateway => {
                self.one(listed, &[IsCorporateGateway], NameField::CorporateGatewayProviderName);
            }
            Signal::GoodBot => self.one(listed, &[IsBot, IsKnownGoodBot], NameField::BotOperatorName),
            Signal::Relay => self.one(listed, &[IsRelay], NameField::RelayProviderName),
            Signal::Vpn | Signal::VpnRange => {
                self.set(&[IsVpn, IsAnonymous]);
                self.vpns.extend(listed.owner());
                self.seen(listed, Subject::Vpn);
            }
            Signal::TorExit => self.set(&[IsTor, IsAnonymous]),
            Signal::PublicProxy | Signal::ResidentialProxy => {
                self.set(&[IsProxy, IsAnonymous]);
                if listed.signal == Signal::ResidentialProxy {
                    self.set(&[IsResidentialProxy]);
                }
                self.proxies.extend(listed.owner());
                self.seen(listed, Subject::Proxy);
            }
            Signal::Criminal | Signal::CriminalAsn | Signal::Attacker => self.set(&[IsKnownAttacker]),
            Signal::SpamRange | Signal::Spam => self.set(&[IsSpam]),
            // One list, a crowd's history or a bare number does not make an attacker or a spammer.
            Signal::Cdn
            | Signal::Mobile
            | Signal::Attack
            | Signal::AttackRange
            | Signal::AttackHistory
            | Signal::AttackCount
            | Signal::SpamHistory
            | Signal::Score => {}
        }
    }

    fn set(&mut self, fields: &[BooleanField]) {
        for field in fields {
            self.flags.set_boolean(*field, true);
        }
    }

    /// Of several names the one of the cloud wins over that of the network that hosts it.
    fn one(&mut self, listed: &Listed<'_>, fields: &[BooleanField], field: NameField) {
        self.set(fields);
        if let Some(owner) = listed.owner()
            && (self.names.one(field).is_none() || listed.signal == Signal::Cloud)
        {
            self.names.set_one(field, owner);
        }
    }

    /// A range is not seen as such, and a list of the user's own says nothing of when: they have no date.
    fn seen(&mut self, listed: &Listed<'_>, subject: Subject) {
        if listed.signal == Signal::VpnRange || listed.feed.seen_at == FeedInfo::ALWAYS {
            return;
        }
        let day = u16::try_from(listed.seen_at(self.now).saturating_sub(FIRST_DAY) / DAY).unwrap_or(0);
        if self.flags.last_seen(subject).is_none_or(|known| known < day) {
            self.flags.set_last_seen_day(subject, day);
        }
        let confidence = listed.confidence.and_then(|sure| Percentage::new(f64::from(sure)));
        if let Some(confidence) = confidence {
            self.flags.set_confidence_score(subject, confidence);
        }
    }

    fn end(mut self) -> (Flags, Names) {
        for (field, mut names) in
            [(NameListField::VpnProviderNames, self.vpns), (NameListField::ProxyProviderNames, self.proxies)]
        {
            names.sort_unstable();
            names.dedup();
            self.names.set_list(field, names);
        }
        (self.flags, self.names)
    }
}

impl Constants {
    /// What a score becomes when others around the address attack, if that raises it. That alone never asks anybody for
    /// more than a record: an address is not to blame for its neighbours.
    pub(crate) fn raised(&self, score: Percentage, points: u8) -> Option<Percentage> {
        // What users see is a whole number, and so is what is raised.
        let chances = [score.value(), points].map(|whole| f64::from(whole) / 100.0);
        let rounded = 100.0 * any_of(chances.into_iter()) + 0.5;
        Percentage::new(rounded.min(f64::from(self.most_total))).filter(|raised| *raised > score)
    }
}

/// The chance that at least one of independent ones is true.
fn any_of(chances: impl Iterator<Item = f64>) -> f64 {
    1.0 - chances.map(|chance| 1.0 - chance).product::<f64>()
}

fn percentage(score: f64) -> Percentage {
    // Sums of fractions end a hair below the number that is meant.
    Percentage::new((score + 1e-9).clamp(0.0, 100.0)).unwrap_or(Percentage::ZERO)
}

#[cfg(test)]
mod tests;
