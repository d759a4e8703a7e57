//! Calls to the provider, as they are made: with leave of the breaker, under the deadline, and once more where that may
//! help.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::batcher::Calls;
use crate::breaker::{Breaker, Health, Notice};
use crate::clock::Clock;
use crate::error::Code;
use crate::feeds::fetch::retry_at;
use crate::http::{Http, Response};
use crate::jitter::Jitter;
use crate::names::NameTable;
use crate::retry::{self, Failed};
use crate::security_api::{self, bulk};
use crate::stats::EngineCounters;

/// The provider, and how it has been doing.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) http: Http,
    deadline: Duration,
    names: Arc<NameTable>,
    counters: Arc<EngineCounters>,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    jitter: Jitter,
}

/// How one call about one address ended.
struct Ended {
    outcome: bulk::Outcome,
    status: Option<u16>,
    is_probe: bool,
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
        Self { http, deadline, names, counters, clock, breaker, jitter: Jitter::default() }
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

    /// One call, with what is left of the deadline.
    async fn call(&self, address: Address, left: Duration) -> Result<Ended, Code> {
        let admission = self.breaker.admit(self.clock.now())?;
        self.counters.called();
        let response = timeout(left, self.http.get(address)).await.unwrap_or(Err(Code::Timeout));
        let now = self.clock.now();
        let status = response.as_ref().ok().map(|response| response.status);
        let wanted = response.as_ref().ok().and_then(|response| wants_to_be_asked(response, now));
        let outcome = response.and_then(|response| {
            self.counters.charged(response.credits);
            security_api::read(response.status, &response.body, address, &self.names, now)
        });
        let (failure, is_probe) = (outcome.as_ref().err().copied(), admission.is_probe());
        self.counters.ended(failure, now);
        admission.report(failure, wanted, now);
        Ok(Ended { outcome, status, is_probe })
    }
}

impl Calls for Arc<Upstream> {
    async fn single(&self, address: Address) -> bulk::Outcome {
        let began = Instant::now();
        let mut first: Option<Code> = None;
        loop {
            let left = self.deadline.saturating_sub(began.elapsed());
            // A second call that is not allowed says nothing about the address: the first one's failure does.
            let ended = match (self.call(address, left).await, first) {
                (Ok(ended), _) => ended,
                (Err(_), Some(code)) | (Err(code), None) => return Err(code),
            };
            let Err(code) = ended.outcome else { return ended.outcome };
            let left = self.deadline.saturating_sub(began.elapsed());
            let is_last = first.is_some() || ended.is_probe;
            let failed = Failed { code, status: ended.status, is_last, left };
            let Some(wait) = retry::wait(failed, &self.jitter) else { return Err(code) };
            first = Some(code);
            self.counters.retried();
            sleep(wait).await;
        }
    }

    async fn bulk(&self, addresses: &[Address]) -> Result<Vec<bulk::Outcome>, bulk::BulkFailure> {
        let failed = bulk::BulkFailure::Failed;
        let admission = self.breaker.admit(self.clock.now()).map_err(failed)?;
        self.counters.called();
        self.counters.batched();
        let response = timeout(self.deadline, self.http.post_bulk(addresses)).await;
        let now = self.clock.now();
        let response = response.unwrap_or(Err(Code::Timeout));
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
        outcomes
    }
}

fn wants_to_be_asked(response: &Response, now: u64) -> Option<u64> {
    retry_at(response.retry_after.as_deref()?, now)
}
