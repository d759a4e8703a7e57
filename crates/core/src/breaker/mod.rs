//! The breaker: when the provider fails, nobody waits for it in vain, and it is asked again with one probe at a time.
//!
//! Two ways lead to an outage, and one out of it. Transient failures (timeouts, connections, 5xx, broken bodies) count,
//! and too many of them open the breaker. A refused key, a fault of TLS and a spent quota each need no counting: one
//! such answer is true for every address. During an outage all calls are refused with the code of its cause; after
//! each wait, which is jittered and grows, one call is let through as a probe, and its success ends the outage.
//!
//! Pure: the time is passed in. One short lock per call to the provider.

mod outage;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::outage::Outage;
use self::window::Window;
use crate::error::Code;
use crate::jitter::Jitter;

/// A breaker that trips again that soon after it closed, in milliseconds, goes on with its longer waits.
const RELAPSE: u64 = 60_000;
/// One loud line for each cause in that many milliseconds, unless it was said to be over.
const NOTICE_INTERVAL: u64 = 10 * 60_000;
/// After an end was told, the next one within [`NOTICE_INTERVAL`] is told when it has lasted that long, in milliseconds:
/// what comes and goes must not fill the log.
const LASTING: u64 = 60_000;
/// A probe that has not come back after so many deadlines never will.
const PROBE_DEADLINES: u64 = 2;

/// Whether calls are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Calls are made.
    Closed,
    /// Calls are refused.
    Open,
    /// Calls are refused but for the probe that is under way.
    HalfOpen,
}

impl State {
    /// The state as it stands in `stats()`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A reading of the breaker, for `stats()` and `doctor`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Health {
    /// Whether calls are made.
    pub state: State,
    /// The code with which calls are refused, if they are.
    pub cause: Option<Code>,
    /// Since when the cause lasts, or calls are made again; in milliseconds since 1970.
    pub since: u64,
    /// When the next call is let through as a probe, unless one is under way; in milliseconds since 1970.
    pub next_probe: Option<u64>,
}

/// Something that is worth a loud line in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notice {
    /// The code of the outage.
    pub cause: Code,
    /// When it began, in milliseconds since 1970.
    pub since: u64,
    /// Whether it is over.
    pub is_over: bool,
}

/// Refuses calls to a provider that fails. One for each provider; shared by all who call it.
#[derive(Debug)]
pub struct Breaker {
    longest_probe: u64,
    jitter: Jitter,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Grows with each change of state and each probe; outcomes of calls from before are not counted.
    epoch: u64,
    /// When the breaker closed, or was made.
    closed_at: u64,
    window: Window,
    outage: Option<Outage>,
    /// How far the waits had grown when the breaker closed.
    last_round: Option<usize>,
    /// When there was a line about each cause, since the last end that was told.
    told: Vec<(Code, u64)>,
    /// When it was last told that an outage is over.
    told_end_at: Option<u64>,
    /// The outage about which there was a line, while its end is still to be told.
    loud: Option<(Code, u64)>,
}

/// What an outcome says about the provider.
#[derive(Clone, Copy)]
enum Meaning {
    Success,
    /// It answered, but what it said is no success: a mistake of ours that a cool-down does not mend.
    Answer,
    Transient,
    /// True for every address, until somebody does something about it.
    Refusal(Code),
    /// The call never reached it.
    Nothing,
}

fn meaning(failure: Option<Code>) -> Meaning {
    match failure {
        None => Meaning::Success,
        Some(Code::Timeout | Code::Connect | Code::UpstreamStatus | Code::Malformed | Code::BodyTooLarge) => {
            Meaning::Transient
        }
        Some(cause @ (Code::KeyRefused | Code::KeyForbidden | Code::Tls | Code::Quota)) => {
            Meaning::Refusal(cause)
        }
        Some(Code::Endpoint | Code::RequestRefused | Code::Redirect) => Meaning::Answer,
        Some(_) => Meaning::Nothing,
    }
}

impl Breaker {
    /// A closed breaker. `deadline` bounds every call; a probe is given up for lost after two of them.
    #[must_use]
    pub fn new(deadline: Duration, now: u64) -> Self {
        let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let inner = Inner {
            epoch: 0,
            closed_at: now,
            window: Window::default(),
            outage: None,
            last_round: None,
            told: Vec::new(),
            told_end_at: None,
            loud: None,
        };
        Self {
            longest_probe: deadline.saturating_mul(PROBE_DEADLINES),
            jitter: Jitter::default(),
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Valid after every statement, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code with which [`Breaker::admit`] would refuse now, without becoming the probe: ask it first, before anything
    /// else is spent on a call.
    #[must_use]
    pub fn refusal(&self, now: u64) -> Option<Code> {
        let inner = self.inner();
        let outage = inner.outage.as_ref()?;
        (!outage.may_probe(now, self.longest_probe)).then_some(outage.cause)
    }

    /// Asks whether a call may be made now. Report how it ended to what is returned.
    ///
    /// # Errors
    /// During an outage, its code: [`Code::Breaker`], [`Code::KeyRefused`], [`Code::KeyForbidden`], [`Code::Tls`] or
    /// [`Code::Quota`].
    pub fn admit(&self, now: u64) -> Result<Admission<'_>, Code> {
        let mut inner = self.inner();
        let is_probe = match &mut inner.outage {
            None => false,
            Some(outage) if outage.may_probe(now, self.longest_probe) => {
                outage.probe(now);
                inner.epoch += 1;
                true
            }
            Some(outage) => return Err(outage.cause),
        };
        Ok(Admission { breaker: self, epoch: inner.epoch, is_probe, is_reported: false })
    }

    /// A reading.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = self.inner();
        match &inner.outage {
            None => Health { state: State::Closed, cause: None, since: inner.closed_at, next_probe: None },
            Some(outage) => Health {
                state: if outage.is_probing() { State::HalfOpen } else { State::Open },
                cause: Some(outage.cause),
                since: outage.since,
                next_probe: (!outage.is_probing()).then(|| outage.next_probe()),
            },
        }
    }

    /// What should be logged now, if anything: that an outage began, every 10 minutes that it lasts, and that one
    /// which was logged is over. Ask after calls that failed, and after those that succeed.
    pub fn take_notice(&self, now: u64) -> Option<Notice> {
        let mut inner = self.inner();
        let Some(Outage { cause, since, .. }) = inner.outage else { return inner.take_end(now) };
        let is_recent = |(told, at): &(Code, u64)| *told == cause && now.abs_diff(*at) < NOTICE_INTERVAL;
        if inner.told.iter().any(is_recent) {
            return None;
        }
        inner.told.retain(|(told, _)| *told != cause);
        inner.told.push((cause, now));
        inner.loud = Some((cause, since));
        Some(Notice { cause, since, is_over: false })
    }
}

impl Inner {
    fn open(&mut self, cause: Code, retry_at: Option<u64>, now: u64, jitter: &Jitter) {
        let relapse = self.last_round.filter(|_| now.abs_diff(self.closed_at) < RELAPSE);
        let round = match relapse {
            Some(round) if cause == Code::Breaker => round.saturating_add(1),
            _ => 0,
        };
        self.outage = Some(Outage::new(cause, round, retry_at, now, jitter));
        self.epoch += 1;
    }

    fn close(&mut self, now: u64) {
        let over = self.outage.take();
        self.last_round = over.filter(|over| over.cause == Code::Breaker).map(|over| over.round);
        self.closed_at = now;
        self.window = Window::default();
        self.epoch += 1;
    }

    fn take_end(&mut self, now: u64) -> Option<Notice> {
        let (cause, since) = self.loud?;
        let comes_and_goes = self.told_end_at.is_some_and(|at| now.abs_diff(at) < NOTICE_INTERVAL);
        if comes_and_goes && now.abs_diff(self.closed_at) < LASTING {
            return None;
        }
        self.loud = None;
        self.told.clear();
        self.told_end_at = Some(now);
        Some(Notice { cause, since, is_over: true })
    }

    fn called(&mut self, meaning: Meaning, retry_at: Option<u64>, now: u64, jitter: &Jitter) {
        match meaning {
            Meaning::Success => self.window.succeeded(now),
            Meaning::Transient => {
                self.window.failed(now);
                if self.window.is_failing(now) {
                    self.open(Code::Breaker, None, now, jitter);
                }
            }
            Meaning::Refusal(cause) => self.open(cause, retry_at, now, jitter),
            Meaning::Answer | Meaning::Nothing => {}
        }
    }

    fn probed(&mut self, meaning: Meaning, retry_at: Option<u64>, now: u64, jitter: &Jitter) {
        let Some(outage) = &mut self.outage else { return };
        match meaning {
            Meaning::Success | Meaning::Answer => self.close(now),
            Meaning::Transient => outage.goes_on(outage.cause, None, now, jitter),
            Meaning::Refusal(cause) => outage.goes_on(cause, retry_at, now, jitter),
            Meaning::Nothing => outage.lost_probe(jitter),
        }
    }
}

/// Leave to make one call. Dropped without a report, the call counts as neither; a probe then waits once more.
#[derive(Debug)]
#[must_use = "report how the call ended"]
pub struct Admission<'a> {
    breaker: &'a Breaker,
    epoch: u64,
    is_probe: bool,
    is_reported: bool,
}

impl Admission<'_> {
    /// Whether the call is the probe of an outage. Do not repeat it when it fails.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// How the call ended: the code of its failure, or nothing. `retry_at` is when a `Retry-After` wants to be asked
    /// again, in milliseconds since 1970; it counts with a refused key and a spent quota, from a second to an hour.
    pub fn report(mut self, failure: Option<Code>, retry_at: Option<u64>, now: u64) {
        self.end(meaning(failure), retry_at, now);
    }

    fn end(&mut self, meaning: Meaning, retry_at: Option<u64>, now: u64) {
        self.is_reported = true;
        let mut inner = self.breaker.inner();
        if inner.epoch != self.epoch {
            // It began before the last change: what has happened since then knows better.
            return;
        }
        let end = if self.is_probe { Inner::probed } else { Inner::called };
        end(&mut inner, meaning, retry_at, now, &self.breaker.jitter);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if !self.is_reported {
            self.end(Meaning::Nothing, None, 0);
        }
    }
}
