//! Pure. Dates and times as BigQuery has them: the years 1 to 9999, to the microsecond.

use crate::table::schema::Unit;

/// Days since 1970 of the first and the last date.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
const MICROS_A_DAY: i64 = 86_400_000_000;
const DAYS_A_YEAR: i64 = 365;
const DAYS_4_YEARS: i64 = 4 * DAYS_A_YEAR + 1;
const DAYS_100_YEARS: i64 = 25 * DAYS_4_YEARS - 1;
const DAYS_400_YEARS: i64 = 4 * DAYS_100_YEARS + 1;
/// Without the leap day.
const DAYS_A_MONTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What the service cannot keep of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It is finer than a microsecond.
    Nanos,
    /// It is not in the years 1 to 9999.
    Range,
}

pub(super) fn checked_day(days: i32) -> Result<i32, Lost> {
    (FIRST_DAY..=LAST_DAY).contains(&days).then_some(days).ok_or(Lost::Range)
}

/// Microseconds since 1970, of a time in those years.
pub(super) fn checked_micros(value: i64, unit: Unit) -> Result<i64, Lost> {
    let micros = micros(value, unit)?;
    let first = i64::from(FIRST_DAY) * MICROS_A_DAY;
    let end = (i64::from(LAST_DAY) + 1) * MICROS_A_DAY;
    (first..end).contains(&micros).then_some(micros).ok_or(Lost::Range)
}

/// Microseconds since midnight.
pub(super) fn micros(value: i64, unit: Unit) -> Result<i64, Lost> {
    match unit {
        Unit::Millis => value.checked_mul(1_000).ok_or(Lost::Range),
        Unit::Micros => Ok(value),
        Unit::Nanos if value % 1_000 == 0 => Ok(value / 1_000),
        Unit::Nanos => Err(Lost::Nanos),
    }
}

/// `2023-11-14`, of days since 1970 in those years.
pub(super) fn put_date(days: i32, out: &mut Vec<u8>) {
    let (year, month, day) = date(i64::from(days) - i64::from(FIRST_DAY));
    put_digits::<4>(year, out);
    out.push(b'-');
    put_digits::<2>(month, out);
    out.push(b'-');
    put_digits::<2>(day, out);
}

/// `2023-11-14 22:13:20.500000`, of microseconds in those years; a fraction of nothing is left out.
pub(super) fn put_date_time(micros: i64, out: &mut Vec<u8>) {
    let days = i32::try_from(micros.div_euclid(MICROS_A_DAY)).expect("it is in those years");
    put_date(days, out);
    out.push(b' ');
    put_time(micros.rem_euclid(MICROS_A_DAY), out);
}

/// `22:13:20.500000`, of microseconds since midnight.
pub(super) fn put_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    put_digits::<2>(seconds / 3_600, out);
    out.push(b':');
    put_digits::<2>(seconds / 60 % 60, out);
    out.push(b':');
    put_digits::<2>(seconds % 60, out);
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        out.push(b'.');
        put_digits::<6>(fraction, out);
    }
}

fn put_digits<const N: usize>(mut value: i64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("times are not negative");
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Year, month and day, of days since the first of January of the year 1.
fn date(days: i64) -> (i64, i64, i64) {
    let (cycles, days) = (days / DAYS_400_YEARS, days % DAYS_400_YEARS);
    // The last day of a cycle would begin a fifth century, that of four years a fifth year.
    let centuries = (days / DAYS_100_YEARS).min(3);
    let days = days - centuries * DAYS_100_YEARS;
    let (fours, days) = (days / DAYS_4_YEARS, days % DAYS_4_YEARS);
    let years = (days / DAYS_A_YEAR).min(3);
    let mut days = days - years * DAYS_A_YEAR;
    let is_leap = years == 3 && (fours != 24 || centuries == 3);
    let mut month = 1;
    for (at, length) in DAYS_A_MONTH.iter().enumerate() {
        let length = length + i64::from(is_leap && at == 1);
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (400 * cycles + 100 * centuries + 4 * fours + years + 1, month, days + 1)
}

#[cfg(test)]
mod tests {
    use jiff::Span;
    use jiff::civil::{DateTime, date};

    use super::*;

    fn text(micros: i64) -> String {
        let mut out = Vec::new();
        put_date_time(micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Every day of the years 1 to 9999 is the calendar's, and no other is taken.
    #[test]
    fn every_day_is_that_of_the_calendar() {
        let (first, last) = (date(1, 1, 1), date(9999, 12, 31));
        let epoch = date(1970, 1, 1);
        assert_eq!(FIRST_DAY, epoch.until(first).unwrap().get_days());
        assert_eq!(LAST_DAY, epoch.until(last).unwrap().get_days());
        let mut day = first;
        for days in FIRST_DAY..=LAST_DAY {
            let (year, month, number) = super::date(i64::from(days) - i64::from(FIRST_DAY));
            let found = (i64::from(day.year()), i64::from(day.month()), i64::from(day.day()));
            assert_eq!((year, month, number), found);
            day = day.tomorrow().unwrap_or(day);
        }
        assert_eq!(checked_day(FIRST_DAY - 1), Err(Lost::Range));
        assert_eq!(checked_day(LAST_DAY + 1), Err(Lost::Range));
    }

    #[test]
    fn times_are_printed_to_the_microsecond() {
        let epoch: DateTime = date(1970, 1, 1).into();
        for micros in [0, 1, -1, 1_700_000_000_500_000, -62_135_596_800_000_000] {
            let printed: DateTime = text(micros).parse().unwrap();
            assert_eq!(printed, epoch.checked_add(Span::new().microseconds(micros)).unwrap());
        }
        assert_eq!(text(1_700_000_000_500_000), "2023-11-14 22:13:20.500000");
        assert_eq!(text(0), "1970-01-01 00:00:00");
    }

    #[test]
    fn what_would_be_lost_is_told() {
        assert_eq!(checked_micros(-62_135_596_800_000, Unit::Millis), Ok(-62_135_596_800_000_000));
        assert_eq!(checked_micros(-62_135_596_800_001, Unit::Millis), Err(Lost::Range));
        assert_eq!(
            checked_micros(253_402_300_799_999_999, Unit::Micros),
            Ok(253_402_300_799_999_999)
        );
        assert_eq!(checked_micros(253_402_300_800_000_000, Unit::Micros), Err(Lost::Range));
        assert_eq!(checked_micros(i64::MAX, Unit::Millis), Err(Lost::Range));
        assert_eq!(checked_micros(-1_001, Unit::Nanos), Err(Lost::Nanos));
        assert_eq!(checked_micros(-2_000, Unit::Nanos), Ok(-2));
    }
}
