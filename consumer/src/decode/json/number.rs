//! Pure. What a number's decimal text is worth: exactly an integer, exactly a float, or neither.

/// Decimals with this many significant digits survive the way to a float and back.
const SAFE_DIGITS: usize = 15;

/// True if the text is written as an integer, which makes a new column one of integers.
pub(super) fn is_written_as_integer(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The number as a signed 64-bit integer, if it is one: also `1.0` and `1e3`.
pub(super) fn integer(text: &str) -> Option<i64> {
    if is_written_as_integer(text) {
        return text.parse().ok();
    }
    let decimal = Decimal::parse(text)?;
    if decimal.digits.is_empty() {
        return Some(0);
    }
    let zeros = usize::try_from(decimal.exponent).ok().filter(|zeros| *zeros < 19)?;
    let sign = if decimal.is_negative { "-" } else { "" };
    format!("{sign}{}{}", decimal.digits, "0".repeat(zeros)).parse().ok()
}

/// The number as a float, if none of it is lost.
///
/// An integer must be represented exactly; a decimal must be the one that the float is printed as.
pub(in crate::decode) fn float(text: &str) -> Option<f64> {
    let float: f64 = text.parse().ok()?;
    let digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let is_short = digits.filter(u8::is_ascii_digit).count() <= SAFE_DIGITS;
    if is_short && float.is_normal() {
        return Some(float);
    }
    let printed =
        if is_written_as_integer(text) { format!("{float:.0}") } else { format!("{float:e}") };
    let is_kept = float.is_finite() && Decimal::parse(text)? == Decimal::parse(&printed)?;
    is_kept.then_some(float)
}

/// A number in the one form that equal numbers share: digits without zeros at either end, times ten
/// to the exponent. Zero has no digits, exponent 0 and no sign.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent is beyond anything that a float or an integer could hold.
    fn parse(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - kept.len()).ok()?;
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), exponent: 0 });
        }
        let exponent: i64 = exponent.parse().ok()?;
        let fraction = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.checked_sub(fraction)?.checked_add(zeros)?;
        Some(Self { is_negative, digits: kept.into(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_taken_only_whole() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("1.0", Some(1)),
            ("-1.20e1", Some(-12)),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807.0", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("18446744073709551615", None),
            ("1e19", None),
            ("1.5", None),
            ("1e-1", None),
            ("1e99999999999999999999", None),
            ("0e99999999999999999999", Some(0)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn a_float_is_taken_only_unrounded() {
        for (text, is_kept) in [
            ("0", true),
            ("0.0", true),
            ("0e5", true),
            ("0.1", true),
            ("0.10", true),
            ("1E+2", true),
            ("-1.5e-7", true),
            ("0.30000000000000004", true),
            ("0.300000000000000041", false),
            ("3.141592653589793", true),
            ("3.14159265358979323846", false),
            ("9007199254740992", true),
            ("9007199254740993", false),
            ("9223372036854775808", true),
            ("9223372036854775807", false),
            ("18446744073709551616", true),
            ("1e23", true),
            ("100000000000000000000000", false),
            ("1.7976931348623157e308", true),
            ("1e309", false),
            ("5e-324", true),
            ("4.94e-324", false),
            ("1e-400", false),
            ("1e99999999999999999999", false),
        ] {
            assert_eq!(float(text).is_some(), is_kept, "{text}");
        }
    }

    #[test]
    fn the_sign_of_a_float_zero_is_kept() {
        assert!(float("-0.0").is_some_and(f64::is_sign_negative));
        assert_eq!(float("-2.5"), Some(-2.5));
    }
}
