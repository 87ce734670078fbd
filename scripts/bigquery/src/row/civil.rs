//! Pure. Dates and times: from text, from the packed integers of the Storage Write API.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, date};

/// Days since 1970.
pub fn date_of_days(days: i32) -> Result<Date, String> {
    let wrong = |_| format!("Invalid DATE value: {days} days since 1970");
    let found = date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).map_err(wrong)?);
    found.map_err(wrong).and_then(in_years)
}

pub fn parse_date(text: &str) -> Result<Date, String> {
    let found: Result<Date, _> = text.parse();
    found.map_err(|_| format!("Invalid date: '{text}'")).and_then(in_years)
}

/// With a blank or a `T` between date and time, without a zone.
pub fn parse_date_time(text: &str) -> Result<DateTime, String> {
    let wrong = || format!("Invalid datetime string \"{text}\"");
    if text.ends_with(['Z', 'z']) {
        return Err(wrong());
    }
    let found: DateTime = text.parse().map_err(|_| wrong())?;
    in_years(found.date())?;
    in_microseconds(found.time()).ok_or_else(wrong)?;
    Ok(found)
}

pub fn parse_time(text: &str) -> Result<Time, String> {
    let wrong = || format!("Invalid time string \"{text}\"");
    let found: Time = text.parse().map_err(|_| wrong())?;
    in_microseconds(found).ok_or_else(wrong)
}

/// With an offset, `Z`, `UTC` or nothing behind it, which is UTC.
pub fn parse_timestamp(text: &str) -> Result<Timestamp, String> {
    let bare = text.strip_suffix(" UTC").or_else(|| text.strip_suffix("UTC")).unwrap_or(text);
    let zoned: Result<Timestamp, _> = bare.parse();
    let found = zoned.or_else(|_| format!("{bare}Z").parse());
    let found = found.or_else(|_| format!("{bare}T00:00:00Z").parse());
    found.map_err(|_| format!("Could not parse '{text}' as a timestamp"))
}

/// Between the years 1 and 9999.
pub fn timestamp_of_microseconds(microseconds: i64) -> Result<Timestamp, String> {
    let wrong = || format!("Timestamp out of range: {microseconds} microseconds since 1970");
    let found = Timestamp::from_microsecond(microseconds).map_err(|_| wrong())?;
    let first = Timestamp::from_second(-62_135_596_800).expect("the first second of the year 1");
    if found < first { Err(wrong()) } else { Ok(found) }
}

/// Hour, minute, second and microsecond in 5, 6, 6 and 20 bits.
pub fn time_of_packed(packed: i64) -> Result<Time, String> {
    let wrong = || format!("Invalid TIME value: packed {packed}");
    if packed < 0 || packed >> 37 != 0 {
        return Err(wrong());
    }
    let (hour, minute, second) = (bits(packed, 32, 5), bits(packed, 26, 6), bits(packed, 20, 6));
    let nanosecond = i32::try_from(packed & 0xF_FFFF).ok().and_then(|us| us.checked_mul(1_000));
    Time::new(hour, minute, second, nanosecond.ok_or_else(wrong)?).map_err(|_| wrong())
}

/// Year, month and day in 14, 4 and 5 bits before the time.
pub fn date_time_of_packed(packed: i64) -> Result<DateTime, String> {
    let wrong = || format!("Invalid DATETIME value: packed {packed}");
    let year = i16::try_from(packed >> 46).map_err(|_| wrong())?;
    let date = Date::new(year, bits(packed, 42, 4), bits(packed, 37, 5)).map_err(|_| wrong())?;
    let time = time_of_packed(packed & ((1 << 37) - 1))?;
    Ok(in_years(date)?.to_datetime(time))
}

/// At most 7 bits.
fn bits(packed: i64, from: u32, count: u32) -> i8 {
    i8::try_from((packed >> from) & ((1 << count) - 1)).unwrap_or(i8::MAX)
}

fn in_years(date: Date) -> Result<Date, String> {
    if date.year() >= 1 { Ok(date) } else { Err(format!("Date out of range: {date}")) }
}

fn in_microseconds(time: Time) -> Option<Time> {
    (time.subsec_nanosecond() % 1_000 == 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read() {
        assert_eq!(
            parse_date_time("2023-11-14 22:13:20.5"),
            parse_date_time("2023-11-14T22:13:20.500000")
        );
        assert_eq!(
            parse_timestamp("2023-11-14 22:13:20 UTC"),
            parse_timestamp("2023-11-14T23:13:20+01:00")
        );
        assert_eq!(parse_timestamp("2023-11-14"), parse_timestamp("2023-11-14 00:00:00"));
        for wrong in ["", "yesterday", "2023-13-01", "0000-01-01"] {
            assert!(parse_date(wrong).is_err() && parse_date_time(wrong).is_err(), "{wrong}");
        }
        assert!(parse_timestamp("").is_err() && parse_time("25:00:00").is_err());
        assert!(parse_time("22:13:20.0000001").is_err(), "a digit would be lost");
        assert!(timestamp_of_microseconds(i64::MIN).is_err() && date_of_days(i32::MAX).is_err());
    }

    proptest! {
        /// What is packed is what is unpacked.
        #[test]
        fn packed_times_are_unpacked(day in 0..20_000i32, second in 0..86_400i64, micro in 0..1_000_000i64) {
            let date = date_of_days(day).unwrap();
            let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
            let time = h << 32 | m << 26 | s << 20 | micro;
            let (y, mo, d) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            let found = date_time_of_packed(y << 46 | mo << 42 | d << 37 | time).unwrap();
            prop_assert_eq!(found.date(), date);
            let text = format!("{h:02}:{m:02}:{s:02}.{micro:06}");
            prop_assert_eq!(found.time(), parse_time(&text).unwrap());
            prop_assert_eq!(time_of_packed(time).unwrap(), found.time());
        }
    }
}
