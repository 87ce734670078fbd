//! Pure. What people ask on partition 0 of the controller topic.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::identity::{ConsumerId, Nonce};

/// Which changes of the group are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scaling {
    /// Whatever nobody needs: consumers come and go, partitions move between consumers that live.
    #[default]
    All,
    /// Consumers are closed.
    In,
    /// Consumers are created.
    Out,
}

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

/// Lift the pin of these partitions; whether they are read stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpin {
    pub topic: String,
    /// Empty: all partitions of the topic.
    #[serde(default)]
    pub partitions: Vec<u32>,
    #[serde(default)]
    pub extra: Extra,
}

/// Leave the group as it is until a `Resume`. Partitions without an owner still get one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    #[serde(default)]
    pub scaling: Scaling,
    #[serde(default)]
    pub extra: Extra,
}

/// Go on by itself again. `All` lifts every `Pause`, and `DryRun`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    #[serde(default)]
    pub scaling: Scaling,
    #[serde(default)]
    pub extra: Extra,
}

/// Give what this consumer holds to others, and remove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    pub consumer: ConsumerId,
    /// Set: keep it after all, if it is not gone yet.
    #[serde(default)]
    pub lift: bool,
    #[serde(default)]
    pub extra: Extra,
}

/// From now on propose what is planned, and carry it out only when it is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    #[serde(default)]
    pub extra: Extra,
}

/// Carry out the proposed plan of this name, if it still is the one that is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    pub proposal: String,
    #[serde(default)]
    pub extra: Extra,
}
