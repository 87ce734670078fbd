//! Pure. The two costs of a packing: how many bins it needs, and how much it moves.

use std::collections::BTreeSet;

/// How many bins hold something.
pub fn bins_used<B: Ord>(assignment: &[B]) -> usize {
    assignment.iter().collect::<BTreeSet<_>>().len()
}

/// What changed its bin, as a share of the capacity: (1 ÷ C) · Σ sizes of the items that had a bin
/// before and have another one now. Source: arXiv 2206.11170.
pub fn r_score<B: PartialEq>(
    capacity: u64,
    sizes: &[u64],
    before: &[Option<B>],
    after: &[B],
) -> f64 {
    let moved: u64 = sizes
        .iter()
        .zip(before.iter().zip(after))
        .filter(|(_, (before, after))| before.as_ref().is_some_and(|before| before != *after))
        .map(|(size, _)| *size)
        .sum();
    ratio(moved, capacity)
}

/// Cardinal bin score of several algorithms over the same stream: the mean over the iterations of
/// (z − z*) ÷ z*, where z* is the least that one of `references` needed at that iteration.
///
/// `used[a][i]` is what algorithm `a` used at iteration `i`. Iterations at which a reference used
/// no bin at all count 0.
pub fn cardinal_bin_scores(used: &[Vec<usize>], references: usize) -> Vec<f64> {
    let score = |of: &Vec<usize>| {
        let over = of.iter().enumerate().map(|(at, z)| {
            let least = used[..references].iter().map(|used| used[at]).min().unwrap_or(0);
            if least == 0 { 0.0 } else { exact(*z) / exact(least) - 1.0 }
        });
        over.sum::<f64>() / exact(of.len().max(1))
    };
    used.iter().map(score).collect()
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn exact(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_had_another_bin_before_counts_as_moved() {
        let before = [Some(1), Some(1), None, Some(2)];
        assert!((r_score(100, &[10, 20, 30, 40], &before, &[1, 2, 2, 3]) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn bins_are_compared_with_the_best_reference_at_each_iteration() {
        let scores = cardinal_bin_scores(&[vec![2, 4], vec![4, 2], vec![1, 2]], 2);
        assert!((scores[0] - 0.5).abs() < 1e-12);
        assert!((scores[1] - 0.5).abs() < 1e-12);
        assert!((scores[2] + 0.25).abs() < 1e-12);
        assert_eq!(bins_used(&[3, 1, 3]), 2);
    }
}
