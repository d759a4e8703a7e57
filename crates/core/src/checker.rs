//! A checker: an engine, policies, and the order in which an address is judged.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::budget::Priority;
use crate::decision::{Decision, PolicyId, Provenance, Source};
use crate::engine::local::{Outcome, Question};
use crate::engine::{Engine, Handle};
use crate::error::{Code, Error};
use crate::evidence::{Answer, Evidence};
use crate::judgement::{Failed, Finding, Subject, decide, is_enough};
use crate::lists::List;
use crate::options::{CheckerOptions, MOST_ADDRESSES};
use crate::policies::{MOST_POLICIES, Policies};
use crate::policy::Policy;
use crate::provenance::Facts;
use crate::routes::RouteId;
use crate::special_use;
use crate::stats::{PolicyCounters, PolicyStats, Rung};

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

/// What stands at one place of a list.
enum Listed {
    Decided(Decision),
    /// The same as at that place.
    As(usize),
}

/// A check that needs a look-up.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    subject: Subject,
    judged: Address,
}

const ONLY_WATCHES: &str =
    "`IP_RISK_MODE=log-only` is set: nobody is stopped, and decisions only say what they would be";

/// Policies with an engine. Cheap to make when the engine is shared.
#[derive(Debug)]
pub struct Checker {
    engine: Handle,
    policies: RwLock<Policies>,
    /// By the number of the policy, each made with its first decision, so that counting takes no lock.
    counters: Box<[OnceLock<Box<PolicyCounters>>]>,
    log_only: bool,
    feeds_may_clear: bool,
}

impl Checker {
    /// A checker on `engine`, with the policies of `options`.
    #[must_use]
    pub fn new(engine: Handle, options: CheckerOptions) -> Self {
        // Those that are written may be as many as are allowed, beside the shipped ones.
        let places = options.policies.all().len().max(MOST_POLICIES);
        Self {
            engine,
            policies: RwLock::new(options.policies),
            counters: (0..places).map(|_| OnceLock::new()).collect(),
            log_only: options.log_only,
            feeds_may_clear: options.feeds_may_clear,
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        self.engine.engine()
    }

    /// What is worth a line at the start, with the code of what is wrong if anything is.
    #[must_use]
    pub fn notices(&self) -> Vec<(Option<Code>, String)> {
        let only_watches = self.log_only.then(|| (None, ONLY_WATCHES.to_owned()));
        self.engine.notices().into_iter().chain(only_watches).collect()
    }

    /// Ends the checker, and the engine with the last one on it. Takes about 50 milliseconds at most. Calls that are under
    /// way then end with [`Code::Closed`].
    pub async fn close(&self) {
        self.engine.close().await;
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
            // One whose embedded IPv4 is special is somebody else, behind a gateway of this kind.
            let is_own_peer = address == judged
                && subject.provenance == Provenance::Socket
                && !subject.facts.has(Facts::FORWARDED_HEADER);
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

    /// The ladder, when the provider could not be asked.
    async fn failed_to_ask(
        &self,
        code: Code,
        neighbour: Option<(Evidence, bool)>,
        judged: Address,
    ) -> Finding {
        let now = self.engine.now();
        let kept = match code {
            // There are many of them at once, and Redis is not to pay for that.
            Code::Overloaded | Code::UnverifiedLimit => self.engine.stale_in_memory(judged, now),
            _ => self.engine.kept(judged, now).await,
        };
        match kept {
            // Another process has brought it meanwhile, or its fresh copy was lost.
            Some((evidence, source)) if self.engine.is_fresh(&evidence, now) => {
                Finding::Answered(Answer::Evidence(evidence), source, None)
            }
            stale => {
                Finding::Failed(Failed { code, stale, neighbour, feeds: self.engine.ask_feeds(judged, now) })
            }
        }
    }

    /// Looks the address up and decides: steps 7 to 10. Always ends within the deadline.
    pub async fn resolve(&self, pending: Pending) -> Decision {
        let priority = self.with_policy(pending.subject.policy, Policy::priority);
        self.resolve_as(pending, priority).await
    }

    async fn resolve_as(&self, pending: Pending, priority: Priority) -> Decision {
        let Pending { subject, judged } = pending;
        let keep = subject.provenance != Provenance::Unverified;
        let outcome = self.engine.look_up(Question { address: judged, keep, priority }).await;
        let finding = match outcome {
            Outcome::Answered(answer, source) => self.answered(answer, source, judged, self.engine.now()),
            Outcome::Neighbour(evidence, is_spent) => {
                self.failed_to_ask(Code::Budget, Some((evidence, is_spent)), judged).await
            }
            Outcome::Failed(code) => self.failed_to_ask(code, None, judged).await,
        };
        self.with_policy(subject.policy, |policy| decide(policy, subject, finding, self.engine.now()))
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
        self.without_judging(policy, None, Finding::Failed(Failed::with(code)))
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
        self.engine.counters.answered(Rung::of(decision));
        if let Some(counters) = self.counters.get(usize::from(decision.policy.number())) {
            counters.get_or_init(Box::default).record(decision);
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

    /// Checks many plain addresses, in their order, at the lowest priority: look-ups travel in long calls, and are paid
    /// from what the budget does not reserve. Once `stop` is cancelled, nobody is asked about addresses that still wait for
    /// their turn, and look-ups that are under way have one deadline left; without an answer they get what is known here
    /// and the failure mode, with [`Code::Closed`].
    ///
    /// # Errors
    /// [`Code::Argument`] for more than [`MOST_ADDRESSES`] addresses. What fails for one address stands in its
    /// decision.
    pub async fn check_many(
        self: &Arc<Self>,
        texts: Vec<String>,
        policy: PolicyId,
        route: RouteId,
        stop: &CancellationToken,
    ) -> Result<Vec<Decision>, Error> {
        if texts.len() > MOST_ADDRESSES {
            let message = format!("`checkMany` takes at most {MOST_ADDRESSES} addresses; split the list");
            return Err(Error::new(Code::Argument, message));
        }
        let mut decisions = Vec::with_capacity(texts.len());
        let mut look_ups = JoinSet::new();
        // Where an address that is looked up stands first.
        let mut first_places = HashMap::new();
        for (place, text) in texts.iter().enumerate() {
            let request = Request { text, policy, route, facts: Facts::default() };
            match self.evaluate(request) {
                Evaluation::Decided(decision) => {
                    decisions.push(Listed::Decided(decision));
                    if place % DECISIONS_AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Evaluation::Pending(pending) => {
                    let first = *first_places.entry(pending.subject.address).or_insert(place);
                    decisions.push(Listed::As(first));
                    if first == place {
                        let turn = self.turn_of_list(stop).await;
                        let (checker, stop) = (Arc::clone(self), stop.clone());
                        look_ups.spawn(async move {
                            (place, checker.resolve_of_list(pending, turn, &stop).await)
                        });
                    }
                }
            }
        }
        while let Some(ended) = look_ups.join_next().await {
            if let Ok((place, decision)) = ended {
                decisions[place] = Listed::Decided(decision);
            }
        }
        let decisions = decisions.iter().map(|listed| {
            let meant = match listed {
                Listed::As(first) => &decisions[*first],
                Listed::Decided(_) => listed,
            };
            let decision = match meant {
                Listed::Decided(decision) => decision.clone(),
                // It panicked.
                Listed::As(_) => self.failed(policy, Code::Internal),
            };
            self.record(&decision);
            decision
        });
        Ok(decisions.collect())
    }

    /// Nothing when the list was stopped before its turn came. Taken before a task is made, so that there are as many of
    /// these as turns.
    async fn turn_of_list(&self, stop: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        let turns = Arc::clone(&self.engine.turns_of_lists);
        // Who has not to wait is asked about also when it was stopped at once: `close()` waits for what was begun.
        if let Ok(turn) = Arc::clone(&turns).try_acquire_owned() {
            return Some(turn);
        }
        // An error would mean that turns were closed, which nobody does.
        stop.run_until_cancelled(turns.acquire_owned()).await.and_then(Result::ok)
    }

    async fn resolve_of_list(
        &self,
        pending: Pending,
        turn: Option<OwnedSemaphorePermit>,
        stop: &CancellationToken,
    ) -> Decision {
        if turn.is_none() {
            return self.not_asked(pending);
        }
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(self.engine.options().deadline).await;
        };
        tokio::select! {
            biased;
            decision = self.resolve_as(pending, Priority::Bulk) => decision,
            () = patience => self.not_asked(pending),
        }
    }

    /// The decision when there is no time left to ask anybody: what is known here, and then the failure mode.
    fn not_asked(&self, pending: Pending) -> Decision {
        let Pending { subject, judged } = pending;
        let now = self.engine.now();
        let stale = self.engine.stale_in_memory(judged, now);
        let feeds = self.engine.ask_feeds(judged, now);
        let finding = Finding::Failed(Failed { stale, feeds, ..Failed::with(Code::Closed) });
        self.with_policy(subject.policy, |policy| decide(policy, subject, finding, now))
    }

    /// Forgets one address or everything, for all checkers on the same engine and all processes that share its Redis. Text
    /// that is no address is ignored.
    ///
    /// # Errors
    /// [`Code::Redis`] when the other processes could not be told.
    pub async fn invalidate(&self, text: Option<&str>) -> Result<(), Error> {
        match text.map(Address::parse) {
            None => self.engine.invalidate(None).await,
            Some(Some(address)) => self.engine.invalidate(Some(address)).await,
            Some(None) => Ok(()),
        }
    }

    /// The counts of every policy, by name.
    #[must_use]
    pub fn policy_stats(&self) -> Vec<(String, PolicyStats)> {
        self.with_policies(|policies| {
            let names = policies.all().iter().map(|policy| policy.name().to_owned());
            let stats = self.counters.iter().map(|counters| counters.get_or_init(Box::default).read());
            names.zip(stats).collect()
        })
    }
}
