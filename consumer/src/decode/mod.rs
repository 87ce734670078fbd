//! Turns the records of a partition into rows: `RawRecord`s in, Arrow columns and dead letters out.
//!
//! Pure, and the costly part of the pipeline: it runs off the polling path.

pub mod json;

mod bytes;
mod frame;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use arrow::array::RecordBatch;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;

use crate::record::RawRecord;
use crate::table::schema::{Column, TableSchema};

pub use frame::frame_fields;

/// How the values of a topic's records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One JSON object per record, one column per field.
    Json,
    /// The value as it is, in the binary column `value`.
    Bytes,
}

/// What a service entry asks for and no decoder can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the format `{0}` is unknown; known are `json` and `bytes`")]
    Format(String),
    #[error("the option `{0}` is unknown; known is `headers`")]
    Option(String),
    #[error("the option `headers` is `true` or `false`, not `{0}`")]
    Headers(String),
}

/// Decodes the records of one partition.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: Format,
    has_headers: bool,
    partition: TopicPartition,
    topic_id: TopicId,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// Every record is a row or a dead letter.
    Rows(Rows),
    /// The table must first be widened; then the same records are to be decoded again.
    Wider(Wider),
}

/// What a batch needs that its table has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Wider {
    /// The columns to have, those included that are there.
    pub columns: Vec<Column>,
    /// Which records did not fit what was known when their turn came. They stay text, so that it
    /// makes no difference which records were decoded together.
    misfits: BTreeSet<usize>,
}

/// The rows of a batch, in the order of their offsets, and the records that are no rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The `kafka_*` columns and those columns of the table for which a record had a value.
    pub batch: RecordBatch,
    pub dead_letters: Vec<DeadLetter>,
    /// Rows whose record did not fit and stands as text in `kafka_unparsed`.
    pub unparsed: usize,
}

/// A record that no retry can save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which of the decoded records it is.
    pub index: usize,
    pub offset: u64,
    pub reason: DeadLetterReason,
    /// What is wrong and where, for people.
    pub text: String,
}

/// Why a record is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    InvalidJson,
    NotAnObject,
    DuplicateKey,
    LoneSurrogate,
    TooDeep,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "bytes" => Ok(Self::Bytes),
            _ => Err(FormatError::Format(text.into())),
        }
    }
}

impl DeadLetterReason {
    pub const ALL: &'static [Self] = &[
        Self::InvalidJson,
        Self::NotAnObject,
        Self::DuplicateKey,
        Self::LoneSurrogate,
        Self::TooDeep,
    ];

    /// As a header of the dead letter and a label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateKey => "duplicate_key",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TooDeep => "too_deep",
        }
    }
}

impl Decoder {
    /// The decoder that a service entry asks for.
    pub fn new(
        source: &Source,
        partition: TopicPartition,
        topic_id: TopicId,
    ) -> Result<Self, FormatError> {
        let format = source.format.parse()?;
        let has_headers = headers_option(&source.options)?;
        Ok(Self { format, has_headers, partition, topic_id })
    }

    /// Decodes `records`, which ascend by offset and hold less than 2 GiB together.
    ///
    /// The outcome depends on the records and the schema alone; where a batch ends changes nothing.
    pub fn decode(&self, records: &[RawRecord], schema: &TableSchema) -> Decoded {
        self.decode_knowing(&BTreeSet::new(), records, schema)
    }

    /// Decodes the same records with the schema that was widened for them.
    pub fn decode_again(
        &self,
        wider: &Wider,
        records: &[RawRecord],
        schema: &TableSchema,
    ) -> Decoded {
        self.decode_knowing(&wider.misfits, records, schema)
    }

    fn decode_knowing(
        &self,
        misfits: &BTreeSet<usize>,
        records: &[RawRecord],
        schema: &TableSchema,
    ) -> Decoded {
        match self.format {
            Format::Json => json::decode(self, misfits, records, schema),
            Format::Bytes => bytes::decode(self, records, schema),
        }
    }
}

fn headers_option(options: &BTreeMap<String, String>) -> Result<bool, FormatError> {
    let mut has_headers = false;
    for (name, value) in options {
        if name != "headers" {
            return Err(FormatError::Option(name.clone()));
        }
        has_headers = value.parse().map_err(|_| FormatError::Headers(value.clone()))?;
    }
    Ok(has_headers)
}
