//! Names that sources give, kept once however many addresses carry them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::flags::{Names, SharedNames};

/// Gives equal names the same shared copy. Copies that no evidence carries any more are dropped.
#[derive(Debug, Default)]
pub struct NameTable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shared: HashMap<Names, Arc<SharedNames>>,
    last_id: u32,
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 1_024;

impl NameTable {
    /// The shared copy of `names`, or nothing when there are none.
    #[must_use]
    pub fn share(&self, names: Names) -> Option<Arc<SharedNames>> {
        if names.is_empty() {
            return None;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = inner.shared.get(&names) {
            return Some(Arc::clone(shared));
        }
        if inner.shared.len() >= inner.sweep_at.max(FIRST_SWEEP) {
            inner.shared.retain(|_, shared| Arc::strong_count(shared) > 1);
            inner.sweep_at = inner.shared.len() * 2;
        }
        inner.last_id = inner.last_id.checked_add(1).unwrap_or(1);
        let shared = Arc::new(SharedNames { id: inner.last_id, names: names.clone() });
        inner.shared.insert(names, Arc::clone(&shared));
        Some(shared)
    }
}
