//! A time during which nobody is called, with one probe after each wait.

use crate::error::Code;
use crate::jitter::Jitter;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// The waits of the breaker: what passes within a second costs one, and half a minute is how long a provider that
/// works again may go unnoticed.
const BREAKER_WAITS: &[u64] = &[SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND, 30 * SECOND];
/// A refused key or certificate is looked at again at once, because one odd answer must not open every gate for a
/// minute; then once a minute, until somebody mends it.
const REFUSED_WAITS: &[u64] = &[2 * SECOND, MINUTE];
/// Without `Retry-After`: a limit per second passes within seconds, a spent plan does not.
const QUOTA_WAITS: &[u64] =
    &[5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND, 80 * SECOND, 160 * SECOND, 5 * MINUTE];

/// A server may send its clients away for that long, and no longer: a plan that was raised is noticed.
const LONGEST_RETRY_AFTER: u64 = 60 * MINUTE;
/// Policies may open while the key is refused, so that somebody in between must not be able to have that last.
const LONGEST_RETRY_AFTER_A_REFUSED_KEY: u64 = 5 * MINUTE;
const SHORTEST_RETRY_AFTER: u64 = SECOND;

/// Up to a quarter is taken off a wait.
const JITTER_SHARE: u64 = 4;

fn waits(cause: Code) -> &'static [u64] {
    match cause {
        Code::Quota => QUOTA_WAITS,
        Code::KeyRefused | Code::KeyForbidden | Code::Tls => REFUSED_WAITS,
        _ => BREAKER_WAITS,
    }
}

/// Why nobody is called, since when, and when the next probe may be made.
#[derive(Debug)]
pub(super) struct Outage {
    pub(super) cause: Code,
    /// When the cause began.
    pub(super) since: u64,
    /// How many waits there were before this one, of which the last length repeats.
    pub(super) round: usize,
    wait_began: u64,
    wait: u64,
    /// When the probe that is under way began.
    probe: Option<u64>,
}

impl Outage {
    pub(super) fn new(cause: Code, round: usize, retry_at: Option<u64>, now: u64, jitter: &Jitter) -> Self {
        let mut outage = Self { cause, since: now, round, wait_began: now, wait: 0, probe: None };
        outage.wait_again(round, retry_at, now, jitter);
        outage
    }

    /// The probe failed for `cause`, or for something that says nothing about it.
    pub(super) fn goes_on(&mut self, cause: Code, retry_at: Option<u64>, now: u64, jitter: &Jitter) {
        let round = if waits(cause) == waits(self.cause) { self.round.saturating_add(1) } else { 0 };
        if cause != self.cause {
            (self.cause, self.since) = (cause, now);
        }
        self.wait_again(round, retry_at, now, jitter);
    }

    /// Nobody knows how the probe ended: the same wait once more, from when it began.
    pub(super) fn lost_probe(&mut self, jitter: &Jitter) {
        let began = self.probe.unwrap_or(self.wait_began);
        self.wait_again(self.round, None, began, jitter);
    }

    fn wait_again(&mut self, round: usize, retry_at: Option<u64>, now: u64, jitter: &Jitter) {
        self.wait = if let Some(told) = retry_at.and_then(|at| at.checked_sub(now)) {
            // Never earlier than the server said.
            let longest = match self.cause {
                Code::Quota => LONGEST_RETRY_AFTER,
                _ => LONGEST_RETRY_AFTER_A_REFUSED_KEY,
            };
            let told = told.clamp(SHORTEST_RETRY_AFTER, longest);
            told.saturating_add(jitter.up_to(told / JITTER_SHARE))
        } else {
            let waits = waits(self.cause);
            let wait = waits.get(round).or(waits.last()).copied().unwrap_or(MINUTE);
            wait - jitter.up_to(wait / JITTER_SHARE)
        };
        (self.round, self.wait_began, self.probe) = (round, now, None);
    }

    /// Whether a probe may be made. A clock that was set back ends every wait: one probe too many harms nobody, and
    /// waiting until it has caught up might take hours.
    pub(super) fn may_probe(&self, now: u64, longest_probe: u64) -> bool {
        let (began, length) = self.probe.map_or((self.wait_began, self.wait), |began| (began, longest_probe));
        now.checked_sub(began).is_none_or(|passed| passed >= length)
    }

    pub(super) fn probe(&mut self, now: u64) {
        self.probe = Some(now);
    }

    pub(super) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// When the wait ends.
    pub(super) fn next_probe(&self) -> u64 {
        self.wait_began.saturating_add(self.wait)
    }
}
