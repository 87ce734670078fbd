//! Pure. Outcomes as a table for a terminal.

use super::outcome::{Outcome, cardinal_bin_score};

const HEADINGS: [&str; 13] = [
    "algorithm",
    "consumers",
    "max",
    "CBS",
    "R-score",
    "moves",
    "overload %",
    "p50 s",
    "p95 s",
    "p99 s",
    "max s",
    "cost",
    "consume s",
];

/// One line for each outcome, in the order given, under one line of headings. CBS is relative to
/// `reference`, the fewest consumers of each step.
pub fn table(outcomes: &[Outcome], reference: &[u32]) -> String {
    let headings = HEADINGS.map(str::to_owned).to_vec();
    let rows = outcomes.iter().map(|outcome| cells(outcome, reference));
    align(&[headings].into_iter().chain(rows).collect::<Vec<_>>())
}

fn cells(outcome: &Outcome, reference: &[u32]) -> Vec<String> {
    let latency = outcome.latency;
    vec![
        outcome.name.clone(),
        format!("{:.2}", outcome.consumers_mean),
        outcome.consumers_max.to_string(),
        format!("{:+.4}", cardinal_bin_score(&outcome.consumers, reference)),
        format!("{:.3}", outcome.r_score_mean),
        outcome.moves.to_string(),
        format!("{:.2}", outcome.overloaded_share * 100.0),
        seconds(latency.p50),
        seconds(latency.p95),
        seconds(latency.p99),
        seconds(latency.max),
        format!("{:.2}", outcome.cost),
        outcome.seconds_to_consume.map_or_else(|| "never".to_owned(), seconds),
    ]
}

/// Columns as wide as their widest cell, the first to the left, the others to the right.
pub(super) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Fewer decimals for longer times.
pub(super) fn seconds(seconds: f64) -> String {
    let decimals = if seconds < 10.0 { 2 } else { usize::from(seconds < 1000.0) };
    format!("{seconds:.decimals$}")
}

/// With a unit prefix: 1234567 as 1.23 M.
pub(super) fn in_thousands(number: u64) -> String {
    let prefixes = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let large = prefixes.iter().find(|(unit, _)| number as f64 >= *unit);
    large.map_or_else(
        || number.to_string(),
        |(unit, prefix)| format!("{:.2} {prefix}", number as f64 / unit),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::latency::Percentiles;
    use super::*;

    pub(in super::super) fn outcome(name: &str, consumers: Vec<u32>) -> Outcome {
        Outcome {
            name: name.to_owned(),
            consumers_mean: 2.5,
            consumers_max: 3,
            consumers,
            r_score_mean: 0.125,
            moves: 7,
            moved_bytes_per_second: 1_234_567,
            overloaded_share: 0.0525,
            latency: Percentiles { p50: 2.5, p95: 4.75, p99: 12.34, max: 1234.5 },
            consumer_hours: 10.0,
            cost: 0.5,
            seconds_to_consume: None,
        }
    }

    #[test]
    fn a_table_is_aligned() {
        let mut short = outcome("ff", vec![2, 2]);
        short.seconds_to_consume = Some(0.0);
        let table = table(&[outcome("stowage", vec![2, 3]), short], &[2, 2]);
        let expected = [
            "algorithm  consumers  max      CBS  R-score  moves  overload %  \
             p50 s  p95 s  p99 s  max s  cost  consume s",
            "stowage         2.50    3  +0.2500    0.125      7        5.25   \
             2.50   4.75   12.3   1234  0.50      never",
            "ff              2.50    3  +0.0000    0.125      7        5.25   \
             2.50   4.75   12.3   1234  0.50       0.00",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }
}
