//! A ledger in memory, and processes that spend from it.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;

/// The ledger as its script says it.
#[derive(Default)]
pub(super) struct Books {
    pub(super) totals: HashMap<String, u64>,
    last: HashMap<(String, String), (u64, Lease)>,
    calls: u64,
    pub(super) granted: u64,
}

impl Books {
    fn take(&mut self, request: &LeaseRequest) -> Lease {
        self.calls += 1;
        let key = format!("{}:{}", request.period.as_str(), request.name);
        let holder = (key.clone(), request.holder.clone());
        if let Some((sequence, lease)) = self.last.get(&holder)
            && *sequence == request.sequence
        {
            return *lease;
        }
        let total = self.totals.entry(key).or_default();
        *total = (*total).max(request.known);
        let granted = request.count.min(request.ceiling.saturating_sub(*total));
        *total += granted;
        self.granted += granted;
        let lease = Lease { granted, total: *total };
        self.last.insert(holder, (request.sequence, lease));
        lease
    }
}

/// How the way to the ledger is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Open,
    /// The request does not arrive.
    NoRequest,
    /// The request arrives, its answer does not.
    NoAnswer,
}

pub(super) struct Remote {
    pub(super) books: Mutex<Books>,
    way: Mutex<Way>,
}

impl Remote {
    pub(super) fn new() -> Self {
        Self { books: Mutex::default(), way: Mutex::new(Way::Open) }
    }

    pub(super) fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    pub(super) fn calls(&self) -> u64 {
        self.books.lock().unwrap().calls
    }
}

impl Ledger for Remote {
    async fn take(&self, request: &LeaseRequest) -> Option<Lease> {
        tokio::task::yield_now().await;
        let way = *self.way.lock().unwrap();
        match way {
            Way::Open => Some(self.books.lock().unwrap().take(request)),
            Way::NoRequest => None,
            Way::NoAnswer => {
                self.books.lock().unwrap().take(request);
                None
            }
        }
    }
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) async fn spend(budget: &Budget, most: u64, priority: Priority, now: u64, ledger: &Remote) -> u64 {
    let mut spent = 0;
    while spent < most {
        let Ok(reservation) = budget.take(1, priority, now, ledger).await else { break };
        reservation.settle(Some(2));
        spent += 1;
    }
    spent
}

/// What somebody gets who asks for one look-up more.
pub(super) async fn refusal(budget: &Budget, priority: Priority, now: u64, ledger: &Remote) -> Option<Code> {
    budget.take(1, priority, now, ledger).await.err()
}

/// Whether `future` is done at once, without waiting for anything.
pub(super) async fn is_immediate(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready())).await
}
