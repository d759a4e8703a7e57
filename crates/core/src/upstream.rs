//! Calls to the provider, as they are made: with leave of the breaker, under the deadline, and once more where that may
//! help.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::batcher::Calls;
use crate::breaker::{Breaker, Health, Notice};
use crate::budget::CREDITS_PER_LOOK_UP;
use crate::clock::Clock;
use crate::error::Code;
use crate::evidence::Answer;
use crate::feeds::fetch::retry_at;
use crate::http::{Http, Response, Unanswered};
use crate::jitter::Jitter;
use crate::names::NameTable;
use crate::options::EngineOptions;
use crate::retry::{self, Failed};
use crate::security_api;
use crate::security_api::bulk::{self, BulkFailure};
use crate::stats::EngineCounters;

/// How many calls about one address of a list are under way at once, where bulk calls are not to be had.
pub(crate) const SINGLE_CALLS_OF_LISTS: usize = 32;

/// The provider, and how it has been doing.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) http: Http,
    names: Arc<NameTable>,
    counters: Arc<EngineCounters>,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    jitter: Jitter,
    /// Whether there is a budget, which pays for one call a look-up.
    is_budgeted: bool,
    /// Ends every call.
    closing: CancellationToken,
}

/// How one call ended.
struct Ended<T, E> {
    outcome: Result<T, E>,
    failure: Option<Code>,
    status: Option<u16>,
    charged: u64,
    is_probe: bool,
}

/// The credits that a call about `count` addresses cost: what it says, or the list price for an answer that does not say
/// or may have been lost on the way. Other statuses than 200 are free.
fn cost(response: &Result<Response, Unanswered>, count: usize) -> u64 {
    let price = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(CREDITS_PER_LOOK_UP);
    match response {
        Ok(response) if response.status == 200 => response.credits.unwrap_or(price),
        Err(Unanswered { may_be_charged: true, .. }) => price,
        Ok(_) | Err(_) => 0,
    }
}

impl Upstream {
    pub(crate) fn new(
        http: Http,
        options: &EngineOptions,
        names: Arc<NameTable>,
        counters: Arc<EngineCounters>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let breaker = Breaker::new(options.deadline, clock.now());
        let is_budgeted = options.budget.is_some();
        let (jitter, closing) = (Jitter::default(), CancellationToken::new());
        Self { http, names, counters, clock, breaker, jitter, is_budgeted, closing }
    }

    /// Why no call is made now, if none is.
    pub(crate) fn refusal(&self) -> Option<Code> {
        self.breaker.refusal(self.clock.now())
    }

    pub(crate) fn health(&self) -> Health {
        self.breaker.health()
    }

    pub(crate) fn take_notice(&self) -> Option<Notice> {
        self.breaker.take_notice(self.clock.now())
    }

    /// Ends all calls that are under way, and lets none begin.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// What comes back, unless everything ends before.
    async fn answer(
        &self,
        call: impl Future<Output = Result<Response, Unanswered>>,
    ) -> Result<Response, Unanswered> {
        let began = Instant::now();
        self.counters.called();
        let response = tokio::select! {
            biased;
            () = self.closing.cancelled() => {
                return Err(Unanswered { code: Code::Closed, may_be_charged: true });
            }
            response = call => response,
        };
        self.counters.took(began.elapsed());
        response
    }

    /// Makes a call, and once more where that may help until `until`. Also says how many credits that cost.
    async fn make<T, E: From<Code>, C>(&self, until: Instant, call: impl Fn() -> C) -> (Result<T, E>, u64)
    where
        C: Future<Output = Result<Ended<T, E>, Code>>,
    {
        if until <= Instant::now() {
            return (Err(Code::Timeout.into()), 0);
        }
        let mut charged = 0;
        let mut first: Option<Code> = None;
        loop {
            let ended = match call().await {
                Ok(ended) => ended,
                // A second call that is not allowed says nothing about the address: the first one's failure does.
                Err(code) => return (Err(first.unwrap_or(code).into()), charged),
            };
            charged += ended.charged;
            let Some(wait) = self.wait(&ended, first.is_some(), until) else {
                return (ended.outcome, charged);
            };
            first = ended.failure;
            self.counters.retried();
            sleep(wait).await;
        }
    }

    /// How long to wait before the call that ended is made once more, if it is.
    fn wait<T, E>(&self, ended: &Ended<T, E>, is_second: bool, until: Instant) -> Option<Duration> {
        let left = until.saturating_duration_since(Instant::now());
        let is_paid_for = self.is_budgeted && ended.charged > 0;
        let is_last = is_second || ended.is_probe || is_paid_for;
        let failed = Failed { code: ended.failure?, status: ended.status, is_last, left };
        retry::wait(failed, &self.jitter)
    }

    /// One call about one address, until `until` at the latest.
    async fn call(&self, address: Address, until: Instant) -> Result<Ended<Answer, Code>, Code> {
        let admission = self.breaker.admit(self.clock.now())?;
        let response = self.answer(self.http.get(address, until)).await;
        let (now, charged) = (self.clock.now(), cost(&response, 1));
        let status = response.as_ref().ok().map(|response| response.status);
        let wanted = response.as_ref().ok().and_then(|response| wants_to_be_asked(response, now));
        let outcome = response.map_err(|lost| lost.code).and_then(|response| {
            self.counters.charged(response.credits);
            security_api::read(response.status, &response.body?, address, &self.names, now)
        });
        let (failure, is_probe) = (outcome.as_ref().err().copied(), admission.is_probe());
        self.counters.ended(failure, now);
        admission.report(failure, wanted, now);
        Ok(Ended { outcome, failure, status, charged, is_probe })
    }

    /// One call about several addresses, until `until` at the latest. Lists say nothing to the breaker when they fail: their
    /// calls are long, and requests, which ask about one address, may do well.
    async fn call_bulk(
        &self,
        addresses: &[Address],
        until: Instant,
        is_list: bool,
    ) -> Result<Ended<Vec<bulk::Outcome>, BulkFailure>, Code> {
        let admission = self.breaker.admit(self.clock.now())?;
        self.counters.batched();
        let response = self.answer(self.http.post_bulk(addresses, until)).await;
        let (now, charged) = (self.clock.now(), cost(&response, addresses.len()));
        let status = response.as_ref().ok().map(|response| response.status);
        let wanted = response.as_ref().ok().and_then(|response| wants_to_be_asked(response, now));
        let outcome = response.map_err(|lost| BulkFailure::Failed(lost.code)).and_then(|response| {
            self.counters.charged(response.credits);
            bulk::read(response.status, &response.body?, addresses, &self.names, now)
        });
        let failure = match &outcome {
            Err(BulkFailure::Failed(code)) => Some(*code),
            // It answered: a smaller call is welcome.
            Ok(_) | Err(BulkFailure::TooLarge) => None,
        };
        let is_probe = admission.is_probe();
        self.counters.ended(failure, now);
        match failure {
            // A plan may lack bulk calls alone, so a refused one does not shut the single ones out: they ask next.
            Some(Code::KeyRefused | Code::KeyForbidden) if !is_probe => drop(admission),
            Some(code) if is_list && code != Code::Quota => drop(admission),
            _ => admission.report(failure, wanted, now),
        }
        Ok(Ended { outcome, failure, status, charged, is_probe })
    }
}

impl Calls for Arc<Upstream> {
    async fn single(&self, address: Address, until: Instant) -> bulk::Reply {
        let (outcome, charged) = self.make(until, || self.call(address, until)).await;
        bulk::Reply { outcome, charged }
    }

    async fn bulk(
        &self,
        addresses: &[Address],
        until: Instant,
    ) -> (Result<Vec<bulk::Outcome>, BulkFailure>, u64) {
        self.make(until, || self.call_bulk(addresses, until, false)).await
    }
}

/// Calls about addresses of lists. Nobody waits at a gate for them, and they are to leave room for those who do.
#[derive(Debug)]
pub(crate) struct ListCalls {
    upstream: Arc<Upstream>,
    /// How long a call about one address may take.
    deadline: Duration,
    turns: Semaphore,
    /// Whether the last bulk call failed.
    has_failed: AtomicBool,
}

impl ListCalls {
    pub(crate) fn new(upstream: Arc<Upstream>, deadline: Duration) -> Self {
        Self {
            upstream,
            deadline,
            turns: Semaphore::new(SINGLE_CALLS_OF_LISTS),
            has_failed: AtomicBool::new(false),
        }
    }
}

impl Calls for ListCalls {
    async fn single(&self, address: Address, until: Instant) -> bulk::Reply {
        // An error inside would mean that it was closed, which nobody does.
        let Ok(_turn) = timeout_at(until, self.turns.acquire()).await else {
            return bulk::Reply::free(Code::Timeout);
        };
        self.upstream.single(address, until.min(Instant::now() + self.deadline)).await
    }

    async fn bulk(
        &self,
        addresses: &[Address],
        until: Instant,
    ) -> (Result<Vec<bulk::Outcome>, BulkFailure>, u64) {
        let upstream = &self.upstream;
        let (outcomes, charged) = upstream.make(until, || upstream.call_bulk(addresses, until, true)).await;
        let has_failed = matches!(outcomes, Err(BulkFailure::Failed(_)));
        self.has_failed.store(has_failed, Ordering::Relaxed);
        (outcomes, charged)
    }

    /// Only a call about one address shows whether an outage is over, or begins: the breaker hears of no other that fails.
    fn is_in_doubt(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || self.upstream.health().cause.is_some()
    }
}

fn wants_to_be_asked(response: &Response, now: u64) -> Option<u64> {
    retry_at(response.retry_after.as_deref()?, now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;
    use crate::options::{CheckerOptions, Surroundings};

    const DEADLINE: Duration = Duration::from_millis(50);

    /// A provider that never answers.
    async fn silent() -> (Arc<Upstream>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let written = json!({ "apiKey": "test-key", "endpoint": endpoint, "deadlineMs": 50 });
        let options = CheckerOptions::read(&written, Surroundings::default()).unwrap().engine;
        let http = Http::new(&options, options.api_key.as_ref().unwrap()).unwrap();
        let (names, counters) = (Arc::default(), Arc::default());
        (Arc::new(Upstream::new(http, &options, names, counters, Arc::new(SystemClock))), listener)
    }

    fn address() -> Address {
        Address::parse("198.51.100.7").unwrap()
    }

    #[tokio::test]
    async fn no_call_begins_when_its_time_is_over() {
        let (upstream, _listener) = silent().await;
        let lists = ListCalls::new(Arc::clone(&upstream), DEADLINE);
        for reply in
            [upstream.single(address(), Instant::now()).await, lists.single(address(), Instant::now()).await]
        {
            assert_eq!((reply.outcome.unwrap_err(), reply.charged), (Code::Timeout, 0));
        }
        let (failed, charged) = upstream.bulk(&[address()], Instant::now()).await;
        assert_eq!((failed.unwrap_err(), charged), (BulkFailure::Failed(Code::Timeout), 0));
        let stats = upstream.counters.read();
        assert_eq!((stats.calls, stats.failures), (0, vec![]));
    }

    #[tokio::test]
    async fn lists_have_much_time_and_yet_a_call_about_one_address_only_a_deadline() {
        let (upstream, _listener) = silent().await;
        let lists = ListCalls::new(Arc::clone(&upstream), DEADLINE);
        let began = Instant::now();
        let long = DEADLINE * 4;
        let reply = lists.single(address(), began + long * 100).await;
        assert_eq!(reply.outcome.unwrap_err(), Code::Timeout);
        assert!(began.elapsed() < long * 50, "{:?}", began.elapsed());
        let began = Instant::now();
        let (failed, _) = lists.bulk(&[address()], began + long).await;
        assert_eq!(failed.unwrap_err(), BulkFailure::Failed(Code::Timeout));
        assert!(began.elapsed() >= long, "{:?}", began.elapsed());
    }
}
