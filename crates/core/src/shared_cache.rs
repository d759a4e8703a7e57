//! The cache that processes share: Redis 6 or newer, or Valkey; one server, sentinels, or a cluster.
//!
//! It is a help and never a need. A look-up takes at most its budget (50 milliseconds by default); after a few failures
//! Redis is not asked at all until a new connection, made in the background about once a second, has shown that it
//! answers in time. Nothing that Redis holds is trusted more than a body of the API. Writes happen in the background.
//!
//! A process has one connection (in a cluster one to each node), which also carries invalidations: they are published,
//! and cost nothing while there are none.
//!
//! Whoever can write to this Redis can lower scores: it is inside the trust boundary. The user that it is given needs
//! `~<prefix>ip-risk* &<prefix>ip-risk-invalidations +getrange +pttl +eval +time +set +del +publish +subscribe`, with a
//! database number also `+select`, in a cluster also `+cluster|slots +ping`, with a budget also `+hget +hset +pexpire`.
//! Without those from `+eval` on it reads only.
//!
//! Entries of the tutorial do not say when they were made; they are dated by their time to live, which the tutorial sets
//! to 300 seconds. Whoever writes them with another `EX` has old ones taken for fresh: write `fetched_at` into them.
//!
//! | key | what it holds | for how long |
//! |---|---|---|
//! | `ip-risk:203.0.113.7`, `ip-risk:2606:4700::/64` | the JSON `security` object, `fetched_at`, `provider` | the cache's `ttlMs`, less up to a tenth |
//! | `ip-risk-stale:203.0.113.7` | the same | `ttlMs` and `staleMs` |
//! | `ip-risk:budget:day:2026-11-23` | what processes leased of a budget | two days; a month 40 |
//! | `ip-risk-forgotten` | until when everything is forgotten, and which keys are, newest first | `ttlMs` and `staleMs` |

mod circuit;
mod commands;
mod connection;
mod counters;
mod entry;
mod fault;
mod forgotten;
mod keeper;
mod keys;
mod ledger;
pub mod options;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::CacheKey;
use crate::breaker::Notice;
use crate::clock::Clock;
use crate::error::Error;
use crate::evidence::{Answer, Evidence, Provider};
use crate::jitter::Jitter;
use crate::names::NameTable;
use crate::options::CacheOptions;

use circuit::Circuit;
use commands::Found;
use connection::{Connector, PATIENCE};
use counters::Counters;
use forgotten::Forgotten;
use keeper::{Job, QUEUE, Shared};
use keys::Keys;
use options::RedisOptions;

pub use circuit::Skip;
pub use counters::{CacheState, SharedCacheStats};
pub use entry::Unusable;
pub use fault::Fault;
pub use keeper::Listener;
pub use keys::Invalidation;

/// The shared cache. It connects when it is first used, on the runtime that it is then used on; dropping it ends its
/// task and closes its sockets.
#[derive(Debug)]
pub struct SharedCache {
    shared: Arc<Shared>,
    keeper: Mutex<Keeper>,
}

/// The background task, as far as there is one.
#[derive(Debug, Default)]
struct Keeper {
    running: Option<(JoinHandle<()>, mpsc::Sender<Job>)>,
    is_closed: bool,
}

/// What a look-up asks.
struct Question {
    key: CacheKey,
    /// So many for each key of Redis.
    commands: Vec<Cmd>,
    per_key: usize,
    /// How old evidence may be.
    longest: u64,
}

impl SharedCache {
    /// A cache with these options, which share lifetimes with the memory. `extra_roots` are trusted beside the bundled
    /// ones and the machine's, PEM. `listener` is told what to forget, by others and by this process itself; it runs on
    /// the connection's task and must not block.
    ///
    /// Connects to nothing. With TLS it reads the machine's trusted roots, which takes some milliseconds.
    ///
    /// # Errors
    /// [`Code::Option`](crate::error::Code::Option) when the client takes these servers for none.
    pub fn new(
        redis: &RedisOptions,
        cache: &CacheOptions,
        extra_roots: Option<&str>,
        clock: Arc<dyn Clock>,
        listener: Listener,
    ) -> Result<Self, Error> {
        let shared = Shared {
            connector: Connector::new(redis, extra_roots)?,
            keys: Keys::new(&redis.key_prefix, cache.ipv6_prefix),
            budget: redis.timeout,
            ttl: cache.ttl,
            stale: cache.stale,
            clock,
            circuit: Circuit::default(),
            counters: Counters::default(),
            forgotten: Forgotten::default(),
            listener,
            told: Mutex::default(),
            jitter: Jitter::default(),
            takes_no_writes: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), keeper: Mutex::default() })
    }

    /// Fresh evidence about `key`, the newest there is: ours, or an entry of the tutorial in either of its spellings.
    ///
    /// One round trip, bounded by the budget in all; the first one waits within it for the connection. What is there
    /// and cannot be used is counted, and is nothing.
    ///
    /// # Errors
    /// Why Redis did not help. Never what is in it.
    pub async fn fresh(&self, key: CacheKey, names: &NameTable, now: u64) -> Result<Option<Answer>, Skip> {
        let keys = self.shared.keys.all_fresh(key);
        let read = keys.iter().flat_map(|key| [commands::read(key), commands::remaining(key)]);
        let question = Question { key, commands: read.collect(), per_key: 2, longest: self.shared.ttl };
        let evidence = self.newest(question, names, now).await?;
        self.shared.counters.fresh(evidence.is_some());
        Ok(evidence.map(Answer::Evidence))
    }

    /// Evidence about `key` that may be stale, for the ladder.
    ///
    /// # Errors
    /// As with [`SharedCache::fresh`].
    pub async fn stale(&self, key: CacheKey, names: &NameTable, now: u64) -> Result<Option<Evidence>, Skip> {
        let read = commands::read(&self.shared.keys.stale(key));
        let longest = self.shared.ttl.saturating_add(self.shared.stale);
        let question = Question { key, commands: vec![read], per_key: 1, longest };
        let evidence = self.newest(question, names, now).await?;
        self.shared.counters.stale(evidence.is_some());
        Ok(evidence)
    }

    /// Has `answer` written in the background, unless Redis has a newer one, is away, or does not keep up.
    ///
    /// Only evidence of the Security API is written: not "no record", which other readers would take for an answer, and
    /// which costs nothing to ask for again.
    pub fn put(&self, key: CacheKey, answer: &Answer) {
        let Answer::Evidence(evidence) = answer else { return };
        if evidence.provider != Provider::Ipgeolocation {
            return;
        }
        let jobs = self.jobs().filter(|_| self.shared.circuit.is_open());
        let job = Job::Write { key, evidence: evidence.clone() };
        if jobs.is_none_or(|jobs| jobs.try_send(job).is_err()) {
            self.shared.counters.dropped();
        }
    }

    /// Deletes what Redis knows, and tells every process that shares it and listens: none of them believes evidence from
    /// before, nor writes it again. Takes at most three seconds.
    ///
    /// Those who have no connection at this time, or may not listen, hear of it when they connect again, or within some
    /// 15 seconds: of everything, and of the newest hundreds of keys.
    ///
    /// # Errors
    /// Why Redis did not help.
    pub async fn invalidate(&self, what: Invalidation) -> Result<(), Skip> {
        // Also when Redis cannot be told: this process then does not believe what it still holds.
        let time = match what {
            Invalidation::AllUntil(time) => time,
            Invalidation::Key(_) => self.shared.clock.now(),
        };
        self.shared.forgotten.note(what, time);
        let outcome = self.invalidate_at_all(what).await;
        outcome.inspect_err(|skip| {
            if *skip == Skip::NotAsked {
                self.shared.counters.skipped(*skip);
            }
        })
    }

    async fn invalidate_at_all(&self, what: Invalidation) -> Result<(), Skip> {
        let jobs = self.jobs().ok_or(Skip::NotAsked)?;
        let connection = timeout(PATIENCE, self.shared.circuit.connection()).await;
        connection.unwrap_or(Err(Skip::NotAsked))?;
        let (done, outcome) = oneshot::channel();
        jobs.send(Job::Invalidate { what, done }).await.map_err(|_| Skip::NotAsked)?;
        match timeout(PATIENCE * 2, outcome).await {
            Ok(Ok(outcome)) => outcome.map_err(Skip::Failed),
            // The connection broke before its turn came.
            Ok(Err(_)) => Err(Skip::Failed(Fault::Unreachable)),
            Err(_) => Err(Skip::Failed(Fault::Slow)),
        }
    }

    /// What should be logged now, if anything: that Redis is away, every 10 minutes that it lasts, and that it is back.
    pub fn take_notice(&self) -> Option<Notice> {
        self.shared.take_notice()
    }

    /// Counts since it was made.
    #[must_use]
    pub fn stats(&self) -> SharedCacheStats {
        self.shared.counters.read(self.shared.circuit.state())
    }

    /// Writes what still waits, for at most the budget of one look-up, and ends. No task and no socket is left.
    /// Everything after it is skipped.
    pub async fn close(&self) {
        let running = self.end();
        let Some((mut task, jobs)) = running else { return };
        drop(jobs);
        let is_connected = self.shared.circuit.is_connected();
        let patience = if is_connected { self.shared.budget } else { Duration::ZERO };
        if timeout(patience, &mut task).await.is_err() {
            task.abort();
            // It was aborted, so that this is its end.
            let _ = task.await;
        }
        self.shared.circuit.close();
    }

    fn end(&self) -> Option<(JoinHandle<()>, mpsc::Sender<Job>)> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.is_closed = true;
        keeper.running.take()
    }

    /// Where background work goes. Starts the background task when there is none, or its runtime has ended.
    fn jobs(&self) -> Option<mpsc::Sender<Job>> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_closed {
            return None;
        }
        if let Some((task, jobs)) = &keeper.running
            && !task.is_finished()
        {
            return Some(jobs.clone());
        }
        let runtime = Handle::try_current().ok()?;
        let (jobs, receiver) = mpsc::channel(QUEUE);
        self.shared.circuit.connecting();
        let task = runtime.spawn(keeper::keep(Arc::clone(&self.shared), receiver));
        keeper.running = Some((task, jobs.clone()));
        Some(jobs)
    }

    /// The newest usable evidence that answers it.
    async fn newest(
        &self,
        question: Question,
        names: &NameTable,
        now: u64,
    ) -> Result<Option<Evidence>, Skip> {
        let number = self.shared.circuit.number();
        let Question { key, commands, per_key, longest } = question;
        let replies = self.run(commands, per_key).await;
        let found = replies.and_then(|replies| found(&replies, per_key));
        let found = found.inspect_err(|skip| self.shared.look_up_failed(number, *skip))?;
        self.shared.circuit.succeeded(number);
        let is_current = |evidence: &Evidence| {
            let is_forgotten = self.shared.forgotten.covers(key, evidence.checked_at);
            now.saturating_sub(evidence.checked_at) < longest && !is_forgotten
        };
        let usable =
            found.into_iter().filter_map(|found| self.evidence(found, names, now)).filter(is_current);
        Ok(usable.max_by_key(|evidence| evidence.checked_at))
    }

    fn evidence(&self, found: Found, names: &NameTable, now: u64) -> Option<Evidence> {
        let outcome = match found {
            Found::Nothing => return None,
            Found::Unusable(why) => Err(why),
            Found::Entry { bytes, remaining } => entry::read(&bytes, remaining, names, now),
        };
        outcome.inspect_err(|why| self.shared.counters.unusable(*why)).ok()
    }

    /// Runs commands within the budget, of which the first `needed` count.
    async fn run(&self, commands: Vec<Cmd>, needed: usize) -> Result<Vec<Result<Value, Fault>>, Skip> {
        self.jobs().ok_or(Skip::NotAsked)?;
        if !self.shared.circuit.is_open() {
            return Err(Skip::NotAsked);
        }
        let deadline = Instant::now() + self.shared.budget;
        let run = async {
            let connection = self.shared.circuit.connection().await?;
            Ok(connection.run_until(commands, needed, deadline).await)
        };
        timeout_at(deadline, run).await.unwrap_or(Err(Skip::Failed(Fault::Slow)))
    }
}

/// What the answers mean, so many for each key. The first key is the one that counts: in a cluster the others are
/// elsewhere, and may be away without it.
fn found(replies: &[Result<Value, Fault>], per_key: usize) -> Result<Vec<Found>, Skip> {
    let mut found = replies.chunks_exact(per_key).map(commands::found);
    let first = found.next().unwrap_or(Err(Fault::Failed)).map_err(Skip::Failed)?;
    Ok([first].into_iter().chain(found.filter_map(Result::ok)).collect())
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        self.shared.circuit.close();
        if let Some((task, _)) = self.end() {
            task.abort();
        }
    }
}
