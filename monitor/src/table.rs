//! Pure. A measurement as a table for a terminal.

use std::cmp::Reverse;
use std::fmt::Write as _;

use common::messages::measurement::{Measurement, MeasurementState, PartitionMeasurement};

/// The table of the `rows_max` partitions with the highest rates, and what is summed over all.
pub fn render(measurement: &Measurement, rows_max: usize) -> String {
    let mut partitions: Vec<&PartitionMeasurement> = measurement.partitions.iter().collect();
    partitions
        .sort_by_key(|measured| (Reverse(measured.filtered), &measured.topic, measured.partition));
    let names: Vec<String> =
        partitions.iter().map(|measured| measured.topic_partition().to_string()).collect();
    let width = names.iter().take(rows_max).map(String::len).max().unwrap_or(0).max(9);
    let mut table = header(width);
    for (name, measured) in names.iter().zip(&partitions).take(rows_max) {
        writeln!(table, "{name:width$}{}", row(measured)).expect("writing to a string never fails");
    }
    if let Some(hidden) = names.len().checked_sub(rows_max).filter(|hidden| *hidden > 0) {
        writeln!(table, "… and {hidden} more").expect("writing to a string never fails");
    }
    table.push_str(&sum(&partitions));
    table
}

fn header(width: usize) -> String {
    let columns = ["rate", "filtered", "burst", "size", "lag", "lag s"];
    let columns: String = columns.iter().map(|column| format!("{column:>12}")).collect();
    format!("{:width$}{columns}  state\n", "partition")
}

fn row(measured: &PartitionMeasurement) -> String {
    let lag = measured.lag.map_or_else(|| "?".into(), |lag| lag.to_string());
    let lag_seconds =
        measured.lag_seconds.map_or_else(|| "?".into(), |seconds| format!("{seconds:.1}"));
    let rates = [measured.rate.0, measured.filtered.0, measured.burst.0];
    let cells: String = rates.map(|rate| format!("{:>12}", format!("{}/s", bytes(rate)))).concat();
    let state = match measured.state {
        MeasurementState::Warming => "warming",
        MeasurementState::Steady => "steady",
        MeasurementState::Stale => "stale",
    };
    format!("{cells}{:>12}{lag:>12}{lag_seconds:>12}  {state}", bytes(measured.size))
}

fn sum(partitions: &[&PartitionMeasurement]) -> String {
    let sum = |of: fn(&PartitionMeasurement) -> u64| {
        partitions.iter().fold(0u64, |sum, measured| sum.saturating_add(of(measured)))
    };
    let rate = bytes(sum(|measured| measured.filtered.0));
    let size = bytes(sum(|measured| measured.size));
    let lag = sum(|measured| measured.lag.unwrap_or(0));
    let count = partitions.len();
    format!("{count} partitions receive {rate}/s, hold {size}, lag by {lag} records\n")
}

/// Three digits and a unit.
fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use common::rate::BytesPerSecond;
    use insta::assert_snapshot;

    use super::*;

    fn measurement() -> Measurement {
        let partitions = (0..4u32).map(|partition| PartitionMeasurement {
            topic: "orders".into(),
            partition,
            rate: BytesPerSecond(1_000 * u64::from(partition)),
            filtered: BytesPerSecond(1_234_567 * u64::from(partition)),
            burst: BytesPerSecond(99_960),
            size: 999_600_000,
            log_start: 0,
            high_watermark: 10,
            committed: (partition > 1).then_some(3),
            lag: (partition > 1).then_some(7),
            lag_seconds: (partition > 1).then_some(0.25),
            bytes_per_record: 1.0,
            state: MeasurementState::Steady,
        });
        Measurement {
            measured_at: 0,
            monitor: "host:1-0".into(),
            sequence: 0,
            chunk: 0,
            chunks: 1,
            interval_ms: 1_000,
            window_ms: 30_000,
            partitions: partitions.collect(),
        }
    }

    #[test]
    fn the_fastest_come_first_and_the_rest_is_counted() {
        assert_snapshot!(render(&measurement(), 3));
    }

    #[test]
    fn bytes_have_three_digits() {
        let shown = [0, 999, 1_000, 99_949, 99_951, 999_499, 999_500, u64::MAX].map(bytes);
        let expected =
            ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "18447 PB"];
        assert_eq!(shown, expected);
    }
}
