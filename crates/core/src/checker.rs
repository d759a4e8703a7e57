//! A checker: an engine, policies, and the order in which an address is judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::address::Address;
use crate::decision::{Decision, PolicyId, Provenance, Source};
use crate::engine::Engine;
use crate::error::{Code, Error};
use crate::evidence::Answer;
use crate::judgement::{Finding, Subject, decide, is_enough};
use crate::lists::List;
use crate::options::{CheckerOptions, MOST_ADDRESSES};
use crate::policies::Policies;
use crate::policy::Policy;
use crate::provenance::Facts;
use crate::routes::RouteId;
use crate::special_use;
use crate::stats::{PolicyCounters, PolicyStats};

/// How many look-ups of one `check_many` are under way at once.
const CONCURRENT_LOOK_UPS: usize = 32;

/// How many decisions are made without letting others have the thread.
const DECISIONS_AT_ONCE: usize = 256;

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The address as text.
    pub text: &'a str,
    /// The policy to judge by.
    pub policy: PolicyId,
    /// The route, as the policy numbers it.
    pub route: RouteId,
    /// What the face saw.
    pub facts: Facts,
}

/// What can be said without asking anybody.
#[derive(Debug)]
pub enum Evaluation {
    /// The decision.
    Decided(Decision),
    /// A look-up is needed.
    Pending(Pending),
}

/// A check that needs a look-up.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    subject: Subject,
    judged: Address,
}

/// Policies with an engine. Cheap to make when the engine is shared.
#[derive(Debug)]
pub struct Checker {
    engine: Arc<Engine>,
    policies: RwLock<Policies>,
    counters: RwLock<Vec<PolicyCounters>>,
    log_only: bool,
    feeds_may_clear: bool,
}

impl Checker {
    /// A checker on `engine`, with the policies of `options`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, options: CheckerOptions) -> Self {
        let counters = options.policies.all().iter().map(|_| PolicyCounters::new()).collect();
        Self {
            engine,
            policies: RwLock::new(options.policies),
            counters: RwLock::new(counters),
            log_only: options.log_only,
            feeds_may_clear: options.feeds_may_clear,
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Calls `read` with all policies.
    pub fn with_policies<T>(&self, read: impl FnOnce(&Policies) -> T) -> T {
        read(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_policy<T>(&self, id: PolicyId, read: impl FnOnce(&Policy) -> T) -> T {
        // Numbers come from this checker's own names; the first policy stands in for one that does not exist.
        self.with_policies(|policies| {
            let all = policies.all();
            read(all.get(usize::from(id.number())).unwrap_or(&all[0]))
        })
    }

    /// Adds a policy that is written at one route; it starts as a copy of the policy called `base`.
    ///
    /// # Errors
    /// [`Code::UnknownPolicy`], [`Code::Option`] or [`Code::UnknownOption`], with the path of the mistake.
    pub fn add_policy(&self, base: &str, written: &Value) -> Result<PolicyId, Error> {
        let mut policies = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        let may_close = self.engine.has_provider() || self.feeds_may_clear || self.log_only;
        let place = policies.add_inline(base, written, may_close)?;
        if self.log_only {
            policies.log_only();
        }
        self.counters.write().unwrap_or_else(PoisonError::into_inner).push(PolicyCounters::new());
        // Far more than a checker may have.
        Ok(PolicyId::new(u16::try_from(place).unwrap_or(u16::MAX)))
    }

    /// The decision, when it can be made without asking anybody: steps 1 to 6 of the order of evaluation.
    ///
    /// Never blocks; costs well under a microsecond. Counts nothing: see [`Checker::record`].
    #[must_use]
    pub fn evaluate(&self, request: Request<'_>) -> Evaluation {
        let now = self.engine.now();
        let parse =
            if request.facts.has(Facts::FRAMEWORK) { Address::parse_from_framework } else { Address::parse };
        let address = parse(request.text);
        let judged = address.map(Address::judged);
        let is_special = judged.is_none_or(|judged| self.is_special(judged));
        let provenance = match address {
            None if request.facts.has(Facts::FRAMEWORK) => Provenance::Unverified,
            _ => request.facts.provenance(is_special),
        };
        let Request { policy, route, facts, .. } = request;
        let subject = Subject { address, provenance, facts, policy, route };
        self.with_policy(policy, |policy| {
            let finding = match (address, judged) {
                (Some(address), Some(judged)) => {
                    match self.find(policy, subject, address, judged, is_special, now) {
                        Some(finding) => finding,
                        None => return Evaluation::Pending(Pending { subject, judged }),
                    }
                }
                _ => Finding::InvalidAddress,
            };
            Evaluation::Decided(decide(policy, subject, finding, now))
        })
    }

    fn is_special(&self, address: Address) -> bool {
        special_use::name(address).is_some_and(|name| {
            !(name == special_use::DOCUMENTATION && self.engine.options().lift_documentation)
        })
    }

    /// Refuses a policy that a gate cannot use: one that closes, without a provider.
    ///
    /// # Errors
    /// [`Code::NoSource`].
    pub fn require_usable(&self, policy: PolicyId) -> Result<(), Error> {
        if self.engine.has_provider() || self.feeds_may_clear {
            return Ok(());
        }
        let name = self.with_policy(policy, |policy| policy.name().to_owned());
        self.with_policies(|policies| policies.require_provider(&name))
    }

    /// Lists, special-use space, memory, feeds.
    fn find(
        &self,
        policy: &Policy,
        subject: Subject,
        address: Address,
        judged: Address,
        is_special: bool,
        now: u64,
    ) -> Option<Finding> {
        let listed = |list: &List| {
            list.find(judged, subject.route, now).is_some()
                || (address != judged && list.find(address, subject.route, now).is_some())
        };
        if subject.provenance != Provenance::Unverified && listed(policy.allow()) {
            return Some(Finding::Allowed);
        }
        if listed(policy.deny()) {
            return Some(Finding::Denied);
        }
        if is_special {
            let is_own_peer =
                subject.provenance == Provenance::Socket && !subject.facts.has(Facts::FORWARDED_HEADER);
            return Some(Finding::SpecialUse { is_own_peer });
        }
        if !self.engine.has_provider() {
            return Some(Finding::Chosen(self.engine.ask_feeds(judged, now), self.feeds_may_clear));
        }
        if let Some(answer) = self.engine.fresh(judged, now) {
            return Some(self.answered(answer, Source::Memory, judged, now));
        }
        let strict = self.engine.pre_screen(judged, now)?;
        is_enough(policy, subject, &strict, now).then_some(Finding::PreScreened(strict))
    }

    fn answered(&self, answer: Answer, source: Source, judged: Address, now: u64) -> Finding {
        let is_unknown = matches!(answer, Answer::Unknown { .. });
        let feeds = if is_unknown { self.engine.ask_feeds(judged, now) } else { None };
        Finding::Answered(answer, source, feeds)
    }

    fn failed_to_ask(&self, code: Code, judged: Address, now: u64) -> Finding {
        Finding::Failed(code, self.engine.stale(judged, now), self.engine.ask_feeds(judged, now))
    }

    /// Looks the address up and decides: steps 7 to 10. Always ends within the deadline.
    pub async fn resolve(&self, pending: Pending) -> Decision {
        let Pending { subject, judged } = pending;
        let looked_up = self.engine.look_up(judged, subject.provenance != Provenance::Unverified).await;
        let now = self.engine.now();
        let finding = match looked_up {
            Ok((answer, source)) => self.answered(answer, source, judged, now),
            Err(code) => self.failed_to_ask(code, judged, now),
        };
        self.with_policy(subject.policy, |policy| decide(policy, subject, finding, now))
    }

    /// Who answers for the deny entry that holds an address, and why it is there, for logs.
    #[must_use]
    pub fn describe_entry(&self, request: Request<'_>) -> Option<String> {
        let address = Address::parse_from_framework(request.text)?;
        let now = self.engine.now();
        self.with_policy(request.policy, |policy| {
            let find = |address| policy.deny().find(address, request.route, now);
            let entry = find(address.judged()).or_else(|| find(address))?;
            let parts: Vec<&str> = [entry.owner(), entry.reason()].into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        })
    }

    /// The decision of a policy when judging itself failed: its failure mode.
    #[must_use]
    pub fn failed(&self, policy: PolicyId, code: Code) -> Decision {
        self.without_judging(policy, None, Finding::Failed(code, None, None))
    }

    /// The decision about a request that the application wants to let through unjudged.
    #[must_use]
    pub fn skipped(&self, policy: PolicyId, text: &str) -> Decision {
        self.without_judging(policy, Address::parse_from_framework(text), Finding::Skipped)
    }

    fn without_judging(&self, policy: PolicyId, address: Option<Address>, finding: Finding) -> Decision {
        let subject = Subject {
            address,
            provenance: Provenance::Application,
            facts: Facts::default(),
            policy,
            route: RouteId::OTHER,
        };
        self.with_policy(policy, |policy| decide(policy, subject, finding, self.engine.now()))
    }

    /// Counts a decision that is given to somebody: step 11.
    pub fn record(&self, decision: &Decision) {
        match decision.source {
            Source::Memory if decision.stale => self.engine.counters.stale_answer(),
            Source::Memory => self.engine.counters.memory_hit(),
            _ => {}
        }
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = counters.get(usize::from(decision.policy.number())) {
            counters.record(decision);
        }
    }

    /// Evaluates, looks up where needed, and records.
    pub async fn check(&self, request: Request<'_>) -> Decision {
        let decision = match self.evaluate(request) {
            Evaluation::Decided(decision) => decision,
            Evaluation::Pending(pending) => self.resolve(pending).await,
        };
        self.record(&decision);
        decision
    }

    /// Checks many plain addresses, in their order. Once `stop` is set, nobody is asked about addresses that still wait
    /// for their turn: those that need a look-up get the failure mode, with [`Code::Closed`].
    ///
    /// # Errors
    /// [`Code::Argument`] for more than [`MOST_ADDRESSES`] addresses. What fails for one address stands in its
    /// decision.
    pub async fn check_many(
        self: &Arc<Self>,
        texts: Vec<String>,
        policy: PolicyId,
        route: RouteId,
        stop: &AtomicBool,
    ) -> Result<Vec<Decision>, Error> {
        if texts.len() > MOST_ADDRESSES {
            let message = format!("`checkMany` takes at most {MOST_ADDRESSES} addresses; split the list");
            return Err(Error::new(Code::Argument, message));
        }
        let mut decisions: Vec<Option<Decision>> = vec![None; texts.len()];
        let mut look_ups = JoinSet::new();
        let most = CONCURRENT_LOOK_UPS.min(self.engine.options().max_in_flight);
        let mut has_waited = false;
        for (place, text) in texts.iter().enumerate() {
            let request = Request { text, policy, route, facts: Facts::default() };
            let pending = match self.evaluate(request) {
                Evaluation::Decided(decision) => {
                    decisions[place] = Some(decision);
                    if place % DECISIONS_AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                Evaluation::Pending(pending) => pending,
            };
            if look_ups.len() >= most {
                has_waited = true;
                take_next(&mut look_ups, &mut decisions).await;
            }
            if has_waited && stop.load(Ordering::Relaxed) {
                decisions[place] = Some(self.not_asked(pending));
                continue;
            }
            let checker = Arc::clone(self);
            look_ups.spawn(async move { (place, checker.resolve(pending).await) });
        }
        while !look_ups.is_empty() {
            take_next(&mut look_ups, &mut decisions).await;
        }
        let decisions = decisions.into_iter().map(|decision| {
            // A look-up without a decision panicked.
            let decision = decision.unwrap_or_else(|| self.failed(policy, Code::Internal));
            self.record(&decision);
            decision
        });
        Ok(decisions.collect())
    }

    /// The decision when there is no time left to ask: the ladder, as after a failure.
    fn not_asked(&self, pending: Pending) -> Decision {
        let Pending { subject, judged } = pending;
        let now = self.engine.now();
        let finding = self.failed_to_ask(Code::Closed, judged, now);
        self.with_policy(subject.policy, |policy| decide(policy, subject, finding, now))
    }

    /// Forgets one address or everything, for all checkers on the same engine. Text that is no address is ignored.
    pub fn invalidate(&self, text: Option<&str>) {
        match text {
            None => self.engine.invalidate(None),
            Some(text) => {
                if let Some(address) = Address::parse(text) {
                    self.engine.invalidate(Some(address));
                }
            }
        }
    }

    /// The counts of every policy, by name.
    #[must_use]
    pub fn policy_stats(&self) -> Vec<(String, PolicyStats)> {
        self.with_policies(|policies| {
            let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
            let names = policies.all().iter().map(|policy| policy.name().to_owned());
            names.zip(counters.iter().map(PolicyCounters::read)).collect()
        })
    }
}

async fn take_next(look_ups: &mut JoinSet<(usize, Decision)>, decisions: &mut [Option<Decision>]) {
    if let Some(Ok((place, decision))) = look_ups.join_next().await {
        decisions[place] = Some(decision);
    }
}
