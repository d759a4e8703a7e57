//! Who uses an engine, so that the last one who leaves ends it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Engine;

/// No engine has so many users; it says that the last one has left.
const ENDED: usize = usize::MAX;

/// How many use an engine.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    /// One more, unless the engine has ended.
    fn enter(&self) -> bool {
        let enter = |count| (count != ENDED).then(|| count + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    /// One fewer. Says whether it was the last.
    fn leave(&self) -> bool {
        let leave = |count| Some(if count == 1 { ENDED } else { count - 1 });
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, leave) == Ok(1)
    }
}

/// One user's share in an engine. The engine ends with the last of them, even while others still hold a reference.
#[derive(Debug)]
pub struct Handle {
    engine: Arc<Engine>,
    has_left: AtomicBool,
}

impl Handle {
    /// A share in `engine`; nothing when it has ended.
    #[must_use]
    pub fn on(engine: Arc<Engine>) -> Option<Self> {
        let may_enter = engine.handles.enter();
        may_enter.then(|| Self { engine, has_left: AtomicBool::new(false) })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn is_last(&self) -> bool {
        !self.has_left.swap(true, Ordering::AcqRel) && self.engine.handles.leave()
    }

    /// Gives the share up. The last one ends what is under way, writes what waits to be written to Redis, for about 50
    /// milliseconds at most, and closes all connections.
    pub async fn close(&self) {
        if self.is_last() {
            self.engine.close().await;
        }
    }
}

impl Deref for Handle {
    type Target = Arc<Engine>;

    fn deref(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_last() {
            self.engine.end();
        }
    }
}
