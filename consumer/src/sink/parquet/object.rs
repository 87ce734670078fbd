//! Pure. An object of a partition's chain: its name, what its footer says, and its bytes.

use std::iter;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, ListArray, MapArray, RecordBatch, StructArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::chunk::{Chunk, new_file};
use super::footer::Footer;
use crate::decode::frame_fields;
use crate::sink::{Packed, SealedBatch};
use crate::table::schema::TableSchema;

/// How the columns of objects are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    Zstd,
    Snappy,
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "zstd" => Ok(Self::Zstd),
            "snappy" => Ok(Self::Snappy),
            _ => Err(format!("the compression is `zstd` or `snappy`, not `{text}`")),
        }
    }
}

/// An object that is ready to be put, again and again with the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) footer: Footer,
    pub(super) bytes: Bytes,
    pub(super) rows: u64,
}

/// Makes an object of the rows of `batch` from the footer's first offset on.
pub(super) fn encode(
    footer: Footer,
    batch: &SealedBatch,
    compression: Compression,
) -> Result<Object, ParquetError> {
    let chunks = || batch.rows.iter().filter_map(Packed::chunk);
    let schema = object_schema(chunks().map(Chunk::schema), &batch.schema);
    // Readers need no copy of the Arrow schema: every type that we use is Parquet's own.
    let mut file = new_file(&schema, properties(&footer, compression)?)?;
    let mut rows = 0;
    for chunk in chunks() {
        if let Some(chunk) = chunk.reshaped(footer.from, &schema, compression)? {
            rows += chunk.rows();
            chunk.append_to(&mut file)?;
        }
    }
    Ok(Object { footer, bytes: file.into_inner()?.into(), rows })
}

/// Encodes decoded rows of a table that has `schema` now.
pub(in crate::sink) fn pack(
    rows: &RecordBatch,
    schema: &TableSchema,
    compression: Compression,
) -> Result<Chunk, ParquetError> {
    Chunk::pack(rows, &object_schema(iter::once(&rows.schema()), schema), compression)
}

fn properties(footer: &Footer, compression: Compression) -> Result<WriterProperties, ParquetError> {
    let builder = writer_properties(compression)?;
    Ok(builder.set_key_value_metadata(Some(footer.to_key_values())).build())
}

/// How all our files are written.
pub(crate) fn writer_properties(
    compression: Compression,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let compression = match compression {
        Compression::Zstd => ParquetCompression::ZSTD(ZstdLevel::try_new(1)?),
        Compression::Snappy => ParquetCompression::SNAPPY,
    };
    let builder = WriterProperties::builder();
    Ok(builder
        .set_compression(compression)
        .set_created_by(concat!("stowage ", env!("CARGO_PKG_VERSION")).into())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled("kafka_offset".into(), false)
        .set_column_dictionary_enabled("kafka_timestamp".into(), false))
}

/// The columns of the object: all of the table's, and those of ours that a row can have.
fn object_schema<'s>(
    of_rows: impl Iterator<Item = &'s SchemaRef> + Clone,
    table: &TableSchema,
) -> SchemaRef {
    let has = |name: &str| of_rows.clone().any(|schema| schema.index_of(name).is_ok());
    let ours = frame_fields().into_iter();
    let ours = ours.filter(|field| !is_optional(field.name()) || has(field.name()));
    Arc::new(Schema::new(ours.chain(table.arrow_fields()).collect::<Vec<_>>()))
}

pub(crate) fn is_optional(name: &str) -> bool {
    matches!(name, "kafka_headers" | "kafka_unparsed")
}

/// The same rows with all columns of a later schema.
pub(crate) fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) => widened_array(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn widened_array(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match wanted {
        _ if array.data_type() == wanted => Ok(Arc::clone(array)),
        DataType::Struct(fields) => {
            let narrow = struct_array(array, wanted)?;
            let child = |field: &Arc<Field>| match narrow.column_by_name(field.name()) {
                Some(child) => widened_array(child, field.data_type()),
                None => Ok(new_null_array(field.data_type(), narrow.len())),
            };
            let children = fields.iter().map(child).collect::<Result<Vec<_>, _>>()?;
            let nulls = narrow.nulls().cloned();
            let wide =
                StructArray::try_new_with_length(fields.clone(), children, nulls, narrow.len())?;
            Ok(Arc::new(wide))
        }
        DataType::List(field) => {
            let narrow = array.as_list_opt::<i32>().ok_or_else(|| changed(array, wanted))?;
            let elements = widened_array(narrow.values(), field.data_type())?;
            let (offsets, nulls) = (narrow.offsets().clone(), narrow.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, nulls)?))
        }
        DataType::Map(field, is_sorted) => {
            let narrow = array.as_map_opt().ok_or_else(|| changed(array, wanted))?;
            let entries: ArrayRef = Arc::new(narrow.entries().clone());
            let entries = widened_array(&entries, field.data_type())?.as_struct().clone();
            let (ends, nulls) = (narrow.offsets().clone(), narrow.nulls().cloned());
            let wide = MapArray::try_new(Arc::clone(field), ends, entries, nulls, *is_sorted)?;
            Ok(Arc::new(wide))
        }
        _ => Err(changed(array, wanted)),
    }
}

fn struct_array<'a>(array: &'a ArrayRef, wanted: &DataType) -> Result<&'a StructArray, ArrowError> {
    array.as_struct_opt().ok_or_else(|| changed(array, wanted))
}

fn changed(array: &ArrayRef, wanted: &DataType) -> ArrowError {
    let text = format!("a column changed its type from {} to {wanted}", array.data_type());
    ArrowError::SchemaError(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoded, Decoder};
    use crate::record::RawRecord;
    use common::identity::{Nonce, TableId, TopicId};
    use common::messages::command::Source;
    use common::partition::TopicPartition;
    use common::term::Term;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use uuid::Uuid;

    fn rows(schema: &mut TableSchema, offset: u64, value: &'static str) -> Packed {
        let source = Source {
            table: "t".into(),
            format: "json".into(),
            sink: "parquet".into(),
            options: [].into(),
        };
        let id = TopicId(Uuid::nil());
        let decoder =
            Decoder::new(&source, TopicPartition::new("orders", 3), id, &Arc::default()).unwrap();
        let value = Some(Bytes::from_static(value.as_bytes()));
        let records = [RawRecord { offset, value, ..RawRecord::default() }];
        if let Decoded::Wider(wider) = decoder.decode(&records, schema) {
            *schema = schema.widened(&wider.columns).unwrap();
        }
        match decoder.decode(&records, schema) {
            Decoded::Rows(rows) => {
                Packed::Parquet(pack(&rows.batch, schema, Compression::Snappy).unwrap())
            }
            Decoded::Wider(wider) => panic!("{wider:?}"),
        }
    }

    fn footer(from: u64, to: u64, schema_version: u32) -> Footer {
        let id = TopicId(Uuid::nil());
        Footer {
            partition: TopicPartition::new("orders", 3),
            topic_id: id,
            from,
            to,
            leader_epoch: None,
            table_id: TableId(Uuid::nil()),
            schema_version,
            controller_topic_id: id,
            term: Term::new(1, 1),
            nonce: Nonce(1),
        }
    }

    /// Rows of older schemas get the columns and nested fields that came later, as nulls.
    #[test]
    fn older_rows_are_widened() {
        let mut schema = TableSchema::default();
        let values = [
            r#"{"l": [{"x": 1}, null], "s": {"t": {"a": true}}}"#,
            r#"{"l": [{"y": "b"}], "s": {"t": {"b": 2}, "u": 3}}"#,
            r#"{"n": 0.5}"#,
        ];
        let rows = (0_u64..).zip(values).map(|(at, value)| rows(&mut schema, at, value)).collect();
        let version = schema.version;
        assert_eq!(version, 3);
        let schema = Arc::new(schema);
        let batch = SealedBatch { from: 0, to: 3, leader_epoch: None, rows, schema };
        for compression in [Compression::Zstd, Compression::Snappy] {
            let object = encode(footer(0, 3, version), &batch, compression).unwrap();
            assert_eq!(object.rows, 3);
            let reader = ParquetRecordBatchReaderBuilder::try_new(object.bytes).unwrap();
            let read: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
            let lists = read[0].column_by_name("l").unwrap().as_list::<i32>().clone();
            let elements = lists.values().as_struct().clone();
            assert_eq!(elements.column_names(), ["x", "y"]);
            let y = elements.column_by_name("y").unwrap().as_string::<i32>();
            assert_eq!(y.iter().collect::<Vec<_>>(), [None, None, Some("b")]);
            assert!(lists.is_null(2) && elements.is_null(1) && elements.is_valid(0));
            let structs = read[0].column_by_name("s").unwrap().as_struct().clone();
            let nested = structs.column_by_name("t").unwrap().as_struct();
            assert_eq!(nested.column_names(), ["a", "b"]);
            assert!(nested.column_by_name("b").unwrap().is_null(0) && structs.is_null(2));
        }
    }

    /// Rows that another owner stored are left out of what is put behind them.
    #[test]
    fn only_the_rest_is_encoded() {
        let mut schema = TableSchema::default();
        let rows = (3..6).map(|at| rows(&mut schema, at * 10, "{}")).collect();
        let schema = Arc::new(schema);
        let batch = SealedBatch { from: 30, to: 51, leader_epoch: None, rows, schema };
        let encoded = |from| encode(footer(from, 51, 0), &batch, Compression::Zstd).unwrap().rows;
        assert_eq!(
            [encoded(30), encoded(31), encoded(40), encoded(41), encoded(51)],
            [3, 2, 2, 1, 0]
        );
    }
}
