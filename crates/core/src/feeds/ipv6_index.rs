//! Which record an IPv6 address has.

/// The upper halves at which runs of addresses begin; lists speak of a /64 or more with few exceptions. A /64 in which
/// a run begins or ends is marked, and has its runs in full length elsewhere.
#[derive(Debug)]
pub(crate) struct Ipv6Index {
    highs: Vec<u64>,
    records: Vec<u16>,
    /// The runs of the marked networks, each of which begins with a run at its first address.
    inner_starts: Vec<u128>,
    inner_records: Vec<u16>,
}

/// In place of a record: look among the inner runs.
pub(crate) const INNER: u16 = u16::MAX;

impl Ipv6Index {
    /// From runs in order, each with its first address and its record, which holds up to the next run. What comes
    /// before the first run has record 0.
    pub(crate) fn build(runs: &[(u128, u16)]) -> Self {
        let mut index = Self {
            highs: Vec::new(),
            records: Vec::new(),
            inner_starts: Vec::new(),
            inner_records: Vec::new(),
        };
        let mut record = 0;
        let mut resume = None;
        for network in runs.chunk_by(|one, next| high(one.0) == high(next.0)) {
            let (Some(&(start, first)), Some(&(_, last))) = (network.first(), network.last()) else {
                continue;
            };
            index.resume(&mut resume, Some(high(start)));
            if network.len() == 1 && is_network(start) {
                index.push(high(start), first);
            } else {
                index.push_inner(network, record);
                resume = high(start).checked_add(1).map(|next| (next, last));
            }
            record = last;
        }
        index.resume(&mut resume, None);
        index.shrink();
        index
    }

    /// Goes on after a marked network, unless the network right after it has a run of its own.
    fn resume(&mut self, resume: &mut Option<(u64, u16)>, upcoming: Option<u64>) {
        if let Some((next, record)) = resume.take()
            && upcoming != Some(next)
        {
            self.push(next, record);
        }
    }

    fn push(&mut self, high: u64, record: u16) {
        self.highs.push(high);
        self.records.push(record);
    }

    fn push_inner(&mut self, network: &[(u128, u16)], before: u16) {
        let Some(&(start, _)) = network.first() else { return };
        self.push(high(start), INNER);
        let at_first = (!is_network(start)).then_some((u128::from(high(start)) << 64, before));
        for (start, record) in at_first.into_iter().chain(network.iter().copied()) {
            self.inner_starts.push(start);
            self.inner_records.push(record);
        }
    }

    fn shrink(&mut self) {
        self.highs.shrink_to_fit();
        self.records.shrink_to_fit();
        self.inner_starts.shrink_to_fit();
        self.inner_records.shrink_to_fit();
    }

    /// From what a file holds. Nothing, when a look-up could go wrong.
    pub(crate) fn checked(
        highs: Vec<u64>,
        records: Vec<u16>,
        inner_starts: Vec<u128>,
        inner_records: Vec<u16>,
        most: usize,
    ) -> Option<Self> {
        let index = Self { highs, records, inner_starts, inner_records };
        let is_known = |record: &u16| usize::from(*record) < most;
        let is_good = index.highs.len() == index.records.len()
            && index.inner_starts.len() == index.inner_records.len()
            && index.highs.is_sorted_by(|one, next| one < next)
            && index.inner_starts.is_sorted_by(|one, next| one < next)
            && index.records.iter().all(|record| *record == INNER || is_known(record))
            && index.inner_records.iter().all(is_known)
            && index.marks_are_right();
        is_good.then_some(index)
    }

    /// Whether each marked network has inner runs from its first address on and another network right after it, and
    /// whether there are no others.
    fn marks_are_right(&self) -> bool {
        let mut networks = self.inner_starts.chunk_by(|one, next| high(*one) == high(*next));
        for (place, (first, record)) in self.highs.iter().zip(&self.records).enumerate() {
            if *record != INNER {
                continue;
            }
            let inner = networks.next().and_then(|network| network.first());
            let has_next = first.checked_add(1).is_none_or(|next| self.highs.get(place + 1) == Some(&next));
            if inner != Some(&(u128::from(*first) << 64)) || !has_next {
                return false;
            }
        }
        networks.next().is_none()
    }

    /// The record of an address; 0 when nothing is said of it.
    pub(crate) fn record(&self, address: u128) -> u16 {
        let after = self.highs.partition_point(|first| *first <= high(address));
        match record_before(&self.records, after) {
            INNER => {
                let after = self.inner_starts.partition_point(|first| *first <= address);
                record_before(&self.inner_records, after)
            }
            record => record,
        }
    }

    /// How many bytes it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.highs)
            + size_of_val(&*self.records)
            + size_of_val(&*self.inner_starts)
            + size_of_val(&*self.inner_records)
    }

    /// The upper halves at which runs begin.
    pub(crate) fn highs(&self) -> &[u64] {
        &self.highs
    }

    /// The record of each of them, or [`INNER`].
    pub(crate) fn records(&self) -> &[u16] {
        &self.records
    }

    /// The first addresses of the runs in marked networks.
    pub(crate) fn inner_starts(&self) -> &[u128] {
        &self.inner_starts
    }

    /// The record of each of them.
    pub(crate) fn inner_records(&self) -> &[u16] {
        &self.inner_records
    }
}

fn record_before(records: &[u16], after: usize) -> u16 {
    after.checked_sub(1).and_then(|place| records.get(place)).copied().unwrap_or(0)
}

const fn high(address: u128) -> u64 {
    (address >> 64) as u64
}

const fn is_network(address: u128) -> bool {
    address << 64 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: u128 = 1 << 64;

    #[test]
    fn only_networks_in_which_runs_begin_are_kept_in_full() {
        let index = Ipv6Index::build(&[
            (2 * NETWORK, 1),
            (3 * NETWORK, 2),
            (5 * NETWORK + 7, 3),
            (6 * NETWORK + 1, 0),
            (u128::MAX, 1),
        ]);
        assert_eq!(index.highs(), [2, 3, 5, 6, 7, u64::MAX]);
        assert_eq!(index.records(), [1, 2, INNER, INNER, 0, INNER]);
        assert_eq!(index.inner_records(), [2, 3, 3, 0, 0, 1]);
        for (address, record) in [
            (0, 0),
            (2 * NETWORK - 1, 0),
            (2 * NETWORK, 1),
            (3 * NETWORK, 2),
            (5 * NETWORK + 6, 2),
            (5 * NETWORK + 7, 3),
            (6 * NETWORK, 3),
            (6 * NETWORK + 1, 0),
            (7 * NETWORK, 0),
            (u128::MAX - 1, 0),
            (u128::MAX, 1),
        ] {
            assert_eq!(index.record(address), record, "{address:#x}");
        }
    }

    #[test]
    fn an_index_that_could_go_wrong_is_refused() {
        let checked = |networks: &[(u64, u16)], inner: &[(u128, u16)]| {
            let (highs, records) = networks.iter().copied().unzip();
            let (starts, inner_records) = inner.iter().copied().unzip();
            Ipv6Index::checked(highs, records, starts, inner_records, 4).is_some()
        };
        let inner = [(NETWORK, 0), (NETWORK + 5, 2)];
        assert!(checked(&[(1, INNER), (2, 3)], &inner));
        assert!(checked(&[(u64::MAX, INNER)], &[(u128::from(u64::MAX) << 64, 1)]));
        assert!(!checked(&[(2, 3), (1, 2)], &[]), "networks that are not sorted");
        assert!(!checked(&[(1, 3), (1, 2)], &[]), "a network twice");
        assert!(!checked(&[(1, 4)], &[]), "a record that is not there");
        assert!(!checked(&[(1, INNER), (2, 3)], &[(NETWORK, 4)]), "a record that is not there");
        assert!(!checked(&[(1, INNER), (2, 3)], &[(NETWORK, INNER)]), "a mark inside");
        assert!(!checked(&[(1, INNER), (2, 3)], &[]), "a mark without runs inside");
        assert!(!checked(&[(1, 1), (2, 3)], &inner), "runs inside without a mark");
        assert!(!checked(&[(1, INNER), (2, 3)], &inner[1..]), "runs inside that begin late");
        assert!(!checked(&[(1, INNER), (2, 3)], &[inner[1], inner[0]]), "runs inside that are not sorted");
        assert!(!checked(&[(1, INNER), (3, 3)], &inner), "nothing after a marked network");
        assert!(!checked(&[(1, INNER)], &inner), "nothing after a marked network");
        assert!(Ipv6Index::checked(vec![1], vec![], vec![], vec![], 4).is_none(), "a record too few");
    }
}
