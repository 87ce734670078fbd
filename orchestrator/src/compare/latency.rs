//! Pure. How long records wait from being produced to being stored, as a distribution over bytes.

/// Waiting times of bytes. Each piece is a run of bytes whose waiting times change evenly from
/// one end to the other, so that a fluid's distribution is held exactly.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    pieces: Vec<Piece>,
    /// Bytes that did not wait.
    bytes_at_once: f64,
}

/// Bytes whose waiting times are uniform between `low` and `high` seconds.
#[derive(Clone, Copy, Debug)]
struct Piece {
    low: f64,
    high: f64,
    bytes: f64,
}

/// Produce-to-stored latency in seconds, weighted by bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    /// Adds bytes of which the first waited `first` seconds, the last `last`, and those between
    /// them evenly in between.
    pub(super) fn add(&mut self, bytes: f64, first: f64, last: f64) {
        debug_assert!(first > -1e-3 && last > -1e-3, "left before it arrived: {first}, {last}");
        let (low, high) = (first.min(last).max(0.0), first.max(last).max(0.0));
        if high > 0.0 {
            self.pieces.push(Piece { low, high, bytes });
        } else {
            self.bytes_at_once += bytes;
        }
    }

    pub fn bytes(&self) -> f64 {
        self.bytes_at_once + self.pieces.iter().map(|piece| piece.bytes).sum::<f64>()
    }

    /// Percentiles of waiting plus rotation. A sink stores every `rotation_seconds`, so a byte
    /// waits for that uniformly between nothing and all of it (half on average), independently of
    /// the queue. All zero if there are no bytes.
    pub fn percentiles(&self, rotation_seconds: f64) -> Percentiles {
        if self.bytes() <= 0.0 {
            return Percentiles::default();
        }
        let quantile = |share| self.quantile(share, rotation_seconds);
        let max = self.longest_wait() + rotation_seconds;
        Percentiles { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max }
    }

    /// The least latency that at least `share` of the bytes do not exceed, to a microsecond.
    fn quantile(&self, share: f64, rotation_seconds: f64) -> f64 {
        let wanted = share * self.bytes();
        let (mut low, mut high) = (0.0, self.longest_wait() + rotation_seconds);
        if self.bytes_within(low, rotation_seconds) >= wanted {
            return low;
        }
        while high - low > 1e-6 {
            let middle = f64::midpoint(low, high);
            if self.bytes_within(middle, rotation_seconds) >= wanted {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    fn longest_wait(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.high).fold(0.0, f64::max)
    }

    /// Bytes whose latency is at most `seconds`. With W the bytes by their waiting time, those of
    /// the sum with a uniform wait in [0, R] are ∫ W(x) dx from `seconds` − R to `seconds`, over R.
    fn bytes_within(&self, seconds: f64, rotation_seconds: f64) -> f64 {
        let at_once = Piece { low: 0.0, high: 0.0, bytes: self.bytes_at_once };
        let pieces = self.pieces.iter().chain([&at_once]);
        if rotation_seconds > 0.0 {
            let from = seconds - rotation_seconds;
            let area: f64 = pieces.map(|piece| piece.area(seconds) - piece.area(from)).sum();
            area / rotation_seconds
        } else {
            pieces.map(|piece| piece.within(seconds)).sum()
        }
    }
}

impl Piece {
    /// Bytes that waited at most `seconds`.
    fn within(&self, seconds: f64) -> f64 {
        if seconds >= self.high {
            self.bytes
        } else if seconds <= self.low {
            0.0
        } else {
            self.bytes * (seconds - self.low) / (self.high - self.low)
        }
    }

    /// The integral of `within` up to `seconds`.
    fn area(&self, seconds: f64) -> f64 {
        if seconds >= self.high {
            self.bytes * (seconds - f64::midpoint(self.low, self.high))
        } else if seconds <= self.low {
            0.0
        } else {
            self.bytes * (seconds - self.low).powi(2) / (2.0 * (self.high - self.low))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 2e-6, "{found} is not {expected}");
    }

    /// Without a queue only the rotation remains: uniform between nothing and all of it.
    #[test]
    fn bytes_that_do_not_wait_only_wait_for_the_rotation() {
        let mut latency = Latency::default();
        latency.add(10.0, 0.0, 0.0);
        let percentiles = latency.percentiles(5.0);
        assert_near(percentiles.p50, 2.5);
        assert_near(percentiles.p95, 4.75);
        assert_near(percentiles.max, 5.0);
    }

    /// Half at once, half between 0 and 10 s: 95 % within 9 s.
    #[test]
    fn percentiles_of_a_mixture_are_exact() {
        let mut latency = Latency::default();
        latency.add(50.0, 0.0, 0.0);
        latency.add(50.0, 10.0, 0.0);
        let percentiles = latency.percentiles(0.0);
        assert_near(percentiles.p50, 0.0);
        assert_near(percentiles.p95, 9.0);
        assert_near(percentiles.p99, 9.8);
        assert_near(percentiles.max, 10.0);
    }

    /// Two uniform waits of 2 s: a triangle over 4 s. 1 − (4 − x)² ÷ 8 = 0.95 at x = 4 − √0.4.
    #[test]
    fn waiting_and_rotation_are_added_as_independent() {
        let mut latency = Latency::default();
        latency.add(1.0, 0.0, 2.0);
        let percentiles = latency.percentiles(2.0);
        assert_near(percentiles.p50, 2.0);
        assert_near(percentiles.p95, 4.0 - 0.4_f64.sqrt());
    }

    #[test]
    fn no_bytes_have_no_latency() {
        assert_eq!(Latency::default().percentiles(5.0), Percentiles::default());
    }
}
