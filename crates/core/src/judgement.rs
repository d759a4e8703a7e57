//! From what was found about an address to a decision: steps 7 to 10 of the order of evaluation.
//!
//! Pure: a policy, a finding and the time in, a decision out.

use crate::address::Address;
use crate::decision::{Action, Band, Decision, Mode, PolicyId, Provenance, Source};
use crate::error::Code;
use crate::evidence::{Answer, Evidence};
use crate::flags::{Flags, Percentage};
use crate::policy::{FailureMode, Policy, Verdict};
use crate::provenance::Facts;
use crate::reasons::{Reason, Reasons};
use crate::routes::RouteId;

/// Who is judged, by which policy, on which route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) address: Option<Address>,
    pub(crate) provenance: Provenance,
    pub(crate) facts: Facts,
    pub(crate) policy: PolicyId,
    pub(crate) route: RouteId,
}

/// What is known.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// The text is not an address.
    InvalidAddress,
    /// The application does not want it judged.
    Skipped,
    /// An allow entry matches.
    Allowed,
    /// A deny entry matches.
    Denied,
    /// Special-use space; whether it is the process's own peer with nothing forwarded.
    SpecialUse { is_own_peer: bool },
    /// A source answered.
    Answered(Answer, Source),
    /// No source could answer; evidence that is older than its time to live, if any is kept.
    Failed(Code, Option<Evidence>),
}

/// The decision of `policy` about `subject`.
pub(crate) fn decide(policy: &Policy, subject: Subject, finding: Finding, now: u64) -> Decision {
    let draft = Draft { policy, subject, now };
    let mut decision = match finding {
        Finding::InvalidAddress => draft.invalid_address(),
        Finding::Skipped => draft.plain(Action::Allow, Reason::Skipped, Source::None),
        Finding::Allowed => draft.plain(Action::Allow, Reason::AllowList, Source::List),
        Finding::Denied => draft.plain(Action::Block, Reason::DenyList, Source::List),
        Finding::SpecialUse { is_own_peer: true } => {
            draft.plain(Action::Allow, Reason::SpecialUse, Source::Special)
        }
        Finding::SpecialUse { is_own_peer: false } => {
            draft.without_evidence(Code::SpecialUse, Source::Special)
        }
        Finding::Answered(answer, source) => draft.answered(answer, source),
        Finding::Failed(code, stale) => draft.ladder(code, stale),
    };
    draft.finish(&mut decision);
    decision
}

/// A decision in the making.
#[derive(Clone, Copy)]
struct Draft<'a> {
    policy: &'a Policy,
    subject: Subject,
    now: u64,
}

impl Draft<'_> {
    /// A decision that rests on no evidence.
    fn plain(self, action: Action, reason: Reason, source: Source) -> Decision {
        self.with_verdict(Verdict { action, reasons: Reasons::default().with(reason) }, source)
    }

    fn with_verdict(self, verdict: Verdict, source: Source) -> Decision {
        Decision {
            address: self.subject.address,
            score: Percentage::ZERO,
            band: None,
            flags: Flags::default(),
            action: verdict.action,
            would_be: verdict.action,
            reasons: verdict.reasons,
            source,
            provider: None,
            stale: false,
            degraded: false,
            checked_at: None,
            failed_open: false,
            failed_closed: false,
            failure: None,
            mode: self.policy.mode(),
            policy: self.subject.policy,
            provenance: self.subject.provenance,
            warning: None,
        }
    }

    fn invalid_address(self) -> Decision {
        let action = match self.policy.failure_mode() {
            FailureMode::Open | FailureMode::Challenge => Action::Challenge,
            FailureMode::Closed => Action::Hold,
        };
        let decision = self.plain(action, Reason::InvalidAddress, Source::None);
        Decision { failure: Some(Code::InvalidAddress), failed_closed: action == Action::Hold, ..decision }
    }

    fn answered(self, answer: Answer, source: Source) -> Decision {
        match answer {
            Answer::Evidence(evidence) => self.judged(evidence, source),
            Answer::Unknown { checked_at } => {
                let action = match self.policy.failure_mode() {
                    FailureMode::Open => Action::Allow,
                    FailureMode::Challenge | FailureMode::Closed => Action::Challenge,
                };
                let decision = self.plain(action, Reason::UnknownAddress, source);
                Decision {
                    checked_at: Some(checked_at),
                    provider: Some(crate::evidence::Provider::Ipgeolocation),
                    ..decision
                }
            }
            Answer::Unroutable { checked_at } => {
                let decision = self.without_evidence(Code::SpecialUse, source);
                Decision {
                    checked_at: Some(checked_at),
                    provider: Some(crate::evidence::Provider::Ipgeolocation),
                    ..decision
                }
            }
        }
    }

    fn judged(self, evidence: Evidence, source: Source) -> Decision {
        let verdict = self.policy.judge(&evidence, self.subject.route, self.now);
        Decision {
            score: evidence.score,
            band: Some(Band::of(evidence.score)),
            provider: Some(evidence.provider),
            checked_at: Some(evidence.checked_at),
            flags: evidence.flags,
            ..self.with_verdict(verdict, source)
        }
    }

    /// Stale evidence, then the failure mode. A closed policy may be raised by stale evidence, never cleared.
    fn ladder(self, code: Code, stale: Option<Evidence>) -> Decision {
        let mode = self.policy.failure_mode_for(code.class());
        let from_stale = stale.and_then(|evidence| {
            let age = self.now.saturating_sub(evidence.checked_at);
            let decision = self.judged(evidence, Source::Memory);
            let stands = decision.action == Action::Block || self.policy.trusts_stale(age, mode);
            stands.then(|| Decision {
                stale: true,
                failure: Some(code),
                reasons: decision.reasons.with(Reason::StaleEvidence),
                ..decision
            })
        });
        let decision = from_stale.unwrap_or_else(|| self.without_evidence(code, Source::None));
        Decision { degraded: true, ..decision }
    }

    fn without_evidence(self, code: Code, source: Source) -> Decision {
        let mode = self.policy.failure_mode_for(code.class());
        let (action, reason) = match mode {
            FailureMode::Open => (Action::Allow, Reason::FailedOpen),
            FailureMode::Challenge => (Action::Challenge, Reason::FailedChallenge),
            FailureMode::Closed => (Action::Hold, Reason::FailedClosed),
        };
        let mut decision = self.plain(action, reason, source);
        if code == Code::SpecialUse {
            decision.reasons = decision.reasons.with(Reason::SpecialUse);
        }
        Decision {
            failure: Some(code),
            failed_open: mode == FailureMode::Open,
            failed_closed: mode == FailureMode::Closed,
            ..decision
        }
    }

    /// Caps, then the mode, then what the set-up should be warned about.
    fn finish(self, decision: &mut Decision) {
        let verdict = Verdict { action: decision.action, reasons: decision.reasons };
        let verdict = self.cap_by_provenance(self.policy.cap(verdict));
        decision.reasons = verdict.reasons;
        decision.would_be = verdict.action;
        decision.action = match decision.mode {
            Mode::Enforce => verdict.action,
            Mode::LogOnly => Action::Allow,
        };
        decision.warning = self.warning(decision);
    }

    /// An address that anybody could have written is never blocked, because it may be another's, and never
    /// clears a closed policy.
    fn cap_by_provenance(self, verdict: Verdict) -> Verdict {
        if self.subject.provenance != Provenance::Unverified
            || verdict.reasons == Reasons::default().with(Reason::Skipped)
        {
            return verdict;
        }
        let is_closed = self.policy.failure_mode() == FailureMode::Closed;
        let action = match verdict.action {
            Action::Block if !self.subject.facts.has(Facts::BLOCK_UNVERIFIED) => Action::Challenge,
            Action::Allow | Action::Log if is_closed => Action::Challenge,
            action => action,
        };
        if action == verdict.action {
            return verdict;
        }
        Verdict { action, reasons: verdict.reasons.with(Reason::UnverifiedAddress) }
    }

    fn warning(self, decision: &Decision) -> Option<Code> {
        let facts = self.subject.facts;
        if facts.has(Facts::TRUSTS_EVERYONE) && !facts.has(Facts::CUSTOM) {
            return Some(Code::TrustAll);
        }
        let is_private_without_being_the_peer =
            decision.failure == Some(Code::SpecialUse) && facts.has(Facts::FRAMEWORK);
        let is_unverified = decision.provenance == Provenance::Unverified && decision.address.is_some();
        (is_private_without_being_the_peer || is_unverified).then_some(Code::UntrustedForwarded)
    }
}
