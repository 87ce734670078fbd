//! Pure. Outcomes as comma-separated values (RFC 4180, but for lines that end with a line feed).

use super::outcome::{Outcome, cardinal_bin_score};

const HEADINGS: &str = "name,consumers_mean,consumers_max,cbs,r_score_mean,moves,\
moved_bytes_per_second,overloaded_share,latency_p50_seconds,latency_p95_seconds,\
latency_p99_seconds,latency_max_seconds,consumer_hours,cost,consume_seconds";

/// One line for each outcome, in the order given, under one line of headings. Shares are fractions;
/// CBS is relative to `reference`, the fewest consumers of each step. `consume_seconds` is empty
/// where a backlog would stay for ever.
pub fn csv(outcomes: &[Outcome], reference: &[u32]) -> String {
    let lines = outcomes.iter().map(|outcome| line(outcome, reference));
    [HEADINGS.to_owned()].into_iter().chain(lines).map(|line| line + "\n").collect()
}

fn line(outcome: &Outcome, reference: &[u32]) -> String {
    let latency = outcome.latency;
    let number = |value: f64| format!("{value:.6}");
    let cells = [
        quoted(&outcome.name),
        number(outcome.consumers_mean),
        outcome.consumers_max.to_string(),
        number(cardinal_bin_score(&outcome.consumers, reference)),
        number(outcome.r_score_mean),
        outcome.moves.to_string(),
        outcome.moved_bytes_per_second.to_string(),
        number(outcome.overloaded_share),
        number(latency.p50),
        number(latency.p95),
        number(latency.p99),
        number(latency.max),
        number(outcome.consumer_hours),
        number(outcome.cost),
        outcome.seconds_to_consume.map(number).unwrap_or_default(),
    ];
    cells.join(",")
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::outcome;
    use super::*;

    #[test]
    fn every_line_has_as_many_fields_as_the_heading() {
        let text = csv(&[outcome("ff", vec![2, 3])], &[2, 2]);
        let lines: Vec<&str> = text.lines().collect();
        let expected = "ff,2.500000,3,0.250000,0.125000,7,1234567,0.052500,2.500000,4.750000,\
                        12.340000,1234.500000,10.000000,0.500000,";
        assert_eq!(lines[1..], [expected]);
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted("lag, \"keda\""), "\"lag, \"\"keda\"\"\"");
        assert_eq!(quoted("assignor +60 %"), "assignor +60 %");
    }
}
