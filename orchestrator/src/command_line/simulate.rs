//! IO. `orchestrator simulate`: plans the rates on standard input line by line, or makes a stream of rates.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use common::clock::Clock;
use common::partition::TopicPartition;
use thiserror::Error;

use super::policy::PolicyArgs;
use crate::pack::stream::{CAPACITY, Stream};
use crate::simulate::contest::Planned;
use crate::simulate::{Answer, Contest, LineError, Step};

const TOPIC: &str = "orders";

#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Print a stream of rates that walk at random, a line a step, instead of planning one
    #[arg(long)]
    pub generate: bool,

    #[command(flatten)]
    pub stream: StreamArgs,
}

/// The streams of the published measurements: rates are whole per cents of the capacity, and change
/// by at most so many.
#[derive(Args, Clone, Debug)]
pub struct StreamArgs {
    /// Partitions of a stream that is made
    #[arg(long, value_name = "NUMBER", default_value_t = 32,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub partitions: u32,

    /// Largest change of a rate from step to step, in per cent of a consumer's capacity
    #[arg(long, value_name = "PERCENT", default_value_t = 10,
          value_parser = RangedU64ValueParser::<u64>::new().range(0..=100))]
    pub delta: u64,

    /// Steps of a stream that is made
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    pub iterations: usize,

    /// Equal seeds make equal streams
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Error)]
pub enum SimulateError {
    #[error("standard input cannot be read")]
    Read {
        #[source]
        source: io::Error,
    },
    #[error("the rates are not understood")]
    Line {
        #[source]
        source: LineError,
    },
    #[error("standard output cannot be written")]
    Write {
        #[source]
        source: io::Error,
    },
}

/// # Errors
/// If a line is no step, or input or output end with a failure.
pub fn simulate(
    args: &SimulateArgs,
    input: impl BufRead,
    output: impl Write,
) -> Result<(), SimulateError> {
    let done =
        if args.generate { generate(&args.stream, output) } else { answer(args, input, output) };
    match done {
        // Whoever reads only the beginning closes the pipe: no failure of ours.
        Err(SimulateError::Write { source }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        done => done,
    }
}

/// Each line is answered before the next one is read.
fn answer(
    args: &SimulateArgs,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<(), SimulateError> {
    let mut contest = Contest::new(args.policy.policy());
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(|source| SimulateError::Read { source })?;
        if line.trim().is_empty() {
            continue;
        }
        let step = Step::parse(&line, number).map_err(|source| SimulateError::Line { source })?;
        let began = Clock.now();
        let Planned { assignment, consumers, r_score } = contest.plan(&step);
        let took = Clock.now().saturating_since(began);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        write_line(&mut output, &Answer { assignment, consumers, r_score, micros })?;
    }
    Ok(())
}

fn generate(args: &StreamArgs, mut output: impl Write) -> Result<(), SimulateError> {
    steps(args).try_for_each(|step| write_line(&mut output, &step))
}

/// The steps of a stream that is made.
pub fn steps(args: &StreamArgs) -> impl Iterator<Item = Step> {
    let partitions = usize::try_from(args.partitions).unwrap_or(usize::MAX);
    let stream = Stream::new(partitions, args.delta, args.seed).take(args.iterations);
    stream.map(|rates| {
        let named =
            (0..).zip(rates).map(|(number, rate)| (TopicPartition::new(TOPIC, number), rate));
        Step { capacity: CAPACITY, rates: named.collect::<BTreeMap<_, _>>() }
    })
}

fn write_line(output: &mut impl Write, value: &impl serde::Serialize) -> Result<(), SimulateError> {
    let mut line = serde_json::to_vec(value).expect("it is plain data");
    line.push(b'\n');
    let written = output.write_all(&line).and_then(|()| output.flush());
    written.map_err(|source| SimulateError::Write { source })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn run(flags: &[&str], input: &str) -> Result<Vec<String>, SimulateError> {
        let flags = Flags::parse_from(["x"].iter().chain(flags)).simulate;
        let mut output = Vec::new();
        simulate(&flags, input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap().lines().map(str::to_owned).collect())
    }

    #[test]
    fn what_is_generated_can_be_planned() {
        let stream = ["--generate", "--partitions", "8", "--iterations", "5", "--seed", "3"];
        let lines = run(&stream, "").unwrap();
        assert_eq!((lines.len(), &lines), (5, &run(&stream, "").unwrap()));
        for algorithm in ["stowage", "mwf"] {
            let answers = run(&["--algorithm", algorithm], &lines.join("\n")).unwrap();
            let answers: Vec<Answer> =
                answers.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(answers.len(), 5);
            assert!(answers.iter().all(|answer| answer.assignment.len() == 8));
            assert!(answers[0].r_score == 0.0);
        }
    }

    #[test]
    fn a_line_that_is_no_step_is_named() {
        let input = "{\"capacity\": 9, \"rates\": {}}\n\nnonsense\n";
        assert!(matches!(
            run(&[], input),
            Err(SimulateError::Line { source: LineError::Malformed { line: 3, .. } })
        ));
    }
}
