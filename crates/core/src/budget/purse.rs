//! What may still be spent in one period, and by whom.

use super::Priority;

/// Credits in three heaps: what everybody may spend, what bulk work may not, and what is for policies of high priority.
/// Credits only ever move between a heap, those who hold them and those that are spent, so none is spent twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Heaps([u64; 3]);

impl Heaps {
    /// The credits from `after` (excluded) to `up_to` of a budget whose priorities may spend up to those `ceilings`.
    pub(super) fn between(after: u64, up_to: u64, ceilings: [u64; 3]) -> Self {
        let mut from = after;
        Self(ceilings.map(|ceiling| {
            let end = up_to.min(ceiling).max(from);
            end - std::mem::replace(&mut from, end)
        }))
    }

    pub(super) fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What somebody of that priority may spend.
    pub(super) fn open_to(&self, priority: Priority) -> u64 {
        self.0.iter().take(priority as usize + 1).sum()
    }

    /// Takes up to `count` out, from the heap that is open to most first.
    pub(super) fn take(&mut self, mut count: u64, priority: Priority) -> Self {
        let mut taken = Self::default();
        for (from, to) in self.0.iter_mut().zip(&mut taken.0).take(priority as usize + 1) {
            *to = count.min(*from);
            *from -= *to;
            count -= *to;
        }
        taken
    }

    /// Takes up to `count` out, from the heap that is open to fewest first.
    pub(super) fn give_back(&mut self, mut count: u64) -> Self {
        let mut taken = Self::default();
        for (from, to) in self.0.iter_mut().zip(&mut taken.0).rev() {
            *to = count.min(*from);
            *from -= *to;
            count -= *to;
        }
        taken
    }

    pub(super) fn put(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(heap, more)| *heap += more);
    }
}

/// One day, or one second, or one month.
#[derive(Debug)]
pub(super) struct Purse {
    /// Which one of its period.
    pub(super) number: u64,
    heaps: Heaps,
    /// What was charged.
    pub(super) spent: u64,
    /// What was charged beyond what there was; what comes in pays for it first.
    debt: u64,
}

impl Purse {
    pub(super) fn new(number: u64, heaps: Heaps) -> Self {
        Self { number, heaps, spent: 0, debt: 0 }
    }

    pub(super) fn heaps(&self) -> Heaps {
        self.heaps
    }

    /// Takes exactly `count` credits out to be held; nothing when there are not so many.
    pub(super) fn hold(&mut self, count: u64, priority: Priority) -> Option<Heaps> {
        (self.heaps.open_to(priority) >= count).then(|| self.heaps.take(count, priority))
    }

    /// Settles what was held by what was charged.
    pub(super) fn settle(&mut self, mut held: Heaps, charged: u64) {
        self.spent = self.spent.saturating_add(charged);
        let held_in_all = held.all();
        if charged <= held_in_all {
            self.put(held.give_back(held_in_all - charged));
            return;
        }
        // The provider charged more than was asked for. It is spent, whoever it was meant for.
        let excess = charged - held_in_all;
        let paid = self.heaps.take(excess, Priority::High).all();
        self.debt = self.debt.saturating_add(excess - paid);
    }

    pub(super) fn put(&mut self, mut more: Heaps) {
        let paid = more.take(self.debt, Priority::High).all();
        self.debt -= paid;
        self.heaps.put(more);
    }
}
