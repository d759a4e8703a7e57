//! What this process knows, and the look-ups that are under way: one for each address, however many ask.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::address::{Address, CacheKey};
use crate::budget::Priority;
use crate::cache::MemoryCache;
use crate::decision::Source;
use crate::error::Code;
use crate::evidence::{Answer, Evidence};
use crate::options::CacheOptions;

/// A look-up that is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) address: Address,
    /// Whether the answer may be kept: not for an address that anybody could have written.
    pub(crate) keep: bool,
    pub(crate) priority: Priority,
}

/// How a look-up ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answered(Answer, Source),
    /// Nobody was asked, to spare the budget; the newest evidence about a neighbour, and whether the budget is spent.
    Neighbour(Evidence, bool),
    Failed(Code),
}

type Receiver = watch::Receiver<Option<Outcome>>;

/// For whom a look-up is made, as far as it decides on what it may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Whether somebody asks whose address is not one that anybody could have written.
    pub(crate) keep: bool,
    pub(crate) priority: Priority,
}

/// A look-up that is under way. All who ask meanwhile wait for it, and it is made for the one with the best claim.
#[derive(Debug)]
pub(crate) struct Flight {
    keep: AtomicBool,
    /// Whether what it brings was invalidated meanwhile.
    is_forgotten: AtomicBool,
    priority: AtomicU8,
    /// For whom leave was asked to make it.
    asked: OnceLock<Claim>,
    outcome: Receiver,
}

impl Flight {
    fn join(&self, question: Question) {
        self.keep.fetch_or(question.keep, Ordering::Relaxed);
        self.priority.fetch_max(question.priority as u8, Ordering::Relaxed);
    }

    pub(crate) fn may_be_kept(&self) -> bool {
        self.keep.load(Ordering::Relaxed) && !self.is_forgotten.load(Ordering::Relaxed)
    }

    fn priority(&self) -> Priority {
        match self.priority.load(Ordering::Relaxed) {
            0 => Priority::Bulk,
            1 => Priority::Normal,
            _ => Priority::High,
        }
    }

    /// The best claim of those who ask so far: it is made for them. Who joins later has no part in what is refused.
    pub(crate) fn claim(&self) -> Claim {
        *self
            .asked
            .get_or_init(|| Claim { keep: self.keep.load(Ordering::Relaxed), priority: self.priority() })
    }

    /// Whether leave was asked for somebody with less of a claim than who asks this.
    pub(crate) fn was_asked_for_less(&self, question: Question) -> bool {
        self.asked
            .get()
            .is_some_and(|claim| (question.keep && !claim.keep) || question.priority > claim.priority)
    }

    /// How it ended, as soon as it did.
    pub(crate) fn outcome(&self) -> Receiver {
        self.outcome.clone()
    }
}

type FlightsByKey = HashMap<CacheKey, Arc<Flight>>;

/// The look-ups that are under way: one for requests and one for lists about the same address at most.
#[derive(Debug, Default)]
struct Flights {
    of_requests: FlightsByKey,
    of_lists: FlightsByKey,
}

impl Flights {
    /// The look-up that somebody of that priority joins. A list's may take long, and nobody at a gate waits for it: a request
    /// makes its own.
    fn to_join(&self, key: CacheKey, priority: Priority) -> Option<&Arc<Flight>> {
        let of_lists = || self.of_lists.get(&key).filter(|_| priority == Priority::Bulk);
        self.of_requests.get(&key).or_else(of_lists)
    }

    fn both(&mut self) -> [&mut FlightsByKey; 2] {
        [&mut self.of_requests, &mut self.of_lists]
    }

    fn remove(&mut self, key: CacheKey, flight: &Arc<Flight>) {
        for flights in self.both() {
            if flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
                flights.remove(&key);
            }
        }
    }
}

/// How a look-up begins.
pub(crate) enum Start {
    /// It is known meanwhile.
    Known(Answer),
    Overloaded,
    /// Somebody asks already.
    Joined(Arc<Flight>),
    /// Make it, and land it.
    Begun(Landing),
}

/// The in-process cache, with the look-ups that fill it.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) cache: MemoryCache,
    flights: Mutex<Flights>,
    ipv6_prefix: u8,
    most: usize,
}

impl Local {
    /// At most `most` look-ups of requests are under way at once.
    pub(crate) fn new(options: &CacheOptions, most: usize) -> Self {
        let (cache, ipv6_prefix) = (MemoryCache::new(options), options.ipv6_prefix);
        Self { cache, flights: Mutex::default(), ipv6_prefix, most }
    }

    pub(crate) fn key(&self, address: Address) -> CacheKey {
        address.cache_key(self.ipv6_prefix)
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        // Valid after every statement, so a panic elsewhere does not spoil it.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn in_flight(&self) -> usize {
        let flights = self.flights();
        flights.of_requests.len() + flights.of_lists.len()
    }

    pub(crate) fn start(self: &Arc<Self>, question: Question, now: u64) -> Start {
        let key = self.key(question.address);
        let mut flights = self.flights();
        if let Some(flight) = flights.to_join(key, question.priority) {
            flight.join(question);
            return Start::Joined(Arc::clone(flight));
        }
        // One that ended since the caller looked has put its answer here before it left `flights`.
        if let Some(answer) = self.cache.fresh(key, now) {
            return Start::Known(answer);
        }
        // Lists bound themselves.
        let is_for_list = question.priority == Priority::Bulk;
        if !is_for_list && flights.of_requests.len() >= self.most {
            return Start::Overloaded;
        }
        let (sender, outcome) = watch::channel(None);
        let flight = Arc::new(Flight {
            keep: AtomicBool::new(question.keep),
            is_forgotten: AtomicBool::new(false),
            priority: AtomicU8::new(question.priority as u8),
            asked: OnceLock::new(),
            outcome,
        });
        let of_this_kind = if is_for_list { &mut flights.of_lists } else { &mut flights.of_requests };
        of_this_kind.insert(key, Arc::clone(&flight));
        Start::Begun(Landing { local: Arc::clone(self), key, flight, sender })
    }

    /// Forgets one key, or everything. What is under way is not kept when it ends.
    pub(crate) fn forget(&self, key: Option<CacheKey>) {
        let mut flights = self.flights();
        let forget = |flight: Arc<Flight>| flight.is_forgotten.store(true, Ordering::Relaxed);
        if let Some(key) = key {
            flights.both().into_iter().filter_map(|flights| flights.remove(&key)).for_each(forget);
            self.cache.remove(key);
        } else {
            flights.both().into_iter().flat_map(mem::take).for_each(|(_, flight)| forget(flight));
            self.cache.clear();
        }
    }
}

/// Takes a look-up off the list of those under way, also when it panics or is dropped.
#[derive(Debug)]
pub(crate) struct Landing {
    local: Arc<Local>,
    pub(crate) key: CacheKey,
    pub(crate) flight: Arc<Flight>,
    sender: watch::Sender<Option<Outcome>>,
}

impl Landing {
    /// Keeps the answer and leaves the list in one step, so that whoever asks next finds one of the two, and whoever
    /// forgets it comes before or after. `share` hands an answer that is kept on, and must not block.
    pub(crate) fn land(self, outcome: Outcome, now: u64, share: impl FnOnce(CacheKey, &Answer, Source)) {
        let mut flights = self.local.flights();
        if let Outcome::Answered(answer, source) = &outcome
            && self.flight.may_be_kept()
        {
            self.local.cache.insert(self.key, answer.clone(), now);
            share(self.key, answer, *source);
        }
        flights.remove(self.key, &self.flight);
        drop(flights);
        self.sender.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.local.flights().remove(self.key, &self.flight);
    }
}
