//! Pure. The schemas of Avro data: by what stands before the data, and as the data is read with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use common::avro_schema::AvroSchema;
use common::messages::format::AvroFormat;

use super::DeadLetterReason;
use super::avro::compile::{CompileError, compile};
use super::avro::node::Shape;
use super::rows::Defect;
use crate::table::schema::Column;

/// A schema's id in the registry.
pub type SchemaId = u32;

/// What the registry has under an id.
#[derive(Clone, Debug)]
pub enum Registered {
    Avro(Arc<AvroSchema>),
    /// There is none, for longer than a registry may take to hear of it.
    Missing,
    /// It is no schema that data can be read with.
    Unusable(String),
}

/// What the registry said of the ids that it was asked for, for all topics of this process.
#[derive(Debug, Default)]
pub struct SchemaCache(RwLock<BTreeMap<SchemaId, Registered>>);

/// How data of one schema is read.
#[derive(Debug)]
pub(super) struct WriterSchema {
    pub(super) shape: Shape,
    pub(super) columns: Vec<Column>,
}

/// What names a schema before the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SchemaKey {
    /// Nothing: there is one.
    Only,
    Id(SchemaId),
    Fingerprint([u8; 8]),
}

/// Makes the columns of a table for data of that shape.
pub(super) type ToColumns = fn(&Shape) -> Result<Vec<Column>, String>;
/// How data of a schema is read, or why it is not.
pub(super) type Made = Result<Arc<WriterSchema>, Defect>;

/// The schemas of one topic, each looked at once.
#[derive(Debug)]
pub(super) struct Schemas {
    format: AvroFormat,
    declared: BTreeMap<SchemaKey, Arc<AvroSchema>>,
    to_columns: ToColumns,
    cache: Arc<SchemaCache>,
    made: Mutex<BTreeMap<SchemaKey, Made>>,
}

impl SchemaCache {
    pub fn get(&self, id: SchemaId) -> Option<Registered> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn insert(&self, id: SchemaId, registered: Registered) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, registered);
    }
}

const CONFLUENT_MAGIC: u8 = 0;
const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xc3, 0x01];

impl Schemas {
    pub(super) fn new(format: &AvroFormat, to_columns: ToColumns, cache: Arc<SchemaCache>) -> Self {
        let declared = match format {
            AvroFormat::Raw { schema } => [(SchemaKey::Only, Arc::clone(schema))].into(),
            AvroFormat::Confluent { .. } => BTreeMap::new(),
            AvroFormat::SingleObject { schemas } => schemas
                .iter()
                .map(|schema| (SchemaKey::Fingerprint(schema.fingerprint()), Arc::clone(schema)))
                .collect(),
        };
        Self { format: format.clone(), declared, to_columns, cache, made: Mutex::default() }
    }

    /// Whether the service entry's own schemas can be used at all.
    pub(super) fn check(&self) -> Result<(), String> {
        if let AvroFormat::Confluent { reader: Some(reader) } = &self.format {
            self.compile(reader)?;
        }
        self.declared
            .keys()
            .try_for_each(|key| self.get(*key).map(drop).map_err(|defect| defect.text))
    }

    /// What names the schema of a record's value, and the data behind it.
    pub(super) fn split<'v>(&self, value: &'v [u8]) -> Result<(SchemaKey, &'v [u8]), Defect> {
        let wrong = |expected: &str| {
            let begin = &value[..value.len().min(10)];
            let text = format!("{expected}, but it begins with {begin:02x?}");
            Defect::new(DeadLetterReason::NotFramed, text)
        };
        match &self.format {
            AvroFormat::Raw { .. } => Ok((SchemaKey::Only, value)),
            AvroFormat::Confluent { .. } => match value.split_first_chunk::<5>() {
                Some(([CONFLUENT_MAGIC, id @ ..], data)) => {
                    Ok((SchemaKey::Id(u32::from_be_bytes(*id)), data))
                }
                _ => Err(wrong("the value begins with a 0 and the schema's id in 4 bytes")),
            },
            AvroFormat::SingleObject { .. } => match value.split_first_chunk::<10>() {
                Some(([first, second, fingerprint @ ..], data))
                    if [*first, *second] == SINGLE_OBJECT_MAGIC =>
                {
                    Ok((SchemaKey::Fingerprint(*fingerprint), data))
                }
                _ => Err(wrong("the value begins with c3 01 and the schema's fingerprint")),
            },
        }
    }

    /// Those ids among `values` for which there is no schema yet.
    pub(super) fn unknown<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> BTreeSet<SchemaId> {
        let id = |value| match self.split(value) {
            Ok((SchemaKey::Id(id), _)) => Some(id),
            _ => None,
        };
        let ids: BTreeSet<_> = values.filter_map(id).collect();
        let is_unknown =
            |id: &SchemaId| matches!(self.cache.get(*id), None | Some(Registered::Missing));
        ids.into_iter().filter(is_unknown).collect()
    }

    /// How data is read whose schema is named so, or why it is not.
    pub(super) fn get(&self, key: SchemaKey) -> Made {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.get(&key) {
            return made.clone();
        }
        let new = self.make(key);
        // What is missing today may be there tomorrow.
        if !matches!(&new, Err(defect) if defect.reason == DeadLetterReason::UnknownSchema) {
            made.insert(key, new.clone());
        }
        new
    }

    fn make(&self, key: SchemaKey) -> Made {
        let unknown = |text: String| Defect::new(DeadLetterReason::UnknownSchema, text);
        let unusable = |text: String| Defect::new(DeadLetterReason::UnusableSchema, text);
        let declared = self.declared.get(&key).cloned();
        let schema = match key {
            SchemaKey::Only => declared,
            SchemaKey::Fingerprint(fingerprint) => Some(declared.ok_or_else(|| {
                let number = u64::from_le_bytes(fingerprint);
                unknown(format!("the service entry has no schema of the fingerprint {number:016x}"))
            })?),
            SchemaKey::Id(id) => match self.cache.get(id) {
                Some(Registered::Avro(schema)) => Some(schema),
                Some(Registered::Unusable(problem)) => return Err(unusable(problem)),
                Some(Registered::Missing) | None => {
                    return Err(unknown(format!("the schema registry has no schema {id}")));
                }
            },
        };
        let schema = schema.expect("raw data has its schema from the service entry");
        let made = self.compile(&schema).map_err(unusable)?;
        Ok(Arc::new(made))
    }

    fn compile(&self, writer: &AvroSchema) -> Result<WriterSchema, String> {
        let reader = match &self.format {
            AvroFormat::Confluent { reader } => reader.as_deref(),
            _ => None,
        };
        let made = |writer, reader| {
            compile(writer, reader).map_err(|error: CompileError| error.to_string())
        };
        let shape = made(writer, reader)?;
        let columns = match reader {
            None => (self.to_columns)(&shape)?,
            Some(reader) => (self.to_columns)(&made(reader, None)?)?,
        };
        Ok(WriterSchema { shape, columns })
    }
}
