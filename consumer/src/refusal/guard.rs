//! Pure. Judges each batch of a partition by what became of the last records, before its dead letters are written.

use std::collections::VecDeque;
use std::fmt;

use common::messages::entry::ShareMax;

/// So many records are looked back upon, or as many as the last batch has.
const RECORDS: u64 = 1_000;
/// Fewer dead letters among them are no reason to stop.
const LETTERS_MIN: u64 = 100;

/// Records, and those of them that cannot become rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub letters: u64,
}

/// What became of the last records of one partition.
#[derive(Clone, Debug)]
pub struct Guard {
    share_max: ShareMax,
    /// Batches that passed, the last one behind; no more than are looked back upon.
    last: VecDeque<Counts>,
    /// Set by a refusal until a batch passes.
    is_on_trial: bool,
}

/// A batch that is not to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The last records, those of the batch included.
    pub counts: Counts,
    /// The one before was refused as well.
    pub is_again: bool,
    /// What is wrong with the first of them, for people.
    pub example: String,
}

impl Guard {
    pub fn new(share_max: ShareMax) -> Self {
        Self { share_max, last: VecDeque::new(), is_on_trial: false }
    }

    /// Looks at what became of the next batch, before its dead letters are written. After a refusal the
    /// next one is judged alone, and however few its dead letters are.
    ///
    /// # Errors
    /// With what is wrong, if the batch is not to pass. Then it counts for nothing: it will come again.
    pub fn judge(&mut self, batch: Counts, example: &str) -> Result<(), Refusal> {
        let counts = self.last_with(batch);
        let letters_min = if self.is_on_trial { 1 } else { LETTERS_MIN };
        let is_excess = batch.letters > 0
            && counts.letters >= letters_min
            && self.share_max.is_exceeded(counts.letters, counts.records);
        if !is_excess {
            return Ok(());
        }
        let is_again = std::mem::replace(&mut self.is_on_trial, true);
        self.last.clear();
        Err(Refusal { counts, is_again, example: example.to_owned() })
    }

    /// The batch passed, and Kafka has its dead letters.
    pub fn passed(&mut self, batch: Counts) {
        self.is_on_trial = false;
        self.last.push_back(batch);
        let mut records = 0;
        let is_looked_at = |counts: &&Counts| {
            let is_needed = records < RECORDS;
            records += counts.records;
            is_needed
        };
        let needed = self.last.iter().rev().take_while(is_looked_at).count();
        self.last.drain(..self.last.len() - needed);
    }

    /// The batch, and as much before it as makes so many records together.
    fn last_with(&self, batch: Counts) -> Counts {
        self.last
            .iter()
            .rev()
            .fold(batch, |sum, counts| if sum.records < RECORDS { sum.and(*counts) } else { sum })
    }
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self { records: self.records + other.records, letters: self.letters + other.letters }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { records, letters } = self.counts;
        let example = &self.example;
        write!(
            f,
            "paused: {letters} of the last {records} records cannot become rows, the first of them: {example}; \
             nothing is lost or skipped: mend the format in the service entry, or allow dead letters with its \
             option dead_letter_share_max=1; it is also tried again by itself"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn batch(records: u64, letters: u64) -> Counts {
        Counts { records, letters }
    }

    fn batches() -> impl Strategy<Value = Vec<Counts>> {
        let batch = (1_u64..400, 0_u64..=100)
            .prop_map(|(records, percent)| batch(records, records * percent / 100));
        vec(batch, 0..60)
    }

    fn guard(share_max: &str) -> Guard {
        Guard::new(ShareMax::parse(share_max).unwrap())
    }

    /// A batch that comes, and whether it passed.
    fn take(guard: &mut Guard, batch: Counts) -> Result<(), Refusal> {
        guard.judge(batch, "e")?;
        guard.passed(batch);
        Ok(())
    }

    proptest! {
        /// Whatever comes: among the last thousand records that passed, as batches, no more than the
        /// share are dead letters, or fewer than a hundred; and who allows all is never stopped.
        #[test]
        fn what_passes_holds_no_more_dead_letters_than_are_allowed(batches in batches()) {
            let (mut half, mut all) = (guard("0.5"), guard("1"));
            let mut passed: Vec<Counts> = vec![];
            for next in batches {
                prop_assert!(take(&mut all, next).is_ok());
                let was_on_trial = half.is_on_trial;
                match take(&mut half, next) {
                    Ok(()) => passed.push(next),
                    Err(refusal) => {
                        prop_assert!(next.letters > 0 && 2 * refusal.counts.letters > refusal.counts.records);
                        prop_assert_eq!(refusal.is_again, was_on_trial);
                        passed.clear();
                    }
                }
                let mut sum = Counts::default();
                for counts in passed.iter().rev() {
                    if sum.records >= RECORDS {
                        break;
                    }
                    sum = sum.and(*counts);
                }
                let ends_with_letters = passed.last().is_some_and(|last| last.letters > 0);
                prop_assert!(!ends_with_letters || sum.letters < LETTERS_MIN || 2 * sum.letters <= sum.records);
            }
        }

        /// A topic that cannot be read at all gives fewer than a hundred dead letters, however it is
        /// cut into batches and however often it is tried.
        #[test]
        fn a_wrong_format_empties_nothing_into_the_dead_letters(sizes in vec(1_u64..300, 0..60)) {
            let mut guard = guard("0.5");
            let passed = sizes.iter().filter(|size| take(&mut guard, batch(**size, **size)).is_ok());
            prop_assert!(passed.sum::<u64>() < LETTERS_MIN);
        }

        /// What was refused passes once it can be read, and is not held against what follows.
        #[test]
        fn who_can_be_read_again_is_read(before in batches(), records in 1_u64..400) {
            let mut guard = guard("0.5");
            for next in before {
                let _ = take(&mut guard, next);
            }
            prop_assert!(take(&mut guard, batch(records, 0)).is_ok());
            prop_assert!(!guard.is_on_trial);
        }
    }

    /// Whoever has to write dead letters again has not read them twice.
    #[test]
    fn a_batch_counts_once_however_often_it_is_judged() {
        let mut guard = guard("0.5");
        for _ in 0..9 {
            assert!(guard.judge(batch(40, 30), "e").is_ok());
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_what_to_do() {
        let mut guard = guard("0.5");
        assert!(take(&mut guard, batch(99, 99)).is_ok());
        let refusal = guard.judge(batch(2, 1), "line 1: expected a value").unwrap_err();
        let said = refusal.to_string();
        assert!(said.contains("100 of the last 101 records") && said.contains("line 1"), "{said}");
        assert!(said.contains("dead_letter_share_max=1"), "{said}");
        let refusal = guard.judge(batch(1, 1), "e").unwrap_err();
        assert!(refusal.is_again, "on trial one is enough");
    }
}
