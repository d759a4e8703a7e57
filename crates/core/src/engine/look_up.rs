//! One look-up, from the question to the outcome: Redis, the limits, the provider.

use std::sync::{Arc, PoisonError};

use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::local::{Claim, Flight, Landing, Outcome, Question, Start};
use super::spending::Leave;
use super::{DEADLINES_OF_LISTS, Engine};
use crate::address::{Address, CacheKey};
use crate::batcher::Calls;
use crate::budget::{Priority, Reservation};
use crate::decision::Source;
use crate::error::Code;
use crate::evidence::{Answer, Evidence};
use crate::options::UNVERIFIED_LOOK_UPS_PER_MINUTE;
use crate::security_api::bulk::Reply;

const MINUTE: u64 = 60_000;
/// A call ends by itself when its time is over. In that much more it says so, and what it cost.
const GRACE: Duration = Duration::from_millis(50);

/// What was refused to somebody may be granted to another.
fn depends_on_who_asks(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(Code::Budget | Code::Redis | Code::UnverifiedLimit))
}

impl Engine {
    /// Looks an address up, together with all others who ask at this time.
    ///
    /// Runs on a tokio runtime, and to its end even when the caller goes away, so that the others get their answer.
    pub(crate) async fn look_up(self: &Arc<Self>, question: Question) -> Outcome {
        let until = Instant::now() + self.patience(question.priority);
        loop {
            let flight = match self.local.start(question, self.now()) {
                Start::Known(answer) => return Outcome::Answered(answer, Source::Memory),
                Start::Overloaded => return Outcome::Failed(Code::Overloaded),
                Start::Joined(flight) => {
                    self.counters.coalesced();
                    flight
                }
                Start::Begun(landing) => {
                    let flight = Arc::clone(&landing.flight);
                    self.begin(landing, question);
                    flight
                }
            };
            let mut outcome = flight.outcome();
            let ended = timeout_at(until, outcome.wait_for(Option::is_some)).await;
            let outcome = match ended.as_ref().map(|ended| ended.as_deref()) {
                Ok(Ok(Some(outcome))) => outcome.clone(),
                // It ended without an outcome: it panicked, or the runtime is shutting down.
                Ok(_) => Outcome::Failed(Code::Internal),
                Err(_) => Outcome::Failed(Code::Timeout),
            };
            // Refused because of who the others are: once more. Few do, and only after those with less of a claim.
            if !(depends_on_who_asks(&outcome) && flight.was_asked_for_less(question)) {
                return outcome;
            }
        }
    }

    fn begin(self: &Arc<Self>, landing: Landing, question: Question) {
        let engine = Arc::clone(self);
        let until = Instant::now() + self.patience(question.priority);
        tokio::spawn(async move {
            let asked = engine.ask(landing.key, &landing.flight, question, until);
            let asked = timeout_at(until + GRACE, asked).await;
            let outcome = asked.unwrap_or(Outcome::Failed(Code::Timeout));
            landing.land(outcome, engine.now(), |key, answer, source| {
                if let (Some(shared), Source::Api) = (&engine.shared, source) {
                    shared.put(key, answer);
                }
                if let (Some(spending), Answer::Evidence(evidence)) = (&engine.spending, answer) {
                    spending.learn(question.address, evidence);
                }
            });
        });
    }

    /// How long a look-up may take, so that there is time left to ask Redis for stale evidence.
    fn patience(&self, priority: Priority) -> Duration {
        let deadlines = if priority == Priority::Bulk { DEADLINES_OF_LISTS } else { 1 };
        (self.options.deadline * deadlines).saturating_sub(self.options.time_for_redis())
    }

    async fn ask(
        self: &Arc<Self>,
        key: CacheKey,
        flight: &Flight,
        question: Question,
        until: Instant,
    ) -> Outcome {
        if let Some(answer) = self.fresh_in_redis(key, question.priority).await {
            return Outcome::Answered(answer, Source::Redis);
        }
        // Half of the time is the provider's. A lease that takes longer is a failure of the budget, which a rush can cause.
        let half = until.saturating_duration_since(Instant::now()) / 2;
        let leave = timeout(half, self.leave(flight, question.address)).await;
        let reservation = match leave.unwrap_or(Err(Outcome::Failed(Code::Redis))) {
            Ok(reservation) => reservation,
            Err(outcome) => return outcome,
        };
        let Reply { outcome, charged } = self.call(question, until).await;
        if let Some(reservation) = reservation {
            reservation.settle(Some(charged));
        }
        match outcome {
            Ok(answer) => Outcome::Answered(answer, Source::Api),
            Err(code) => Outcome::Failed(code),
        }
    }

    async fn fresh_in_redis(&self, key: CacheKey, priority: Priority) -> Option<Answer> {
        let shared = self.shared.as_ref()?;
        // Requests are not to wait behind thousands of a list. An error would mean that it was closed.
        let _turn = if priority == Priority::Bulk { self.lists_at_redis.acquire().await.ok() } else { None };
        // Why Redis did not help is counted there.
        shared.fresh(key, &self.names, self.now()).await.ok().flatten()
    }

    /// Whether the provider may be asked, and what pays for it where there is a budget.
    async fn leave(
        self: &Arc<Self>,
        flight: &Flight,
        address: Address,
    ) -> Result<Option<Reservation<'_>>, Outcome> {
        if let Some(code) = self.upstream.as_ref().and_then(|upstream| upstream.refusal()) {
            return Err(Outcome::Failed(code));
        }
        let Claim { keep, priority } = flight.claim();
        if !keep && !self.may_ask_for_unverified() {
            return Err(Outcome::Failed(Code::UnverifiedLimit));
        }
        let Some(spending) = &self.spending else { return Ok(None) };
        let leave = spending.leave(address, Claim { keep, priority }, self.now(), self.shared.as_ref()).await;
        match leave {
            Leave::LookUp(reservation) => {
                self.lease_ahead(priority);
                Ok(Some(reservation))
            }
            Leave::Neighbour(evidence, is_spent) => Err(Outcome::Neighbour(evidence, is_spent)),
            Leave::Refused(code) => Err(Outcome::Failed(code)),
        }
    }

    /// Leases in the background what will soon be missing of a budget that processes share.
    fn lease_ahead(self: &Arc<Self>, priority: Priority) {
        let spending = self.spending.as_ref();
        if !spending.is_some_and(|spending| spending.budget.is_low(priority, self.now())) {
            return;
        }
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let (Some(spending), Some(ledger)) = (&engine.spending, &engine.shared) {
                spending.budget.lease_ahead(priority, engine.now(), ledger).await;
            }
        });
    }

    fn may_ask_for_unverified(&self) -> bool {
        let now = self.now();
        let mut latest = self.unverified.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == UNVERIFIED_LOOK_UPS_PER_MINUTE {
            // A clock that was set back must not shut the gate until it has caught up.
            if latest.front().is_some_and(|oldest| now.abs_diff(*oldest) < MINUTE) {
                return false;
            }
            latest.pop_front();
        }
        latest.push_back(now);
        true
    }

    /// Asks the provider, alone or with others, until `until`.
    async fn call(&self, Question { address, priority, .. }: Question, until: Instant) -> Reply {
        let Some(upstream) = &self.upstream else { return Reply::free(Code::NoSource) };
        match (&self.batcher, &self.lists) {
            (_, Some(lists)) if priority == Priority::Bulk => lists.submit(address, until).await,
            (Some(batcher), _) => batcher.submit(address, until).await,
            (None, _) => upstream.single(address, until).await,
        }
    }

    /// Whether evidence is within its time to live.
    pub(crate) fn is_fresh(&self, evidence: &Evidence, now: u64) -> bool {
        now.saturating_sub(evidence.checked_at) < self.options.cache.ttl
    }

    /// The last rung that still has evidence about `address`, which is older than its time to live as a rule.
    pub(crate) async fn kept(&self, address: Address, now: u64) -> Option<(Evidence, Source)> {
        if let Some(known) = self.stale_in_memory(address, now) {
            return Some(known);
        }
        let found = self.shared.as_ref()?.stale(self.local.key(address), &self.names, now).await;
        found.ok().flatten().map(|evidence| (evidence, Source::Redis))
    }

    pub(crate) fn stale_in_memory(&self, address: Address, now: u64) -> Option<(Evidence, Source)> {
        self.local.cache.stale(self.local.key(address), now).map(|evidence| (evidence, Source::Memory))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::options::{CheckerOptions, Surroundings};

    /// One whose provider cannot be reached.
    fn engine() -> Arc<Engine> {
        let options = json!({
            "apiKey": "test-key", "endpoint": "http://127.0.0.1:1", "budget": { "perDay": 100, "reserved": 0 },
        });
        let options = CheckerOptions::read(&options, Surroundings::default()).unwrap();
        Arc::new(Engine::new(options.engine, Arc::new(SystemClock)).unwrap())
    }

    #[test]
    fn what_was_refused_to_others_is_asked_for_anew_by_those_with_a_better_claim() {
        const ANEW: Code = Code::Connect;
        let (list, request, payment) = (Priority::Bulk, Priority::Normal, Priority::High);
        let address = Address::parse("9.9.9.9").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (refused, asked_for, joining, expected) in [
            (Code::Budget, (true, request), (true, payment), ANEW),
            (Code::Redis, (true, request), (true, payment), ANEW),
            (Code::Budget, (true, list), (true, request), ANEW),
            (Code::UnverifiedLimit, (false, payment), (true, request), ANEW),
            (Code::Budget, (true, request), (true, request), Code::Budget),
            (Code::Budget, (true, payment), (false, request), Code::Budget),
            (Code::Quota, (true, request), (true, payment), Code::Quota),
        ] {
            let question = |(keep, priority)| Question { address, keep, priority };
            let outcome = runtime.block_on(async {
                let engine = engine();
                let begun = engine.local.start(question(asked_for), engine.now());
                let Start::Begun(landing) = begun else { panic!("it was begun before") };
                landing.flight.claim();
                let refuse = async { landing.land(Outcome::Failed(refused), engine.now(), |_, _, _| {}) };
                // It joins before the other is refused.
                tokio::join!(biased; engine.look_up(question(joining)), refuse).0
            });
            let Outcome::Failed(code) = outcome else { panic!("{outcome:?}") };
            assert_eq!(code, expected, "{refused} for {asked_for:?}, and {joining:?} joined");
        }
    }
}
