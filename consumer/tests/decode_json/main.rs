//! Properties of the JSON decoder: nothing is lost, rounded or renamed, whatever comes in.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../decode_avro/arrow_json.rs"]
mod arrow_json;
mod json;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::{DeadLetter, DeadLetterReason, Decoded, Decoder, Rows};
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use json::{Json, Types, is_same, row};
use proptest::prelude::*;
use uuid::Uuid;

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Row(Json),
    Tombstone,
    Unparsed(String),
    Dead(DeadLetterReason),
}

fn decoder(format: &str, options: &[(&str, &str)]) -> Decoder {
    let options = options.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
    let (table, sink) = ("t".into(), "parquet".into());
    let source = Source { table, sink, format: format.into(), options: options.collect() };
    let id = TopicId(Uuid::from_u128(7));
    Decoder::new(&source, TopicPartition::new("orders", 3), id, &Arc::default()).unwrap()
}

fn records(values: Vec<Option<Bytes>>) -> Vec<RawRecord> {
    let record = |(at, value)| RawRecord { offset: at as u64 * 2, value, ..RawRecord::default() };
    values.into_iter().enumerate().map(record).collect()
}

fn texts(texts: &[&str]) -> Vec<RawRecord> {
    records(texts.iter().map(|text| Some(Bytes::from((*text).to_owned()))).collect())
}

/// Decodes as a consumer does: widens the table and decodes again where it is asked to.
fn rows(decoder: &Decoder, records: &[RawRecord], schema: &mut TableSchema) -> Rows {
    let mut decoded = decoder.decode(records, schema);
    loop {
        match decoded {
            Decoded::Rows(rows) => {
                let of_its_record = |it: &DeadLetter| records[it.index].offset == it.offset;
                assert!(rows.dead_letters.iter().all(of_its_record));
                return rows;
            }
            Decoded::Wider(wider) => {
                *schema = schema.widened(&wider.columns).unwrap();
                decoded = decoder.decode_again(&wider, records, schema);
            }
        }
    }
}

fn outcomes(rows: &Rows, schema: &TableSchema) -> BTreeMap<u64, Outcome> {
    let batch = &rows.batch;
    let arrays: Vec<Option<ArrayRef>> =
        schema.columns.iter().map(|column| batch.column_by_name(&column.name).cloned()).collect();
    let offsets = column(batch, "kafka_offset").as_primitive::<Int64Type>().clone();
    let unparsed = column(batch, "kafka_unparsed").as_string::<i32>().clone();
    let tombstones = column(batch, "kafka_tombstone").as_boolean().clone();
    let mut outcomes: BTreeMap<_, _> =
        rows.dead_letters.iter().map(|dead| (dead.offset, Outcome::Dead(dead.reason))).collect();
    for at in 0..batch.num_rows() {
        let stored = row(&schema.columns, &arrays, at);
        let outcome = match (tombstones.value(at), unparsed.is_valid(at)) {
            (false, false) => Outcome::Row(stored),
            (is_tombstone, _) => {
                assert_eq!(stored, Json::Object(Vec::new()), "no column may be filled");
                let text = unparsed.value(at).to_owned();
                if is_tombstone { Outcome::Tombstone } else { Outcome::Unparsed(text) }
            }
        };
        let offset = u64::try_from(offsets.value(at)).unwrap();
        assert_eq!(outcomes.insert(offset, outcome), None, "offset {offset} appears twice");
    }
    assert!(offsets.values().is_sorted(), "rows are in the order of offsets");
    outcomes
}

fn column(batch: &RecordBatch, name: &str) -> ArrayRef {
    Arc::clone(batch.column_by_name(name).unwrap())
}

fn decode_in_batches(records: &[RawRecord], size: usize) -> (TableSchema, BTreeMap<u64, Outcome>) {
    let decoder = decoder("json", &[]);
    let mut schema = TableSchema::default();
    let mut all = BTreeMap::new();
    for batch in records.chunks(size) {
        let rows = rows(&decoder, batch, &mut schema);
        all.extend(outcomes(&rows, &schema));
    }
    (schema, all)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every record is a row with all of its values, or stands as text, or is a dead letter: as the rules say.
    #[test]
    fn every_value_that_fits_is_kept(values in prop::collection::vec(json::object(), 1..20)) {
        let sent = values.iter().map(|value| Some(Bytes::from(value.text()))).collect();
        let (_, outcomes) = decode_in_batches(&records(sent), 7);
        let mut types = Types::default();
        prop_assert_eq!(outcomes.len(), values.len());
        for (value, outcome) in values.iter().zip(outcomes.values()) {
            match outcome {
                _ if value.repeats_a_key() => {
                    prop_assert_eq!(outcome, &Outcome::Dead(DeadLetterReason::DuplicateKey));
                }
                Outcome::Row(stored) => {
                    prop_assert!(types.admit(value), "{} does not fit", value.text());
                    prop_assert!(is_same(&value.clone().normal(), stored), "{value:?} became {stored:?}");
                }
                Outcome::Unparsed(text) => {
                    prop_assert_eq!(text, &value.text());
                    prop_assert!(!types.admit(value), "{text} fits");
                }
                Outcome::Dead(_) | Outcome::Tombstone => prop_assert!(false, "{outcome:?}"),
            }
        }
    }

    /// Where a batch ends changes neither rows nor columns.
    #[test]
    fn batches_may_end_anywhere(values in prop::collection::vec(json::object(), 1..20), size in 1..20_usize) {
        let sent: Vec<_> = values.iter().map(|value| Some(Bytes::from(value.text()))).collect();
        let (whole, rows) = decode_in_batches(&records(sent.clone()), 20);
        let (parts, same_rows) = decode_in_batches(&records(sent), size);
        prop_assert_eq!(whole.columns, parts.columns);
        prop_assert_eq!(rows, same_rows);
    }

    /// Whatever bytes come in, each record is a row or a dead letter.
    #[test]
    fn any_bytes_are_a_row_or_a_dead_letter(
        values in prop::collection::vec(prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            r#"[\[\]{}:,"a\\u0d8e.\-1 ]{0,16}"#.prop_map(String::into_bytes),
            (json::object(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(value, at, byte)| {
                let mut bytes = value.text().into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }),
        ]), 1..12)
    ) {
        let sent = values.iter().map(|value| value.clone().map(Bytes::from)).collect();
        let (_, outcomes) = decode_in_batches(&records(sent), 5);
        prop_assert_eq!(outcomes.len(), values.len());
        for (value, outcome) in values.iter().zip(outcomes.values()) {
            prop_assert_eq!(value.is_none(), *outcome == Outcome::Tombstone);
            let is_json = value.as_ref().is_some_and(|value| serde_json::from_slice::<serde_json::Value>(value).is_ok());
            // The reference reads numbers beyond a float's range as errors, and repeated keys as none.
            if is_json {
                prop_assert_ne!(outcome, &Outcome::Dead(DeadLetterReason::InvalidJson));
            }
        }
    }
}

/// A field's first type holds for ever, and what differs is kept as text.
#[test]
fn the_first_type_holds() {
    let sent = [
        r#"{"n": 1, "f": 1.5, "s": "1", "b": true}"#,
        r#"{"n": 1.5}"#,
        r#"{"n": 2.0, "f": 3}"#,
        r#"{"s": 1}"#,
        r#"{"b": "true"}"#,
        r#"{"f": 9007199254740993}"#,
        r#"{"n": 9223372036854775808}"#,
        r#"{"new": "field", "n": null, "x": {}, "y": [], "z": [{}, null]}"#,
    ];
    let (schema, outcomes) = decode_in_batches(&texts(&sent), 3);
    let names: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["n", "f", "s", "b", "new"]);
    let unparsed: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Unparsed(_)))
        .map(|(offset, _)| offset / 2)
        .collect();
    assert_eq!(unparsed, [1, 3, 4, 5, 6]);
}

/// A record that is kept as text leaves no column behind.
#[test]
fn a_record_that_does_not_fit_adds_no_column() {
    let sent =
        [r#"{"a": {"x": 1}}"#, r#"{"b": 1, "a": {"y": 2, "x": "no"}}"#, r#"{"a": {"y": "s"}}"#];
    let (schema, outcomes) = decode_in_batches(&texts(&sent), 3);
    assert_eq!(schema.size(), 3, "{schema:?}");
    assert!(matches!(outcomes[&2], Outcome::Unparsed(_)));
    assert!(matches!(outcomes[&4], Outcome::Row(_)), "y is text: the refused record did not count");
}

/// A table has at most 2,000 columns; a record that would add more is kept as text.
#[test]
fn columns_are_bounded() {
    let wide = |from: u32, count: u32| {
        let fields: Vec<_> = (from..from + count).map(|at| format!("\"f{at}\":{at}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let sent = [wide(0, 1_999), wide(5_000, 2), wide(1_999, 1), wide(2_000, 1), wide(0, 2_000)];
    let sent: Vec<_> = sent.iter().map(String::as_str).collect();
    let (schema, outcomes) = decode_in_batches(&texts(&sent), 5);
    assert_eq!(schema.size(), 2_000);
    let is_row: Vec<_> =
        outcomes.values().map(|outcome| matches!(outcome, Outcome::Row(_))).collect();
    assert_eq!(is_row, [true, false, true, false, true]);
    let long = format!("{{\"{}\":1}}", "n".repeat(513));
    let (_, outcomes) = decode_in_batches(&texts(&[&long]), 1);
    assert!(matches!(outcomes[&0], Outcome::Unparsed(_)));
}

/// The columns beside the value are those of the record; a tombstone is a row of its own kind.
#[test]
fn keys_times_and_headers_are_kept() {
    let headers = vec![("h".to_owned(), Some(Bytes::from_static(b"1"))), ("h".to_owned(), None)];
    let full = RawRecord {
        offset: 5,
        timestamp_ms: Some(-1),
        key: Some(Bytes::from_static(b"\xff")),
        value: Some(Bytes::from_static(b"{}")),
        headers,
        is_append_time: false,
        leader_epoch: None,
    };
    let tombstone = RawRecord { offset: 9, ..RawRecord::default() };
    let decoder = decoder("json", &[("headers", "true")]);
    let rows = rows(&decoder, &[full, tombstone], &mut TableSchema::default());
    let batch = &rows.batch;
    assert_eq!(column(batch, "kafka_topic").as_string::<i32>().value(1), "orders");
    assert_eq!(
        column(batch, "kafka_tombstone").as_boolean().iter().collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
    assert_eq!(
        column(batch, "kafka_key").as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&b"\xff"[..]), None]
    );
    let times = column(batch, "kafka_timestamp");
    assert_eq!(times.data_type().to_string(), r#"Timestamp(ms, "UTC")"#);
    assert!(times.is_null(1));
    let headers = column(batch, "kafka_headers");
    let first = headers.as_list::<i32>().value(0);
    assert_eq!(
        first.as_struct().column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("h"), Some("h")]
    );
    assert!(first.as_struct().column(1).is_null(1));
    assert_eq!(headers.as_list::<i32>().value(1).len(), 0);
}

/// Bytes stay bytes, also beside a field of the same name.
#[test]
fn the_value_of_bytes_is_untouched() {
    let mut schema = TableSchema::default();
    rows(&decoder("json", &[]), &texts(&[r#"{"value": "text"}"#]), &mut schema);
    let sent = records(vec![Some(Bytes::from_static(b"\x00\xff")), Some(Bytes::new()), None]);
    let decoded = rows(&decoder("bytes", &[]), &sent, &mut schema);
    let values = column(&decoded.batch, "value_2");
    assert_eq!(
        values.as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&b"\x00\xff"[..]), Some(&b""[..]), None]
    );
    let tombstones = column(&decoded.batch, "kafka_tombstone");
    let tombstones: Vec<_> = tombstones.as_boolean().iter().flatten().collect();
    assert_eq!(tombstones, [false, false, true], "an empty value is one");
    let again = rows(&decoder("json", &[]), &texts(&[r#"{"value": "more"}"#]), &mut schema);
    assert_eq!((again.unparsed, schema.version), (0, 2));
}
