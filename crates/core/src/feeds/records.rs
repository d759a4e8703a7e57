//! What is said of addresses, each combination once.

/// One thing that a feed says.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Said {
    /// The place of the feed in the table of feeds.
    pub(crate) feed: u16,
    /// 0, or one more than the place of the name in the table of names.
    pub(crate) name: u16,
    pub(crate) value: u8,
}

/// What addresses have, by number: a combination of what feeds say, and the points of the neighbourhood. Record 0 and
/// combination 0 are empty. Combinations stand in a list of their own, because many records have the same one.
#[derive(Debug)]
pub(crate) struct Records {
    combinations: Vec<u16>,
    neighbourhood: Vec<u8>,
    /// Where each combination begins among what is said, and where the last one ends.
    starts: Vec<u32>,
    said: Vec<Said>,
}

/// How many records there can be: their numbers have 16 bits, and one of those means something else in IPv6.
pub(crate) const MOST_RECORDS: usize = u16::MAX as usize;

impl Records {
    /// The record 0 alone, and room for records of these combinations, of which the first is empty.
    pub(crate) fn new<'a>(combinations: impl Iterator<Item = &'a [Said]>) -> Self {
        let (mut starts, mut said) = (vec![0], Vec::new());
        for combination in combinations {
            said.extend(combination);
            // At most 65,535 combinations of at most 255.
            starts.push(u32::try_from(said.len()).unwrap_or(u32::MAX));
        }
        Self { combinations: vec![0], neighbourhood: vec![0], starts, said }
    }

    /// Adds a record and gives its number, while there is room.
    pub(crate) fn push(&mut self, combination: u16, neighbourhood: u8) -> Option<u16> {
        let number = u16::try_from(self.len()).ok().filter(|number| usize::from(*number) < MOST_RECORDS)?;
        self.combinations.push(combination);
        self.neighbourhood.push(neighbourhood);
        Some(number)
    }

    /// From what a file holds: the combination and the points of each record, how much each combination says, and
    /// what. Nothing, when one of them is not in order or speaks of something that is not there.
    pub(crate) fn checked(
        combinations: Vec<u16>,
        neighbourhood: Vec<u8>,
        lengths: &[u8],
        said: Vec<Said>,
    ) -> Option<Self> {
        let are_few = combinations.len() <= MOST_RECORDS && lengths.len() <= MOST_RECORDS;
        let begin_empty = combinations.first() == Some(&0)
            && neighbourhood.first() == Some(&0)
            && lengths.first() == Some(&0);
        let are_known = combinations.iter().all(|combination| usize::from(*combination) < lengths.len());
        if !are_few || !begin_empty || !are_known || combinations.len() != neighbourhood.len() {
            return None;
        }
        let mut starts = vec![0];
        let mut start = 0;
        for length in lengths {
            let end = start + usize::from(*length);
            if !said.get(start..end)?.is_sorted_by(|one, next| one < next) {
                return None;
            }
            starts.push(u32::try_from(end).ok()?);
            start = end;
        }
        (start == said.len()).then_some(Self { combinations, neighbourhood, starts, said })
    }

    /// How many there are, the empty one included.
    pub(crate) fn len(&self) -> usize {
        self.combinations.len()
    }

    /// How many combinations there are, the empty one included.
    pub(crate) fn different(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many bytes they take.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.combinations)
            + size_of_val(&*self.neighbourhood)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.said)
    }

    /// The combination of one record.
    pub(crate) fn combination(&self, record: u16) -> u16 {
        self.combinations.get(usize::from(record)).copied().unwrap_or(0)
    }

    /// What one record says.
    pub(crate) fn said(&self, record: u16) -> &[Said] {
        let combination = usize::from(self.combination(record));
        match self.starts.get(combination..combination + 2) {
            Some(&[start, end]) => self.said.get(start as usize..end as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The points of one record for its neighbourhood.
    pub(crate) fn neighbourhood(&self, record: u16) -> u8 {
        self.neighbourhood.get(usize::from(record)).copied().unwrap_or(0)
    }

    /// The combination of every record.
    pub(crate) fn combinations(&self) -> &[u16] {
        &self.combinations
    }

    /// The points of every record.
    pub(crate) fn all_neighbourhood(&self) -> &[u8] {
        &self.neighbourhood
    }

    /// How much each combination says.
    pub(crate) fn lengths(&self) -> Vec<u8> {
        // The sweep gives no combination more than 255.
        self.starts.windows(2).map(|pair| u8::try_from(pair[1] - pair[0]).unwrap_or(u8::MAX)).collect()
    }

    /// What all combinations say, one after another.
    pub(crate) fn all_said(&self) -> &[Said] {
        &self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Said = Said { feed: 1, name: 0, value: 0 };
    const TWO: Said = Said { feed: 2, name: 0, value: 0 };

    #[test]
    fn records_share_combinations() {
        let combinations: [&[Said]; 3] = [&[], &[ONE, TWO], &[TWO]];
        let mut records = Records::new(combinations.into_iter());
        assert_eq!(
            [(1, 5), (2, 0), (1, 6)].map(|(said, points)| records.push(said, points)),
            [Some(1), Some(2), Some(3)]
        );
        let told = [0, 1, 2, 3, 4].map(|record| (records.said(record), records.neighbourhood(record)));
        assert_eq!(told, [(&[][..], 0), (&[ONE, TWO], 5), (&[TWO], 0), (&[ONE, TWO], 6), (&[], 0)]);
        assert_eq!(records.lengths(), [0, 2, 1]);
    }

    #[test]
    fn there_are_at_most_as_many_records_as_numbers() {
        let mut records = Records::new([&[][..]].into_iter());
        let pushed = (0..70_000).filter_map(|_| records.push(0, 1)).count();
        assert_eq!((pushed, records.len()), (65_534, 65_535));
    }

    #[test]
    fn records_that_could_go_wrong_are_refused() {
        let checked = |combinations: &[u16], points: &[u8], lengths: &[u8], said: &[Said]| {
            Records::checked(combinations.to_vec(), points.to_vec(), lengths, said.to_vec()).is_some()
        };
        assert!(checked(&[0, 1], &[0, 9], &[0, 2], &[ONE, TWO]));
        assert!(!checked(&[], &[], &[0, 2], &[ONE, TWO]), "no record at all");
        assert!(!checked(&[0, 1], &[0, 9], &[], &[]), "no combination at all");
        assert!(!checked(&[1, 1], &[0, 9], &[0, 2], &[ONE, TWO]), "record 0 says something");
        assert!(!checked(&[0, 1], &[1, 9], &[0, 2], &[ONE, TWO]), "record 0 has points");
        assert!(!checked(&[0, 0], &[0, 9], &[2], &[ONE, TWO]), "combination 0 says something");
        assert!(!checked(&[0, 2], &[0, 9], &[0, 2], &[ONE, TWO]), "a combination that is not there");
        assert!(!checked(&[0, 1], &[0], &[0, 2], &[ONE, TWO]), "points too few");
        assert!(!checked(&[0, 1], &[0, 9], &[0, 3], &[ONE, TWO]), "said too little");
        assert!(!checked(&[0, 1], &[0, 9], &[0, 1], &[ONE, TWO]), "said too much");
        assert!(!checked(&[0, 1], &[0, 9], &[0, 2], &[TWO, ONE]), "not in order");
        assert!(!checked(&[0, 1], &[0, 9], &[0, 2], &[ONE, ONE]), "said twice");
        assert!(!checked(&vec![0; 65_536], &vec![0; 65_536], &[0], &[]), "too many");
    }
}
