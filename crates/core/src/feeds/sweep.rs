//! From ranges that overlap to runs of addresses that the same ranges cover.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many different tags one address may have. Real data has below 30; the bound keeps a hostile list from making
/// every step of the sweep long.
pub(crate) const MOST_TAGS: usize = 255;

/// An address as a number.
pub(crate) trait Bits: Copy + Ord {
    /// The highest address.
    const LAST: Self;

    /// The address after it, when there is one.
    fn next(self) -> Option<Self>;

    /// The address before it, when there is one.
    fn previous(self) -> Option<Self>;
}

macro_rules! bits {
    ($type:ty) => {
        impl Bits for $type {
            const LAST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    };
}

bits!(u32);
bits!(u128);

/// From the first to the last address, both inside, and a number for what is said of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Span<B> {
    pub(crate) first: B,
    pub(crate) last: B,
    pub(crate) tag: u32,
}

/// More than [`MOST_TAGS`] different tags stand on one address; these are some of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Crowded(pub(crate) Vec<u32>);

/// Goes through sorted spans from the lowest to the highest address.
pub(crate) struct Sweep<'a, B> {
    spans: &'a [Span<B>],
    /// The ends of the spans that hold the current address, nearest first.
    ends: BinaryHeap<Reverse<(B, u32)>>,
    active: Active,
}

impl<'a, B: Bits> Sweep<'a, B> {
    /// Over spans that are sorted by their first address.
    pub(crate) fn new(spans: &'a [Span<B>]) -> Self {
        Self { spans, ends: BinaryHeap::new(), active: Active::default() }
    }

    /// The next address at which a span begins or has ended, and the tags that hold from there on, in order, each once.
    pub(crate) fn advance(&mut self) -> Result<Option<(B, &[u32])>, Crowded> {
        let Some(at) = self.next_change() else { return Ok(None) };
        while let Some(&Reverse((last, tag))) = self.ends.peek()
            && last < at
        {
            self.ends.pop();
            self.active.remove(tag);
        }
        while let Some((span, rest)) = self.spans.split_first()
            && span.first == at
        {
            self.spans = rest;
            self.ends.push(Reverse((span.last, span.tag)));
            self.active.add(span.tag)?;
        }
        Ok(Some((at, &self.active.tags)))
    }

    fn next_change(&self) -> Option<B> {
        let start = self.spans.first().map(|span| span.first);
        let end = self.ends.peek().and_then(|Reverse((last, _))| last.next());
        match (start, end) {
            (Some(start), Some(end)) => Some(start.min(end)),
            (start, end) => start.or(end),
        }
    }
}

/// The tags that hold, in order, and by how many spans each.
#[derive(Default)]
struct Active {
    tags: Vec<u32>,
    spans: Vec<u32>,
}

impl Active {
    fn add(&mut self, tag: u32) -> Result<(), Crowded> {
        match self.tags.binary_search(&tag) {
            Ok(place) => {
                if let Some(spans) = self.spans.get_mut(place) {
                    *spans += 1;
                }
            }
            Err(_) if self.tags.len() == MOST_TAGS => {
                return Err(Crowded(self.tags.iter().copied().chain([tag]).collect()));
            }
            Err(place) => {
                self.tags.insert(place, tag);
                self.spans.insert(place, 1);
            }
        }
        Ok(())
    }

    fn remove(&mut self, tag: u32) {
        let Ok(place) = self.tags.binary_search(&tag) else { return };
        match self.spans.get_mut(place) {
            Some(spans) if *spans > 1 => *spans -= 1,
            _ => {
                self.tags.remove(place);
                self.spans.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(spans: &[(u32, u32, u32)]) -> Result<Vec<(u32, Vec<u32>)>, Crowded> {
        let mut spans: Vec<Span<u32>> =
            spans.iter().map(|&(first, last, tag)| Span { first, last, tag }).collect();
        spans.sort_unstable();
        let mut sweep = Sweep::new(&spans);
        let mut runs = Vec::new();
        while let Some((at, tags)) = sweep.advance()? {
            runs.push((at, tags.to_vec()));
        }
        Ok(runs)
    }

    #[test]
    fn nested_overlapping_and_touching_spans_become_runs() {
        assert_eq!(runs(&[]), Ok(vec![]));
        assert_eq!(
            runs(&[(10, 19, 2), (0, 99, 1), (15, 30, 2), (31, 31, 7)]),
            Ok(vec![
                (0, vec![1]),
                (10, vec![1, 2]),
                (15, vec![1, 2]),
                (20, vec![1, 2]),
                (31, vec![1, 7]),
                (32, vec![1]),
                (100, vec![])
            ])
        );
    }

    #[test]
    fn the_last_address_ends_nothing() {
        assert_eq!(runs(&[(0, u32::MAX, 1)]), Ok(vec![(0, vec![1])]));
        assert_eq!(
            runs(&[(u32::MAX, u32::MAX, 1), (u32::MAX - 1, u32::MAX, 2)]),
            Ok(vec![(u32::MAX - 1, vec![2]), (u32::MAX, vec![1, 2])])
        );
    }

    #[test]
    fn an_address_has_a_bounded_number_of_tags() {
        let spans = |count| (0..count).map(|tag| (5, 5, tag)).collect::<Vec<_>>();
        assert!(runs(&spans(255)).is_ok());
        assert_eq!(runs(&spans(256)), Err(Crowded((0..256).collect())));
        assert!(runs(&[spans(255), spans(255)].concat()).is_ok());
    }
}
