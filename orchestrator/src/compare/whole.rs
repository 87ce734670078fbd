//! Pure. The one conversion of a computed number into a whole one.

/// The nearest whole number: nothing for what is negative or not a number, the largest for what is
/// too large.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and takes what is not a number for zero: as wanted"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}
