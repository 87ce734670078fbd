//! Pure. What passes between a partition's lane and its sink.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use common::identity::TopicId;
use common::partition::TopicPartition;
use common::position::{CommitMetadata, HandOver, Position};
use common::term::Term;

use super::Writer;
use super::bigquery::client::CallError;
use super::pack::Packed;
use super::store::StoreError;
use crate::lease_watch::{LeaseLost, LeaseWatch};
use crate::table::schema::TableSchema;

/// All that decides where a partition's reading goes on.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    pub partition: TopicPartition,
    /// As the cluster says now.
    pub topic_id: TopicId,
    pub controller_topic_id: TopicId,
    /// Of the `Assign` that first gave the partition to this incarnation.
    pub term: Term,
    pub hand_over: Option<HandOver>,
    pub committed: Option<Committed>,
    /// The first offset that the topic still has.
    pub log_start: u64,
    /// By order the rows go to another table from now on: positions in the old one hold.
    pub has_changed_table: bool,
    /// Where the rows are to begin in a table that has none of the partition, whatever was read into
    /// another one.
    pub begin_at: Option<u64>,
    pub lease: LeaseWatch,
}

/// The group's committed offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: u64,
    /// `None`: a person or another program set it.
    pub metadata: Option<CommitMetadata>,
}

/// A partition that is ready to be read.
#[derive(Debug)]
pub struct Opened {
    pub writer: Writer,
    pub position: Position,
    /// First offset of the newest object, to be named by commits.
    pub newest_object: Option<u64>,
    /// Fence tokens to announce and to have acknowledged before the first write.
    pub tokens: Vec<String>,
    /// Offsets that the log no longer has, recorded in the sink as a range without rows.
    pub gap: Option<Range<u64>>,
    /// A committed offset without our metadata that counted for nothing, to be reported.
    pub overruled: Option<u64>,
}

/// What is written at once: rows that follow one another, and the range of offsets they cover.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    /// Where the writer stands.
    pub from: u64,
    /// The last record's offset + 1.
    pub to: u64,
    /// Of the last record.
    pub leader_epoch: Option<i32>,
    /// As decoded, ascending by offset; none where all records are dead letters or gone.
    pub rows: Vec<Packed>,
    /// The newest schema that any of the rows was decoded with.
    pub schema: Arc<TableSchema>,
}

/// How far a partition is stored after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The first offset that is not stored: reading goes on there, and commits name it.
    pub position: Position,
    /// First offset of the newest object, to be named by commits.
    pub newest_object: Option<u64>,
    /// Rows and bytes that this write added itself.
    pub rows: u64,
    pub bytes: u64,
}

/// What keeps a partition from being opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("failed to store offsets {from} to {to} of {partition}; the outcome is unknown")]
    Write {
        partition: TopicPartition,
        from: u64,
        to: u64,
        #[source]
        source: StoreError,
    },
    #[error("failed to read {what} of table `{table}`")]
    Read {
        table: String,
        what: &'static str,
        #[source]
        source: StoreError,
    },
    #[error("{partition} was written under the later term {by}")]
    Fenced { partition: TopicPartition, by: Term },
    #[error("the write stream of {partition} was ended by a later owner")]
    StreamFinalized { partition: TopicPartition },
    #[error("the sink refuses {} rows of {partition}, the first at offset {}", rows.len(), first(rows))]
    RowsRefused {
        partition: TopicPartition,
        /// By offset, with what is wrong.
        rows: BTreeMap<u64, String>,
    },
    #[error("{what}")]
    Service {
        /// What was to be done, and with which table or partition.
        what: String,
        #[source]
        source: CallError,
    },
    #[error("{partition} may not be written")]
    Lease {
        partition: TopicPartition,
        #[source]
        source: LeaseLost,
    },
    #[error("{partition} is blocked: {reason}")]
    Blocked { partition: TopicPartition, reason: BlockedReason },
    #[error("table `{table}` cannot be used: {reason}")]
    Refused { table: String, reason: String },
}

/// What a person has to look at before a partition can go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockedReason {
    #[error("the object {object} that the committed offset names is missing")]
    ChainMissing { object: String },
    #[error("{what} {offset} is ahead of the stored objects, which end at {end}")]
    AheadOfChain { what: &'static str, offset: u64, end: u64 },
    #[error("{what} belongs to {other}, not to this table")]
    OtherTable { what: &'static str, other: String },
    #[error("the object {object} cannot be used: {problem}")]
    Object { object: String, problem: String },
    #[error("the batch begins at {from}, the stored objects end at {end}")]
    Hole { from: u64, end: u64 },
    #[error("the rows of offsets {from} to {to} cannot be encoded: {problem}")]
    Encoding { from: u64, to: u64, problem: String },
    #[error("its write stream cannot be gone on with: {problem}")]
    Stream { problem: String },
}

/// Records whose rows a sink refused, by offset, with what is wrong: they are dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condemned(BTreeMap<u64, String>);

impl Condemned {
    /// These as well.
    pub fn with(&self, rows: BTreeMap<u64, String>) -> Self {
        let mut all = self.0.clone();
        all.extend(rows);
        Self(all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the record at `offset`.
    pub fn problem(&self, offset: u64) -> Option<&str> {
        self.0.get(&offset).map(String::as_str)
    }
}

fn first(rows: &BTreeMap<u64, String>) -> u64 {
    rows.keys().next().copied().unwrap_or_default()
}

impl SinkError {
    /// True if another owner of the partition writes now.
    pub fn is_fence(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::StreamFinalized { .. })
    }

    /// True if the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Write { source, .. } | Self::Read { source, .. } => source.is_transient(),
            Self::Service { source, .. } => source.is_transient(),
            Self::StreamFinalized { .. }
            | Self::RowsRefused { .. }
            | Self::Fenced { .. }
            | Self::Lease { .. }
            | Self::Blocked { .. }
            | Self::Refused { .. } => false,
        }
    }
}
