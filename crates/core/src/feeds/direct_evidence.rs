//! What feeds say of an address itself, before its neighbourhood is heard.

use super::assessment::Assessment;
use super::neighbourhood::Constants;
use crate::evidence::{Evidence, FeedEvidence, Provider};
use crate::names::NameTable;

/// An assessment without a neighbourhood, as small as decisions need it: it is kept for many addresses.
#[derive(Clone, Debug)]
pub(crate) struct DirectEvidence {
    evidence: Evidence,
    is_match: bool,
    is_strict: bool,
    heeds_neighbours: bool,
}

impl DirectEvidence {
    /// From an assessment without a neighbourhood. What has no date of its own is from `otherwise_seen_at`.
    pub(crate) fn new(assessment: Assessment, names: &NameTable, otherwise_seen_at: u64) -> Self {
        let Assessment { score, mut flags, seen_at, is_match, is_strict, heeds_neighbours, .. } = assessment;
        flags.set_names(names.share(assessment.names));
        let checked_at = if seen_at == 0 { otherwise_seen_at } else { seen_at };
        let evidence = Evidence { flags, score, provider: Provider::Feeds, checked_at };
        Self { evidence, is_match, is_strict, heeds_neighbours }
    }

    /// With `points` of the neighbourhood. Nothing, when neither says anything.
    pub(crate) fn among(&self, constants: &Constants, points: u8) -> Option<FeedEvidence> {
        let raised = constants.raised(self.evidence.score, points).filter(|_| self.heeds_neighbours);
        if !self.is_match && raised.is_none() {
            return None;
        }
        let mut evidence = self.evidence.clone();
        if let Some(score) = raised {
            evidence.score = score;
            evidence.flags.set_threat_score(score);
        }
        Some(FeedEvidence {
            evidence,
            is_match: self.is_match,
            is_strict: self.is_strict,
            is_raised_by_neighbourhood: raised.is_some() && points >= constants.least_for_reason,
        })
    }
}
