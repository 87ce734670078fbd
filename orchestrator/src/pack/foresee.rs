//! Pure. The look-ahead: how much the next change of sizes is expected to evict from a bin.

/// Costs in 1/256 of a unit of size, so that expectations need not be whole.
pub(super) type Cost = i64;

/// The cost of moving one unit of size.
pub(super) const UNIT: Cost = 256;

/// What is evicted later costs more than its size: its leaving makes others move as well, and the
/// plan is to last for more than one change.
const WEIGHT: f64 = 1.5;

/// Grid points per standard deviation, and standard deviations, of the tabulated normal tail.
const GRID: usize = 64;
const REACH: usize = 6;

/// Chances below this are taken for none.
const NEGLIGIBLE: f64 = 1e-4;

/// What decides how much a bin will evict.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outlook {
    pub(super) load: u64,
    pub(super) capacity: u64,
    pub(super) ceiling: u64,
    pub(super) items: usize,
    /// Of its load's change.
    pub(super) variance: f64,
    /// Its smallest items, ascending; unused ones are `u64::MAX`.
    pub(super) smallest: [u64; 3],
}

/// Prices outlooks.
#[derive(Clone, Debug)]
pub(super) struct Foresight {
    /// The upper tail of the standard normal distribution.
    tail: Vec<f64>,
}

impl Foresight {
    pub(super) fn new() -> Self {
        Self { tail: normal_tail() }
    }

    /// The cost of what the bin is expected to evict.
    ///
    /// With headroom t, standard deviation σ of the change and the ascending sums c₁, c₂, … of the
    /// smallest items that may have to leave: Σⱼ cⱼ · [Q((cⱼ₋₁ + t) ÷ σ) − Q((cⱼ + t) ÷ σ)], where
    /// c₀ = 0, the last term is open-ended, and Q is the normal tail.
    pub(super) fn price(&self, of: &Outlook) -> Cost {
        if of.items < 2 || of.variance <= 0.0 {
            return 0;
        }
        let per_deviation = 1.0 / of.variance.sqrt();
        let headroom = of.capacity as f64 - of.load as f64;
        let calm = of.ceiling as f64 - of.load as f64;
        let mut expected = 0.0;
        let mut sum_before = 0.0;
        let mut from = self.tail(calm.max(headroom) * per_deviation);
        for sum in sums(of) {
            if from < NEGLIGIBLE {
                break;
            }
            let sum = sum as f64;
            // What exceeds by more than this sum takes the next one; nothing else is left to add.
            expected += from * (sum - sum_before);
            from = from.min(self.tail((sum + headroom) * per_deviation));
            sum_before = sum;
        }
        rounded(expected * WEIGHT * UNIT as f64)
    }

    fn tail(&self, deviations: f64) -> f64 {
        let at = deviations.abs() * GRID as f64;
        if at >= (GRID * REACH) as f64 {
            return if deviations > 0.0 { 0.0 } else { 1.0 };
        }
        let index = floor(at);
        let share = at - index as f64;
        let tail = self.tail[index] * (1.0 - share) + self.tail[index + 1] * share;
        if deviations >= 0.0 { tail } else { 1.0 - tail }
    }
}

/// What may have to leave, ascending. One item alone is never too much for a bin: of two the smaller
/// suffices always, of three the two smaller.
fn sums(of: &Outlook) -> [u64; 5] {
    let [x, y, z] = of.smallest;
    match of.items {
        2 => [x; 5],
        3 => [x, y, z.min(x + y), x + y, x + y],
        _ => [x, y, z.min(x + y), x + z, y + z],
    }
}

/// Q at multiples of 1 ÷ GRID, summed up with additions and multiplications only, so that every
/// machine computes the same: exp(−(x+h)²/2) = exp(−x²/2) · exp(−xh) · exp(−h²/2).
fn normal_tail() -> Vec<f64> {
    let step = 1.0 / GRID as f64;
    // exp(−h²/2) for h = 1/64, and its square.
    let half_square = 1.0 - step * step / 2.0 + step.powi(4) / 8.0;
    let mut density = 0.398_942_280_401_432_7;
    let mut ratio = half_square;
    let mut tail = Vec::with_capacity(GRID * REACH + 2);
    let mut left = 0.5;
    for _ in 0..GRID * REACH + 2 {
        tail.push(left);
        let next = density * ratio;
        left = f64::max(left - (density + next) / 2.0 * step, 0.0);
        density = next;
        ratio *= half_square * half_square;
    }
    tail
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and costs are far smaller")]
fn rounded(cost: f64) -> Cost {
    (cost + 0.5) as Cost
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn floor(at: f64) -> usize {
    at as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_normal_distribution() {
        let foresight = Foresight::new();
        for (deviations, tail) in [(0.0, 0.5), (1.0, 0.158_655), (-1.0, 0.841_345), (3.0, 0.00135)]
        {
            assert!((foresight.tail(deviations) - tail).abs() < 1e-4, "at {deviations}");
        }
        assert!(foresight.tail(7.0) == 0.0 && foresight.tail(-7.0) == 1.0);
    }

    #[test]
    fn less_headroom_and_more_variance_cost_more_and_a_single_item_nothing() {
        let foresight = Foresight::new();
        let outlook = Outlook {
            load: 90,
            capacity: 100,
            ceiling: 100,
            items: 3,
            variance: 100.0,
            smallest: [20, 30, 40],
        };
        let price = foresight.price(&outlook);
        // 20 · Q(1) + 10 · Q(3) + …
        assert!((UNIT * 9 / 2..UNIT * 6).contains(&price), "{price}");
        assert!(foresight.price(&Outlook { load: 95, ..outlook }) > price);
        assert!(foresight.price(&Outlook { variance: 200.0, ..outlook }) > price);
        assert!(foresight.price(&Outlook { ceiling: 110, ..outlook }) < price);
        assert_eq!(foresight.price(&Outlook { items: 1, ..outlook }), 0);
        assert_eq!(foresight.price(&Outlook { variance: 0.0, ..outlook }), 0);
    }
}
