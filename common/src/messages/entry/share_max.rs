//! Pure. The option of a service entry that says which share of records may become dead letters.

pub(super) const NAME: &str = "dead_letter_share_max";

/// The largest share of the last records that may become dead letters, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct ShareMax(f64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the option `{NAME}` is a number from 0 to 1, not `{0}`; 1 lets any number of records become dead letters"
)]
pub struct ShareMaxError(String);

impl ShareMax {
    /// # Errors
    /// If the text is no share.
    pub fn parse(text: &str) -> Result<Self, ShareMaxError> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| ShareMaxError(text.into()))
    }

    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        share(part, whole) > self.0
    }
}

impl Default for ShareMax {
    /// A half.
    fn default() -> Self {
        Self(0.5)
    }
}

/// 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of records, compared with a share")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!(ShareMax::parse("0.25"), Ok(ShareMax(0.25)));
        for wrong in ["1.5", "-1", "half", "NaN", "50%", ""] {
            assert!(ShareMax::parse(wrong).unwrap_err().to_string().contains(wrong));
        }
        let all = ShareMax::parse("1").unwrap();
        assert!(!all.is_exceeded(7, 7) && ShareMax(0.0).is_exceeded(1, 7));
        assert!(!ShareMax::default().is_exceeded(1, 2) && !ShareMax(0.0).is_exceeded(0, 0));
    }
}
