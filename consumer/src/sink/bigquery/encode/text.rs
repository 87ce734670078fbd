//! Pure. Decimals as text.

use arrow::datatypes::i256;

/// Digits of the largest value of 128 bits.
const DIGITS_MAX: usize = 39;

/// `-12.34` for -1234 and a scale of 2; a negative scale adds zeros.
pub(super) fn put_decimal(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut rest = unscaled.unsigned_abs();
    let mut begin = DIGITS_MAX;
    while rest > u128::from(u64::MAX) {
        begin -= 1;
        digits[begin] = digit((rest % 10) as u64);
        rest /= 10;
    }
    let mut rest = u64::try_from(rest).expect("it was made small");
    while rest > 0 {
        begin -= 1;
        digits[begin] = digit(rest);
        rest /= 10;
    }
    put_digits(unscaled < 0, &digits[begin..], scale, out);
}

/// The same of wider ones, which are rare.
pub(super) fn put_wide_decimal(unscaled: i256, scale: i8, out: &mut Vec<u8>) {
    let text = unscaled.to_string();
    let digits = text.trim_start_matches('-').trim_start_matches('0');
    put_digits(unscaled.is_negative(), digits.as_bytes(), scale, out);
}

fn digit(rest: u64) -> u8 {
    b'0' + u8::try_from(rest % 10).expect("a digit")
}

/// `digits` begin with none that is zero.
fn put_digits(is_negative: bool, digits: &[u8], scale: i8, out: &mut Vec<u8>) {
    if is_negative {
        out.push(b'-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
    if whole.is_empty() {
        out.push(b'0');
    }
    out.extend_from_slice(whole);
    if scale < 0 && !whole.is_empty() {
        out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
    }
    if places > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', places - fraction.len()));
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Decimal128Type, Decimal256Type, DecimalType};
    use proptest::prelude::*;

    use super::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_printed() {
        for (unscaled, scale, printed) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (0, -2, "0"),
            (-1, 2, "-0.01"),
            (1234, 2, "12.34"),
            (-12, -2, "-1200"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(text(|out| put_decimal(unscaled, scale, out)), printed);
            let wide = i256::from_i128(unscaled);
            assert_eq!(text(|out| put_wide_decimal(wide, scale, out)), printed);
        }
    }

    proptest! {
        /// They are printed as the library does it.
        #[test]
        fn decimals_are_printed_as_by_the_library(high: i128, shift in 0_u32..128, scale in 0_i8..=38) {
            let value = high >> shift;
            let theirs = Decimal128Type::format_decimal(value, 38, scale);
            prop_assert_eq!(text(|out| put_decimal(value, scale, out)), theirs);
            let wide = i256::from_i128(value);
            let theirs = Decimal256Type::format_decimal(wide, 76, scale);
            prop_assert_eq!(text(|out| put_wide_decimal(wide, scale, out)), theirs);
        }
    }
}
