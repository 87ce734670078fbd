//! Pure. JSON values for columns of types that JSON itself does not have.

use arrow::datatypes::i256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime, Time};

use crate::decode::columns::{Data, Misfit, Scalar, Values};
use crate::table::schema::Unit;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// True for a column whose values stand in JSON as text or numbers of a certain form.
pub(super) fn is_typed(data: &Data) -> bool {
    matches!(
        data,
        Data::Binary(_)
            | Data::Decimal { .. }
            | Data::WideDecimal { .. }
            | Data::Date(_)
            | Data::Time { .. }
            | Data::Timestamp { .. }
            | Data::Uuid(_)
    )
}

/// Adds a text: base64, a decimal, an ISO 8601 date or time, a UUID.
pub(super) fn put_text(values: &mut Values, text: &str) -> Result<(), Misfit> {
    let scalar = match values.data {
        Data::Binary(_) => {
            let bytes = STANDARD.decode(text).map_err(|_| Misfit)?;
            return values.put(Scalar::Binary(&bytes));
        }
        Data::Decimal { .. } | Data::WideDecimal { .. } => decimal(text),
        Data::Date(_) => text.parse().ok().map(|date| Scalar::Date(days(date))),
        Data::Time { .. } => text.parse::<Time>().ok().and_then(time),
        Data::Timestamp { utc: true, .. } => instant(text),
        Data::Timestamp { .. } => text.parse::<DateTime>().ok().and_then(local),
        _ => Some(Scalar::Text(text)),
    };
    values.put(scalar.ok_or(Misfit)?)
}

/// Adds a number: a decimal, days since 1970, or a time in the column's own unit.
pub(in crate::decode) fn put_number(values: &mut Values, text: &str) -> Result<(), Misfit> {
    let integer = || text.parse::<i64>().map_err(|_| Misfit);
    let scalar = match values.data {
        Data::Decimal { .. } | Data::WideDecimal { .. } => decimal(text).ok_or(Misfit)?,
        Data::Date(_) => Scalar::Date(integer()?.try_into().map_err(|_| Misfit)?),
        Data::Time { unit, .. } => Scalar::Time { unit, value: integer()? },
        Data::Timestamp { unit, utc, .. } => Scalar::Timestamp { unit, utc, value: integer()? },
        _ => return Err(Misfit),
    };
    values.put(scalar)
}

fn days(date: Date) -> i32 {
    EPOCH.until(date).expect("two dates have days between them").get_days()
}

fn time(time: Time) -> Option<Scalar<'static>> {
    let since = time.since(Time::midnight()).ok()?;
    let value = since.total(jiff::Unit::Nanosecond).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a day's nanoseconds are a whole float")]
    let value = value as i64;
    Some(Scalar::Time { unit: Unit::Nanos, value })
}

fn instant(text: &str) -> Option<Scalar<'static>> {
    timestamp(true, text.parse::<jiff::Timestamp>().ok()?)
}

fn local(at: DateTime) -> Option<Scalar<'static>> {
    timestamp(false, at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// In the coarsest unit that keeps all of it, so that years far away fit, too.
fn timestamp(utc: bool, at: jiff::Timestamp) -> Option<Scalar<'static>> {
    let nanos = at.subsec_nanosecond();
    let (unit, value) = match (nanos % 1_000_000, nanos % 1_000) {
        (0, _) => (Unit::Millis, at.as_millisecond()),
        (_, 0) => (Unit::Micros, at.as_microsecond()),
        _ => (Unit::Nanos, i64::try_from(at.as_nanosecond()).ok()?),
    };
    Some(Scalar::Timestamp { unit, utc, value })
}

/// The decimal that a text or a number's text is, `1.5e3` included.
fn decimal(text: &str) -> Option<Scalar<'static>> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent.parse().ok()?)?;
    Some(Scalar::Decimal { unscaled: i256::from_string(&digits)?, scale: scale.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::ColumnType;

    fn put(kind: &ColumnType, text: &str, is_number: bool) -> bool {
        let mut values = Values::new(kind, 0);
        if is_number { put_number(&mut values, text) } else { put_text(&mut values, text) }.is_ok()
    }

    #[test]
    fn values_are_taken_in_the_form_of_their_type() {
        let decimal = ColumnType::Decimal { precision: 5, scale: 2 };
        let instant = ColumnType::Timestamp { unit: Unit::Millis, utc: true };
        let local = ColumnType::Timestamp { unit: Unit::Micros, utc: false };
        let time = ColumnType::Time(Unit::Micros);
        for (kind, text, is_taken) in [
            (&decimal, "12.50", true),
            (&decimal, "-0.01", true),
            (&decimal, "1.5e2", true),
            (&decimal, "12.505", false),
            (&decimal, "1e99999999999999999999", false),
            (&decimal, "1 2", false),
            (&decimal, "--1", false),
            (&ColumnType::Date, "2026-02-28", true),
            (&ColumnType::Date, "2026-02-29", false),
            (&time, "23:59:59.000001", true),
            (&time, "23:59:59.0000001", false),
            (&instant, "2026-03-01T10:00:00.123Z", true),
            (&instant, "2026-03-01T10:00:00+01:00", true),
            (&instant, "2026-03-01T10:00:00.1234Z", false),
            (&instant, "2026-03-01T10:00:00", false),
            (&instant, "9999-01-01T00:00:00Z", true),
            (&local, "2026-03-01T10:00:00", true),
            (&ColumnType::Binary, "AP8Q", true),
            (&ColumnType::Binary, "AP8", false),
            (&ColumnType::Uuid, "11111111-2222-3333-4444-555555555555", true),
        ] {
            assert_eq!(put(kind, text, false), is_taken, "{text} into {kind:?}");
        }
        for (kind, text, is_taken) in [
            (&decimal, "12.5", true),
            (&ColumnType::Date, "20521", true),
            (&ColumnType::Date, "1.5", false),
            (&instant, "-1", true),
            (&time, "86400000000", false),
            (&ColumnType::Binary, "1", false),
        ] {
            assert_eq!(put(kind, text, true), is_taken, "{text} into {kind:?}");
        }
    }

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(days(Date::constant(2026, 3, 9)), 20_521);
        assert_eq!(days(Date::constant(1969, 12, 31)), -1);
    }
}
