//! What checkers share: the caches, the connection pool, the budget, and one call per address however many ask.

mod handle;
pub(crate) mod local;
mod look_up;
mod registry;
mod spending;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::address::{Address, CacheKey};
use crate::batcher::Batcher;
use crate::breaker::Notice;
use crate::budget::Event;
use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::evidence::{Answer, FeedEvidence};
use crate::feeds::feed_source::FeedSource;
use crate::feeds::options::FeedOptions;
use crate::http::{Http, Roots};
use crate::names::NameTable;
use crate::options::{BatchOptions, EngineOptions};
use crate::pace::Pace;
use crate::security_api;
use crate::shared_cache::{CacheState, Invalidation, Listener, SharedCache, SharedCacheStats};
use crate::stats::{EngineCounters, EngineStats};
use crate::upstream::{ListCalls, SINGLE_CALLS_OF_LISTS, Upstream};

use local::Local;
use spending::Spending;

pub use handle::Handle;
pub use registry::Registry;

const NEEDS_A_KEY: &str =
    "redis and `budget` are for what the provider says, and there is no key: they are not used";

/// How many addresses of a list go into one call, though the provider takes 50 times as many. A call that fails or comes
/// too late then costs little; question and answer (some 40 KB and 1 MB at most) stay below what servers and we take; and
/// yet a round trip is shared by so many that larger calls would save nothing.
const ADDRESSES_PER_CALL: usize = 1_000;
/// How many addresses of lists are looked up at once: those of four calls.
const MOST_OF_LISTS: usize = 4 * ADDRESSES_PER_CALL;
/// How many addresses of lists Redis is asked about at once.
const LISTS_AT_REDIS: usize = 64;
/// A call about a list may take that many deadlines: it is long, and nobody waits at a gate for it.
const DEADLINES_OF_LISTS: u32 = 4;

/// Longer than a connection to Redis takes, or fails.
const LONGEST_DIAGNOSIS: Duration = Duration::from_secs(5);

/// Caches, connection pool, budget and calls under way. Dropping the last reference ends them.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    /// Nothing without a key.
    upstream: Option<Arc<Upstream>>,
    /// Nothing when look-ups never travel together.
    batcher: Option<Arc<Batcher<Arc<Upstream>>>>,
    /// For lists: they fill their calls and do not mind waiting.
    lists: Option<Arc<Batcher<ListCalls>>>,
    pub(crate) turns_of_lists: Arc<Semaphore>,
    lists_at_redis: Semaphore,
    feeds: Option<Arc<FeedSource>>,
    local: Arc<Local>,
    shared: Option<SharedCache>,
    spending: Option<Arc<Spending>>,
    names: Arc<NameTable>,
    /// When the latest look-ups for unverified addresses began, oldest first.
    unverified: Mutex<VecDeque<u64>>,
    handles: handle::Count,
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
                Arc::new(Upstream::new(http, &options, names, counters, Arc::clone(&clock)))
            });
        if upstream.is_none() {
            require_feeds(feeds.as_deref())?;
        }
        let local = Arc::new(Local::new(&options.cache, options.max_in_flight));
        // Only answers of the provider are shared and paid for.
        let redis = options.redis.as_ref().filter(|_| upstream.is_some());
        let spending = options.budget.as_ref().filter(|_| upstream.is_some());
        let spending = spending.map(|budget| Arc::new(Spending::new(budget, redis.is_some())));
        let listener = || forget_what_is_said(Arc::clone(&local), spending.clone());
        let (cache, extra_roots) = (&options.cache, options.extra_roots.as_deref());
        let shared = redis
            .map(|redis| SharedCache::new(redis, cache, extra_roots, Arc::clone(&clock), listener()))
            .transpose()?;
        Ok(Self {
            batcher: upstream.as_ref().and_then(|upstream| batcher(upstream, &options, &clock)),
            lists: upstream.as_ref().and_then(|upstream| batcher_of_lists(upstream, &options, &clock)),
            turns_of_lists: Arc::new(Semaphore::new(most_of_lists(&options))),
            lists_at_redis: Semaphore::new(LISTS_AT_REDIS),
            upstream,
            feeds,
            local,
            shared,
            spending,
            options,
            clock,
            names,
            unverified: Mutex::default(),
            handles: handle::Count::default(),
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
    /// the only source, what is not used then, and why the newest feeds are not in use.
    #[must_use]
    pub fn notices(&self) -> Vec<(Option<Code>, String)> {
        let Some(feeds) = &self.feeds else { return Vec::new() };
        let is_in_vain =
            !self.has_provider() && (self.options.redis.is_some() || self.options.budget.is_some());
        let in_vain = is_in_vain.then(|| (None, NEEDS_A_KEY.to_owned()));
        let sight = (!self.has_provider()).then(|| (None, feeds.sight(self.now())));
        let failure = feeds.stats().failure.map(|why| (Some(Code::Feeds), why));
        sight.into_iter().chain(in_vain).chain(failure).collect()
    }

    /// What feeds say of `address`, if they say anything.
    pub(crate) fn ask_feeds(&self, address: Address, now: u64) -> Option<FeedEvidence> {
        self.feeds.as_ref()?.ask(address.ip(), &self.names, now)
    }

    /// Strict evidence of feeds, where it may answer before the provider is asked.
    pub(crate) fn pre_screen(&self, address: Address, now: u64) -> Option<FeedEvidence> {
        let is_on = self.options.feeds.as_ref().is_some_and(|feeds| feeds.prescreen);
        if !is_on {
            return None;
        }
        self.ask_feeds(address, now).filter(|feeds| feeds.is_strict)
    }

    /// What is known of `address` without asking anybody.
    pub(crate) fn fresh(&self, address: Address, now: u64) -> Option<Answer> {
        self.local.cache.fresh(self.local.key(address), now)
    }

    /// Forgets `address`, or everything, here and in every process that shares the Redis. What is under way is not kept
    /// when it ends.
    ///
    /// # Errors
    /// [`Code::Redis`] when the others could not be told; it is forgotten here all the same.
    pub async fn invalidate(&self, address: Option<Address>) -> Result<(), Error> {
        let address = address.map(Address::judged);
        let key = address.map(|address| self.local.key(address));
        self.local.forget(key);
        self.spending.as_ref().inspect(|spending| spending.forget(address));
        let Some(shared) = &self.shared else { return Ok(()) };
        let what = key.map_or_else(|| Invalidation::AllUntil(self.now()), Invalidation::Key);
        shared.invalidate(what).await.map_err(|_| {
            let why = "it is forgotten in this process, but Redis could not be told, nor the others that share it; try again";
            Error::new(Code::Redis, why)
        })
    }

    /// What should be logged now of how the provider does, if anything. Ask after look-ups that failed, and after the
    /// first one that succeeds again.
    pub fn take_notice(&self) -> Option<Notice> {
        let upstream = self.upstream.as_ref().and_then(|upstream| upstream.take_notice());
        upstream.or_else(|| self.shared.as_ref()?.take_notice())
    }

    /// Which limits of the budget reached 50, 80 or 95 % since this was last asked.
    #[must_use]
    pub fn take_budget_events(&self) -> Vec<Event> {
        self.spending.as_ref().map(|spending| spending.budget.take_events()).unwrap_or_default()
    }

    /// Ends what is under way.
    fn end(&self) {
        self.upstream.as_ref().inspect(|upstream| upstream.close());
    }

    /// Ends what is under way, writes what waits to be written, and leaves no connection to Redis behind.
    async fn close(&self) {
        self.end();
        if let Some(shared) = &self.shared {
            shared.close().await;
        }
    }

    /// Asks Redis about `address`, and waits until it is clear whether that works: some seconds at most. Nothing without Redis.
    pub async fn diagnose_redis(&self, address: Address) -> Option<SharedCacheStats> {
        let shared = self.shared.as_ref()?;
        let key = self.local.key(address.judged());
        let wait = async {
            while matches!(shared.stats().state, CacheState::Idle | CacheState::Connecting) {
                // What comes of it stands in the statistics.
                let _ = shared.fresh(key, &self.names, self.now()).await;
            }
        };
        let _ = tokio::time::timeout(LONGEST_DIAGNOSIS, wait).await;
        Some(shared.stats())
    }

    /// Makes one real call about `address`, past the cache, and says how it went. It costs what a call costs.
    pub async fn diagnose(&self, address: Address) -> Diagnosis {
        let Some(http) = self.upstream.as_ref().map(|upstream| &upstream.http) else {
            return Diagnosis { failure: Some(Code::NoSource), ..Diagnosis::default() };
        };
        let began = self.now();
        let until = tokio::time::Instant::now() + self.options.deadline;
        let response = http.get(address.judged(), until).await;
        let ended = self.now();
        let mut diagnosis =
            Diagnosis { elapsed: ended.saturating_sub(began), roots: http.roots, ..Diagnosis::default() };
        match response {
            Err(lost) => diagnosis.failure = Some(lost.code),
            Ok(response) => {
                let outcome = response.body.and_then(|body| {
                    security_api::read(response.status, &body, address.judged(), &self.names, ended)
                });
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
        let feeds = self.feeds.as_ref().map(|feeds| feeds.stats());
        let health = self.upstream.as_ref().map(|upstream| upstream.health());
        let shared = self.shared.as_ref().map(SharedCache::stats);
        let budget = self.spending.as_ref().map(|spending| spending.budget.status(self.now()));
        let budget = budget.unwrap_or_default();
        let (entries, in_flight) = (self.local.cache.len(), self.local.in_flight());
        EngineStats { entries, health, in_flight, feeds, shared, budget, ..self.counters.read() }
    }
}

/// What is done when a process that shares the Redis says that something is to be forgotten.
fn forget_what_is_said(local: Arc<Local>, spending: Option<Arc<Spending>>) -> Listener {
    Box::new(move |what| {
        let key = match what {
            Invalidation::Key(key) => Some(key),
            Invalidation::AllUntil(_) => None,
        };
        local.forget(key);
        spending.as_ref().inspect(|spending| spending.forget(key.map(CacheKey::address)));
    })
}

/// How many addresses of lists are looked up at once.
fn most_of_lists(options: &EngineOptions) -> usize {
    if options.batch.is_some() { MOST_OF_LISTS } else { SINGLE_CALLS_OF_LISTS }
}

fn batcher(
    upstream: &Arc<Upstream>,
    options: &EngineOptions,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Batcher<Arc<Upstream>>>> {
    let (calls, most, clock) = (Arc::clone(upstream), options.max_in_flight, Arc::clone(clock));
    Some(Arc::new(Batcher::new(calls, options.batch?, most, Pace::default(), clock)))
}

fn batcher_of_lists(
    upstream: &Arc<Upstream>,
    options: &EngineOptions,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Batcher<ListCalls>>> {
    let calls = ListCalls::new(Arc::clone(upstream), options.deadline);
    let batch = BatchOptions { threshold: 0, size: ADDRESSES_PER_CALL, ..options.batch? };
    // Turns bound them already.
    Some(Arc::new(Batcher::new(calls, batch, usize::MAX, Pace::patient(), Arc::clone(clock))))
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
