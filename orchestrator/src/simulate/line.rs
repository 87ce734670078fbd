//! Pure. The lines that `orchestrator simulate` reads and writes.

use std::collections::BTreeMap;

use common::partition::TopicPartition;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The rates of one step and the capacity of every consumer, in the same unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub capacity: u64,
    /// By topic and partition number: the order "as given" of the any-fit heuristics.
    pub rates: BTreeMap<TopicPartition, u64>,
}

/// The plan of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub assignment: BTreeMap<TopicPartition, u32>,
    /// Those that hold a partition.
    pub consumers: usize,
    /// The rates of partitions that changed their consumer ÷ capacity.
    pub r_score: f64,
    /// How long the plan took.
    pub micros: u64,
}

#[derive(Debug, Error)]
pub enum LineError {
    #[error(
        "line {line} is no step: expected {{\"capacity\": 100, \"rates\": {{\"orders/0\": 12}}}}"
    )]
    Malformed {
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("line {line} has a capacity of 0: no consumer could hold anything")]
    NoCapacity { line: usize },
}

impl Step {
    /// # Errors
    /// If the text is no step; `line` is its number, for the error.
    pub fn parse(text: &str, line: usize) -> Result<Self, LineError> {
        let step: Self =
            serde_json::from_str(text).map_err(|source| LineError::Malformed { line, source })?;
        if step.capacity == 0 {
            return Err(LineError::NoCapacity { line });
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::chain::Chain;

    #[test]
    fn what_is_wrong_is_said_by_line() {
        let error = |text| Chain(&Step::parse(text, 3).unwrap_err()).to_string();
        assert!(error("{").starts_with("line 3 is no step: expected {\"capacity\""));
        assert!(error(r#"{"capacity": 0, "rates": {}}"#).contains("capacity of 0"));
        assert!(error(r#"{"capacity": 9, "rates": {"orders": 1}}"#).contains("line 3"));
        assert!(error(r#"{"capacity": 9, "rates": {"a/0": -1}}"#).contains("line 3"));
        assert!(error(r#"{"capacity": 9, "rates": {}, "rate": 1}"#).contains("`rate`"));
    }
}
