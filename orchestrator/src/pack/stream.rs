//! Pure. The papers' streams: rates that walk at random between zero and the capacity.

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The capacity of every stream: rates are whole per cents of it.
pub const CAPACITY: u64 = 100;

/// Yields the rates of all partitions, iteration after iteration, without end.
///
/// The first rates are uniform in [0, capacity]; each further one differs from its predecessor by
/// a uniform whole number in [−delta, delta] and stays within [0, capacity].
pub struct Stream {
    random: ChaCha8Rng,
    delta: u64,
    rates: Vec<u64>,
    is_started: bool,
}

impl Stream {
    pub fn new(partitions: usize, delta: u64, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rates = (0..partitions).map(|_| random.random_range(0..=CAPACITY)).collect();
        Self { random, delta, rates, is_started: false }
    }
}

impl Iterator for Stream {
    type Item = Vec<u64>;

    fn next(&mut self) -> Option<Vec<u64>> {
        if self.is_started {
            for rate in &mut self.rates {
                let up = self.random.random_range(0..=2 * self.delta);
                *rate = (*rate + up).saturating_sub(self.delta).min(CAPACITY);
            }
        }
        self.is_started = true;
        Some(self.rates.clone())
    }
}

/// Yields the order in which the any-fit heuristics are given the partitions: shuffled anew at each
/// iteration, by a generator of its own, so that it leaves the rates alone.
pub struct Orders {
    random: ChaCha8Rng,
    order: Vec<usize>,
}

impl Orders {
    pub fn new(partitions: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        Self { random, order: (0..partitions).collect() }
    }
}

impl Iterator for Orders {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        self.order.shuffle(&mut self.random);
        Some(self.order.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_keeps_its_bounds() {
        let rates: Vec<_> = Stream::new(50, 25, 7).take(100).collect();
        assert_eq!(rates, Stream::new(50, 25, 7).take(100).collect::<Vec<_>>());
        assert_ne!(rates, Stream::new(50, 25, 8).take(100).collect::<Vec<_>>());
        for pair in rates.windows(2) {
            for (before, after) in pair[0].iter().zip(&pair[1]) {
                assert!(*after <= CAPACITY && before.abs_diff(*after) <= 25);
            }
        }
    }

    #[test]
    fn an_order_is_a_permutation() {
        let mut order = Orders::new(20, 1).nth(3).expect("orders do not end");
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
