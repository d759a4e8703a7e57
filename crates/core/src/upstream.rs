//! Calls to the provider, as they are made: with leave of the breaker, under the deadline, and once more where that may
//! help.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::batcher::Calls;
use crate::breaker::{Breaker, Health, Notice};
use crate::budget::CREDITS_PER_LOOK_UP;
use crate::clock::Clock;
use crate::error::Code;
use crate::feeds::fetch::retry_at;
use crate::http::{Http, Response};
use crate::jitter::Jitter;
use crate::names::NameTable;
use crate::retry::{self, Failed};
use crate::security_api::{self, bulk};
use crate::stats::EngineCounters;

/// How many calls about one address of a list are under way at once, where bulk calls are not to be had.
pub(crate) const SINGLE_CALLS_OF_LISTS: usize = 32;

/// The provider, and how it has been doing.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) http: Http,
    /// How long a call about one address may take, the second attempt included.
    deadline: Duration,
    names: Arc<NameTable>,
    counters: Arc<EngineCounters>,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    jitter: Jitter,
    /// Ends every call.
    closing: CancellationToken,
}

/// How one call about one address ended.
struct Ended {
    outcome: bulk::Outcome,
    status: Option<u16>,
    charged: u64,
    is_probe: bool,
}

/// The credits that a call about `count` addresses cost: what it says, or the list price for an answer that does not say
/// or may have been lost on the way. Other statuses than 200 are free.
fn cost(response: &Result<Response, Code>, count: usize) -> u64 {
    let price = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(CREDITS_PER_LOOK_UP);
    match response {
        Ok(response) if response.status == 200 => response.credits.unwrap_or(price),
        // Nothing of the question got there.
        Ok(_) | Err(Code::Tls) => 0,
        Err(_) => price,
    }
}

impl Upstream {
    pub(crate) fn new(
        http: Http,
        deadline: Duration,
        names: Arc<NameTable>,
        counters: Arc<EngineCounters>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let breaker = Breaker::new(deadline, clock.now());
        let (jitter, closing) = (Jitter::default(), CancellationToken::new());
        Self { http, deadline, names, counters, clock, breaker, jitter, closing }
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

    /// What comes back within `left`.
    async fn within(
        &self,
        left: Duration,
        call: impl Future<Output = Result<Response, Code>>,
    ) -> Result<Response, Code> {
        let began = Instant::now();
        self.counters.called();
        let response = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(Code::Closed),
            response = timeout(left, call) => response.unwrap_or(Err(Code::Timeout)),
        };
        self.counters.took(began.elapsed());
        response
    }

    /// One call, with what is left of the deadline.
    async fn call(&self, address: Address, left: Duration) -> Result<Ended, Code> {
        let admission = self.breaker.admit(self.clock.now())?;
        let response = self.within(left, self.http.get(address)).await;
        let (now, charged) = (self.clock.now(), cost(&response, 1));
        let status = response.as_ref().ok().map(|response| response.status);
        let wanted = response.as_ref().ok().and_then(|response| wants_to_be_asked(response, now));
        let outcome = response.and_then(|response| {
            self.counters.charged(response.credits);
            security_api::read(response.status, &response.body, address, &self.names, now)
        });
        let (failure, is_probe) = (outcome.as_ref().err().copied(), admission.is_probe());
        self.counters.ended(failure, now);
        admission.report(failure, wanted, now);
        Ok(Ended { outcome, status, charged, is_probe })
    }

    /// One call about several addresses, in at most `time`, and the credits that it cost.
    async fn call_bulk(
        &self,
        addresses: &[Address],
        time: Duration,
    ) -> (Result<Vec<bulk::Outcome>, bulk::BulkFailure>, u64) {
        let failed = bulk::BulkFailure::Failed;
        let admission = match self.breaker.admit(self.clock.now()) {
            Ok(admission) => admission,
            Err(code) => return (Err(failed(code)), 0),
        };
        self.counters.batched();
        let response = self.within(time, self.http.post_bulk(addresses)).await;
        let (now, charged) = (self.clock.now(), cost(&response, addresses.len()));
        let wanted = response.as_ref().ok().and_then(|response| wants_to_be_asked(response, now));
        let outcomes = response.map_err(failed).and_then(|response| {
            self.counters.charged(response.credits);
            bulk::read(response.status, &response.body, addresses, &self.names, now)
        });
        let failure = match &outcomes {
            Err(bulk::BulkFailure::Failed(code)) => Some(*code),
            // It answered: a smaller call is welcome.
            Ok(_) | Err(bulk::BulkFailure::TooLarge) => None,
        };
        self.counters.ended(failure, now);
        match failure {
            // A plan may lack bulk calls alone, so a refused one does not shut the single ones out: they ask next.
            Some(Code::KeyRefused | Code::KeyForbidden) if !admission.is_probe() => drop(admission),
            _ => admission.report(failure, wanted, now),
        }
        (outcomes, charged)
    }
}

impl Calls for Arc<Upstream> {
    async fn single(&self, address: Address) -> bulk::Reply {
        let began = Instant::now();
        let mut charged = 0;
        let mut first: Option<Code> = None;
        loop {
            let left = self.deadline.saturating_sub(began.elapsed());
            // A second call that is not allowed says nothing about the address: the first one's failure does.
            let ended = match (self.call(address, left).await, first) {
                (Ok(ended), _) => ended,
                (Err(_), Some(code)) | (Err(code), None) => {
                    return bulk::Reply { outcome: Err(code), charged };
                }
            };
            charged += ended.charged;
            let Err(code) = ended.outcome else { return bulk::Reply { outcome: ended.outcome, charged } };
            let left = self.deadline.saturating_sub(began.elapsed());
            let is_last = first.is_some() || ended.is_probe;
            let failed = Failed { code, status: ended.status, is_last, left };
            let Some(wait) = retry::wait(failed, &self.jitter) else {
                return bulk::Reply { outcome: Err(code), charged };
            };
            first = Some(code);
            self.counters.retried();
            sleep(wait).await;
        }
    }

    async fn bulk(&self, addresses: &[Address]) -> (Result<Vec<bulk::Outcome>, bulk::BulkFailure>, u64) {
        self.call_bulk(addresses, self.deadline).await
    }
}

/// Calls about addresses of lists. Nobody waits at a gate for them, and they are to leave room for those who do.
#[derive(Debug)]
pub(crate) struct ListCalls {
    upstream: Arc<Upstream>,
    /// How long a bulk call may take.
    time: Duration,
    turns: Semaphore,
}

impl ListCalls {
    pub(crate) fn new(upstream: Arc<Upstream>, time: Duration) -> Self {
        Self { upstream, time, turns: Semaphore::new(SINGLE_CALLS_OF_LISTS) }
    }
}

impl Calls for ListCalls {
    async fn single(&self, address: Address) -> bulk::Reply {
        // An error would mean that it was closed, which nobody does.
        let _turn = self.turns.acquire().await;
        self.upstream.single(address).await
    }

    async fn bulk(&self, addresses: &[Address]) -> (Result<Vec<bulk::Outcome>, bulk::BulkFailure>, u64) {
        self.upstream.call_bulk(addresses, self.time).await
    }
}

fn wants_to_be_asked(response: &Response, now: u64) -> Option<u64> {
    retry_at(response.retry_after.as_deref()?, now)
}
