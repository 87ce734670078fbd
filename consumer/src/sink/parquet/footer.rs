//! Pure. What an object says of itself in its Parquet footer: whose it is, what it covers, who wrote it.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use common::identity::{Nonce, TableId, TopicId};
use common::partition::TopicPartition;
use common::term::Term;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaDataReader};

const TOPIC: &str = "stowage.topic";
const TOPIC_ID: &str = "stowage.topic_id";
const PARTITION: &str = "stowage.partition";
const FROM: &str = "stowage.from";
const TO: &str = "stowage.to";
const LEADER_EPOCH: &str = "stowage.leader_epoch";
const TABLE_ID: &str = "stowage.table_id";
const SCHEMA_VERSION: &str = "stowage.schema_version";
const CONTROLLER_TOPIC_ID: &str = "stowage.controller_topic_id";
const TERM: &str = "stowage.term";
const NONCE: &str = "stowage.nonce";

/// An object's range and origin. Offsets from `from` up to, not including, `to` are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub from: u64,
    pub to: u64,
    /// Of the record before `to`.
    pub leader_epoch: Option<i32>,
    pub table_id: TableId,
    pub schema_version: u32,
    pub controller_topic_id: TopicId,
    /// The writer's: of the `Assign` that first gave it the partition.
    pub term: Term,
    /// New for every object that is encoded.
    pub nonce: Nonce,
}

/// Why bytes are no object of a chain.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    #[error("it is no Parquet file")]
    Parquet(#[source] parquet::errors::ParquetError),
    #[error("it ends before its footer is whole")]
    Short,
    #[error("its footer has no `{0}`")]
    Missing(&'static str),
    #[error("its footer says `{key}` = `{value}`")]
    Malformed { key: &'static str, value: String },
}

impl Footer {
    pub fn range(&self) -> Range<u64> {
        self.from..self.to
    }

    pub(super) fn to_key_values(&self) -> Vec<KeyValue> {
        let entry = |key: &str, value: &dyn Display| KeyValue::new(key.into(), value.to_string());
        let mut entries = vec![
            entry(TOPIC, &self.partition.topic()),
            entry(TOPIC_ID, &self.topic_id),
            entry(PARTITION, &self.partition.partition()),
            entry(FROM, &self.from),
            entry(TO, &self.to),
            entry(TABLE_ID, &self.table_id),
            entry(SCHEMA_VERSION, &self.schema_version),
            entry(CONTROLLER_TOPIC_ID, &self.controller_topic_id),
            entry(TERM, &self.term),
            entry(NONCE, &self.nonce),
        ];
        entries.extend(self.leader_epoch.map(|epoch| entry(LEADER_EPOCH, &epoch)));
        entries
    }

    fn from_key_values(entries: &[KeyValue]) -> Result<Self, FooterError> {
        let topic: String = required(entries, TOPIC)?;
        let footer = Self {
            partition: TopicPartition::new(&topic, required(entries, PARTITION)?),
            topic_id: required(entries, TOPIC_ID)?,
            from: required(entries, FROM)?,
            to: required(entries, TO)?,
            leader_epoch: optional(entries, LEADER_EPOCH)?,
            table_id: required(entries, TABLE_ID)?,
            schema_version: required(entries, SCHEMA_VERSION)?,
            controller_topic_id: required(entries, CONTROLLER_TOPIC_ID)?,
            term: required(entries, TERM)?,
            nonce: required(entries, NONCE)?,
        };
        if footer.to <= footer.from {
            return Err(FooterError::Malformed { key: TO, value: footer.to.to_string() });
        }
        Ok(footer)
    }
}

/// How many bytes at an object's end hold its footer, told by the last bytes of the object.
pub fn footer_size(tail: &[u8]) -> Result<usize, FooterError> {
    let last = tail.len().checked_sub(FOOTER_SIZE).and_then(|at| tail.get(at..));
    let last = last.and_then(|last| <&[u8; FOOTER_SIZE]>::try_from(last).ok());
    let last = last.ok_or(FooterError::Short)?;
    let tail = FooterTail::try_new(last).map_err(FooterError::Parquet)?;
    Ok(tail.metadata_length() + FOOTER_SIZE)
}

/// Reads the footer of an object from its bytes or from the end of them.
pub fn read_footer(tail: &Bytes) -> Result<Footer, FooterError> {
    let size = footer_size(tail)?;
    let start = tail.len().checked_sub(size).ok_or(FooterError::Short)?;
    let encoded = &tail[start..tail.len() - FOOTER_SIZE];
    let metadata = ParquetMetaDataReader::decode_metadata(encoded).map_err(FooterError::Parquet)?;
    let entries = metadata.file_metadata().key_value_metadata();
    Footer::from_key_values(entries.map_or(&[], Vec::as_slice))
}

fn required<T: FromStr>(entries: &[KeyValue], key: &'static str) -> Result<T, FooterError> {
    optional(entries, key)?.ok_or(FooterError::Missing(key))
}

fn optional<T: FromStr>(entries: &[KeyValue], key: &'static str) -> Result<Option<T>, FooterError> {
    let entry = entries.iter().find(|entry| entry.key == key);
    let Some(value) = entry.and_then(|entry| entry.value.as_ref()) else {
        return Ok(None);
    };
    let malformed = |_| FooterError::Malformed { key, value: value.clone() };
    value.parse().map(Some).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::SealedBatch;
    use crate::sink::parquet::object::{Compression, encode};
    use crate::table::schema::TableSchema;
    use proptest::prelude::*;
    use std::sync::Arc;
    use uuid::Uuid;

    fn footer() -> Footer {
        Footer {
            partition: TopicPartition::new("orders", 3),
            topic_id: TopicId(Uuid::from_u128(1)),
            from: 10,
            to: 20,
            leader_epoch: Some(7),
            table_id: TableId(Uuid::from_u128(2)),
            schema_version: 4,
            controller_topic_id: TopicId(Uuid::from_u128(3)),
            term: Term::new(5, 6),
            nonce: Nonce(8),
        }
    }

    fn object(footer: Footer) -> Bytes {
        let schema = Arc::new(TableSchema::default());
        let Range { start: from, end: to } = footer.range();
        let batch = SealedBatch { from, to, leader_epoch: None, rows: Vec::new(), schema };
        encode(footer, &batch, Compression::Zstd).unwrap().bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for footer in [footer(), Footer { leader_epoch: None, ..footer() }] {
            assert_eq!(read_footer(&object(footer.clone())).unwrap(), footer);
        }
    }

    #[test]
    fn a_range_that_covers_nothing_is_malformed() {
        let error = read_footer(&object(Footer { to: 10, ..footer() })).unwrap_err();
        assert_eq!(error.to_string(), "its footer says `stowage.to` = `10`");
    }

    #[test]
    fn a_parquet_file_of_others_lacks_our_keys() {
        let mut entries = footer().to_key_values();
        entries.retain(|entry| entry.key != TERM);
        let error = Footer::from_key_values(&entries).unwrap_err();
        assert_eq!(error.to_string(), "its footer has no `stowage.term`");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Damaged bytes are an error or the footer that they still say, never a panic.
        #[test]
        fn damage_is_no_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 0..64_usize) {
            let mut bytes = object(footer()).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read_footer(&Bytes::copy_from_slice(&bytes[cut.min(bytes.len())..]));
            let _ = read_footer(&Bytes::copy_from_slice(&bytes[..bytes.len() - cut.min(bytes.len())]));
        }

        /// Bytes of any kind are no footer.
        #[test]
        fn any_bytes_are_no_footer(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_marked: bool) {
            if is_marked && bytes.len() > 8 {
                let size = u32::try_from(bytes.len() - 8).unwrap();
                bytes.extend(size.to_le_bytes());
                bytes.extend(b"PAR1");
            }
            prop_assert!(read_footer(&bytes.into()).is_err());
        }
    }
}
