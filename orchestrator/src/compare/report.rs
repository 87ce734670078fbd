//! Pure. A size as text for the person who asked: the setting, the budget, and what breaks first.

use super::budget::Phase;
use super::margin::Margin;
use super::size::{Setting, SizeInput, Sizing};
use super::table::{align, in_thousands, seconds};
use common::rate::nearest;

/// Several tables and sentences, with a line feed at the end.
pub fn report(input: &SizeInput, sizing: &Sizing) -> String {
    let asked = &sizing.asked;
    let advised = (sizing.asked != sizing.advised).then_some(&sizing.advised);
    let mut text = format!(
        "limit {} s from produced to stored · jump to {} times the load · growth {} %\n\n",
        input.latency_max_seconds, input.peak_factor, input.growth_percent
    );
    text += &settings(input, asked, advised);
    let both = [("as asked", Some(asked)), ("as advised", advised)];
    for (which, setting) in both {
        let Some(setting) = setting else { continue };
        text += &budget(which, setting);
        text += &margins(which, setting);
    }
    text
}

fn settings(input: &SizeInput, asked: &Setting, advised: Option<&Setting>) -> String {
    let columns: Vec<&Setting> = [asked].into_iter().chain(advised).collect();
    let row = |heading: &str, cell: &dyn Fn(&Setting) -> String| {
        let cells = columns.iter().map(|setting| cell(setting));
        [heading.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let headings = ["", "asked", "advised"].map(str::to_owned);
    let largest_share = |setting: &Setting| {
        format!("{:.0} %", 100.0 * setting.largest_at_peak / input.capacity as f64)
    };
    align(&[
        headings[..=columns.len()].to_vec(),
        row("partitions", &|setting| setting.partitions.to_string()),
        row("consumers", &|setting| setting.consumers.to_string()),
        row("consumers after the jump", &|setting| setting.consumers_at_peak.to_string()),
        row("plan capacity", &|setting| format!("{} %", setting.plan_percent)),
        row("trigger capacity", &|setting| format!("{} %", setting.trigger_percent)),
        row("headroom when planned", &|setting| format!("{} %", 100 - setting.plan_percent)),
        row("largest partition after the jump, of a consumer", &largest_share),
        row("worst latency, s", &|setting| duration(setting.worst_seconds())),
        row("limit kept", &|setting| yes_or_no(setting.keeps_limits()).to_owned()),
    ])
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn budget(which: &str, setting: &Setting) -> String {
    let headings = ["phase", "lasts s", "adds s"].map(str::to_owned).to_vec();
    let row = |phase: &Phase| {
        let times = [phase.lasts_seconds, phase.adds_seconds].map(duration);
        let [lasts, adds] = times;
        vec![phase.name.label().to_owned(), lasts, adds]
    };
    let worst = ["worst".to_owned(), String::new(), duration(setting.worst_seconds())];
    let phases = setting.budget.phases.iter();
    let mut rows: Vec<Vec<String>> = [headings].into_iter().chain(phases.map(row)).collect();
    rows.push(worst.to_vec());
    let meanings = setting.budget.phases.iter().map(|phase| phase.name.meaning());
    let meanings = [""].into_iter().chain(meanings).chain([""]);
    let table = align(&rows);
    let lines = table
        .lines()
        .zip(meanings)
        .map(|(line, meaning)| format!("{}\n", format!("{line}   {meaning}").trim_end()));
    let backlog = bytes(nearest(setting.budget.backlog_bytes));
    format!(
        "\nbudget of the worst record, {which}\n{}the fullest consumer is {backlog} behind when \
         the reaction is over\n",
        lines.collect::<String>()
    )
}

fn bytes(bytes: u64) -> String {
    let space = if bytes < 1000 { " " } else { "" };
    format!("{}{space}B", in_thousands(bytes))
}

fn duration(time: f64) -> String {
    if time.is_finite() { seconds(time) } else { "unbounded".to_owned() }
}

fn margins(which: &str, setting: &Setting) -> String {
    let line = |margin: &Margin| {
        let (subject, meaning) = (margin.limit.subject(), margin.limit.meaning());
        let state = if margin.is_broken() { "broken" } else { "holds" };
        let factor = if margin.factor.is_finite() {
            format!("{:.2} × {subject}", margin.factor)
        } else {
            "never".to_owned()
        };
        format!("{factor:<16} {state:<7} {meaning}\n")
    };
    let lines: String = setting.margins.iter().map(line).collect();
    format!("\nwhat breaks first, {which} (allowed ÷ expected)\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::super::budget::Reaction;
    use super::super::size::size;
    use super::*;

    fn input() -> SizeInput {
        SizeInput {
            rates: vec![2_000_000, 1_000_000, 500_000, 500_000],
            growth_percent: 20,
            capacity: 5_000_000,
            plan_percent: 75,
            trigger_percent: 90,
            consumers_max: Some(3),
            peak_factor: 2.0,
            latency_max_seconds: 10.0,
            reaction: Reaction {
                measure_seconds: 4.0,
                decide_seconds: 0.5,
                start_seconds: 15.0,
                hand_over_seconds: 0.5,
            },
            rotation_seconds: 5.0,
        }
    }

    #[test]
    fn a_report_says_what_to_change_and_why() {
        let sizing = size(&input()).unwrap();
        assert_eq!(report(&input(), &sizing), EXPECTED);
    }

    const EXPECTED: &str = "\
limit 10 s from produced to stored · jump to 2 times the load · growth 20 %

                                                 asked  advised
partitions                                           4        4
consumers                                            2        2
consumers after the jump                             3        3
plan capacity                                     75 %     51 %
trigger capacity                                  90 %     61 %
headroom when planned                             25 %     49 %
largest partition after the jump, of a consumer   96 %     96 %
worst latency, s                                  20.7     9.97
limit kept                                          no      yes

budget of the worst record, as asked
phase      lasts s  adds s
rotation      5.00    5.00   a record that was read waits until the sink stores
measure       4.00    3.11   the measured rate does not show the jump yet
decide        0.50    0.39   the plan is made
start         15.0    11.7   the new consumer starts; its partitions stay where they are
hand over     0.50    0.50   the partition that moves is not read
catch up     376.0    0.00   the backlog is worked off; waiting falls
worst                 20.7
the fullest consumer is 80.00 MB behind when the reaction is over

what breaks first, as asked (allowed ÷ expected)
0.32 × reaction  broken  reaction too slow: measure more often, warm spares, a faster hand-over
0.63 × jump      broken  headroom too small: lower plan and trigger capacity
1.00 × load      holds   more consumers needed than allowed: a higher maximum
1.04 × load      holds   largest partition too large for a consumer: more partitions, a better key
1.56 × load      holds   fewer partitions than consumers needed: more partitions

budget of the worst record, as advised
phase      lasts s  adds s
rotation      5.00    5.00   a record that was read waits until the sink stores
measure       4.00    0.92   the measured rate does not show the jump yet
decide        0.50    0.11   the plan is made
start         15.0    3.44   the new consumer starts; its partitions stay where they are
hand over     0.50    0.50   the partition that moves is not read
catch up     119.2    0.00   the backlog is worked off; waiting falls
worst                 9.97
the fullest consumer is 22.00 MB behind when the reaction is over

what breaks first, as advised (allowed ÷ expected)
1.00 × load      holds   more consumers needed than allowed: a higher maximum
1.00 × jump      holds   headroom too small: lower plan and trigger capacity
1.01 × reaction  holds   reaction too slow: measure more often, warm spares, a faster hand-over
1.04 × load      holds   largest partition too large for a consumer: more partitions, a better key
1.06 × load      holds   fewer partitions than consumers needed: more partitions
";
}
