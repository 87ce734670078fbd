//! From records to rows: what decoders make of records, encoded and read back.

use std::sync::Arc;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::{Decoded, Decoder, Rows};
use consumer::record::RawRecord;
use consumer::sink::bigquery::columns::adopt;
use consumer::sink::bigquery::encode::encode;
use consumer::sink::bigquery::frame_columns::{frame_columns, new_columns};
use consumer::sink::bigquery::service_field::ServiceField;
use consumer::table::schema::TableSchema;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::{has_headers, read};

fn decoder(options: &[(&str, &str)]) -> Decoder {
    let options = options.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
    let (table, sink) = ("t".into(), "bigquery".into());
    let source = Source { table, sink, format: "json".into(), options: options.collect() };
    let id = TopicId(Uuid::from_u128(7));
    Decoder::new(&source, TopicPartition::new("orders", 3), id, &Arc::default()).unwrap()
}

/// Decodes as a consumer does: widens the table, and decodes again where it is asked to.
fn rows(
    decoder: &Decoder,
    records: &[RawRecord],
    (schema, service): (&mut TableSchema, &mut Vec<ServiceField>),
) -> Rows {
    let mut decoded = decoder.decode(records, schema);
    for _ in 0..3 {
        match decoded {
            Decoded::Rows(rows) => return rows,
            Decoded::Wider(wider) => {
                let adopted = adopt(schema, service, &wider.columns, false).unwrap();
                *schema = adopted.schema;
                *service = adopted.fields.unwrap_or_else(|| service.clone());
                decoded = match adopted.has_other_types {
                    true => decoder.decode(records, schema),
                    false => decoder.decode_again(&wider, records, schema),
                };
            }
        }
    }
    panic!("the decoder wants more and more")
}

fn stored(texts: &[&str], service: &mut Vec<ServiceField>) -> Vec<Json> {
    let value = |text: &&str| Some(Bytes::from((*text).to_owned()));
    let headers = vec![("h".into(), Some(Bytes::from_static(b"\xff"))), ("h".into(), None)];
    let record = |(at, text)| RawRecord {
        offset: at,
        value: value(text),
        headers: headers.clone(),
        ..RawRecord::default()
    };
    let records: Vec<_> = (0..).zip(texts).map(record).collect();
    let mut schema = TableSchema::default();
    let headers = has_headers(service).to_string();
    let decoder = decoder(&[("headers", &headers)]);
    let rows = rows(&decoder, &records, (&mut schema, service));
    let encoded = encode(&rows.batch, &schema).unwrap();
    assert_eq!(encoded.misfits, []);
    read(&encoded.rows, &schema, service).into_iter().map(|(_, row)| row).collect()
}

#[test]
fn records_are_rows_of_a_new_table() {
    let mut service = frame_columns();
    let found = stored(
        &[
            r#"{"id": 1, "user-name": "é", "tags": ["a", "b"], "at": {"x": 1.5, "X": true}}"#,
            r#"{"id": "no number", "at": {"y": [[1], []]}}"#,
            r#"{"at": {"y": [[2, 3], []]}}"#,
        ],
        &mut service,
    );
    let first = json!({
        "kafka_topic": "orders", "kafka_topic_id": found[0]["kafka_topic_id"],
        "kafka_partition": 3, "kafka_offset": 0, "kafka_timestamp": null, "kafka_key": null,
        "kafka_headers": [{"key": "h", "value": "/w=="}, {"key": "h", "value": null}],
        "kafka_tombstone": false, "kafka_unparsed": null,
        "id": 1, "user_name": "é", "tags": ["a", "b"],
        "at": {"x": 1.5, "X_2": true, "y": []},
    });
    assert_eq!(found[0], first);
    let text = r#"{"id": "no number", "at": {"y": [[1], []]}}"#;
    assert_eq!(found[1]["kafka_unparsed"], text);
    assert_eq!(found[1]["at"], Json::Null);
    let lists = json!([{"element": [2, 3]}, {"element": []}]);
    assert_eq!(found[2]["at"], json!({"x": null, "X_2": null, "y": lists}));
}

/// Without headers, rows fill a table that has no column for them, and say nothing of one.
#[test]
fn rows_without_headers_fill_a_table_without_a_column_for_them() {
    let mut service = new_columns(false);
    let found = stored(&[r#"{"id": 1}"#], &mut service);
    assert_eq!((&found[0]["id"], found[0].get("kafka_headers")), (&json!(1), None));
    assert!(!has_headers(&service));
}

/// Columns that people made keep their type: what fits is filled, what does not stays text.
#[test]
fn records_are_rows_of_a_table_that_people_made() {
    let made = json!([
        {"name": "id", "type": "NUMERIC"}, {"name": "at", "type": "TIMESTAMP"},
        {"name": "day", "type": "DATE"}, {"name": "name", "type": "RECORD",
         "fields": [{"name": "first", "type": "STRING"}]},
    ]);
    let made: Vec<ServiceField> = serde_json::from_value(made).unwrap();
    let mut service = [frame_columns(), made].concat();
    let found = stored(
        &[
            r#"{"id": 1.25, "at": "2023-11-14T22:13:20.5Z", "day": "2023-11-14"}"#,
            r#"{"id": 2, "name": "no object"}"#,
            r#"{"id": 3, "name": {"first": "A", "last": "B"}}"#,
        ],
        &mut service,
    );
    assert_eq!(found[0]["id"], "1.25");
    assert_eq!(found[0]["at"], "2023-11-14T22:13:20.500000Z");
    assert_eq!(found[0]["day"], "2023-11-14");
    assert_eq!(found[1]["kafka_unparsed"], r#"{"id": 2, "name": "no object"}"#);
    assert_eq!(found[2]["name"], json!({"first": "A", "last": "B"}));
}
