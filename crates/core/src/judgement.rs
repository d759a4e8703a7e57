//! From what was found about an address to a decision: steps 7 to 10 of the order of evaluation.
//!
//! Pure: a policy, a finding and the time in, a decision out.

use crate::address::Address;
use crate::decision::{Action, Band, Decision, Mode, PolicyId, Provenance, Source};
use crate::error::Code;
use crate::evidence::{Answer, Evidence, Provider};
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
                said_at(checked_at, self.plain(action, Reason::UnknownAddress, source))
            }
            Answer::Unroutable { checked_at } => {
                said_at(checked_at, self.without_evidence(Code::SpecialUse, source))
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
            let stands = self.policy.trusts_stale(age, mode) || self.raises(&decision, mode);
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

    /// Whether evidence that is too old to clear a request is stricter than the failure mode. In a closed policy only
    /// a block is, and only one that the caps leave a block.
    fn raises(self, decision: &Decision, mode: FailureMode) -> bool {
        let capped = self.capped(Verdict { action: decision.action, reasons: decision.reasons }).action;
        match mode {
            FailureMode::Open => decision.action == Action::Block || capped > Action::Allow,
            FailureMode::Challenge => decision.action == Action::Block || capped > Action::Challenge,
            FailureMode::Closed => capped == Action::Block,
        }
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
        let verdict = self.capped(verdict);
        decision.reasons = verdict.reasons;
        decision.would_be = verdict.action;
        decision.action = match decision.mode {
            Mode::Enforce => verdict.action,
            Mode::LogOnly => Action::Allow,
        };
        decision.warning = self.warning(decision);
    }

    fn capped(self, verdict: Verdict) -> Verdict {
        self.cap_by_provenance(self.policy.cap(verdict))
    }

    /// An address that anybody could have written is never blocked, because it may be another's, and never
    /// clears a closed policy.
    fn cap_by_provenance(self, verdict: Verdict) -> Verdict {
        if self.subject.provenance != Provenance::Unverified {
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
        let is_private_without_being_the_peer = decision.source == Source::Special
            && decision.failure == Some(Code::SpecialUse)
            && facts.has(Facts::FRAMEWORK);
        let is_unverified = decision.provenance == Provenance::Unverified && decision.address.is_some();
        (is_private_without_being_the_peer || is_unverified).then_some(Code::UntrustedForwarded)
    }
}

/// The decision about an address of which the provider said that it knows nothing.
fn said_at(checked_at: u64, decision: Decision) -> Decision {
    Decision { checked_at: Some(checked_at), provider: Some(Provider::Ipgeolocation), ..decision }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::flags::tests::{any_evidence, cases};
    use crate::reader::Reader;

    const NOW: u64 = 1_770_000_000_000;

    /// A policy called `p`, with how it fails, what it caps and how old evidence may be.
    fn any_policy() -> impl Strategy<Value = Policy> {
        let failing = prop::sample::select(vec!["open", "challenge", "closed"]);
        let most = prop::option::of(prop::sample::select(vec!["allow", "log", "challenge", "block"]));
        let max_stale = prop::option::of(0_u64..20_000_000);
        (failing.clone(), failing, most, max_stale).prop_map(|(upstream, exhausted, most, max_stale)| {
            let mut written = json!({ "onFailure": { "upstream": upstream, "exhausted": exhausted } });
            most.inspect(|most| written["maxAction"] = json!(most));
            max_stale.inspect(|age| written["maxStaleMs"] = json!(age));
            policy(&written)
        })
    }

    fn policy(written: &serde_json::Value) -> Policy {
        Policy::derive("p", &Policy::login(), &Reader::new("", written)).unwrap()
    }

    /// What `check()` is asked about.
    fn application() -> Subject {
        Subject {
            address: None,
            provenance: Provenance::Application,
            facts: Facts::default(),
            policy: PolicyId::from_number(0),
            route: RouteId::OTHER,
        }
    }

    fn subject() -> impl Strategy<Value = Subject> {
        let provenance = prop::sample::select(Provenance::ALL.to_vec());
        (provenance, 0_u32..64).prop_map(|(provenance, facts)| Subject {
            address: Address::parse("198.51.100.9"),
            provenance,
            facts: Facts::from_bits(facts),
            policy: PolicyId::from_number(0),
            route: RouteId::OTHER,
        })
    }

    /// A failure code, and evidence of any age up to a few hours.
    fn failed() -> impl Strategy<Value = Finding> {
        let code = prop::sample::select(Code::ALL.to_vec());
        let stale = prop::option::of((any_evidence(), 0_u64..20_000_000));
        (code, stale).prop_map(|(code, stale)| {
            let aged = |(evidence, age): (Evidence, u64)| Evidence { checked_at: NOW - age, ..evidence };
            Finding::Failed(code, stale.map(aged))
        })
    }

    fn finding() -> impl Strategy<Value = Finding> {
        let source = prop::sample::select(vec![Source::Memory, Source::Api]);
        prop_oneof![
            Just(Finding::InvalidAddress),
            Just(Finding::Skipped),
            Just(Finding::Allowed),
            Just(Finding::Denied),
            any::<bool>().prop_map(|is_own_peer| Finding::SpecialUse { is_own_peer }),
            (any_evidence(), source.clone())
                .prop_map(|(evidence, source)| Finding::Answered(Answer::Evidence(evidence), source)),
            source.clone().prop_map(|source| Finding::Answered(Answer::Unknown { checked_at: 1 }, source)),
            source.prop_map(|source| Finding::Answered(Answer::Unroutable { checked_at: 1 }, source)),
            failed(),
        ]
    }

    fn is_closed(policy: &Policy, code: Code) -> bool {
        policy.failure_mode_for(code.class()) == FailureMode::Closed
    }

    proptest! {
        #![proptest_config(cases(4_096))]

        #[test]
        fn would_be_is_exactly_what_enforce_answers(
            policy in any_policy(), subject in subject(), finding in finding(),
        ) {
            let enforced = decide(&policy, subject, finding.clone(), NOW);
            let watched = decide(&policy.log_only(), subject, finding, NOW);
            prop_assert_eq!(enforced.action, enforced.would_be);
            prop_assert_eq!(watched.action, Action::Allow);
            prop_assert_eq!((enforced.mode, watched.mode), (Mode::Enforce, Mode::LogOnly));
            // Nothing else differs.
            let without_mode =
                |decision: Decision| Decision { mode: Mode::Enforce, action: Action::Allow, ..decision };
            prop_assert_eq!(
                format!("{:?}", without_mode(enforced)),
                format!("{:?}", without_mode(watched))
            );
        }

        #[test]
        fn a_decision_without_evidence_scores_0_and_has_no_band(
            policy in any_policy(), subject in subject(), finding in finding(),
        ) {
            let decision = decide(&policy, subject, finding, NOW);
            if decision.band.is_none() {
                prop_assert_eq!(decision.score, Percentage::ZERO);
                prop_assert_eq!(decision.flags.words(), Flags::default().words());
                prop_assert!(!decision.stale);
            }
            prop_assert!(!decision.failed_open || decision.failure.is_some());
            prop_assert!(!decision.failed_closed || decision.would_be == Action::Hold);
            prop_assert_eq!(decision.would_be == Action::Hold, decision.failed_closed);
            prop_assert!(decision.reasons != crate::reasons::Reasons::default());
        }

        #[test]
        fn an_unverified_address_is_not_blocked_and_clears_no_closed_policy(
            policy in any_policy(), subject in subject(), finding in finding(),
        ) {
            prop_assume!(!matches!(finding, Finding::Skipped));
            let subject = Subject { provenance: Provenance::Unverified, ..subject };
            let decision = decide(&policy, subject, finding, NOW);
            if !subject.facts.has(Facts::BLOCK_UNVERIFIED) {
                prop_assert_ne!(decision.would_be, Action::Block);
            }
            if policy.failure_mode() == FailureMode::Closed {
                prop_assert!(decision.would_be >= Action::Challenge);
            }
        }

        #[test]
        fn whether_an_address_is_verified_changes_nothing_but_caps(
            policy in any_policy(), subject in subject(), finding in finding(),
        ) {
            // Whether stale evidence answers depends on what the caps leave of it.
            prop_assume!(!matches!(finding, Finding::Failed(_, Some(_))));
            let of = |provenance| decide(&policy, Subject { provenance, ..subject }, finding.clone(), NOW);
            let [verified, unverified] = [of(Provenance::Socket), of(Provenance::Unverified)];
            prop_assert_eq!(verified.score, unverified.score);
            prop_assert_eq!(verified.source, unverified.source);
            prop_assert_eq!(verified.failure, unverified.failure);
            for other in [Provenance::Application, Provenance::TrustedProxy, Provenance::Custom] {
                prop_assert_eq!(of(other).would_be, verified.would_be);
            }
        }

        #[test]
        fn stale_evidence_alone_never_clears_a_closed_policy(
            written in any_policy(), subject in subject(), finding in failed(),
        ) {
            let Finding::Failed(code, Some(evidence)) = &finding else { return Ok(()) };
            let age = NOW - evidence.checked_at;
            let is_trusted = written.trusts_stale(age, written.failure_mode_for(code.class()));
            let code = *code;
            let decision = decide(&written, subject, finding, NOW);
            prop_assert!(decision.degraded);
            prop_assert_eq!(decision.failure, Some(code));
            if is_closed(&written, code) && !is_trusted {
                prop_assert!(matches!(decision.would_be, Action::Block | Action::Hold));
            }
            prop_assert_eq!(decision.stale, decision.source == Source::Memory);
        }

        #[test]
        fn without_evidence_the_failure_mode_of_the_class_answers(
            policy in any_policy(), subject in subject(), place in 0_usize..Code::ALL.len(),
        ) {
            let code = Code::ALL[place];
            let subject = Subject { provenance: Provenance::Application, ..subject };
            let decision = decide(&policy, subject, Finding::Failed(code, None), NOW);
            let mode = policy.failure_mode_for(code.class());
            prop_assert_eq!(decision.failed_open, mode == FailureMode::Open);
            prop_assert_eq!(decision.failed_closed, mode == FailureMode::Closed);
            prop_assert_eq!(decision.source, Source::None);
        }
    }

    #[test]
    fn a_request_that_is_not_to_be_judged_is_let_through_whatever_it_is() {
        for written in [json!({ "onFailure": "closed" }), json!({ "onFailure": "open" })] {
            let decision = decide(&policy(&written), application(), Finding::Skipped, NOW);
            assert_eq!((decision.action, decision.failure), (Action::Allow, None));
            assert_eq!(decision.reasons, Reasons::default().with(Reason::Skipped));
        }
    }

    #[test]
    fn max_stale_is_the_oldest_that_clears() {
        let policy = policy(&json!({ "onFailure": "closed", "maxStaleMs": 1_000 }));
        let evidence = |age: u64| Evidence {
            flags: Flags::default(),
            score: Percentage::ZERO,
            provider: crate::evidence::Provider::Ipgeolocation,
            checked_at: NOW - age,
        };
        for (age, action) in [(0, Action::Allow), (1_000, Action::Allow), (1_001, Action::Hold)] {
            let finding = Finding::Failed(Code::Timeout, Some(evidence(age)));
            assert_eq!(decide(&policy, application(), finding, NOW).action, action, "{age}");
        }
    }
}
