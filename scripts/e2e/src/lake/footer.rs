//! Pure. What an object says about itself in its footer: the range it covers, and who wrote it.

use std::collections::BTreeMap;

use bytes::Bytes;
use common::term::Term;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

/// The part of an object's footer that makes it a link of its partition's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub topic: String,
    pub topic_id: String,
    pub partition: u32,
    pub from: u64,
    /// The last record's offset + 1.
    pub to: u64,
    pub table_id: String,
    pub controller_topic_id: String,
    /// Of the owner that wrote the object.
    pub term: Term,
    pub rows: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    #[error("no readable Parquet footer")]
    Parquet {
        #[source]
        source: ParquetError,
    },
    #[error("the footer has no usable {0}")]
    Field(&'static str),
}

impl Footer {
    /// Reads the footer of a whole object.
    pub fn read(object: &Bytes) -> Result<Self, FooterError> {
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(object)
            .map_err(|source| FooterError::Parquet { source })?;
        let file = metadata.file_metadata();
        let pairs = file.key_value_metadata().into_iter().flatten();
        let fields: BTreeMap<&str, &str> =
            pairs.filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?))).collect();
        Ok(Self {
            topic: field(&fields, "stowage.topic")?,
            topic_id: field(&fields, "stowage.topic_id")?,
            partition: field(&fields, "stowage.partition")?,
            from: field(&fields, "stowage.from")?,
            to: field(&fields, "stowage.to")?,
            table_id: field(&fields, "stowage.table_id")?,
            controller_topic_id: field(&fields, "stowage.controller_topic_id")?,
            term: field(&fields, "stowage.term")?,
            rows: u64::try_from(file.num_rows()).map_err(|_| FooterError::Field("row count"))?,
        })
    }
}

fn field<T: std::str::FromStr>(
    fields: &BTreeMap<&str, &str>,
    key: &'static str,
) -> Result<T, FooterError> {
    fields.get(key).and_then(|text| text.parse().ok()).ok_or(FooterError::Field(key))
}
