//! From what was found about an address to a decision: steps 7 to 10 of the order of evaluation.
//!
//! Pure: a policy, a finding and the time in, a decision out.

use crate::address::Address;
use crate::decision::{Action, Band, Decision, Mode, PolicyId, Provenance, Source};
use crate::error::Code;
use crate::evidence::{Answer, Evidence, FeedEvidence, Provider};
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
    /// The provider answered. Where it has no record: what feeds say.
    Answered(Answer, Source, Option<FeedEvidence>),
    /// Feeds are the source that was chosen; what they say, and whether they may clear policies that close.
    Chosen(Option<FeedEvidence>, bool),
    /// Strict evidence of feeds, before anybody is asked.
    PreScreened(FeedEvidence),
    /// The provider could not be asked, or did not answer.
    Failed(Failed),
}

/// What is left when the provider could not answer.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    /// Evidence that is older than its time to live, and where it was kept.
    pub(crate) stale: Option<(Evidence, Source)>,
    /// The newest evidence about a neighbour, when nobody was asked to spare the budget, and whether that is spent.
    pub(crate) neighbour: Option<(Evidence, bool)>,
    pub(crate) feeds: Option<FeedEvidence>,
}

impl Failed {
    /// Nothing is left.
    pub(crate) fn with(code: Code) -> Self {
        Self { code, stale: None, neighbour: None, feeds: None }
    }
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
        Finding::Answered(answer, source, feeds) => draft.answered(answer, source, feeds),
        Finding::Chosen(feeds, may_clear) => draft.chosen(feeds, may_clear),
        Finding::PreScreened(feeds) => draft.judged_by_feeds(feeds),
        Finding::Failed(failed) => draft.ladder(failed),
    };
    draft.finish(&mut decision);
    decision
}

/// Whether strict evidence of feeds decides without the provider: in a policy that closes only when it blocks.
pub(crate) fn is_enough(policy: &Policy, subject: Subject, feeds: &FeedEvidence, now: u64) -> bool {
    let draft = Draft { policy, subject, now };
    let mode = policy.failure_mode();
    feeds.is_strict
        && (mode != FailureMode::Closed || draft.raises(&draft.judged_by_feeds(feeds.clone()), mode))
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

    fn answered(self, answer: Answer, source: Source, feeds: Option<FeedEvidence>) -> Decision {
        match answer {
            Answer::Evidence(evidence) => self.judged(evidence, source),
            Answer::Unknown { checked_at } => self.unknown_address(checked_at, source, feeds),
            Answer::Unroutable { checked_at } => {
                said_at(checked_at, self.without_evidence(Code::SpecialUse, source))
            }
        }
    }

    /// The provider has no record: feeds if they match, as far as they do not clear what the missing record does not.
    fn unknown_address(self, checked_at: u64, source: Source, feeds: Option<FeedEvidence>) -> Decision {
        let (action, mode) = match self.policy.failure_mode() {
            FailureMode::Open => (Action::Allow, FailureMode::Open),
            FailureMode::Challenge | FailureMode::Closed => (Action::Challenge, FailureMode::Challenge),
        };
        let from_feeds = self
            .rung_of_feeds(feeds, mode)
            .map(|decision| Decision { reasons: decision.reasons.with(Reason::UnknownAddress), ..decision });
        from_feeds.unwrap_or_else(|| said_at(checked_at, self.plain(action, Reason::UnknownAddress, source)))
    }

    /// Feeds as the source that was chosen: finding nothing is then an answer. A policy that closes is cleared only
    /// where that was written.
    fn chosen(self, feeds: Option<FeedEvidence>, may_clear: bool) -> Decision {
        let decision = match feeds {
            Some(feeds) if feeds.is_match => self.judged_by_feeds(feeds),
            // Only the neighbourhood is known.
            Some(feeds) => {
                let decision = self.judged_by_feeds(feeds);
                Decision { reasons: decision.reasons.with(Reason::NoRecord), ..decision }
            }
            None => Decision {
                provider: Some(Provider::Feeds),
                ..self.plain(Action::Allow, Reason::NoRecord, Source::Feeds)
            },
        };
        let mode = self.policy.failure_mode();
        if mode == FailureMode::Closed && !may_clear && !self.raises(&decision, mode) {
            return self.without_evidence(Code::NoSource, Source::None);
        }
        decision
    }

    fn judged_by_feeds(self, feeds: FeedEvidence) -> Decision {
        let verdict = self.policy.judge_feeds(&feeds, self.subject.route, self.now);
        self.with_evidence(feeds.evidence, verdict, Source::Feeds)
    }

    fn judged(self, evidence: Evidence, source: Source) -> Decision {
        let verdict = self.policy.judge(&evidence, self.subject.route, self.now);
        self.with_evidence(evidence, verdict, source)
    }

    fn with_evidence(self, evidence: Evidence, verdict: Verdict, source: Source) -> Decision {
        Decision {
            score: evidence.score,
            band: Some(Band::of(evidence.score)),
            provider: Some(evidence.provider),
            checked_at: Some(evidence.checked_at),
            flags: evidence.flags,
            ..self.with_verdict(verdict, source)
        }
    }

    /// Stale evidence, then feeds that match, then the failure mode. A closed policy may be raised by either, never
    /// cleared. Under pressure a neighbour's evidence stands in for the look-up, unless feeds are stricter.
    fn ladder(self, Failed { code, stale, neighbour, feeds }: Failed) -> Decision {
        let mode = self.policy.failure_mode_for(code.class());
        let rung = stale.and_then(|(evidence, source)| self.rung_of_stale(evidence, source, mode));
        let rung = rung.or_else(|| match neighbour {
            Some((evidence, is_spent)) => self.rung_of_neighbour(evidence, is_spent, feeds, mode),
            None => self.rung_of_feeds(feeds, mode),
        });
        let decision = rung.unwrap_or_else(|| self.without_evidence(code, Source::None));
        Decision { degraded: true, failure: Some(code), ..decision }
    }

    /// Another address is no evidence about this one: at most a challenge, nothing for a policy that closes, and no way past
    /// the challenge that a spent budget asks for.
    fn rung_of_neighbour(
        self,
        evidence: Evidence,
        is_spent: bool,
        feeds: Option<FeedEvidence>,
        mode: FailureMode,
    ) -> Option<Decision> {
        let decision = self.judged(evidence, Source::Memory);
        let is_too_mild = is_spent && mode == FailureMode::Challenge && decision.action < Action::Challenge;
        if mode == FailureMode::Closed || self.policy.failure_mode() == FailureMode::Closed || is_too_mild {
            return self.rung_of_feeds(feeds, mode);
        }
        let action = decision.action.min(Action::Challenge);
        let reasons = decision.reasons.with(Reason::NeighbourEvidence);
        let feeds = feeds.filter(|feeds| feeds.is_match).map(|feeds| self.judged_by_feeds(feeds));
        let stricter = feeds.filter(|feeds| feeds.action > action);
        Some(stricter.unwrap_or(Decision { action, reasons, ..decision }))
    }

    fn rung_of_stale(self, evidence: Evidence, source: Source, mode: FailureMode) -> Option<Decision> {
        let age = self.now.saturating_sub(evidence.checked_at);
        let decision = self.judged(evidence, source);
        let stands = self.policy.trusts_stale(age, mode) || self.raises(&decision, mode);
        let reasons = decision.reasons.with(Reason::StaleEvidence);
        stands.then_some(Decision { stale: true, reasons, ..decision })
    }

    /// Feeds are no evidence about an address of which they know only the neighbourhood. They open where nothing
    /// would be known otherwise, but what somebody can exhaust on purpose is no way past a challenge, and a policy that
    /// closes is only raised by them.
    fn rung_of_feeds(self, feeds: Option<FeedEvidence>, mode: FailureMode) -> Option<Decision> {
        let decision = self.judged_by_feeds(feeds.filter(|feeds| feeds.is_match)?);
        match mode {
            FailureMode::Challenge if decision.action < Action::Challenge => Some(Decision {
                action: Action::Challenge,
                reasons: decision.reasons.with(Reason::FailedChallenge),
                ..decision
            }),
            FailureMode::Open | FailureMode::Challenge => Some(decision),
            FailureMode::Closed => self.raises(&decision, mode).then_some(decision),
        }
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
        // Text that is no address is the client's; none at all, and forwarded, is a proxy behind a Unix socket.
        let is_unverified = decision.provenance == Provenance::Unverified
            && (decision.address.is_some() || facts.has(Facts::FORWARDED_HEADER));
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
        let neighbour = prop::option::of((any_evidence(), any::<bool>()));
        (code, stale, neighbour, prop::option::of(feeds())).prop_map(|(code, stale, neighbour, feeds)| {
            let aged = |(evidence, age): (Evidence, u64)| Evidence { checked_at: NOW - age, ..evidence };
            let stale = stale.map(|stale| (aged(stale), Source::Memory));
            Finding::Failed(Failed { code, stale, neighbour, feeds })
        })
    }

    /// What feeds may say of an address.
    fn feeds() -> impl Strategy<Value = FeedEvidence> {
        (any_evidence(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(evidence, is_match, is_strict, is_raised_by_neighbourhood)| FeedEvidence {
                evidence: Evidence { provider: Provider::Feeds, ..evidence },
                is_match,
                is_strict,
                is_raised_by_neighbourhood,
            },
        )
    }

    fn finding() -> impl Strategy<Value = Finding> {
        let source = prop::sample::select(vec![Source::Memory, Source::Api]);
        prop_oneof![
            Just(Finding::InvalidAddress),
            Just(Finding::Skipped),
            Just(Finding::Allowed),
            Just(Finding::Denied),
            any::<bool>().prop_map(|is_own_peer| Finding::SpecialUse { is_own_peer }),
            (any_evidence(), source.clone()).prop_map(|(evidence, source)| Finding::Answered(
                Answer::Evidence(evidence),
                source,
                None
            )),
            (source.clone(), prop::option::of(feeds())).prop_map(|(source, feeds)| {
                Finding::Answered(Answer::Unknown { checked_at: 1 }, source, feeds)
            }),
            source.prop_map(|source| Finding::Answered(Answer::Unroutable { checked_at: 1 }, source, None)),
            (prop::option::of(feeds()), any::<bool>())
                .prop_map(|(feeds, may_clear)| Finding::Chosen(feeds, may_clear)),
            feeds().prop_map(Finding::PreScreened),
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
            // Whether evidence that is not enough by itself answers depends on what the caps leave of it.
            let is_weak = matches!(
                finding,
                Finding::Failed(
                    Failed { stale: Some(_), .. } | Failed { neighbour: Some(_), .. } | Failed { feeds: Some(_), .. }
                )
                    | Finding::Answered(_, _, Some(_))
                    | Finding::Chosen(Some(_), false)
            );
            prop_assume!(!is_weak);
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
        fn stale_or_offline_evidence_alone_never_clears_a_closed_policy(
            written in any_policy(), subject in subject(), finding in failed(),
        ) {
            let Finding::Failed(Failed { code, stale, .. }) = &finding else { return Ok(()) };
            let stale = stale.as_ref().map(|(evidence, _)| evidence);
            let is_trusted = stale.as_ref().is_some_and(|evidence| {
                written.trusts_stale(NOW - evidence.checked_at, written.failure_mode_for(code.class()))
            });
            let code = *code;
            let decision = decide(&written, subject, finding, NOW);
            prop_assert!(decision.degraded);
            prop_assert_eq!(decision.failure, Some(code));
            if is_closed(&written, code) && !is_trusted {
                prop_assert!(matches!(decision.would_be, Action::Block | Action::Hold));
            }
            prop_assert!(!decision.stale || decision.source == Source::Memory);
        }

        #[test]
        fn a_neighbour_challenges_at_most_and_says_nothing_where_a_policy_closes(
            policy in any_policy(), subject in subject(), neighbour in any_evidence(), is_spent: bool,
            feeds in prop::option::of(feeds()),
        ) {
            let neighbour = Some((neighbour, is_spent));
            let failed = Failed { neighbour, feeds: feeds.clone(), ..Failed::with(Code::Budget) };
            let decision = decide(&policy, subject, Finding::Failed(failed), NOW);
            let without = Failed { feeds, ..Failed::with(Code::Budget) };
            let without = decide(&policy, subject, Finding::Failed(without), NOW);
            prop_assert!(decision.degraded && !decision.stale);
            prop_assert_eq!(decision.failure, Some(Code::Budget));
            let floor = policy.cap(Verdict { action: Action::Challenge, reasons: Reasons::default() }).action;
            if is_closed(&policy, Code::Budget) || policy.failure_mode() == FailureMode::Closed {
                prop_assert_eq!(decision.would_be, without.would_be);
            } else if is_spent && policy.failure_mode_for(Code::Budget.class()) == FailureMode::Challenge {
                prop_assert!(decision.would_be >= floor);
            } else if decision.source == Source::Memory {
                prop_assert!(decision.would_be <= Action::Challenge);
                prop_assert!(!decision.failed_open);
            } else {
                prop_assert_eq!(decision.source, Source::Feeds);
            }
        }

        #[test]
        fn feeds_block_only_when_they_are_strict_and_clear_a_closed_policy_only_where_that_is_written(
            policy in any_policy(), subject in subject(), feeds in feeds(), is_chosen: bool, may_clear: bool,
        ) {
            let unknown = Answer::Unknown { checked_at: 1 };
            let finding = if is_chosen {
                Finding::Chosen(Some(feeds.clone()), may_clear)
            } else {
                Finding::Answered(unknown, Source::Api, Some(feeds.clone()))
            };
            let decision = decide(&policy, subject, finding, NOW);
            prop_assert!(decision.would_be != Action::Block || feeds.is_strict);
            if policy.failure_mode() == FailureMode::Closed && !(is_chosen && may_clear) {
                // Its own `maxAction` still lowers it.
                let challenge = Verdict { action: Action::Challenge, reasons: Reasons::default() };
                prop_assert!(decision.would_be >= policy.cap(challenge).action);
            }
            if !is_chosen && !feeds.is_match {
                prop_assert_ne!(decision.source, Source::Feeds);
            }
        }

        #[test]
        fn without_evidence_the_failure_mode_of_the_class_answers(
            policy in any_policy(), subject in subject(), place in 0_usize..Code::ALL.len(),
        ) {
            let code = Code::ALL[place];
            let subject = Subject { provenance: Provenance::Application, ..subject };
            let decision = decide(&policy, subject, Finding::Failed(Failed::with(code)), NOW);
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
            let finding = Finding::Failed(Failed {
                stale: Some((evidence(age), Source::Memory)),
                ..Failed::with(Code::Timeout)
            });
            assert_eq!(decide(&policy, application(), finding, NOW).action, action, "{age}");
        }
    }
}
