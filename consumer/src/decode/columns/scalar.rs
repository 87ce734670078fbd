//! Pure. Single values on their way into a column: taken if nothing of them is lost.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, i256};
use uuid::Uuid;

use super::values::{Data, Values};
use crate::table::schema::Unit;

const SECONDS_A_DAY: i64 = 86_400;
/// Integers of so many significant bits are floats without loss.
const FLOAT_BITS: u32 = 53;

/// The column is of a type that would lose something of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Misfit;

/// A value that has no parts, with what its writer says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::decode) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// `unscaled` divided by ten to the `scale`.
    Decimal {
        unscaled: i256,
        scale: i8,
    },
    /// Days since 1970.
    Date(i32),
    /// Since midnight.
    Time {
        unit: Unit,
        value: i64,
    },
    /// Since 1970.
    Timestamp {
        unit: Unit,
        utc: bool,
        value: i64,
    },
    Uuid([u8; 16]),
}

impl Values {
    /// Adds the value, or nothing.
    pub(in crate::decode) fn put(&mut self, scalar: Scalar<'_>) -> Result<(), Misfit> {
        if scalar == Scalar::Null {
            self.push_null();
            return Ok(());
        }
        put(&mut self.data, scalar).ok_or(Misfit)?;
        self.mark_valid();
        Ok(())
    }
}

fn put(data: &mut Data, scalar: Scalar<'_>) -> Option<()> {
    match (data, scalar) {
        (Data::Boolean(bits), Scalar::Boolean(value)) => bits.append(value),
        (Data::Integer(values), Scalar::Integer(value)) => values.push(value),
        (Data::Float(values), Scalar::Float(value)) => values.push(value),
        (Data::Float(values), Scalar::Integer(value)) => values.push(exact_float(value)?),
        (Data::Text(texts), Scalar::Text(text)) => texts.push(text.as_bytes()),
        (Data::Text(texts), Scalar::Binary(bytes)) => {
            texts.push(std::str::from_utf8(bytes).ok()?.as_bytes());
        }
        (Data::Text(texts), Scalar::Uuid(id)) => {
            texts.push(Uuid::from_bytes(id).to_string().as_bytes());
        }
        (Data::Binary(values), Scalar::Binary(bytes)) => values.push(bytes),
        (Data::Binary(values), Scalar::Text(text)) => values.push(text.as_bytes()),
        (Data::Decimal { precision, scale, values }, scalar) => {
            values.push(decimal(scalar, *precision, *scale)?.to_i128()?);
        }
        (Data::WideDecimal { precision, scale, values }, scalar) => {
            values.push(decimal(scalar, *precision, *scale)?);
        }
        (Data::Date(values), Scalar::Date(days)) => values.push(days),
        (Data::Time { unit, values }, Scalar::Time { unit: from, value }) => {
            let value = in_unit(value, from, *unit)?;
            let is_in_day = (0..SECONDS_A_DAY * unit.per_second()).contains(&value);
            values.push(is_in_day.then_some(value)?);
        }
        (
            Data::Timestamp { unit, utc, values },
            Scalar::Timestamp { unit: from, utc: is_utc, value },
        ) if *utc == is_utc => values.push(in_unit(value, from, *unit)?),
        (Data::Uuid(values), Scalar::Uuid(id)) => values.push(id),
        (Data::Uuid(values), Scalar::Text(text)) => {
            values.push(Uuid::try_parse(text).ok()?.into_bytes());
        }
        (Data::Uuid(values), Scalar::Binary(bytes)) => values.push(bytes.try_into().ok()?),
        _ => return None,
    }
    Some(())
}

#[expect(clippy::cast_precision_loss, reason = "it is made sure that there is none")]
fn exact_float(value: i64) -> Option<f64> {
    let magnitude = value.unsigned_abs();
    let bits = u64::BITS - magnitude.leading_zeros();
    (value == 0 || bits - magnitude.trailing_zeros() <= FLOAT_BITS).then_some(value as f64)
}

/// The unscaled value of a decimal column of that precision and scale.
fn decimal(scalar: Scalar<'_>, precision: u8, scale: i8) -> Option<i256> {
    let (unscaled, from) = match scalar {
        Scalar::Decimal { unscaled, scale } => (unscaled, scale),
        Scalar::Integer(value) => (i256::from(value), 0),
        _ => return None,
    };
    let unscaled = rescaled(unscaled, from, scale)?;
    let limit = power_of_ten(u32::from(precision.min(DECIMAL256_MAX_PRECISION)))?;
    (unscaled < limit && unscaled > limit.wrapping_neg()).then_some(unscaled)
}

fn rescaled(unscaled: i256, from: i8, to: i8) -> Option<i256> {
    let steps = i16::from(to) - i16::from(from);
    let factor = power_of_ten(u32::from(steps.unsigned_abs()))?;
    if steps >= 0 {
        return unscaled.checked_mul(factor);
    }
    let is_exact = unscaled.checked_rem(factor)? == i256::ZERO;
    if is_exact { unscaled.checked_div(factor) } else { None }
}

fn power_of_ten(exponent: u32) -> Option<i256> {
    i256::from(10).checked_pow(exponent)
}

fn in_unit(value: i64, from: Unit, to: Unit) -> Option<i64> {
    if to >= from {
        return value.checked_mul(to.per_second() / from.per_second());
    }
    let factor = from.per_second() / to.per_second();
    (value % factor == 0).then_some(value / factor)
}

/// A decimal's unscaled value as Avro and Kafka Connect write it: two's complement, the highest byte first.
pub(in crate::decode) fn unscaled(bytes: &[u8]) -> Option<i256> {
    const SIZE: usize = 32;
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    // What only repeats the sign may be left out.
    let kept = bytes.len().saturating_sub(SIZE);
    let is_sign = bytes[..kept].iter().all(|byte| *byte == fill);
    let rest = &bytes[kept..];
    let mut padded = [fill; SIZE];
    padded[SIZE - rest.len()..].copy_from_slice(rest);
    let keeps_sign = (padded[0] & 0x80 != 0) == (fill != 0);
    (is_sign && keeps_sign).then(|| i256::from_be_bytes(padded))
}

/// The precision of the columns for decimals of up to `precision` digits: as wide as comes for free, so that a later
/// schema with more digits fits. `None` where no column is that wide.
pub(in crate::decode) fn column_precision(precision: usize) -> Option<u8> {
    [DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION]
        .into_iter()
        .find(|limit| precision <= usize::from(*limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::ColumnType;
    use arrow::array::{Array, AsArray as _};
    use arrow::datatypes::{Decimal128Type, TimestampMillisecondType};
    use proptest::prelude::*;

    fn column(kind: &ColumnType) -> Values {
        Values::new(kind, 0)
    }

    fn takes(kind: &ColumnType, scalar: Scalar<'_>) -> bool {
        let mut values = column(kind);
        let is_taken = values.put(scalar).is_ok();
        assert_eq!(values.len(), usize::from(is_taken), "a value that is refused leaves nothing");
        is_taken
    }

    #[test]
    fn what_a_column_would_lose_does_not_fit() {
        use Unit::{Micros, Millis, Nanos};
        let decimal = ColumnType::Decimal { precision: 5, scale: 2 };
        let of = |unscaled: i64, scale| Scalar::Decimal { unscaled: i256::from(unscaled), scale };
        let time = |unit, value| Scalar::Time { unit, value };
        let at = |unit, utc, value| Scalar::Timestamp { unit, utc, value };
        let millis = ColumnType::Timestamp { unit: Millis, utc: true };
        let nanos = ColumnType::Timestamp { unit: Nanos, utc: true };
        for (kind, scalar, is_taken) in [
            (&decimal, of(99_999, 2), true),
            (&decimal, of(100_000, 2), false),
            (&decimal, of(-100_000, 2), false),
            (&decimal, of(12_340, 3), true),
            (&decimal, of(12_345, 3), false),
            (&decimal, of(1, -2), true),
            (&decimal, Scalar::Integer(999), true),
            (&decimal, Scalar::Integer(1000), false),
            (&decimal, Scalar::Float(1.0), false),
            (&ColumnType::Float, Scalar::Integer(1 << 60), true),
            (&ColumnType::Float, Scalar::Integer(i64::MIN), true),
            (&ColumnType::Float, Scalar::Integer((1 << 60) + 1), false),
            (&ColumnType::Integer, Scalar::Float(1.0), false),
            (&ColumnType::Text, Scalar::Binary(b"\xc3\xa9"), true),
            (&ColumnType::Text, Scalar::Binary(b"\xc3"), false),
            (&ColumnType::Uuid, Scalar::Text("no"), false),
            (&ColumnType::Uuid, Scalar::Binary(&[1; 15]), false),
            (&ColumnType::Time(Millis), time(Millis, 86_399_999), true),
            (&ColumnType::Time(Millis), time(Millis, 86_400_000), false),
            (&ColumnType::Time(Millis), time(Micros, -1000), false),
            (&ColumnType::Time(Millis), time(Micros, 1500), false),
            (&millis, at(Micros, true, -7000), true),
            (&millis, at(Micros, true, -7001), false),
            (&millis, at(Millis, false, 7), false),
            (&nanos, at(Millis, true, i64::MAX / 1_000_000), true),
            (&nanos, at(Millis, true, i64::MAX / 1_000_000 + 1), false),
        ] {
            assert_eq!(takes(kind, scalar), is_taken, "{scalar:?} into {kind:?}");
        }
    }

    #[test]
    fn values_are_converted_into_the_unit_and_scale_of_their_column() {
        let mut values = column(&ColumnType::Decimal { precision: 38, scale: 3 });
        values.put(Scalar::Decimal { unscaled: i256::from(-12_i64), scale: 1 }).unwrap();
        values.put(Scalar::Null).unwrap();
        let array = values.finish();
        let array = array.as_primitive::<Decimal128Type>();
        assert_eq!((array.value(0), array.is_null(1)), (-1200, true));
        let mut values = column(&ColumnType::Timestamp { unit: Unit::Millis, utc: true });
        values.put(Scalar::Timestamp { unit: Unit::Nanos, utc: true, value: -2_000_000 }).unwrap();
        let array = values.finish();
        assert_eq!(array.as_primitive::<TimestampMillisecondType>().value(0), -2);
    }

    proptest! {
        /// A decimal's bytes are read as they were written, however many of them repeat the sign.
        #[test]
        fn unscaled_values_are_read(value: i128, more in 0_usize..40) {
            let fill = if value < 0 { 0xff } else { 0 };
            let mut bytes = vec![fill; more];
            bytes.extend(value.to_be_bytes());
            prop_assert_eq!(unscaled(&bytes).and_then(i256::to_i128), Some(value));
        }

        /// What needs more than 256 bits is no number that any column holds.
        #[test]
        fn unscaled_values_have_an_end(bytes in prop::collection::vec(any::<u8>(), 33..40)) {
            let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
            let extra = bytes.len() - 32;
            let is_number = bytes[..extra].iter().all(|byte| *byte == fill)
                && (bytes[extra] & 0x80 == bytes[0] & 0x80);
            prop_assert_eq!(unscaled(&bytes).is_some(), is_number);
        }
    }
}
