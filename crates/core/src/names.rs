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

/// How long a name may be: enough for every published one.
pub(crate) const LONGEST_NAME: usize = 96;

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

/// A name without blanks around it, cut to a bound. One with control characters could forge log lines and is left out.
pub(crate) fn tidy(name: &str) -> Option<&str> {
    let name = name.trim();
    let end = name.floor_char_boundary(LONGEST_NAME);
    let name = name.get(..end)?.trim_end();
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::flags::NameField;

    fn named(name: &str) -> Names {
        let mut names = Names::default();
        names.set_one(NameField::BotOperatorName, name);
        names
    }

    #[test]
    fn equal_names_share_one_copy_and_different_ones_have_numbers_of_their_own() {
        let table = NameTable::default();
        let [one, same, other] = ["Google", "Google", "google"].map(|name| table.share(named(name)).unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        assert!(one.id() != other.id() && one.id() != 0 && other.id() != 0);
        assert_eq!(one.names(), &named("Google"));
        assert!(table.share(Names::default()).is_none());
    }

    #[test]
    fn names_that_no_evidence_carries_are_dropped_and_the_others_kept() {
        let table = NameTable::default();
        let kept: Vec<_> = (0..100).map(|n| table.share(named(&format!("kept {n}"))).unwrap()).collect();
        for n in 0..100_000 {
            assert!(table.share(named(&format!("dropped {n}"))).is_some());
        }
        let size = table.inner.lock().unwrap().shared.len();
        assert!(size <= FIRST_SWEEP, "{size} names are kept");
        for (n, shared) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(shared, &table.share(named(&format!("kept {n}"))).unwrap()));
        }
    }

    #[test]
    fn numbers_are_not_given_twice_while_they_are_in_use() {
        let table = NameTable::default();
        let shared: Vec<_> = (0..5_000).map(|n| table.share(named(&n.to_string())).unwrap()).collect();
        let ids: HashSet<u32> = shared.iter().map(|shared| shared.id()).collect();
        assert_eq!(ids.len(), shared.len());
    }
}
