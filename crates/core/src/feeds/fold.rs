//! From what feeds say, and the points of the neighbourhood, to records.

use std::collections::HashMap;

use super::neighbourhood::Points;
use super::records::{Records, Said};

/// Which points hold for a combination of tags.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Space {
    /// Where the neighbourhood says nothing.
    Off,
    Hosting,
    Elsewhere,
}

/// A combination of tags.
#[derive(Debug)]
pub(crate) struct Combination {
    pub(crate) said: Vec<Said>,
    pub(crate) space: Space,
}

/// The runs of addresses with their records.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) ipv4: Vec<(u32, u16)>,
    pub(crate) ipv6: Vec<(u128, u16)>,
    pub(crate) records: Records,
}

/// Points are rounded down to whole steps, when the records are too many otherwise; 0 leaves the points out.
const STEPS: [u8; 7] = [1, 2, 4, 8, 16, 32, 0];

/// Puts the points into the runs of combinations, and numbers what comes out. Nothing, when even the combinations are
/// too many.
pub(crate) fn fold(
    ipv4: &[(u32, u16)],
    ipv6: &[(u128, u16)],
    points: &[(u32, Points)],
    combinations: &[Combination],
) -> Option<Folded> {
    let ipv4 = overlay(ipv4, points, combinations);
    STEPS.into_iter().find_map(|step| {
        let said = combinations.iter().map(|combination| &*combination.said);
        let mut numbers = Numbers { step, known: HashMap::new(), records: Records::new(said) };
        let ipv4 = numbers.runs(ipv4.iter().copied())?;
        let ipv6 = numbers.runs(ipv6.iter().map(|(at, combination)| (*at, *combination, 0)))?;
        Some(Folded { ipv4, ipv6, records: numbers.records })
    })
}

/// Cuts runs where the points change.
fn overlay(
    runs: &[(u32, u16)],
    points: &[(u32, Points)],
    combinations: &[Combination],
) -> Vec<(u32, u16, u8)> {
    let mut overlaid = Vec::with_capacity(runs.len() + points.len());
    let (mut runs, mut points) = (runs.iter().peekable(), points.iter().peekable());
    let (mut combination, mut current) = (0, Points::default());
    while let Some(at) = runs.peek().map(|run| run.0).into_iter().chain(points.peek().map(|run| run.0)).min()
    {
        if let Some(run) = runs.next_if(|run| run.0 == at) {
            combination = run.1;
        }
        if let Some(run) = points.next_if(|run| run.0 == at) {
            current = run.1;
        }
        let space = combinations.get(usize::from(combination)).map_or(Space::Elsewhere, |known| known.space);
        let points = match space {
            Space::Off => 0,
            Space::Hosting => current.in_hosting,
            Space::Elsewhere => current.elsewhere,
        };
        overlaid.push((at, combination, points));
    }
    overlaid
}

/// Gives records their numbers, in the order in which they come.
struct Numbers {
    step: u8,
    /// By combination and points.
    known: HashMap<(u16, u8), u16>,
    records: Records,
}

impl Numbers {
    /// The runs with their records, those that touch and have the same one joined.
    fn runs<B>(&mut self, runs: impl Iterator<Item = (B, u16, u8)>) -> Option<Vec<(B, u16)>> {
        let mut numbered = Vec::with_capacity(runs.size_hint().0);
        let mut current = 0;
        for (at, combination, points) in runs {
            let number = self.number(combination, points.checked_div(self.step).unwrap_or(0) * self.step)?;
            if number != current {
                numbered.push((at, number));
                current = number;
            }
        }
        Some(numbered)
    }

    fn number(&mut self, combination: u16, points: u8) -> Option<u16> {
        if (combination, points) == (0, 0) {
            return Some(0);
        }
        if let Some(number) = self.known.get(&(combination, points)) {
            return Some(*number);
        }
        let number = self.records.push(combination, points)?;
        self.known.insert((combination, points), number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combinations(count: u16) -> Vec<Combination> {
        let said = |value: u16| Said { feed: value, name: 0, value: 0 };
        let combination = |number: u16| Combination {
            said: (number > 0).then(|| said(number)).into_iter().collect(),
            space: [Space::Elsewhere, Space::Hosting, Space::Off][usize::from(number % 3)],
        };
        (0..count).map(combination).collect()
    }

    fn points(elsewhere: u8, in_hosting: u8) -> Points {
        Points { elsewhere, in_hosting }
    }

    #[test]
    fn runs_are_cut_where_points_change_and_joined_where_nothing_does() {
        let runs = [(10, 1), (20, 2), (30, 0), (40, 3)];
        let points = [(5, points(7, 3)), (15, points(7, 4)), (25, points(8, 4)), (35, points(0, 0))];
        let folded = fold(&runs, &[(3, 1)], &points, &combinations(4)).unwrap();
        let told: Vec<_> = folded
            .ipv4
            .iter()
            .map(|&(at, record)| {
                let said = folded.records.said(record).iter().map(|said| said.feed).collect::<Vec<_>>();
                (at, said, folded.records.neighbourhood(record))
            })
            .collect();
        assert_eq!(
            told,
            [
                (5, vec![], 7),
                (10, vec![1], 3),
                (15, vec![1], 4),
                (20, vec![2], 0),
                (30, vec![], 8),
                (35, vec![], 0),
                (40, vec![3], 0)
            ]
        );
        assert_eq!(folded.ipv6.len(), 1);
        assert_eq!(folded.records.neighbourhood(folded.ipv6[0].1), 0);
    }

    #[test]
    fn points_become_coarser_before_records_become_too_many() {
        // Each of 60,000 combinations in eight places with other points.
        let places =
            (0..8_u8).flat_map(|points| (1..=60_000_u16).map(move |combination| (combination, points)));
        let places: Vec<_> = (0..).step_by(2).zip(places).collect();
        let runs: Vec<(u32, u16)> = places.iter().map(|&(at, (combination, _))| (at, combination)).collect();
        let points: Vec<_> = places.iter().map(|&(at, (_, found))| (at, points(found, 0))).collect();
        let folded = fold(&runs, &[], &points, &combinations(60_001)).unwrap();
        assert!(folded.records.len() <= 65_535, "{}", folded.records.len());
        assert!(folded.records.len() >= 60_001);
        let (last, record) = folded.ipv4[folded.ipv4.len() - 3];
        assert_eq!(folded.records.said(record)[0].feed, runs[last as usize / 2].1);
    }
}
