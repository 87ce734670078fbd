//! Turns the records of a partition into rows: `RawRecord`s in, Arrow columns and dead letters out.
//!
//! Pure, and the costly part of the pipeline: it runs off the polling path.

pub mod json;
pub mod schemas;

mod avro;
mod bytes;
mod changes;
mod columns;
mod debezium;
mod frame;
mod ignore;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use common::identity::TopicId;
use common::messages::command::Source;
use common::messages::entry::{ChangeOptions, EntryError, EntryOptions};
use common::messages::format::{AvroFormat, FormatError, Place, RecordFormat, ValueFormat};
use common::partition::TopicPartition;

use crate::record::RawRecord;
use crate::table::schema::{Column, TableSchema};
use avro::compile::compile;
use schemas::{SchemaCache, SchemaId, Schemas};

pub use changes::{CHANGE_SEQUENCE, CHANGE_TYPE};
pub use frame::frame_fields;

/// Decodes the records of one partition. Clones share what was made of schemas.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: Arc<RecordFormat>,
    /// Of Avro data.
    schemas: Option<Arc<Schemas>>,
    /// Of the records' keys, where they tell which row is changed.
    key_schemas: Option<Arc<Schemas>>,
    /// Where rows change others.
    changes: Option<ChangeOptions>,
    /// Columns that a table of JSON records is to have, whatever comes.
    declared: Arc<[Column]>,
    partition: TopicPartition,
    topic_id: TopicId,
    /// Whether there will be no more columns than a table has.
    is_closed: bool,
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
    /// The fields of the primary key; none: it is not asked for.
    pub key: Vec<String>,
    /// Which records did not fit what was known when their turn came. They stay text, so that it
    /// makes no difference which records were decoded together.
    misfits: BTreeSet<usize>,
}

impl Wider {
    fn new(columns: Vec<Column>) -> Self {
        Self { columns, key: Vec::new(), misfits: BTreeSet::new() }
    }
}

/// The rows of a batch, in the order of their offsets, and the records that are no rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The `kafka_*` columns and those columns of the table for which a record had a value.
    pub batch: RecordBatch,
    pub dead_letters: Vec<DeadLetter>,
    /// Rows whose record did not fit and stands as text in `kafka_unparsed`.
    pub unparsed: usize,
    /// Records that the service entry says are to be skipped.
    pub ignored: usize,
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
    /// Avro data that is not what its schema says.
    InvalidAvro,
    /// What stands before the data does not name a schema.
    NotFramed,
    /// The schema that it names is nowhere to be found.
    UnknownSchema,
    /// Data of the schema that it names cannot be read.
    UnusableSchema,
    /// No change event of Debezium.
    NotAnEnvelope,
    /// A change event that cannot be done to one row of a table that shows the present state.
    InapplicableChange,
    /// A value does not fit its column, and the service entry wants such records here.
    Misfit,
    /// The sink cannot take the row.
    RefusedBySink,
}

impl DeadLetterReason {
    pub const ALL: &'static [Self] = &[
        Self::InvalidJson,
        Self::NotAnObject,
        Self::DuplicateKey,
        Self::LoneSurrogate,
        Self::TooDeep,
        Self::InvalidAvro,
        Self::NotFramed,
        Self::UnknownSchema,
        Self::UnusableSchema,
        Self::NotAnEnvelope,
        Self::InapplicableChange,
        Self::Misfit,
        Self::RefusedBySink,
    ];

    /// As a header of the dead letter and a label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateKey => "duplicate_key",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TooDeep => "too_deep",
            Self::InvalidAvro => "invalid_avro",
            Self::NotFramed => "not_framed",
            Self::UnknownSchema => "unknown_schema",
            Self::UnusableSchema => "unusable_schema",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::InapplicableChange => "inapplicable_change",
            Self::Misfit => "misfit",
            Self::RefusedBySink => "refused_by_sink",
        }
    }
}

impl Decoder {
    /// The decoder that a service entry asks for; schemas of a registry are taken from `cache`.
    pub fn new(
        source: &Source,
        partition: TopicPartition,
        topic_id: TopicId,
        cache: &Arc<SchemaCache>,
    ) -> Result<Self, EntryError> {
        let Source { format, sink, options, .. } = source;
        let EntryOptions { format, table, .. } = EntryOptions::parse(format, sink, options)?;
        let changes = table.changes;
        let schemas = |avro: &AvroFormat, columns| Schemas::new(avro, columns, Arc::clone(cache));
        let schemas_of_values = match &format.values {
            ValueFormat::Avro(avro) => Some(schemas(avro, avro::columns)),
            ValueFormat::Debezium(debezium) => {
                let columns = debezium::to_columns(debezium.has_before, changes.is_some());
                debezium.avro.as_ref().map(|avro| schemas(avro, columns))
            }
            ValueFormat::Json { .. } | ValueFormat::Bytes => None,
        };
        // Where the key is named, whatever stands in records' keys is not looked at.
        let needs_keys = changes.as_ref().is_some_and(|changes| changes.primary_key.is_empty());
        let key_format = key_format(&format.values).filter(|_| needs_keys);
        let key_schemas = key_format.map(|format| Arc::new(schemas(&format, avro::columns)));
        let schemas = schemas_of_values;
        if let Some(schemas) = &schemas {
            schemas.check().map_err(FormatError::Schema)?;
        }
        let declared =
            declared(&format.values, changes.is_some()).map_err(FormatError::Schema)?.into();
        let (format, schemas) = (Arc::new(format), schemas.map(Arc::new));
        let is_closed = false;
        Ok(Self { format, schemas, key_schemas, changes, declared, partition, topic_id, is_closed })
    }

    /// The same for a table that gets no more columns: records that need others do not fit.
    pub fn closed(&self) -> Self {
        Self { is_closed: true, ..self.clone() }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Whether headers matter to records that become rows.
    pub fn needs_headers(&self) -> bool {
        let place = self.format.ignore.as_ref().map(|ignore| &ignore.place);
        self.format.has_headers || matches!(place, Some(Place::Header(_)))
    }

    /// Whether every record is a row, whatever it holds.
    pub(crate) fn takes_all(&self) -> bool {
        self.format.values == ValueFormat::Bytes && self.format.ignore.is_none()
    }

    /// The registry's schemas that `records` need and the cache has not. Without them their records would be dead letters.
    pub fn unknown_schemas(&self, records: &[RawRecord]) -> BTreeSet<SchemaId> {
        let Some(schemas) = &self.schemas else { return BTreeSet::new() };
        let mut unknown =
            schemas.unknown(records.iter().filter_map(|record| record.value.as_deref()));
        if let Some(schemas) = &self.key_schemas {
            unknown.extend(schemas.unknown(records.iter().filter_map(|it| it.key.as_deref())));
        }
        unknown
    }

    /// Decodes `records`, which ascend by offset and hold less than 2 GiB together.
    ///
    /// The outcome depends on the records and the schemas alone; where a batch ends changes nothing.
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
        match (&self.format.values, &self.schemas) {
            (ValueFormat::Avro(_), Some(schemas)) => {
                avro::decode(self, schemas, avro::read_record, records, schema)
            }
            (ValueFormat::Debezium(_), Some(schemas)) => {
                let read = if self.changes.is_some() {
                    debezium::read_avro_change
                } else {
                    debezium::read_avro
                };
                avro::decode(self, schemas, read, records, schema)
            }
            (ValueFormat::Bytes, _) => bytes::decode(self, records, schema),
            _ => json::decode(self, misfits, records, schema),
        }
    }
}

/// How the keys of records are written, if that can be known.
fn key_format(values: &ValueFormat) -> Option<AvroFormat> {
    let ValueFormat::Debezium(debezium) = values else { return None };
    let has_ids = matches!(debezium.avro, Some(AvroFormat::Confluent { .. }));
    has_ids.then_some(AvroFormat::Confluent { reader: None })
}

fn declared(values: &ValueFormat, has_changes: bool) -> Result<Vec<Column>, String> {
    match values {
        ValueFormat::Json { schema: Some(schema) } => {
            let shape = compile(schema, None).map_err(|error| error.to_string())?;
            avro::columns(&shape)
        }
        ValueFormat::Debezium(_) => Ok(debezium::own_columns(has_changes)),
        _ => Ok(Vec::new()),
    }
}
