//! Lets look-ups travel together when many are under way.
//!
//! In light traffic every look-up is a call of its own. Past a threshold, those that come wait a few milliseconds for
//! company and go as one bulk call, so that a spray of new addresses takes few round trips. Each batch is a task of its
//! own: a slow one delays nobody who is not in it.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::call_size::CallSize;
use crate::clock::Clock;
use crate::error::Code;
use crate::options::BatchOptions;
use crate::pace::Pace;
use crate::security_api::bulk::{BulkFailure, Outcome, Reply};

/// The calls to the provider. Each ends by itself, at `until` at the latest.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Asks about one address.
    fn single(&self, address: Address, until: Instant) -> impl Future<Output = Reply> + Send;

    /// Whether a call about one address is to show first that one about several may be made.
    fn is_in_doubt(&self) -> bool {
        false
    }

    /// Asks about several addresses at once. There are as many outcomes as addresses, in their order. Also says how many
    /// credits that cost.
    fn bulk(
        &self,
        addresses: &[Address],
        until: Instant,
    ) -> impl Future<Output = (Result<Vec<Outcome>, BulkFailure>, u64)> + Send;
}

/// In a rush one look-up in so many goes alone, as long as there is nothing to compare bulk calls with.
const CONTROL_INTERVAL: u64 = 100;

/// Decides for each look-up whether it goes alone or with others.
///
/// What it holds is bounded by the number of look-ups it may have under way.
#[derive(Debug)]
pub(crate) struct Batcher<C> {
    calls: C,
    options: BatchOptions,
    clock: Arc<dyn Clock>,
    most: usize,
    /// One permit for each look-up under way.
    permits: Arc<Semaphore>,
    gathering: Mutex<Gathering>,
    size: CallSize,
    pace: Pace,
    /// How many look-ups came in a rush.
    in_a_rush: AtomicU64,
}

/// The batch that is still gathering.
#[derive(Debug, Default)]
struct Gathering {
    /// Tells this batch from those before it.
    number: u64,
    waiters: Vec<Waiter>,
}

/// One who waits for an answer.
#[derive(Debug)]
struct Waiter {
    address: Address,
    /// When the answer is of no use any more.
    until: Instant,
    answer: oneshot::Sender<Reply>,
    permit: OwnedSemaphorePermit,
}

impl Waiter {
    /// One who has gone away meanwhile does not mind.
    fn answer(self, reply: Reply) {
        // First, so that whoever has the answer does not find the look-up still under way.
        drop(self.permit);
        let _ = self.answer.send(reply);
    }
}

impl Gathering {
    /// The batch, closed: the next one to come begins another.
    fn take(&mut self) -> Vec<Waiter> {
        self.number += 1;
        mem::take(&mut self.waiters)
    }
}

impl<C: Calls> Batcher<C> {
    /// At most `most` look-ups are under way at once.
    pub(crate) fn new(
        calls: C,
        options: BatchOptions,
        most: usize,
        pace: Pace,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            calls,
            clock,
            most,
            permits: Arc::new(Semaphore::new(most)),
            gathering: Mutex::default(),
            size: CallSize::new(options.size),
            pace,
            in_a_rush: AtomicU64::new(0),
            options,
        }
    }

    /// Asks about `address`, alone or with others, until `until`. Takes as long as the call, and at most
    /// [`BatchOptions::wait`] more; a call that is too large for the provider is made again in parts. Runs on a tokio
    /// runtime.
    ///
    /// Dropping the future gives this address up, and disturbs no other.
    ///
    /// [`Code::Overloaded`] when too much is under way, [`Code::Internal`] when the call panicked or the runtime ended.
    pub(crate) async fn submit(self: &Arc<Self>, address: Address, until: Instant) -> Reply {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Reply::free(Code::Overloaded);
        };
        if !self.is_worth_waiting() {
            let reply = self.ask_alone(address, until).await;
            drop(permit);
            return reply;
        }
        let (answer, reply) = oneshot::channel();
        self.gather(Waiter { address, until, answer, permit });
        // Dropped without an answer: the task with the batch panicked, or its runtime ended.
        reply.await.unwrap_or_else(|_| Reply::unknown(Code::Internal))
    }

    /// Whether enough others are under way, and bulk calls do well.
    fn is_worth_waiting(&self) -> bool {
        let under_way = self.most - self.permits.available_permits();
        let now = self.clock.now();
        // The one that asks is among them.
        under_way > self.options.threshold && !self.pace.is_off(now) && !self.is_control(now)
    }

    /// Whether this one, in a rush, shows how long a single call takes now.
    fn is_control(&self, now: u64) -> bool {
        let number = self.in_a_rush.fetch_add(1, Ordering::Relaxed) + 1;
        number.is_multiple_of(CONTROL_INTERVAL) && self.pace.lacks_singles(now)
    }

    fn size(&self) -> usize {
        self.size.at(self.clock.now())
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        // Valid after every statement, so a panic elsewhere does not spoil it.
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the batch that is gathering. The first starts its clock, the last sends it off.
    fn gather(self: &Arc<Self>, waiter: Waiter) {
        let size = self.size();
        let mut gathering = self.gathering();
        gathering.waiters.push(waiter);
        let (count, number) = (gathering.waiters.len(), gathering.number);
        let full = (count >= size).then(|| gathering.take());
        // Before anything is spawned: a runtime that is shutting down drops it at once, which takes the lock.
        drop(gathering);
        if let Some(batch) = full {
            self.send(batch);
        } else if count == 1 {
            let closing = Closing { batcher: Arc::clone(self), number };
            tokio::spawn(async move {
                sleep(closing.batcher.options.wait).await;
                closing.batcher.send(closing.close());
            });
        }
    }

    /// Sends a batch, in parts when it is larger than a call may be.
    fn send(self: &Arc<Self>, mut batch: Vec<Waiter>) {
        let size = self.size();
        while !batch.is_empty() {
            let rest = batch.split_off(size.min(batch.len()));
            let batcher = Arc::clone(self);
            let part = mem::replace(&mut batch, rest);
            tokio::spawn(async move { batcher.call(part).await });
        }
    }

    async fn call(self: Arc<Self>, mut batch: Vec<Waiter>) {
        batch.retain(|waiter| !waiter.answer.is_closed());
        if batch.len() > 1 && self.calls.is_in_doubt() {
            self.begin_with_one(&mut batch).await;
        }
        if batch.len() < 2 {
            return self.ask_each_alone(batch);
        }
        let addresses: Vec<Address> = batch.iter().map(|waiter| waiter.address).collect();
        let began = Instant::now();
        let until = batch.iter().map(|waiter| waiter.until).max().unwrap_or(began);
        let (answered, charged) = self.calls.bulk(&addresses, until).await;
        let now = self.clock.now();
        match &answered {
            Ok(outcomes) if outcomes.iter().any(Result::is_ok) => self.pace.bulk_took(began.elapsed(), now),
            Err(BulkFailure::Failed(Code::Timeout)) => self.pace.bulk_took(began.elapsed(), now),
            Ok(_) => self.pace.switch_off(now),
            Err(BulkFailure::Failed(code)) if is_of_bulk(*code) => self.pace.switch_off(now),
            Err(_) => {}
        }
        match answered {
            Ok(outcomes) => answer_in_order(batch, outcomes, charged),
            Err(BulkFailure::TooLarge) => {
                self.size.refused(batch.len(), now);
                self.send(batch);
            }
            Err(BulkFailure::Failed(code)) if charged == 0 && may_be_of_bulk_alone(code) => {
                self.ask_one_and_then_the_others(batch, code).await;
            }
            Err(BulkFailure::Failed(code)) if is_refusal(code) => self.ask_each_alone(batch),
            Err(BulkFailure::Failed(code)) => fail(batch, code, charged),
        }
    }

    /// Asks about one of them. When that fails, nobody is left: a call about all would be made, and paid for, in vain.
    async fn begin_with_one(&self, batch: &mut Vec<Waiter>) {
        let Some(one) = batch.pop() else { return };
        let reply = self.ask_alone(one.address, one.until).await;
        if let Err(code) = reply.outcome {
            fail(mem::take(batch), code, 0);
        }
        one.answer(reply);
    }

    /// Bulk calls may be refused, or fail, alone. What is true of single ones too is true for everybody, so one of them is
    /// enough to see it.
    async fn ask_one_and_then_the_others(self: &Arc<Self>, mut batch: Vec<Waiter>, code: Code) {
        let Some(one) = batch.pop() else { return };
        let reply = self.ask_alone(one.address, one.until).await;
        let failure = reply.outcome.as_ref().err().copied();
        one.answer(reply);
        match failure {
            Some(failure) if failure == code || failure == Code::Breaker => fail(batch, code, 0),
            _ => {
                self.pace.switch_off(self.clock.now());
                self.ask_each_alone(batch);
            }
        }
    }

    fn ask_each_alone(self: &Arc<Self>, batch: Vec<Waiter>) {
        for waiter in batch {
            let batcher = Arc::clone(self);
            tokio::spawn(async move {
                let reply = batcher.ask_alone(waiter.address, waiter.until).await;
                waiter.answer(reply);
            });
        }
    }

    async fn ask_alone(&self, address: Address, until: Instant) -> Reply {
        let began = Instant::now();
        let reply = self.calls.single(address, until).await;
        if matches!(reply.outcome, Ok(_) | Err(Code::Timeout)) {
            self.pace.single_took(began.elapsed(), self.clock.now());
        }
        reply
    }
}

/// Whether bulk calls were refused as such, while single ones may pass. Nothing was charged.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Endpoint | Code::RequestRefused | Code::KeyRefused | Code::KeyForbidden | Code::Redirect
    )
}

/// Whether single calls may pass nevertheless, though nobody knows.
fn may_be_of_bulk_alone(code: Code) -> bool {
    matches!(code, Code::KeyRefused | Code::KeyForbidden | Code::UpstreamStatus)
}

/// Whether the next bulk call is likely to fail in the same way, while single ones may not.
fn is_of_bulk(code: Code) -> bool {
    is_refusal(code) || matches!(code, Code::Malformed | Code::BodyTooLarge)
}

fn fail(batch: Vec<Waiter>, code: Code, charged: u64) {
    let outcomes = vec![Err(code); batch.len()];
    answer_in_order(batch, outcomes, charged);
}

/// Everybody gets an own part of what the call cost, as even as whole credits allow.
fn answer_in_order(batch: Vec<Waiter>, mut outcomes: Vec<Outcome>, charged: u64) {
    if outcomes.len() != batch.len() {
        // Nobody can tell whose they are.
        outcomes = vec![Err(Code::Internal); batch.len()];
    }
    let count = u64::try_from(batch.len()).unwrap_or(u64::MAX).max(1);
    for ((place, waiter), outcome) in (0..).zip(batch).zip(outcomes) {
        let charged = charged / count + u64::from(place < charged % count);
        waiter.answer(Reply { outcome, charged });
    }
}

/// Closes a batch when its time is over, also when the task that waits for that is dropped.
struct Closing<C: Calls> {
    batcher: Arc<Batcher<C>>,
    number: u64,
}

impl<C: Calls> Closing<C> {
    /// The batch, or nobody when it was full before its time was over.
    fn close(&self) -> Vec<Waiter> {
        let mut gathering = self.batcher.gathering();
        if gathering.number == self.number { gathering.take() } else { Vec::new() }
    }
}

impl<C: Calls> Drop for Closing<C> {
    fn drop(&mut self) {
        // Outside of the lock, which whoever is woken by it may take.
        drop(self.close());
    }
}

#[cfg(test)]
mod tests;
