//! Pure. Who may command: a leader's reign, its commands' order, and both together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A leader's reign: the offset of its `LeaderStarted` on partition 0 of the controller topic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// Counts the commands of one generation, over all consumers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A command's place in time, compared as a pair; a later term fences earlier ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term {
    pub generation: Generation,
    pub sequence: Sequence,
}

impl Term {
    pub fn new(generation: u64, sequence: u64) -> Self {
        Self { generation: Generation(generation), sequence: Sequence(sequence) }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.sequence)
    }
}

/// Text that is no term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `generation.sequence`, got `{0}`")]
pub struct TermError(String);

impl FromStr for Term {
    type Err = TermError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('.').and_then(|(generation, sequence)| {
            Some(Self::new(generation.parse().ok()?, sequence.parse().ok()?))
        });
        parsed.ok_or_else(|| TermError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_generation_fences_any_sequence() {
        assert!(Term::new(2, 0) > Term::new(1, 900));
        assert!(Term::new(2, 3) > Term::new(2, 2));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        assert_eq!("17.3".parse(), Ok(Term::new(17, 3)));
        assert!("17".parse::<Term>().is_err());
    }
}
