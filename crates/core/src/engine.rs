//! What checkers share: the cache, the connection pool, and one call per address however many ask.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::address::{Address, CacheKey};
use crate::cache::MemoryCache;
use crate::clock::Clock;
use crate::decision::Source;
use crate::error::{Code, Error};
use crate::evidence::{Answer, Evidence};
use crate::http::{Http, Roots};
use crate::names::NameTable;
use crate::options::{EngineOptions, UNVERIFIED_LOOK_UPS_PER_MINUTE};
use crate::security_api;
use crate::stats::{EngineCounters, EngineStats};

const MINUTE: u64 = 60_000;

type Outcome = Result<Answer, Code>;

/// One call that is under way, and those who wait for it.
#[derive(Debug)]
struct Flight {
    /// Whether the answer may be cached: as soon as one who asks has a verified address.
    keep: AtomicBool,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Flight {
    fn forget(&self) {
        self.keep.store(false, Ordering::Relaxed);
    }
}

/// How a look-up begins.
enum Start {
    Known(Answer),
    Refused(Code),
    Waiting(watch::Receiver<Option<Outcome>>),
}

/// Cache, connection pool and calls under way. Dropping the last reference ends them.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    http: Http,
    cache: MemoryCache,
    names: NameTable,
    flights: Mutex<HashMap<CacheKey, Arc<Flight>>>,
    /// When the latest look-ups for unverified addresses began, oldest first.
    unverified: Mutex<VecDeque<u64>>,
    pub(crate) counters: EngineCounters,
}

/// What `doctor` shows of one real call.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The code of what failed, if anything did.
    pub failure: Option<Code>,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The HTTP version, when there was an answer.
    pub version: Option<&'static str>,
    /// How long the call took, in milliseconds.
    pub elapsed: u64,
    /// The credits that the answer says were charged.
    pub credits: Option<u64>,
    /// The `Date` header, to compare clocks with.
    pub date: Option<String>,
    /// The trusted roots.
    pub roots: Roots,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is valid after every statement, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// An engine with these options. Reads the machine's trusted roots, which takes a few milliseconds.
    ///
    /// # Errors
    /// [`Code::Option`] when the proxy's URL cannot be used.
    pub fn new(options: EngineOptions, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(&options)?,
            cache: MemoryCache::new(&options.cache),
            options,
            clock,
            names: NameTable::default(),
            flights: Mutex::default(),
            unverified: Mutex::default(),
            counters: EngineCounters::default(),
        })
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    fn key(&self, address: Address) -> CacheKey {
        address.cache_key(self.options.cache.ipv6_prefix)
    }

    /// What is known of `address` without asking anybody.
    pub(crate) fn fresh(&self, address: Address, now: u64) -> Option<Answer> {
        self.cache.fresh(self.key(address), now)
    }

    /// The last rung that still has evidence about `address`.
    pub(crate) fn stale(&self, address: Address, now: u64) -> Option<Evidence> {
        self.cache.stale(self.key(address), now)
    }

    /// Forgets `address`, or everything. What is under way is not cached when it ends.
    pub fn invalidate(&self, address: Option<Address>) {
        let mut flights = locked(&self.flights);
        if let Some(address) = address {
            let key = self.key(address.judged());
            flights.remove(&key).inspect(|flight| flight.forget());
            self.cache.remove(key);
        } else {
            flights.drain().for_each(|(_, flight)| flight.forget());
            self.cache.clear();
        }
    }

    /// Asks the provider about `address`, together with all others who ask at this time.
    ///
    /// Runs on a tokio runtime, and to its end even when the caller goes away, so that the others get their
    /// answer. `keep` says whether the answer may be cached.
    pub(crate) async fn look_up(
        self: &Arc<Self>,
        address: Address,
        keep: bool,
    ) -> Result<(Answer, Source), Code> {
        let mut outcome = match self.start(address, keep) {
            Start::Known(answer) => return Ok((answer, Source::Memory)),
            Start::Refused(code) => return Err(code),
            Start::Waiting(outcome) => outcome,
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone().map(|answer| (answer, Source::Api)),
            // The call ended without an outcome: it panicked, or the runtime is shutting down.
            Ok(None) | Err(_) => Err(Code::Internal),
        }
    }

    fn start(self: &Arc<Self>, address: Address, keep: bool) -> Start {
        let key = self.key(address);
        let mut flights = locked(&self.flights);
        if let Some(flight) = flights.get(&key) {
            flight.keep.fetch_or(keep, Ordering::Relaxed);
            self.counters.coalesced();
            return Start::Waiting(flight.outcome.clone());
        }
        // A call that ended since the caller looked has put its answer here before it left `flights`.
        if let Some(answer) = self.cache.fresh(key, self.now()) {
            return Start::Known(answer);
        }
        if flights.len() >= self.options.max_in_flight {
            return Start::Refused(Code::Overloaded);
        }
        if !keep && !self.may_ask_for_unverified() {
            return Start::Refused(Code::UnverifiedLimit);
        }
        let (sender, outcome) = watch::channel(None);
        let flight = Arc::new(Flight { keep: AtomicBool::new(keep), outcome: outcome.clone() });
        flights.insert(key, Arc::clone(&flight));
        // Before the call is spawned: a runtime that is shutting down drops it at once, which takes the lock.
        drop(flights);
        let landing = Landing { engine: Arc::clone(self), key, flight };
        tokio::spawn(async move {
            let outcome = landing.engine.call(address).await;
            landing.land(&outcome);
            sender.send_replace(Some(outcome));
        });
        Start::Waiting(outcome)
    }

    fn may_ask_for_unverified(&self) -> bool {
        let now = self.now();
        let mut latest = locked(&self.unverified);
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

    /// One call under the deadline.
    async fn call(&self, address: Address) -> Outcome {
        self.counters.called();
        let response = tokio::time::timeout(self.options.deadline, self.http.get(address)).await;
        let now = self.now();
        let outcome = response.unwrap_or(Err(Code::Timeout)).and_then(|response| {
            self.counters.charged(response.credits);
            security_api::read(response.status, &response.body, address, &self.names, now)
        });
        self.counters.ended(outcome.as_ref().err().copied(), now);
        outcome
    }

    /// Makes one real call about `address`, past the cache, and says how it went. It costs what a call costs.
    pub async fn diagnose(&self, address: Address) -> Diagnosis {
        let began = self.now();
        let response = tokio::time::timeout(self.options.deadline, self.http.get(address.judged())).await;
        let ended = self.now();
        let mut diagnosis = Diagnosis {
            failure: None,
            status: None,
            version: None,
            elapsed: ended.saturating_sub(began),
            credits: None,
            date: None,
            roots: self.http.roots,
        };
        match response.unwrap_or(Err(Code::Timeout)) {
            Err(code) => diagnosis.failure = Some(code),
            Ok(response) => {
                let outcome =
                    security_api::read(response.status, &response.body, address.judged(), &self.names, ended);
                diagnosis.failure = outcome.err();
                diagnosis.status = Some(response.status);
                diagnosis.version = Some(response.version);
                diagnosis.credits = response.credits;
                diagnosis.date = response.date;
            }
        }
        diagnosis
    }

    /// Counts since the engine began, for all checkers that share it.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let in_flight = locked(&self.flights).len();
        self.counters.read(self.cache.len(), in_flight)
    }
}

/// Takes a call off the list of those under way, also when it panics or is dropped.
struct Landing {
    engine: Arc<Engine>,
    key: CacheKey,
    flight: Arc<Flight>,
}

impl Landing {
    /// Caches the answer and leaves the list in one step, so that whoever asks next finds one of the two.
    fn land(&self, outcome: &Outcome) {
        let mut flights = locked(&self.engine.flights);
        if let Ok(answer) = outcome
            && self.flight.keep.load(Ordering::Relaxed)
        {
            self.engine.cache.insert(self.key, answer.clone(), self.engine.now());
        }
        self.remove_from(&mut flights);
    }

    fn remove_from(&self, flights: &mut HashMap<CacheKey, Arc<Flight>>) {
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.remove_from(&mut locked(&self.engine.flights));
    }
}
