//! How the feeds come to their score of an address, for people.

use serde::Serialize;

use super::assessment::{Adjustment, Assessment, Confidence, Families, Listed, assess, weigh};
use super::feed_source::FeedSource;
use super::scoring::Scoring;
use super::signal::Signal;
use crate::address::Address;
use crate::decision::Band;
use crate::special_use;

/// All that feeds say of one address, and how the score came about.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The address.
    pub ip: String,
    /// The special-use block that holds it, which no feed is asked about.
    pub special_use: Option<&'static str>,
    /// From 0 to 100.
    pub score: u8,
    /// Where the score lies; nothing when no feed says anything.
    pub band: Option<&'static str>,
    /// Whether a feed says something about the address itself.
    pub is_match: bool,
    /// Whether the evidence is enough by itself.
    pub is_strict: bool,
    /// `low`, `medium` or `high`: on what kind of evidence the score rests.
    pub confidence: &'static str,
    /// The feeds on which it stands, the heaviest first.
    pub listed: Vec<Line>,
    /// Points for attacks out of the networks around it.
    pub neighbourhood: u8,
    /// The strongest of each family, from 0 to 100, which are combined as chances are.
    pub families: FamilyPoints,
    /// What happened to the score afterwards, in this order.
    pub adjustments: Vec<&'static str>,
    /// The version of the weights.
    pub scoring: u32,
}

/// One feed on which an address stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The feed's stable name.
    pub feed: String,
    /// Its name for people.
    pub title: String,
    /// What standing on it means.
    pub signal: Signal,
    /// Whom the address belongs to.
    pub name: Option<String>,
    /// The row's number.
    pub value: Option<u8>,
    /// How old that is, in milliseconds.
    pub age_ms: u64,
    /// From 0 to 100, as it is written.
    pub weight: u8,
    /// From 0 to 100, what is left of it at that age.
    pub current_weight: f64,
    /// The feed's licence.
    pub licence: String,
    /// What has to be shown with its data.
    pub credit: Option<String>,
}

/// Families in points from 0 to 100.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of `Families`")]
pub struct FamilyPoints {
    pub network: f64,
    pub anonymizer: f64,
    pub reputation: f64,
    pub spam: f64,
}

impl FeedSource {
    /// All that these feeds say of `address` at `now`. Of transition addresses, the IPv4 inside is judged.
    #[must_use]
    pub fn explain(&self, address: Address, now: u64) -> Explanation {
        let judged = address.judged();
        let special_use = special_use::name(judged);
        if special_use.is_some() {
            return explanation(self.scoring(), address, special_use, &[], 0, now);
        }
        self.with_listed(judged.ip(), now, |listed, neighbourhood| {
            explanation(self.scoring(), address, None, listed, neighbourhood, now)
        })
    }
}

fn explanation(
    scoring: &Scoring,
    address: Address,
    special_use: Option<&'static str>,
    listed: &[Listed<'_>],
    neighbourhood: u8,
    now: u64,
) -> Explanation {
    let assessment = assess(scoring, listed, neighbourhood, now);
    let mut lines: Vec<Line> = listed.iter().map(|listed| line(scoring, listed, now)).collect();
    lines.sort_by(|a, b| b.current_weight.total_cmp(&a.current_weight).then_with(|| a.feed.cmp(&b.feed)));
    let Assessment { score, is_match, is_strict, families, ref adjustments, confidence, .. } = assessment;
    let is_known = is_match || !adjustments.is_empty();
    Explanation {
        ip: address.to_string(),
        special_use,
        score: score.value(),
        band: is_known.then(|| Band::of(score).as_str()),
        is_match,
        is_strict,
        confidence: confidence.as_str(),
        listed: lines,
        neighbourhood,
        families: points(families),
        adjustments: adjustments.iter().map(|adjustment| adjustment.as_str()).collect(),
        scoring: scoring.version,
    }
}

fn line(scoring: &Scoring, listed: &Listed<'_>, now: u64) -> Line {
    let feed = listed.feed;
    Line {
        feed: feed.id.clone(),
        title: feed.title.clone(),
        signal: listed.signal,
        name: listed.owner().map(str::to_owned),
        value: Some(listed.value).filter(|value| *value != 0),
        age_ms: now - listed.seen_at(now),
        weight: scoring.weight(listed.signal, feed.weight, listed.value),
        current_weight: tenths(weigh(scoring, listed, now).weight),
        licence: feed.licence.clone(),
        credit: feed.credit.clone(),
    }
}

fn points(families: Families) -> FamilyPoints {
    let Families { network, anonymizer, reputation, spam } = families;
    let [network, anonymizer, reputation, spam] = [network, anonymizer, reputation, spam].map(tenths);
    FamilyPoints { network, anonymizer, reputation, spam }
}

/// From 0 to 1 in points from 0 to 100, with one digit after the point.
fn tenths(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

impl Adjustment {
    /// The word that users see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attacker => "known_attacker",
            Self::Overlap => "hides_twice",
            Self::ProxyOverVpn => "proxy_over_vpn",
            Self::Relay => "relay_cap",
            Self::Shared => "shared_cap",
            Self::Neighbourhood => "neighbourhood",
        }
    }
}

impl Confidence {
    /// The word that users see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
