//! How well scores tell two populations apart.

/// The chance that a random one of `higher` scores above a random one of `lower`; equal scores count half.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn auc(higher: &[u8], lower: &[u8]) -> f64 {
    let (of_higher, of_lower) = (histogram(higher), histogram(lower));
    let mut below = 0;
    let mut twice_wins = 0;
    for (higher, lower) in of_higher.iter().zip(of_lower) {
        twice_wins += higher * (2 * below + lower);
        below += lower;
    }
    twice_wins as f64 / 2.0 / (higher.len() as f64 * below as f64)
}

/// The share of `scores` that are at least `edge`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn share_from(scores: &[u8], edge: u8) -> f64 {
    scores.iter().filter(|score| **score >= edge).count() as f64 / scores.len() as f64
}

/// The lowest score that at most `share` of `scores` reach.
#[must_use]
pub fn edge_for(scores: &[u8], share: f64) -> u8 {
    (1..=100).find(|edge| share_from(scores, *edge) <= share).unwrap_or(101)
}

fn histogram(scores: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    for score in scores {
        counts[usize::from(*score)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_populations_cannot_be_told_apart_and_separate_ones_can() {
        for (higher, lower, expected) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], 0.5),
            (&[9, 9], &[1, 2], 1.0),
            (&[0], &[5], 0.0),
            (&[5, 0], &[5], 0.25),
        ] {
            assert!((auc(higher, lower) - expected).abs() < 1e-12, "{higher:?} {lower:?}");
        }
    }

    #[test]
    fn an_edge_is_reached_by_at_most_that_share() {
        let scores = [0, 0, 10, 20, 30];
        assert_eq!(edge_for(&scores, 0.2), 21);
        assert_eq!(edge_for(&scores, 0.0), 31);
        assert!((share_from(&scores, 20) - 0.4).abs() < 1e-12);
    }
}
