//! What checkers share: the cache, the connection pool, and one call per address however many ask.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::address::{Address, CacheKey};
use crate::batcher::{Batcher, Calls};
use crate::breaker::Notice;
use crate::cache::MemoryCache;
use crate::clock::Clock;
use crate::decision::Source;
use crate::error::{Code, Error};
use crate::evidence::{Answer, Evidence, FeedEvidence, Provider};
use crate::feeds::feed_source::FeedSource;
use crate::feeds::options::FeedOptions;
use crate::http::{Http, Roots};
use crate::names::NameTable;
use crate::options::{EngineOptions, UNVERIFIED_LOOK_UPS_PER_MINUTE};
use crate::security_api;
use crate::stats::{EngineCounters, EngineStats};
use crate::upstream::Upstream;

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
    /// Nothing without a key.
    upstream: Option<Arc<Upstream>>,
    /// Nothing when look-ups never travel together.
    batcher: Option<Arc<Batcher<Arc<Upstream>>>>,
    feeds: Option<Arc<FeedSource>>,
    cache: MemoryCache,
    names: Arc<NameTable>,
    flights: Mutex<HashMap<CacheKey, Arc<Flight>>>,
    /// When the latest look-ups for unverified addresses began, oldest first.
    unverified: Mutex<VecDeque<u64>>,
    pub(crate) counters: Arc<EngineCounters>,
}

/// What `doctor` shows of one real call.
#[derive(Clone, Debug, Default)]
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
    /// An engine with these options. Reads the feeds, and with a key the machine's trusted roots; each takes some
    /// milliseconds.
    ///
    /// # Errors
    /// [`Code::Option`] when the proxy's URL or a file of feeds cannot be used; [`Code::Feeds`] when there is no key and
    /// no feed could be read.
    pub fn new(options: EngineOptions, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let open = |feeds: &FeedOptions| FeedSource::open(feeds, clock.now()).map(Arc::new);
        let feeds = options.feeds.as_ref().map(open).transpose()?;
        let names = Arc::<NameTable>::default();
        let counters = Arc::<EngineCounters>::default();
        let upstream =
            options.api_key.as_ref().map(|key| Http::new(&options, key)).transpose()?.map(|http| {
                let (names, counters) = (Arc::clone(&names), Arc::clone(&counters));
                Arc::new(Upstream::new(http, options.deadline, names, counters, Arc::clone(&clock)))
            });
        if upstream.is_none() {
            require_feeds(feeds.as_deref())?;
        }
        let batcher = upstream.as_ref().zip(options.batch).map(|(upstream, batch)| {
            let (calls, most) = (Arc::clone(upstream), options.max_in_flight);
            Arc::new(Batcher::new(calls, batch, most, Arc::clone(&clock)))
        });
        Ok(Self {
            upstream,
            batcher,
            feeds,
            cache: MemoryCache::new(&options.cache),
            options,
            clock,
            names,
            flights: Mutex::default(),
            unverified: Mutex::default(),
            counters,
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

    /// Whether there is a provider to ask. Otherwise feeds are the source.
    pub(crate) fn has_provider(&self) -> bool {
        self.upstream.is_some()
    }

    /// The feeds, unless they are switched off.
    #[must_use]
    pub fn feeds(&self) -> Option<&Arc<FeedSource>> {
        self.feeds.as_ref()
    }

    /// What is worth a line at the start, with the code of what is wrong if anything is: what feeds can see when they are
    /// the only source, and why the newest feeds are not in use.
    #[must_use]
    pub fn notices(&self) -> Vec<(Option<Code>, String)> {
        let Some(feeds) = &self.feeds else { return Vec::new() };
        let sight = (!self.has_provider()).then(|| (None, feeds.sight(self.now())));
        let failure = feeds.stats().failure.map(|why| (Some(Code::Feeds), why));
        sight.into_iter().chain(failure).collect()
    }

    /// What feeds say of `address`, if they say anything.
    pub(crate) fn ask_feeds(&self, address: Address, now: u64) -> Option<FeedEvidence> {
        let feeds = self.feeds.as_ref()?;
        let assessment = feeds.assess(address.ip(), now);
        if !assessment.is_match && assessment.neighbourhood == 0 {
            return None;
        }
        let is_worth_telling = assessment.neighbourhood >= feeds.scoring().neighbourhood.least_for_reason;
        let mut flags = assessment.flags;
        flags.set_names(self.names.share(assessment.names));
        let evidence = Evidence {
            flags,
            score: assessment.score,
            provider: Provider::Feeds,
            checked_at: assessment.seen_at,
        };
        let (is_match, is_strict) = (assessment.is_match, assessment.is_strict);
        Some(FeedEvidence { evidence, is_match, is_strict, is_raised_by_neighbourhood: is_worth_telling })
    }

    /// Strict evidence of feeds, where it may answer before the provider is asked.
    pub(crate) fn pre_screen(&self, address: Address, now: u64) -> Option<FeedEvidence> {
        let is_on = self.options.feeds.as_ref().is_some_and(|feeds| feeds.prescreen);
        if !is_on {
            return None;
        }
        self.ask_feeds(address, now).filter(|feeds| feeds.is_strict)
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
        if let Some(code) = self.upstream.as_ref().and_then(|upstream| upstream.refusal()) {
            return Start::Refused(code);
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

    /// Asks under the deadline, alone or with others.
    async fn call(&self, address: Address) -> Outcome {
        let Some(upstream) = &self.upstream else { return Err(Code::NoSource) };
        let asked = async {
            match &self.batcher {
                Some(batcher) => batcher.submit(address).await,
                None => upstream.single(address).await,
            }
        };
        // Waiting for company and parts of a call come on top of the call.
        tokio::time::timeout(self.options.deadline, asked).await.unwrap_or(Err(Code::Timeout))
    }

    /// What should be logged now of how the provider does, if anything. Ask after look-ups that failed, and after the
    /// first one that succeeds again.
    pub fn take_notice(&self) -> Option<Notice> {
        self.upstream.as_ref()?.take_notice()
    }

    /// Makes one real call about `address`, past the cache, and says how it went. It costs what a call costs.
    pub async fn diagnose(&self, address: Address) -> Diagnosis {
        let Some(http) = self.upstream.as_ref().map(|upstream| &upstream.http) else {
            return Diagnosis { failure: Some(Code::NoSource), ..Diagnosis::default() };
        };
        let began = self.now();
        let response = tokio::time::timeout(self.options.deadline, http.get(address.judged())).await;
        let ended = self.now();
        let mut diagnosis =
            Diagnosis { elapsed: ended.saturating_sub(began), roots: http.roots, ..Diagnosis::default() };
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
        let feeds = self.feeds.as_ref().map(|feeds| feeds.stats());
        let health = self.upstream.as_ref().map(|upstream| upstream.health());
        self.counters.read(self.cache.len(), in_flight, feeds, health)
    }
}

/// Without a provider there must be something else to score with.
fn require_feeds(feeds: Option<&FeedSource>) -> Result<(), Error> {
    let Some(feeds) = feeds else { return Err(Error::new(Code::NoSource, Code::NoSource.advice())) };
    if !feeds.is_empty() {
        return Ok(());
    }
    let why = feeds.stats().failure.unwrap_or_else(|| "there is no file with feeds".to_owned());
    Err(Error::new(Code::Feeds, format!("there is no key, and no feeds to score with: {why}")))
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
