//! Pure. What is remembered of a history: the promise that was broken, and what led to it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use common::partition::TopicPartition;

/// The promises of the protocol that can be checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// No loss: what lies below the committed offset is stored, or in a reported gap.
    I1,
    /// No duplicates in the sink.
    I2,
    /// Order per partition.
    I3,
    /// After the first write of a newer owner none of an older one is accepted, and no two owners
    /// with a valid lease.
    I4,
    /// In a planned move the release comes before the next owner's first record.
    I5,
    /// A partition is without an owner only for so long after a single fault.
    I6,
    /// When the faults end all converges, and then stays still.
    I7,
    /// A stale, forged, repeated, truncated or unknown command changes nothing.
    I8,
    /// Bounded memory, and no busy loops.
    I9,
    /// Lag returns after healing.
    I10,
    /// What the code itself says cannot happen.
    Assertion,
}

/// A promise that was broken: what a history panics with.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) partition: Option<TopicPartition>,
    pub(crate) text: String,
}

impl Violation {
    /// What a history ended with.
    pub(crate) fn of(panic: Box<dyn Any + Send>) -> Self {
        let text = match panic.downcast::<Self>() {
            Ok(violation) => return *violation,
            Err(panic) => match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(panic) => {
                    panic.downcast::<&str>().map_or_else(|_| String::new(), |text| (*text).into())
                }
            },
        };
        Self { invariant: Invariant::Assertion, partition: None, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken: {}", self.invariant, self.text)
    }
}

/// Ends the history.
pub(crate) fn broken(
    invariant: Invariant,
    partition: Option<&TopicPartition>,
    text: impl Into<String>,
) -> ! {
    let (partition, text) = (partition.cloned(), text.into());
    std::panic::panic_any(Violation { invariant, partition, text })
}

/// One thing that happened; without a partition it concerns all of them.
#[derive(Clone, Debug)]
struct Line {
    at: Duration,
    partition: Option<TopicPartition>,
    text: String,
}

#[derive(Debug, Default)]
struct Record {
    lines: Option<Vec<Line>>,
    now: Duration,
}

thread_local! {
    /// One history runs on a thread at a time.
    static RECORD: RefCell<Record> = RefCell::default();
}

/// Begins to remember, or not to: whoever runs thousands of histories does not look at them.
pub(crate) fn begin(is_recording: bool) {
    RECORD.with_borrow_mut(|record| record.lines = is_recording.then(Vec::new));
}

pub(crate) fn set_time(now: Duration) {
    RECORD.with_borrow_mut(|record| record.now = now);
}

/// Remembers what happened, if anybody wants to know.
pub(crate) fn note(partition: Option<&TopicPartition>, text: impl FnOnce() -> String) {
    RECORD.with_borrow_mut(|record| {
        let at = record.now;
        if let Some(lines) = &mut record.lines {
            lines.push(Line { at, partition: partition.cloned(), text: text() });
        }
    });
}

/// The last lines about `partition`, or about anything.
pub(crate) fn last(partition: Option<&TopicPartition>, count: usize) -> String {
    RECORD.with_borrow(|record| {
        let concerns = |line: &&Line| {
            partition.is_none() || line.partition.is_none() || line.partition.as_ref() == partition
        };
        let lines: Vec<_> = record.lines.iter().flatten().filter(concerns).collect();
        let shown = lines[lines.len().saturating_sub(count)..].iter().map(|line| {
            let about = line.partition.as_ref().map_or(String::new(), |about| format!("{about}: "));
            format!("{:9.3} s  {about}{}", line.at.as_secs_f64(), line.text)
        });
        shown.collect::<Vec<_>>().join("\n")
    })
}
