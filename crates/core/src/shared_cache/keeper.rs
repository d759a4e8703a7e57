//! The one background task: it keeps a connection, writes, and listens for invalidations.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::{Cmd, Msg, PushInfo, PushKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::address::CacheKey;
use crate::breaker::Notice;
use crate::clock::Clock;
use crate::error::Code;
use crate::evidence::Evidence;
use crate::jitter::Jitter;
use crate::shared_cache::circuit::{Circuit, Skip};
use crate::shared_cache::commands;
use crate::shared_cache::connection::{Connection, Connector, PATIENCE};
use crate::shared_cache::counters::{CacheState, Counters};
use crate::shared_cache::entry::{self, CLOCK_SKEW};
use crate::shared_cache::fault::Fault;
use crate::shared_cache::forgotten::Forgotten;
use crate::shared_cache::keys::{Invalidation, Keys};

/// How many answers wait to be written. More are dropped: Redis is a cache, and memory is not to grow for it.
pub(super) const QUEUE: usize = 1_024;
/// How many of them are written in one round trip.
const BATCH: usize = 32;
/// Up to a tenth of the time to live is taken off, so that what was learnt together does not expire together.
const JITTER_SHARE: u64 = 10;
/// The first and the longest wait before another connection is tried, in milliseconds. About half of it is random, so
/// that many processes do not come back at once.
const FIRST_WAIT: u64 = 50;
const LONGEST_WAIT: u64 = 800;
/// A connection that held for so long was a good one, after which waits begin small again.
const STEADY: u64 = 10_000;
/// How often a connection that nobody uses is tried: one that has died hears of no invalidation.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One loud line about an outage in that many milliseconds.
const NOTICE_INTERVAL: u64 = 10 * 60_000;

/// What is called with what is to be forgotten. It must not block.
pub type Listener = Box<dyn Fn(Invalidation) + Send + Sync>;

/// What is to be done in the background.
#[derive(Debug)]
pub(super) enum Job {
    Write { key: CacheKey, evidence: Evidence },
    Invalidate { what: Invalidation, done: oneshot::Sender<Result<(), Fault>> },
}

/// What callers and the background task share.
pub(super) struct Shared {
    pub(super) connector: Connector,
    pub(super) keys: Keys,
    /// How long a look-up may take.
    pub(super) budget: Duration,
    pub(super) ttl: u64,
    pub(super) stale: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) circuit: Circuit,
    pub(super) counters: Counters,
    pub(super) forgotten: Forgotten,
    pub(super) listener: Listener,
    /// Of which outage there was a line, by when it began, and when.
    pub(super) told: Mutex<Option<(u64, u64)>>,
    pub(super) jitter: Jitter,
    /// Whether a server that was named has refused a write as a replica.
    pub(super) takes_no_writes: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("circuit", &self.circuit).finish_non_exhaustive()
    }
}

/// Runs until it is aborted, or the last sender of jobs is gone and what was sent is done.
pub(super) async fn keep(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut wait = FIRST_WAIT;
    loop {
        let number = shared.circuit.number();
        let held = match shared.connect(number).await {
            Ok(connection) => shared.serve(number, connection, &mut jobs).await,
            Err(why) => {
                shared.circuit.away(why, shared.clock.now());
                0
            }
        };
        if jobs.is_closed() {
            return;
        }
        shared.drop_waiting(&mut jobs);
        shared.circuit.next_number();
        wait = if held >= STEADY { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
        sleep(Duration::from_millis(shared.jittered(wait, 2))).await;
    }
}

impl Shared {
    /// `most`, less a random part of at most one `share`th.
    fn jittered(&self, most: u64, share: u64) -> u64 {
        most - self.jitter.up_to(most / share)
    }

    /// A connection that has shown that it answers in time.
    async fn connect(self: &Arc<Self>, number: u64) -> Result<Connection, Fault> {
        let listener = Arc::downgrade(self);
        let is_single = self.connector.is_single();
        let connection = self.connector.connect(move |push| hear(&listener, number, is_single, push)).await?;
        self.counters.connected();
        // Before what was forgotten is read, so that nothing is missed in between.
        match timeout(PATIENCE, connection.subscribe(&self.keys.channel())).await {
            Ok(Ok(())) => self.counters.deaf(false),
            Ok(Err(Fault::Refused)) => self.counters.deaf(true),
            Ok(Err(fault)) => return Err(fault),
            Err(_) => return Err(Fault::Slow),
        }
        self.probe(&connection).await?;
        Ok(connection)
    }

    /// Asks what was forgotten, which is something small, in the time that a look-up has.
    async fn probe(&self, connection: &Connection) -> Result<(), Fault> {
        let read = commands::read(&self.keys.forgotten());
        let replies = timeout(self.budget, connection.run(vec![read])).await.map_err(|_| Fault::Slow)?;
        let missing = Err(Fault::Failed);
        for message in commands::forgotten(replies.first().unwrap_or(&missing))? {
            if let Some((what, time)) = self.keys.read_message(message) {
                self.forget(what, time);
            }
        }
        Ok(())
    }

    /// What was forgotten at `time` is forgotten here too, unless it was before.
    fn forget(&self, what: Invalidation, time: u64) {
        // A time in the future would switch the cache off.
        let is_past = time <= self.clock.now().saturating_add(CLOCK_SKEW);
        if is_past && self.forgotten.note(what, time) {
            (self.listener)(what);
        }
    }

    /// Somebody has just invalidated something.
    fn hear(&self, message: &[u8]) {
        let Some((what, time)) = self.keys.read_message(message) else { return };
        self.counters.invalidated();
        if let Invalidation::AllUntil(_) = what {
            return self.forget(what, time);
        }
        // What this process has learnt by now is older, even if its clock is ahead.
        let now = self.clock.now();
        self.forgotten.note(what, time.clamp(now, now.saturating_add(CLOCK_SKEW)));
        (self.listener)(what);
    }

    /// Works with a connection until it is gone. Says for how many milliseconds it held.
    async fn serve(&self, number: u64, connection: Connection, jobs: &mut mpsc::Receiver<Job>) -> u64 {
        let began = self.clock.now();
        self.circuit.connected(connection.clone(), number, began);
        let mut batch = Vec::with_capacity(BATCH);
        tokio::select! {
            () = self.circuit.until_gone(number) => {}
            () = self.work(&connection, jobs, &mut batch) => {}
            () = self.beat(&connection) => {}
        }
        // What was under way is lost with the connection.
        for job in &batch {
            self.drop_job(job);
        }
        self.clock.now().saturating_sub(began)
    }

    async fn beat(&self, connection: &Connection) {
        loop {
            sleep(HEARTBEAT).await;
            // The name may lead to another server by now: after a switch the old primary lives on as a replica. Until
            // there is a new connection, this one is read.
            if self.takes_no_writes.swap(false, Ordering::Relaxed) {
                return;
            }
            if let Err(why) = self.probe(connection).await {
                self.counters.failed(why);
                self.circuit.away(why, self.clock.now());
                return;
            }
        }
    }

    async fn work(&self, connection: &Connection, jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>) {
        while jobs.recv_many(batch, BATCH).await != 0 {
            self.write(connection, batch).await;
            for job in batch.drain(..) {
                // After the writes, so that none of them brings back what is forgotten.
                if let Job::Invalidate { what, done } = job {
                    // Whoever asked may have gone.
                    let _ = done.send(self.invalidate(connection, what).await);
                }
            }
        }
    }

    async fn write(&self, connection: &Connection, batch: &[Job]) {
        let now = self.clock.now();
        let commands: Vec<Cmd> = batch.iter().flat_map(|job| self.copies(job, now)).collect();
        if commands.is_empty() {
            return;
        }
        let Ok(replies) = timeout(PATIENCE, connection.run(commands)).await else {
            self.counters.failed(Fault::Slow);
            self.circuit.away(Fault::Slow, now);
            return;
        };
        for reply in replies {
            match reply.and_then(|answer| commands::wrote(&answer)) {
                Ok(is_newest) => self.counters.wrote(is_newest),
                Err(fault) => self.write_failed(self.circuit.number(), fault),
            }
        }
    }

    /// What writes was refused or got lost. Reading is given up for it only when it says something about reading.
    pub(super) fn write_failed(&self, number: u64, fault: Fault) {
        self.counters.failed(fault);
        if fault == Fault::Replica && self.connector.is_standalone() {
            // It is still worth reading, see `beat`.
            self.takes_no_writes.store(true, Ordering::Relaxed);
        } else if fault.is_of_the_connection() {
            self.circuit.failed(number, fault, self.clock.now());
        }
    }

    /// The commands that write an answer: the fresh copy and the stale one, as long as they are not past their time.
    fn copies(&self, job: &Job, now: u64) -> Vec<Cmd> {
        let Job::Write { key, evidence } = job else { return Vec::new() };
        if self.forgotten.covers(*key, evidence.checked_at) {
            self.counters.dropped();
            return Vec::new();
        }
        let text = entry::write(evidence);
        let age = now.saturating_sub(evidence.checked_at);
        let fresh = self.jittered(self.ttl, JITTER_SHARE).saturating_sub(age);
        let stale = self.ttl.saturating_add(self.stale).saturating_sub(age);
        let copies = [(self.keys.fresh(*key), fresh), (self.keys.stale(*key), stale)];
        let copies = copies.iter().filter(|(_, lifetime)| *lifetime != 0);
        copies
            .map(|(key, lifetime)| commands::write(key, &text, evidence.checked_at, *lifetime, now))
            .collect()
    }

    async fn invalidate(&self, connection: &Connection, what: Invalidation) -> Result<(), Fault> {
        let now = self.clock.now();
        let time = if let Invalidation::AllUntil(time) = what { time } else { now };
        self.forgotten.note(what, time);
        let message = self.keys.message(what, now);
        let deleted = within_patience(connection.run(self.forgetting(what, &message))).await;
        // Last, so that whoever hears of it finds nothing in Redis any more; and whatever happened, because those who
        // hear of it do not believe what is left.
        let told =
            within_patience(connection.run(vec![commands::publish(&self.keys.channel(), &message)])).await;
        deleted.and(told).inspect_err(|fault| self.counters.failed(*fault))
    }

    /// The commands that delete it, and keep that it was for those who come later.
    fn forgetting(&self, what: Invalidation, message: &str) -> Vec<Cmd> {
        let keys = match what {
            Invalidation::Key(key) => {
                self.keys.all_fresh(key).into_iter().chain([self.keys.stale(key)]).collect()
            }
            Invalidation::AllUntil(_) => Vec::new(),
        };
        let lifetime = self.ttl.saturating_add(self.stale);
        let kept = commands::forget(&self.keys.forgotten(), message, lifetime);
        keys.iter().map(|key| commands::delete(key)).chain([kept]).collect()
    }

    pub(super) fn take_notice(&self) -> Option<Notice> {
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match self.circuit.state() {
            CacheState::Away { since, .. } => {
                let is_recent = |at: u64| now.abs_diff(at) < NOTICE_INTERVAL;
                if told.is_some_and(|(_, at)| is_recent(at)) {
                    return None;
                }
                *told = Some((since, now));
                Some(Notice { cause: Code::Redis, since, is_over: false })
            }
            CacheState::Connected { .. } => {
                let (since, _) = told.take()?;
                Some(Notice { cause: Code::Redis, since, is_over: true })
            }
            CacheState::Idle | CacheState::Connecting | CacheState::Closed => None,
        }
    }

    fn drop_job(&self, job: &Job) {
        if matches!(job, Job::Write { .. }) {
            self.counters.dropped();
        }
    }

    fn drop_waiting(&self, jobs: &mut mpsc::Receiver<Job>) {
        while let Ok(job) = jobs.try_recv() {
            self.drop_job(&job);
        }
    }

    /// Why a look-up brought nothing that began with the connection of that number.
    pub(super) fn look_up_failed(&self, number: u64, skip: Skip) {
        self.counters.skipped(skip);
        if let Skip::Failed(fault) = skip {
            self.circuit.failed(number, fault, self.clock.now());
        }
    }
}

/// The first failure of commands that are run, and none of them that takes too long.
async fn within_patience(run: impl Future<Output = Vec<Result<Value, Fault>>>) -> Result<(), Fault> {
    let replies = timeout(PATIENCE, run).await.map_err(|_| Fault::Slow)?;
    replies.into_iter().try_for_each(|reply| reply.map(|_| ()))
}

/// What a connection says by itself. It does not keep what it speaks to alive.
fn hear(shared: &Weak<Shared>, number: u64, is_single: bool, push: PushInfo) -> Result<(), ()> {
    let shared = shared.upgrade().ok_or(())?;
    match push.kind {
        // A cluster replaces the connections to its nodes by itself.
        PushKind::Disconnection if is_single => shared.circuit.lost(number, shared.clock.now()),
        PushKind::Message => {
            shared.hear(Msg::from_push_info(push).ok_or(())?.get_payload_bytes());
        }
        _ => {}
    }
    Ok(())
}
