//! Pure. NUMERIC and BIGNUMERIC: exact decimals of a fixed scale.

use std::fmt;

use num_bigint::BigInt;

/// Larger exponents mean nothing in either type.
const EXPONENT_MAX: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Numeric,
    BigNumeric,
}

/// A number of units of 10 to the minus `scale`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    units: BigInt,
    scale: u32,
}

impl Precision {
    fn scale(self) -> u32 {
        match self {
            Self::Numeric => 9,
            Self::BigNumeric => 38,
        }
    }

    /// NUMERIC has 38 digits; BIGNUMERIC is an integer of 256 bits.
    fn holds(self, units: &BigInt) -> bool {
        match self {
            Self::Numeric => units.magnitude() < BigInt::from(10).pow(38).magnitude(),
            Self::BigNumeric => {
                let bound = BigInt::from(2).pow(255);
                *units < bound && *units >= -bound
            }
        }
    }
}

impl Decimal {
    /// Digits with an optional point and exponent. Digits that the type cannot keep are refused.
    pub fn parse(text: &str, precision: Precision) -> Result<Self, String> {
        let wrong = || format!("Invalid NUMERIC value: {text}");
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().map_err(|_| wrong())?;
        let (sign, digits) = match mantissa.as_bytes().first() {
            Some(b'-') => (-1, &mantissa[1..]),
            Some(b'+') => (1, &mantissa[1..]),
            _ => (1, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = [whole, fraction].concat();
        if all.is_empty()
            || !all.bytes().all(|b| b.is_ascii_digit())
            || exponent.abs() > EXPONENT_MAX
        {
            return Err(wrong());
        }
        let places = i64::try_from(fraction.len()).map_err(|_| wrong())? - exponent;
        let shift = i64::from(precision.scale()) - places;
        let units: BigInt = all.parse().map_err(|_| wrong())?;
        let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).map_err(|_| wrong())?);
        let units = if shift >= 0 {
            units * power
        } else if &units % &power == BigInt::ZERO {
            units / power
        } else {
            return Err(format!("{}: more than {} decimal places", wrong(), precision.scale()));
        };
        Self::of_units(units * sign, precision)
    }

    /// From the units as a little-endian integer in two's complement.
    pub fn from_bytes(bytes: &[u8], precision: Precision) -> Result<Self, String> {
        Self::of_units(BigInt::from_signed_bytes_le(bytes), precision)
    }

    /// The sum, as a BIGNUMERIC.
    pub fn plus(&self, other: &Self) -> Result<Self, String> {
        let scale = Precision::BigNumeric.scale();
        let raised = |decimal: &Self| &decimal.units * BigInt::from(10).pow(scale - decimal.scale);
        Self::of_units(raised(self) + raised(other), Precision::BigNumeric)
    }

    fn of_units(units: BigInt, precision: Precision) -> Result<Self, String> {
        if precision.holds(&units) {
            return Ok(Self { units, scale: precision.scale() });
        }
        Err(format!("NUMERIC value out of range: {} units", units))
    }
}

/// Without needless zeros, as the service prints it.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::try_from(self.scale).map_err(|_| fmt::Error)?;
        let digits = format!("{:0>width$}", self.units.magnitude().to_string(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.units < BigInt::ZERO { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numeric(text: &str) -> Result<String, String> {
        Decimal::parse(text, Precision::Numeric).map(|decimal| decimal.to_string())
    }

    #[test]
    fn decimals_are_read_and_printed() {
        for (text, printed) in [
            ("123.456000001", "123.456000001"),
            ("-0.5", "-0.5"),
            ("1e3", "1000"),
            ("+1.50", "1.5"),
            ("12E-9", "0.000000012"),
            (".5", "0.5"),
            ("0.1000000000", "0.1"),
            ("99999999999999999999999999999.999999999", "99999999999999999999999999999.999999999"),
        ] {
            assert_eq!(numeric(text).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn what_the_type_cannot_keep_is_refused() {
        let too_large = format!("1{}", "0".repeat(29));
        for text in
            ["", ".", "-", "no number", "1.2.3", "0.0000000001", "1e9999", "--1", &too_large]
        {
            assert!(numeric(text).is_err(), "{text}");
        }
        let big = |text: &str| Decimal::parse(text, Precision::BigNumeric);
        assert!(big("578960446186580977117854925043439539266").is_ok());
        assert!(big("578960446186580977117854925043439539267").is_err());
        assert!(big(&too_large).is_ok());
    }

    proptest! {
        /// Text and bytes mean the same number.
        #[test]
        fn units_in_bytes_are_the_decimal(units in any::<i64>()) {
            let decimal = Decimal::from_bytes(&units.to_le_bytes(), Precision::Numeric);
            let decimal = decimal.unwrap();
            prop_assert_eq!(Decimal::parse(&decimal.to_string(), Precision::Numeric), Ok(decimal));
        }
    }
}
