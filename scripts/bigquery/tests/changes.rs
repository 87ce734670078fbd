//! Change data in what is stored: order and repetition change nothing, and only the default stream takes it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bigquery_double::names::{DatasetName, StreamName, TableName};
use bigquery_double::refusal::Refusal;
use bigquery_double::row::encoded::{Missing, compile};
use bigquery_double::warehouse::append::{Append, Appended};
use bigquery_double::warehouse::catalog::Warehouse;
use bigquery_double::warehouse::streams::Moment;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::write_stream::Type as StreamType;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use serde_json::{Value, json};

const MOMENT: Moment = Moment { now: Timestamp::UNIX_EPOCH, schema_lag: SignedDuration::ZERO };

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(int64, optional, tag = "1")]
    id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    change_type: Option<String>,
    #[prost(string, optional, tag = "4")]
    sequence: Option<String>,
}

fn upsert(id: i64, sequence: usize) -> Row {
    Row {
        id: Some(id),
        name: Some(format!("{id} at {sequence}")),
        change_type: Some("UPSERT".into()),
        sequence: Some(format!("{sequence:x}")),
    }
}

fn delete(id: i64, sequence: usize) -> Row {
    Row { name: None, change_type: Some("DELETE".into()), ..upsert(id, sequence) }
}

fn warehouse(key: &Value) -> Warehouse {
    let mut warehouse = Warehouse::new(1);
    warehouse.create_dataset("p", &json!({"datasetReference": {"datasetId": "d"}})).unwrap();
    let body = json!({"tableReference": {"tableId": "t"}, "tableConstraints": {"primaryKey": {"columns": key}},
        "schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "name", "type": "STRING", "mode": "REQUIRED"}]}});
    warehouse.create_table(&DatasetName::new("p", "d"), &body, MOMENT.now).unwrap();
    warehouse
}

fn table() -> TableName {
    TableName::new("p", "d", "t")
}

fn append(
    warehouse: &mut Warehouse,
    stream: StreamName,
    rows: &[Row],
) -> Result<Appended, Refusal> {
    let names = ["id", "name", "_CHANGE_TYPE", "_CHANGE_SEQUENCE_NUMBER"];
    let field = (1..).zip(names).map(|(number, name)| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        r#type: Some(if name == "id" { Type::Int64 } else { Type::String }.into()),
        label: Some(Label::Optional.into()),
        ..FieldDescriptorProto::default()
    });
    let descriptor =
        DescriptorProto { name: Some("Row".into()), field: field.collect(), ..Default::default() };
    let append = Append {
        stream,
        schema: Some(compile(&descriptor)),
        offset: None,
        rows: rows.iter().map(|row| row.encode_to_vec().into()).collect(),
        request_bytes: 1,
        missing: Missing::default(),
        sees_late: false,
    };
    warehouse.append(append, MOMENT)
}

fn default_stream() -> StreamName {
    StreamName::new(table(), "_default".into())
}

/// The table as a reader sees it, ordered by its key.
fn seen(warehouse: &Warehouse) -> Vec<Value> {
    let table = warehouse.table(&table()).unwrap();
    let rows = table.rows();
    let mut rows: Vec<_> = rows.iter().map(|row| row.plain(table.columns())).collect();
    rows.sort_by_key(|row| row["id"].as_i64());
    assert_eq!(rows.len(), table.count());
    rows
}

proptest! {
    /// Changes with sequence numbers, in whatever order, batches and repetition they come, give one table.
    #[test]
    fn order_and_repetition_change_nothing(
        history in prop::collection::vec((0..4i64, any::<bool>()), 1..16),
        arrivals in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        batch in 1..7usize,
    ) {
        let change = |(at, (id, is_delete)): (usize, &(i64, bool))| {
            if *is_delete { delete(*id, at) } else { upsert(*id, at) }
        };
        let history: Vec<_> = history.iter().enumerate().map(change).collect();
        let mut in_order = warehouse(&json!(["id"]));
        append(&mut in_order, default_stream(), &history).unwrap();
        let mut muddled = warehouse(&json!(["id"]));
        let repeated = arrivals.iter().map(|arrival| arrival.get(&history).clone());
        let late: Vec<_> = repeated.chain(history.iter().rev().cloned()).collect();
        for rows in late.chunks(batch) {
            append(&mut muddled, default_stream(), rows).unwrap();
        }
        prop_assert_eq!(seen(&muddled), seen(&in_order));

        let last = |id: i64| history.iter().rev().find(|row| row.id == Some(id));
        let expected: Vec<_> = (0..4).filter_map(last).filter(|row| row.name.is_some()).collect();
        let expected: Vec<_> =
            expected.iter().map(|row| json!({"id": row.id, "name": row.name})).collect();
        prop_assert_eq!(seen(&in_order), expected);
    }
}

#[test]
fn changes_go_to_the_default_stream_of_a_table_with_a_key() {
    let mut keyless = warehouse(&json!([]));
    let refused = append(&mut keyless, default_stream(), &[upsert(1, 1)]).unwrap_err();
    assert!(refused.message.contains("primary key"), "{}", refused.message);
    let mut keyed = warehouse(&json!(["id"]));
    let created = keyed.create_stream(&table().to_string(), StreamType::Committed, None, MOMENT);
    let committed = StreamName::parse(&created.unwrap().name).unwrap();
    let refused = append(&mut keyed, committed, &[upsert(1, 1)]).unwrap_err();
    assert!(refused.message.contains("_CHANGE_TYPE"), "{}", refused.message);
    let unnamed = Row { name: None, ..upsert(1, 1) };
    let refused = append(&mut keyed, default_stream(), &[upsert(2, 1), unnamed]).unwrap_err();
    assert_eq!(refused.rows.iter().map(|row| row.index).collect::<Vec<_>>(), [1], "REQUIRED");
    assert_eq!(seen(&keyed), [0; 0]);
}

/// A change takes the place of a row that was inserted without one.
#[test]
fn a_change_replaces_what_was_inserted() {
    let mut warehouse = warehouse(&json!(["id"]));
    let rows = [1, 2, 3].map(|id| json!({"json": {"id": id, "name": "inserted"}}));
    let request = serde_json::from_value(json!({"rows": rows})).unwrap();
    warehouse.insert_all(&table(), request, MOMENT).unwrap();
    append(&mut warehouse, default_stream(), &[upsert(1, 1), delete(2, 1)]).unwrap();
    let left = [json!({"id": 1, "name": "1 at 1"}), json!({"id": 3, "name": "inserted"})];
    assert_eq!(seen(&warehouse), left);
    assert_eq!(warehouse.table(&table()).unwrap().stored().len(), 5, "all that was ever stored");
}
