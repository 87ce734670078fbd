//! Rows for BigQuery: read back by the double's own reader, they hold what was decoded.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod generated;
mod growth;
mod records;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{Field, Schema};
use bigquery_double::row::encoded::{Missing, check_fit, compile};
use bigquery_double::row::format::Format;
use bigquery_double::row::parse::row_of_json;
use bigquery_double::schema as double;
use consumer::sink::bigquery::columns::adopt;
use consumer::sink::bigquery::encode::descriptor::descriptor;
use consumer::sink::bigquery::encode::json::JsonRows;
use consumer::sink::bigquery::encode::rows::{EncodedRows, ROW_BYTES_MAX};
use consumer::sink::bigquery::encode::{EncodeError, Encoded, encode};
use consumer::sink::bigquery::frame_columns::frame_columns;
use consumer::sink::bigquery::service_field::ServiceField;
use consumer::table::schema::{Column, ColumnType, TableSchema, Unit};
use generated::{Value, array, nothing, printed, value};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// The columns of a table as the double has them; names and shapes are those that it takes.
pub(crate) fn double_columns(fields: &[ServiceField]) -> Vec<double::Column> {
    let columns: Vec<_> = serde_json::from_value(serde_json::to_value(fields).unwrap()).unwrap();
    assert_eq!(double::check(&columns), Ok(()));
    columns
}

/// Whether they are those of an entry that asks for headers.
pub(crate) fn has_headers(fields: &[ServiceField]) -> bool {
    fields.iter().any(|field| field.name == "kafka_headers")
}

/// Each row as the service prints it, with its offset.
pub(crate) fn read(
    rows: &EncodedRows,
    schema: &TableSchema,
    fields: &[ServiceField],
) -> Vec<(u64, Json)> {
    let columns = Arc::new(double_columns(fields));
    let message = compile(&descriptor(schema, has_headers(fields))).unwrap();
    assert_eq!(check_fit(&message, &columns, false), Ok(()));
    let missing = Missing::default();
    let format = Format::Encoded { message, columns: Arc::clone(&columns), missing };
    let read = |(offset, bytes): (u64, &[u8])| {
        let (row, _) = format.read(bytes).unwrap();
        (offset, row.plain(&columns))
    };
    rows.iter().map(read).collect()
}

/// The same of rows that go by insertAll.
fn read_inserted(
    rows: &EncodedRows,
    schema: &TableSchema,
    fields: &[ServiceField],
) -> Vec<(u64, Json)> {
    let columns = double_columns(fields);
    let json = JsonRows::new(schema);
    let read = |(offset, bytes): (u64, &[u8])| {
        let row = row_of_json(&json.row(bytes), &columns, false).unwrap();
        (offset, row.plain(&columns))
    };
    rows.iter().map(read).collect()
}

/// A batch as decoders make it: the `kafka_*` columns of `rows` rows, then the others.
fn batch(rows: usize, columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let offset = |row: usize| i64::try_from(row).unwrap() * 3;
    let offsets: Vec<_> = (0..rows).map(offset).collect();
    let times = offsets.iter().map(|it| (it % 2 == 0).then_some(it * 1_000));
    let keys = offsets.iter().map(|it| (it % 2 == 1).then_some([1, 2, 255]));
    let ours: [ArrayRef; 7] = [
        Arc::new(StringArray::from_iter_values(vec!["orders"; rows])),
        Arc::new(StringArray::from_iter_values(vec!["id"; rows])),
        Arc::new(Int32Array::from_value(3, rows)),
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC")),
        Arc::new(BinaryArray::from_iter(keys)),
        Arc::new(BooleanArray::from(vec![false; rows])),
    ];
    let mut fields = consumer::decode::frame_fields();
    fields.truncate(8);
    fields.remove(6);
    let ours = fields.into_iter().zip(ours);
    let (fields, arrays): (Vec<_>, Vec<_>) = ours.chain(columns).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// A new table with columns for all that is wanted.
pub(crate) fn new_table(wanted: &[Column]) -> (TableSchema, Vec<ServiceField>) {
    let service = frame_columns();
    let adopted = adopt(&TableSchema::default(), &service, wanted, false).unwrap();
    (adopted.schema, adopted.fields.unwrap_or(service))
}

pub(crate) fn column(field: &str, kind: ColumnType) -> Column {
    Column { name: field.into(), field: Some(field.into()), kind }
}

fn one(kind: ColumnType, values: &[Value]) -> (TableSchema, Vec<ServiceField>, Encoded) {
    let (schema, fields) = new_table(&[column("c", kind)]);
    let kind = &schema.columns[0].kind;
    let columns = vec![(kind.arrow_field("c"), array(kind, values))];
    let encoded = encode(&batch(values.len(), columns), &schema).unwrap();
    (schema, fields, encoded)
}

type Rows = (TableSchema, Vec<ServiceField>, Vec<Vec<Value>>, Vec<bool>);

fn rows() -> impl Strategy<Value = Rows> {
    generated::columns().prop_flat_map(|wanted| {
        let (schema, fields) = new_table(&wanted);
        let values: Vec<_> = schema.columns.iter().map(|it| value(&it.kind)).collect();
        let present = vec(prop::bool::weighted(0.9), schema.columns.len());
        (Just(schema), Just(fields), vec(values, 0..6), present)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every row is read as it was decoded, or is left out because something of it would be lost; the
    /// same when its batch is a part of a larger one, and lacks columns for which it has no values. As JSON
    /// for insertAll they are the same rows.
    #[test]
    fn rows_are_read_as_they_were_decoded((schema, fields, rows, present) in rows(), skip in 0_usize..2) {
        let columns = schema.columns.iter().enumerate().filter(|(at, _)| present[*at]);
        let columns = columns.map(|(at, column)| {
            let values: Vec<_> = rows.iter().map(|row| row[at].clone()).collect();
            let array = if values.is_empty() { nothing(&column.kind) } else { array(&column.kind, &values) };
            (column.arrow_field(), array)
        });
        let batch = batch(rows.len(), columns.collect());
        let skip = skip.min(rows.len());
        let batch = batch.slice(skip, rows.len() - skip);
        let encoded = encode(&batch, &schema).unwrap();
        let found = read(&encoded.rows, &schema, &fields);
        let mut expected = Vec::new();
        let mut lost = Vec::new();
        for (at, row) in rows.iter().enumerate().skip(skip) {
            let null = Value::Null;
            let pairs = schema.columns.iter().zip(row).zip(&present).map(|((column, value), present)| {
                let value = if *present { value } else { &null };
                Ok((column.name.clone(), printed(&column.kind, value)?))
            });
            match pairs.collect::<Result<Vec<_>, generated::Lost>>() {
                Ok(pairs) => expected.push((at as u64 * 3, pairs)),
                Err(_) => lost.push((at - skip, at as u64 * 3)),
            }
        }
        prop_assert_eq!(&read_inserted(&encoded.rows, &schema, &fields), &found);
        let misfits: Vec<_> = encoded.misfits.iter().map(|it| (it.row, it.offset)).collect();
        prop_assert_eq!(misfits, lost);
        prop_assert_eq!(found.len(), expected.len());
        for ((offset, row), (expected_offset, pairs)) in found.iter().zip(&expected) {
            prop_assert_eq!(offset, expected_offset);
            prop_assert_eq!(&row["kafka_offset"], &json!(offset));
            let has_time = offset % 2 == 0;
            prop_assert_eq!(row["kafka_timestamp"].is_string(), has_time);
            prop_assert_eq!(&row["kafka_key"], &if has_time { Json::Null } else { json!("AQL/") });
            for (name, value) in pairs {
                prop_assert_eq!(&row[name], value, "{}", name);
            }
        }
    }

    /// Columns keep their numbers when a table is widened: rows of an earlier version are read with
    /// the descriptor of a later one.
    #[test]
    fn rows_are_read_with_a_later_descriptor((schema, service, rows, _) in rows(), more in generated::columns()) {
        let columns = schema.columns.iter().enumerate().map(|(at, column)| {
            let values: Vec<_> = rows.iter().map(|row| row[at].clone()).collect();
            (column.arrow_field(), array(&column.kind, &values))
        });
        let encoded = encode(&batch(rows.len(), columns.collect()), &schema).unwrap();
        let wider = adopt(&schema, &service, &more, false).unwrap();
        let later = wider.fields.unwrap_or_else(|| service.clone());
        let before = read(&encoded.rows, &schema, &service);
        let after = read(&encoded.rows, &wider.schema, &later);
        prop_assert_eq!(&read_inserted(&encoded.rows, &wider.schema, &later), &after);
        prop_assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(holds(&after.1, &before.1), "{:?} {:?}", before, after);
        }
    }
}

/// Whether `wider` has all that `narrow` has, and otherwise nothing.
fn holds(wider: &Json, narrow: &Json) -> bool {
    match (wider, narrow) {
        (Json::Object(wider), Json::Object(narrow)) => wider.iter().all(|(key, value)| {
            let is_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            narrow.get(key).map_or(is_nothing, |narrow| holds(value, narrow))
        }),
        (Json::Array(wider), Json::Array(narrow)) => {
            wider.len() == narrow.len() && wider.iter().zip(narrow).all(|(a, b)| holds(a, b))
        }
        (wider, narrow) => wider == narrow,
    }
}

#[test]
fn a_misfit_says_where_it_is_and_why() {
    let list = |kind| ColumnType::List(Box::new(kind));
    let deep = list(ColumnType::Struct(vec![column("x", list(list(ColumnType::Integer)))]));
    let null = Value::List(vec![Value::Null]);
    let deep_value = Value::List(vec![Value::Struct(vec![Value::List(vec![null])])]);
    let nanos = ColumnType::Timestamp { unit: Unit::Nanos, utc: true };
    let map = ColumnType::Map(Box::new(ColumnType::Date));
    let day = Value::Map(vec![("k".into(), Value::Number(i64::from(i32::MAX)))]);
    for (kind, value, text) in [
        (deep, deep_value, "c[0].x[0][0] is NULL, which no array of BigQuery holds"),
        (nanos, Value::Number(7), "c is 7 nanoseconds, and BigQuery keeps whole microseconds"),
        (map, day, "c.value is 2147483647 days since 1970, and BigQuery keeps the years 1 to 9999"),
    ] {
        let (_, _, encoded) = one(kind, &[Value::Null, value]);
        assert_eq!(encoded.rows.rows(), 1);
        let [misfit] = &encoded.misfits[..] else { panic!("{:?}", encoded.misfits) };
        assert_eq!((misfit.row, misfit.offset, misfit.text.as_str()), (1, 3, text));
    }
}

/// A row that no request can hold is left out, and says how large it is; the largest is taken.
#[test]
fn rows_beyond_a_request_are_misfits() {
    let text = |bytes: usize| Value::Text("x".repeat(bytes));
    let (_, _, small) = one(ColumnType::Text, &[text(0)]);
    let empty = small.rows.bytes() - 16;
    // The text's length takes three bytes more.
    let room = ROW_BYTES_MAX - empty - 3;
    let (_, _, encoded) = one(ColumnType::Text, &[text(room), text(1)]);
    assert_eq!(encoded.rows.iter().next().unwrap().1.len(), ROW_BYTES_MAX);
    let (_, _, encoded) = one(ColumnType::Text, &[text(room + 1), text(1)]);
    assert_eq!(encoded.rows.rows(), 1);
    let [misfit] = &encoded.misfits[..] else { panic!() };
    assert!(misfit.text.starts_with("the row has 9437185 bytes"), "{}", misfit.text);
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let (schema, _) = new_table(&[column("c", ColumnType::Integer)]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let columns = |name| vec![(ColumnType::Text.arrow_field(name), Arc::clone(&text))];
    assert_eq!(
        encode(&batch(1, columns("c")), &schema).unwrap_err(),
        EncodeError::OtherType { column: "c".into(), found: "Utf8".into() }
    );
    assert_eq!(
        encode(&batch(1, columns("d")), &schema).unwrap_err(),
        EncodeError::UnknownColumn("d".into())
    );
    let bare = RecordBatch::try_from_iter([("c", text)]).unwrap();
    let (schema, _) = new_table(&[column("c", ColumnType::Text)]);
    assert_eq!(encode(&bare, &schema).unwrap_err(), EncodeError::NoOffsets);
}

/// A record without fields, which no decoder makes by itself, is a RECORD with a field that nothing fills.
#[test]
fn a_struct_without_fields_has_a_column() {
    let (schema, fields, encoded) =
        one(ColumnType::Struct(vec![]), &[Value::Struct(vec![]), Value::Null]);
    let rows = read(&encoded.rows, &schema, &fields);
    assert_eq!(rows[0].1["c"], json!({"_empty": null}));
    assert_eq!(rows[1].1["c"], Json::Null);
}
