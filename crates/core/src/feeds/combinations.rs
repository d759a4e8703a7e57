//! Which tags stand together on some address.

use std::collections::HashMap;

use super::records::MOST_RECORDS;
use super::sweep::{Bits, Crowded, Span, Sweep};

/// Sets of tags, by number, in the order of the addresses on which they were first seen. Number 0 is the empty one.
#[derive(Debug)]
pub(crate) struct Combinations {
    numbers: HashMap<Box<[u32]>, u16>,
}

/// What can be too much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Overflow {
    /// Too many tags on one address, these among them.
    Tags(Vec<u32>),
    /// Too many different sets.
    Combinations,
    /// Too many rows about the addresses of networks.
    Rows,
}

impl Default for Combinations {
    fn default() -> Self {
        Self { numbers: HashMap::from([(Box::default(), 0)]) }
    }
}

impl Combinations {
    /// The runs of addresses that sorted spans make: the first address of each, and what holds from there on. Runs
    /// that touch differ.
    pub(crate) fn flatten<B: Bits>(&mut self, spans: &[Span<B>]) -> Result<Vec<(B, u16)>, Overflow> {
        let mut runs = Vec::with_capacity(spans.len());
        let mut current = 0;
        let mut sweep = Sweep::new(spans);
        while let Some((at, tags)) = sweep.advance().map_err(|Crowded(tags)| Overflow::Tags(tags))? {
            let number = self.number(tags)?;
            if number != current {
                runs.push((at, number));
                current = number;
            }
        }
        Ok(runs)
    }

    fn number(&mut self, tags: &[u32]) -> Result<u16, Overflow> {
        if let Some(number) = self.numbers.get(tags) {
            return Ok(*number);
        }
        let next = self.numbers.len();
        let number =
            u16::try_from(next).ok().filter(|_| next < MOST_RECORDS).ok_or(Overflow::Combinations)?;
        self.numbers.insert(tags.into(), number);
        Ok(number)
    }

    /// The sets, by number.
    pub(crate) fn sets(&self) -> Vec<&[u32]> {
        let mut sets: Vec<_> = self.numbers.iter().map(|(tags, number)| (*number, &**tags)).collect();
        sets.sort_unstable();
        sets.into_iter().map(|(_, tags)| tags).collect()
    }
}
