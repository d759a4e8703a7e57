//! Which record an IPv4 address has.

/// One bucket per upper half of the address, in each the lower halves at which runs of addresses begin.
///
/// Written by hand because no crate comes near it in memory: 4 bytes per run and 256 KiB for the buckets, against 20
/// to 160 bytes per prefix for tries, and one search among the few runs of a bucket.
#[derive(Debug)]
pub(crate) struct Ipv4Index {
    /// Where each bucket begins in the other two, and where the last one ends.
    starts: Vec<u32>,
    /// A bucket that is not empty begins with 0, so that a search never has to look into the bucket before.
    lows: Vec<u16>,
    records: Vec<u16>,
}

const BUCKETS: usize = 1 << 16;

impl Ipv4Index {
    /// From runs in order, each with its first address and its record, which holds up to the next run. What comes
    /// before the first run has record 0.
    pub(crate) fn build(runs: impl Iterator<Item = (u32, u16)>) -> Self {
        let mut runs = runs.peekable();
        let mut index =
            Self { starts: Vec::with_capacity(BUCKETS + 1), lows: Vec::new(), records: Vec::new() };
        let mut record = 0;
        for bucket in 0..=u16::MAX {
            let start = index.lows.len();
            index.starts.push(position(start));
            index.push(0, record);
            while let Some((at, next)) = runs.next_if(|(at, _)| halves(*at).0 == bucket) {
                record = next;
                match halves(at).1 {
                    0 => index.records.truncate(start),
                    low => index.lows.push(low),
                }
                index.records.push(record);
            }
            if index.records.get(start..) == Some(&[0]) {
                index.lows.truncate(start);
                index.records.truncate(start);
            }
        }
        index.starts.push(position(index.lows.len()));
        index.lows.shrink_to_fit();
        index.records.shrink_to_fit();
        index
    }

    fn push(&mut self, low: u16, record: u16) {
        self.lows.push(low);
        self.records.push(record);
    }

    /// From what a file holds: how many runs each bucket has, and the runs. Nothing, when a look-up could go wrong.
    pub(crate) fn checked(runs: &[u32], lows: Vec<u16>, records: Vec<u16>, most: usize) -> Option<Self> {
        if runs.len() != BUCKETS || lows.len() != records.len() {
            return None;
        }
        let mut starts = Vec::with_capacity(BUCKETS + 1);
        let mut start = 0_u32;
        starts.push(start);
        for runs in runs {
            let end = start.checked_add(*runs)?;
            let bucket = lows.get(start as usize..end as usize)?;
            if bucket.first().is_some_and(|low| *low != 0) || !bucket.is_sorted_by(|one, next| one < next) {
                return None;
            }
            starts.push(end);
            start = end;
        }
        let is_whole = start as usize == lows.len();
        let are_known = records.iter().all(|record| usize::from(*record) < most);
        (is_whole && are_known).then_some(Self { starts, lows, records })
    }

    /// The record of an address; 0 when nothing is said of it.
    pub(crate) fn record(&self, address: u32) -> u16 {
        let (bucket, low) = halves(address);
        let bucket = usize::from(bucket);
        let Some(&[start, end]) = self.starts.get(bucket..bucket + 2) else { return 0 };
        let Some(lows) = self.lows.get(start as usize..end as usize) else { return 0 };
        let after = start as usize + lows.partition_point(|first| *first <= low);
        // Only an empty bucket has no run that begins at or before the address.
        if after == start as usize { 0 } else { self.records.get(after - 1).copied().unwrap_or(0) }
    }

    /// How many bytes it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.lows) + size_of_val(&*self.records)
    }

    /// How many runs each bucket has.
    pub(crate) fn runs(&self) -> Vec<u32> {
        self.starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The lower halves of the addresses at which runs begin.
    pub(crate) fn lows(&self) -> &[u16] {
        &self.lows
    }

    /// The record of each run.
    pub(crate) fn records(&self) -> &[u16] {
        &self.records
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half has 16 bits")]
const fn halves(address: u32) -> (u16, u16) {
    ((address >> 16) as u16, address as u16)
}

/// There are fewer runs than addresses, and at most one more per bucket.
fn position(runs: usize) -> u32 {
    u32::try_from(runs).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index from these runs in the buckets 0 and 1, when it can be one with four records.
    fn checked(first: &[(u16, u16)], second: &[(u16, u16)]) -> Option<Ipv4Index> {
        let mut counts = vec![0; BUCKETS];
        counts[0] = u32::try_from(first.len()).unwrap();
        counts[1] = u32::try_from(second.len()).unwrap();
        let (lows, records) = first.iter().chain(second).copied().unzip();
        Ipv4Index::checked(&counts, lows, records, 4)
    }

    #[test]
    fn only_a_bucket_in_which_something_is_said_has_runs() {
        let index = Ipv4Index::build([(0x0001_0005, 1), (0x0003_0000, 0), (0x0005_0000, 2)].into_iter());
        assert_eq!(index.runs()[..7], [0, 2, 1, 0, 0, 1, 1]);
        assert_eq!(index.lows()[..4], [0, 5, 0, 0]);
        assert_eq!(index.records()[..4], [0, 1, 1, 2]);
        assert_eq!(index.lows().len(), 3 + BUCKETS - 5);
        for (address, record) in [
            (0, 0),
            (0x0001_0004, 0),
            (0x0001_0005, 1),
            (0x0002_ffff, 1),
            (0x0003_0000, 0),
            (0x0005_0000, 2),
            (u32::MAX, 2),
        ] {
            assert_eq!(index.record(address), record, "{address:#x}");
        }
    }

    #[test]
    fn an_index_that_could_go_wrong_is_refused() {
        assert!(checked(&[(0, 1), (7, 2)], &[(0, 3)]).is_some());
        assert!(checked(&[(1, 1), (7, 2)], &[(0, 3)]).is_none(), "a bucket that begins late");
        assert!(checked(&[(0, 1), (7, 2)], &[(9, 3)]).is_none(), "a bucket that begins late");
        assert!(checked(&[(0, 1), (7, 2), (7, 3)], &[]).is_none(), "a run twice");
        assert!(checked(&[(0, 1), (8, 2), (7, 3)], &[]).is_none(), "runs that are not sorted");
        assert!(checked(&[(0, 4)], &[]).is_none(), "a record that is not there");
        let mut counts = vec![0; BUCKETS];
        assert!(Ipv4Index::checked(&counts, vec![0], vec![1], 4).is_none(), "a run in no bucket");
        counts[0] = 2;
        assert!(Ipv4Index::checked(&counts, vec![0], vec![1], 4).is_none(), "a run too few");
        counts[0] = u32::MAX;
        counts[1] = 2;
        assert!(Ipv4Index::checked(&counts, vec![0], vec![1], 4).is_none(), "more runs than numbers");
        assert!(Ipv4Index::checked(&[1], vec![0], vec![1], 4).is_none(), "buckets too few");
        assert!(Ipv4Index::checked(&vec![0; BUCKETS], vec![], vec![1], 4).is_none(), "a record too many");
    }
}
