//! Rows as JSON, so that they can be compared with what was written.

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, make_array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The columns of a row that are not null for want of a record's field: ours only where they hold something unusual.
pub(crate) fn row(batch: &RecordBatch, at: usize) -> Value {
    let mut members = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let is_ours = field.name().starts_with("kafka_");
        if !is_ours || field.name() == "kafka_unparsed" && column.is_valid(at) {
            members.insert(field.name().clone(), value(column, at));
        }
    }
    Value::Object(members)
}

fn value(array: &ArrayRef, at: usize) -> Value {
    if array.is_null(at) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(at).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(at).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(at).into(),
        DataType::Utf8 => array.as_string::<i32>().value(at).into(),
        DataType::Binary => STANDARD.encode(array.as_binary::<i32>().value(at)).into(),
        DataType::FixedSizeBinary(16) => {
            let bytes = array.as_fixed_size_binary().value(at).try_into().unwrap();
            uuid::Uuid::from_bytes(bytes).to_string().into()
        }
        DataType::Decimal128(..) => {
            array.as_primitive::<Decimal128Type>().value_as_string(at).into()
        }
        DataType::Decimal256(..) => {
            array.as_primitive::<Decimal256Type>().value_as_string(at).into()
        }
        DataType::Date32 => array.as_primitive::<Date32Type>().value(at).into(),
        DataType::Timestamp(unit, Some(_)) => {
            let local = DataType::Timestamp(*unit, None);
            let local = array.to_data().into_builder().data_type(local).build().unwrap();
            match value(&make_array(local), at) {
                Value::String(text) => format!("{text}Z").into(),
                other => other,
            }
        }
        DataType::Time32(TimeUnit::Millisecond) | DataType::Time64(_) | DataType::Timestamp(..) => {
            let options = FormatOptions::default();
            ArrayFormatter::try_new(array, &options).unwrap().value(at).to_string().into()
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(at);
            (0..elements.len()).map(|at| value(&elements, at)).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(at);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            let entry = |at| (keys.value(at).to_owned(), value(values, at));
            Value::Object((0..entries.len()).map(entry).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |(name, column): (&str, &ArrayRef)| (name.to_owned(), value(column, at));
            let names = fields.iter().map(|field| field.name().as_str());
            Value::Object(names.zip(columns).map(member).collect())
        }
        other => json!(format!("a column of {other}")),
    }
}
