//! Pure. What people ask on partition 0 of the controller topic.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::identity::{ConsumerId, Nonce};

/// Read these partitions again, and, if a consumer is named, preferably there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartConsuming {
    pub topic: String,
    /// Empty: all partitions of the topic.
    #[serde(default)]
    pub partitions: Vec<u32>,
    /// A preference, kept until it is lifted: it yields to drain, death and absence.
    #[serde(default)]
    pub consumer: Option<ConsumerId>,
    #[serde(default)]
    pub extra: Extra,
}

/// Stop reading these partitions, until a `StartConsuming` lifts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConsuming {
    pub topic: String,
    /// Empty: all partitions of the topic.
    #[serde(default)]
    pub partitions: Vec<u32>,
    #[serde(default)]
    pub extra: Extra,
}

/// Asks the leader for a `Snapshot` that quotes the nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateQuery {
    #[serde(default)]
    pub nonce: Option<Nonce>,
    #[serde(default)]
    pub extra: Extra,
}
