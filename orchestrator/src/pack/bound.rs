//! Pure. How many bins are needed at least.

use super::problem::Problem;

/// The bound L2 of Martello and Toth, for bins as large as the largest: for each threshold k items
/// above C − k are alone, those above C ÷ 2 do not meet, and those from k on fill what is left.
///
/// Source: S. Martello, P. Toth, "Lower bounds and reduction procedures for the bin packing
/// problem", Discrete Applied Mathematics 28 (1990).
pub(super) fn least_bins(problem: &Problem) -> usize {
    let bins = problem.bins.iter().filter(|bin| bin.may_receive || bin.exists);
    let capacity =
        bins.map(|bin| bin.capacity.max(bin.ceiling)).chain([problem.new_bin.capacity]).max();
    let mut sizes: Vec<u64> = problem.items.iter().map(|item| item.size).collect();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    l2(&sizes, capacity.unwrap_or(0))
}

/// For sizes in descending order.
fn l2(sizes: &[u64], capacity: u64) -> usize {
    if capacity == 0 {
        return usize::from(!sizes.is_empty());
    }
    let sums: Vec<u128> = std::iter::once(0)
        .chain(sizes.iter().scan(0, |sum, size| {
            *sum += u128::from(*size);
            Some(*sum)
        }))
        .collect();
    let large = sizes.partition_point(|size| *size > capacity / 2 && *size * 2 > capacity);
    let bound_at = |threshold: u64| {
        let alone = sizes.partition_point(|size| *size > capacity - threshold);
        let end = sizes.partition_point(|size| *size >= threshold);
        let room = (large - alone) as u128 * u128::from(capacity) - (sums[large] - sums[alone]);
        let rest = (sums[end.max(large)] - sums[large]).saturating_sub(room);
        large + usize::try_from(rest.div_ceil(u128::from(capacity))).unwrap_or(usize::MAX)
    };
    let thresholds = sizes[large..].iter().copied().filter(|size| *size > 0);
    let bound = thresholds.chain([0]).map(bound_at).max().unwrap_or(0);
    bound.max(usize::from(!sizes.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::l2;

    #[test]
    fn large_items_do_not_meet_and_small_ones_fill_the_rest() {
        assert_eq!(l2(&[], 10), 0);
        assert_eq!(l2(&[0, 0], 10), 1);
        assert_eq!(l2(&[6, 6, 6], 10), 3);
        assert_eq!(l2(&[5, 5, 5, 5], 10), 2);
        // 4 does not fit beside 7: three bins, although the sum is 18.
        assert_eq!(l2(&[7, 7, 4], 10), 3);
        assert_eq!(l2(&[7, 7, 3, 3], 10), 2);
        assert_eq!(l2(&[25, 5, 5], 10), 2);
    }
}
