//! Pure. The `kafka_*` columns that every row has: where its record stood and what was around its value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Int32Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::Decoder;
use super::changes::{CHANGE_SEQUENCE, CHANGE_TYPE, Change};
use crate::record::RawRecord;
use crate::table::schema::list_field;

/// The columns `kafka_topic` to `kafka_unparsed` as Arrow fields, in the order in which they are stored.
pub fn frame_fields() -> Vec<Field> {
    vec![
        Field::new("kafka_topic", DataType::Utf8, false),
        Field::new("kafka_topic_id", DataType::Utf8, false),
        Field::new("kafka_partition", DataType::Int32, false),
        Field::new("kafka_offset", DataType::Int64, false),
        Field::new("kafka_timestamp", timestamp_type(), true),
        Field::new("kafka_key", DataType::Binary, true),
        headers_field(),
        Field::new("kafka_tombstone", DataType::Boolean, true),
        Field::new("kafka_unparsed", DataType::Utf8, true),
    ]
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn header_fields() -> Fields {
    let key = Field::new("key", DataType::Utf8, true);
    Fields::from(vec![key, Field::new("value", DataType::Binary, true)])
}

/// A list rather than a map: headers may repeat, and their order means something.
fn headers_field() -> Field {
    let element = list_field(DataType::Struct(header_fields()));
    Field::new("kafka_headers", DataType::List(Arc::new(element)), true)
}

type HeadersBuilder = ListBuilder<StructBuilder>;

/// The `kafka_*` columns while they are filled.
#[derive(Debug)]
pub(super) struct Frame {
    topic: String,
    topic_id: String,
    partition: i32,
    offsets: Int64Builder,
    timestamps: TimestampMillisecondBuilder,
    keys: BinaryBuilder,
    headers: Option<HeadersBuilder>,
    tombstones: BooleanBuilder,
    unparsed: Option<StringBuilder>,
    /// What each row does, where rows change others.
    changes: Option<[StringBuilder; 2]>,
}

impl Frame {
    /// For up to `rows` rows; `has_unparsed` where values may fail to fit.
    pub(super) fn new(decoder: &Decoder, rows: usize, has_unparsed: bool) -> Self {
        let partition = decoder.partition.partition();
        Self {
            topic: decoder.partition.topic().into(),
            topic_id: decoder.topic_id.to_string(),
            partition: i32::try_from(partition).expect("Kafka numbers partitions with 31 bits"),
            offsets: Int64Builder::with_capacity(rows),
            timestamps: TimestampMillisecondBuilder::with_capacity(rows).with_timezone("UTC"),
            keys: BinaryBuilder::new(),
            headers: decoder.format.has_headers.then(headers_builder),
            tombstones: BooleanBuilder::with_capacity(rows),
            unparsed: has_unparsed.then(StringBuilder::new),
            changes: None,
        }
    }

    /// Adds the row of `record`, with the text that did not fit its columns.
    pub(super) fn push(&mut self, record: &RawRecord, unparsed: Option<&str>) {
        let offset = i64::try_from(record.offset).expect("Kafka counts offsets with 63 bits");
        self.offsets.append_value(offset);
        self.timestamps.append_option(record.timestamp_ms);
        self.keys.append_option(record.key.as_deref());
        self.tombstones.append_value(record.value.is_none());
        if let Some(texts) = &mut self.unparsed {
            texts.append_option(unparsed);
        }
        if let Some(headers) = &mut self.headers {
            push_headers(headers, &record.headers);
        }
    }

    /// The same of a row that changes others, as all rows of the batch do.
    pub(super) fn push_change(&mut self, record: &RawRecord, change: &Change) {
        self.push(record, None);
        let [kinds, sequences] = self.changes.get_or_insert_default();
        kinds.append_value(change.kind.name());
        sequences.append_value(&change.sequence);
    }

    /// All columns of the rows: ours, then those of the records, then what they do to others.
    pub(super) fn finish(mut self, fields: Vec<Field>, arrays: Vec<ArrayRef>) -> RecordBatch {
        let offsets = self.offsets.finish();
        let rows = arrow::array::Array::len(&offsets);
        let repeated =
            |text: &str| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)));
        let (topics, topic_ids) = (repeated(&self.topic), repeated(&self.topic_id));
        let partitions = Arc::new(Int32Array::from_value(self.partition, rows));
        let ours: [Option<ArrayRef>; 9] = [
            Some(topics),
            Some(topic_ids),
            Some(partitions),
            Some(Arc::new(offsets)),
            Some(Arc::new(self.timestamps.finish())),
            Some(Arc::new(self.keys.finish())),
            self.headers.map(|mut headers| Arc::new(headers.finish()) as ArrayRef),
            Some(Arc::new(self.tombstones.finish())),
            self.unparsed.map(|mut texts| Arc::new(texts.finish()) as ArrayRef),
        ];
        let ours = frame_fields().into_iter().zip(ours);
        let ours = ours.filter_map(|(field, array)| Some((field, array?)));
        let changes =
            [CHANGE_TYPE, CHANGE_SEQUENCE].into_iter().zip(self.changes.into_iter().flatten());
        let changes = changes.map(|(name, mut texts)| {
            (Field::new(name, DataType::Utf8, false), Arc::new(texts.finish()) as ArrayRef)
        });
        let theirs = fields.into_iter().zip(arrays);
        let (fields, arrays): (Vec<_>, Vec<_>) = ours.chain(theirs).chain(changes).unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("each column has the type of its field and one value per row")
    }
}

fn headers_builder() -> HeadersBuilder {
    let structs = StructBuilder::from_fields(header_fields(), 0);
    ListBuilder::new(structs).with_field(list_field(DataType::Struct(header_fields())))
}

fn push_headers(builder: &mut HeadersBuilder, headers: &[(String, Option<bytes::Bytes>)]) {
    let expected = "the builder was made from these fields";
    for (key, value) in headers {
        let structs = builder.values();
        structs.field_builder::<StringBuilder>(0).expect(expected).append_value(key);
        structs.field_builder::<BinaryBuilder>(1).expect(expected).append_option(value.as_deref());
        structs.append(true);
    }
    builder.append(true);
}
