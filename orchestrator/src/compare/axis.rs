//! Pure. One axis of a plot: which values it spans, where its ticks are, and what they say.

/// A span of values, and how far apart its ticks are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) step: f64,
}

impl Axis {
    /// Spans these values and a twentieth more at either end. Four to nine ticks, at multiples of
    /// 1, 2 or 5 times a power of ten. Values that are not finite are left out.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (min, max) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        let (min, max) = if min > max { (0.0, 1.0) } else { (min, max) };
        let wide = if max - min > 1e-9 { max - min } else { max.abs().max(1.0) };
        let (min, max) = (min - wide / 20.0, max + wide / 20.0);
        Self { min, max, step: step((max - min) / 9.0) }
    }

    /// The same with zero as its lower end.
    pub(super) fn down_to_zero(self) -> Self {
        let max = self.max.max(1e-6);
        Self { min: 0.0, max, step: step(max / 9.0) }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value - self.min) / (self.max - self.min)
    }

    /// Each tick's value with its label.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let decimals = decimals(self.step);
        let first = (self.min / self.step).ceil();
        let multiples = (0..20).map(|count| (first + f64::from(count)) * self.step);
        let within = multiples.take_while(|value| *value <= self.max + self.step * 1e-6);
        // Adding zero turns −0 into 0.
        within.map(|value| (value, format!("{:.decimals$}", value + 0.0))).collect()
    }
}

/// The least of 1, 2, 5, 10 times a power of ten that is not below `least`.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power);
    step.into_iter().find(|step| *step >= least * 0.999_999).unwrap_or(10.0 * power)
}

fn decimals(step: f64) -> usize {
    (0..9)
        .find(|decimals| step * 10_f64.powi(*decimals) >= 0.999)
        .map_or(9, |decimals| usize::try_from(decimals).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        Axis::around(values.iter().copied()).ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&[0.0, 10.0]), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&[0.91, 1.42]), ["0.9", "1.0", "1.1", "1.2", "1.3", "1.4"]);
        assert_eq!(
            labels(&[-0.0003, 0.12]),
            ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10", "0.12"]
        );
    }

    #[test]
    fn one_value_or_none_still_makes_an_axis() {
        assert_eq!(labels(&[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert!(!labels(&[7.0, f64::NAN]).is_empty());
        assert_eq!(Axis::around([4.0].into_iter()).down_to_zero().place(0.0), 0.0);
    }
}
