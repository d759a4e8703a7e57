//! Whether Redis is worth asking now: after some failures it is not asked again until a new connection answers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::shared_cache::connection::Connection;
use crate::shared_cache::counters::CacheState;
use crate::shared_cache::fault::Fault;

/// What one failure weighs against one success. At that ratio a connection that fails every fifth time is given up.
const WEIGHT: u32 = 4;
/// Three failures in a row, or some more among successes, are enough.
const LIMIT: u32 = 3 * WEIGHT;

/// The state of the connection, with the connection.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Nobody has asked yet.
    Idle,
    /// The first connection is being made.
    Connecting,
    Connected {
        connection: Connection,
        number: u64,
        since: u64,
    },
    Away {
        why: Fault,
        since: u64,
    },
    Closed,
}

/// Why Redis did not help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skip {
    /// It was not asked, because it is away. That cost nothing.
    NotAsked,
    /// It was asked, and this went wrong.
    Failed(Fault),
}

/// The state, who waits for it, and how well the present connection works.
#[derive(Debug)]
pub(super) struct Circuit {
    state: watch::Sender<State>,
    score: AtomicU32,
    number: AtomicU64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Idle), score: AtomicU32::new(0), number: AtomicU64::new(0) }
    }
}

impl Circuit {
    pub(super) fn state(&self) -> CacheState {
        CacheState::from(&*self.state.borrow())
    }

    /// The connection, at once except for the very first one, which is waited for.
    pub(super) async fn connection(&self) -> Result<Connection, Skip> {
        let mut state = self.state.subscribe();
        let is_known = |state: &State| !matches!(state, State::Idle | State::Connecting);
        match state.wait_for(is_known).await.as_deref() {
            Ok(State::Connected { connection, .. }) => Ok(connection.clone()),
            _ => Err(Skip::NotAsked),
        }
    }

    /// Whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Connected { .. })
    }

    /// Whether asking may help: there is a connection, or the first one is being made.
    pub(super) fn is_open(&self) -> bool {
        !matches!(*self.state.borrow(), State::Away { .. } | State::Closed)
    }

    /// The background task begins. Whatever connection there was ended with the runtime of the last one.
    pub(super) fn connecting(&self) {
        self.change(State::Connecting);
    }

    /// The number of the newest connection, or of the one that is being made, so that news of an older one are told from
    /// its own.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Another connection is going to be made.
    pub(super) fn next_number(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was made, unless all is closed by now.
    pub(super) fn connected(&self, connection: Connection, number: u64, now: u64) {
        self.score.store(0, Ordering::Relaxed);
        self.change(State::Connected { connection, number, since: now });
    }

    /// There is no connection. Says since when, not since when for another reason.
    pub(super) fn away(&self, why: Fault, now: u64) {
        let since = match *self.state.borrow() {
            State::Away { since, .. } => since,
            _ => now,
        };
        self.change(State::Away { why, since });
    }

    /// The connection of that number broke.
    pub(super) fn lost(&self, lost: u64, now: u64) {
        if matches!(*self.state.borrow(), State::Connected { number, .. } if number == lost) {
            self.away(Fault::Unreachable, now);
        }
    }

    pub(super) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    fn change(&self, to: State) {
        self.state.send_if_modified(|state| {
            let is_open = !matches!(state, State::Closed);
            if is_open {
                *state = to;
            }
            is_open
        });
    }

    /// Something succeeded that began with the connection of that number.
    pub(super) fn succeeded(&self, number: u64) {
        if number == self.number() {
            let lower = |score: u32| score.checked_sub(1);
            let _ = self.score.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
        }
    }

    /// Something failed that began with the connection of that number. Enough of that, and it is given up.
    pub(super) fn failed(&self, number: u64, why: Fault, now: u64) {
        if number != self.number() {
            return;
        }
        let score = self.score.fetch_add(WEIGHT, Ordering::Relaxed).saturating_add(WEIGHT);
        if score >= LIMIT && self.is_open() {
            self.score.store(0, Ordering::Relaxed);
            self.away(why, now);
        }
    }

    /// Waits until the connection of that number is no longer the one in use.
    pub(super) async fn until_gone(&self, gone: u64) {
        let is_gone = |state: &State| !matches!(state, State::Connected { number, .. } if *number == gone);
        // An error means that the sender is gone, which is this.
        let _ = self.state.subscribe().wait_for(is_gone).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_an_old_connection_say_nothing_of_the_new_one() {
        let circuit = Circuit::default();
        circuit.connecting();
        let old = circuit.number();
        circuit.next_number();
        for _ in 0..10 {
            circuit.failed(old, Fault::Slow, 1);
        }
        assert!(circuit.is_open());
        for _ in 0..3 {
            circuit.succeeded(old);
            circuit.failed(circuit.number(), Fault::Slow, 1);
        }
        assert!(!circuit.is_open());
    }
}
