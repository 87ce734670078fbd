//! Columns and values as the properties make them up, as Arrow arrays and as the service should print them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float64Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal256Type, DecimalType, Fields, Time32MillisecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, i256,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consumer::table::schema::{Column, ColumnType, Unit};
use jiff::civil::{DateTime, date};
use jiff::{Span, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

/// A value of a column.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    /// Of everything that is counted: integers, dates, times.
    Number(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Text(String),
    Decimal(i256),
    Uuid([u8; 16]),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    Struct(Vec<Value>),
}

/// Something would be lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lost;

fn unit() -> impl Strategy<Value = Unit> {
    prop_oneof![Just(Unit::Millis), Just(Unit::Micros), Just(Unit::Nanos)]
}

fn scalar() -> impl Strategy<Value = ColumnType> {
    let decimal = (1_u8..=76, -3_i8..=76).prop_map(|(precision, scale)| {
        let scale = scale.min(i8::try_from(precision).unwrap());
        ColumnType::Decimal { precision, scale }
    });
    prop_oneof![
        Just(ColumnType::Boolean),
        Just(ColumnType::Integer),
        Just(ColumnType::Float),
        Just(ColumnType::Text),
        Just(ColumnType::Binary),
        decimal,
        Just(ColumnType::Date),
        unit().prop_map(ColumnType::Time),
        (unit(), any::<bool>()).prop_map(|(unit, utc)| ColumnType::Timestamp { unit, utc }),
        Just(ColumnType::Uuid),
    ]
}

/// Names that clash, that BigQuery refuses, and plain ones.
fn field() -> impl Strategy<Value = Option<String>> {
    let names = [
        "a",
        "A",
        "b",
        "a-b",
        "a_b",
        "a b",
        "",
        "1",
        "_1",
        "value",
        "key",
        "element",
        "ä",
        "_PARTITIONTIME",
        "kafka_offset",
        "Kafka_x",
        "Row_10",
        "Row_10_1",
        "a_2",
        "_CHANGE_TYPE",
    ];
    prop_oneof![
        20 => prop::sample::select(names.to_vec()).prop_map(|name| Some(name.to_owned())),
        2 => "[a-c]{299,305}".prop_map(Some),
        1 => Just(None),
    ]
}

fn columns_of(
    kind: impl Strategy<Value = ColumnType>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<Column>> {
    vec((field(), kind), count).prop_map(|columns| {
        let mut seen = std::collections::BTreeSet::new();
        let columns = columns.into_iter().filter(|(field, _)| seen.insert(field.clone()));
        let column = |(field, kind)| Column { name: "whatever".into(), field, kind };
        columns.map(column).collect()
    })
}

fn kind() -> impl Strategy<Value = ColumnType> {
    scalar().prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|kind| ColumnType::List(Box::new(kind))),
            inner.clone().prop_map(|kind| ColumnType::Map(Box::new(kind))),
            columns_of(inner, 1..4).prop_map(|mut columns| {
                columns
                    .iter_mut()
                    .for_each(|it| it.field = Some(it.field.take().unwrap_or_default()));
                columns.dedup_by(|a, b| a.field == b.field);
                ColumnType::Struct(unique(columns))
            }),
        ]
    })
}

fn unique(columns: Vec<Column>) -> Vec<Column> {
    let mut seen = std::collections::BTreeSet::new();
    columns.into_iter().filter(|column| seen.insert(column.field.clone())).collect()
}

/// Columns that a decoder may want.
pub(crate) fn columns() -> impl Strategy<Value = Vec<Column>> {
    columns_of(kind(), 0..8)
}

const DAY_MICROS: i64 = 86_400_000_000;

/// A value of that kind, rarely one that BigQuery cannot keep.
pub(crate) fn value(kind: &ColumnType) -> BoxedStrategy<Value> {
    let present: BoxedStrategy<Value> = match kind {
        ColumnType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ColumnType::Integer => any::<i64>().prop_map(Value::Number).boxed(),
        // Also what is infinite, and what is no number.
        ColumnType::Float => prop::num::f64::ANY.prop_map(Value::Float).boxed(),
        ColumnType::Text => ".{0,8}|[a-z]{120,140}".prop_map(Value::Text).boxed(),
        ColumnType::Binary => vec(any::<u8>(), 0..8).prop_map(Value::Bytes).boxed(),
        ColumnType::Decimal { precision, .. } => {
            let digits = format!("[0-9]{{1,{precision}}}");
            let digits = proptest::string::string_regex(&digits).unwrap();
            (digits, any::<bool>())
                .prop_map(|(digits, is_negative)| {
                    let value = i256::from_string(&digits).unwrap();
                    Value::Decimal(if is_negative { value.wrapping_neg() } else { value })
                })
                .boxed()
        }
        ColumnType::Date => prop_oneof![
            20 => -719_162_i64..=2_932_896,
            1 => any::<i32>().prop_map(i64::from),
        ]
        .prop_map(Value::Number)
        .boxed(),
        ColumnType::Time(unit) => {
            let per_day = 86_400 * unit.per_second();
            whole(*unit, 0..per_day).prop_map(Value::Number).boxed()
        }
        // The double's calendar ends a day early.
        ColumnType::Timestamp { unit, .. } => {
            let days =
                if *unit == Unit::Nanos { -100_000_i64..100_000 } else { -719_162..2_932_890 };
            let scale = DAY_MICROS / 1_000_000 * unit.per_second();
            let within =
                (days, whole(*unit, 0..scale)).prop_map(move |(day, rest)| day * scale + rest);
            let beyond = prop_oneof![Just(i64::MIN), Just(i64::MAX)];
            prop_oneof![20 => within, 1 => beyond].prop_map(Value::Number).boxed()
        }
        ColumnType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        ColumnType::List(element) => {
            let inner = value(element);
            let element = prop_oneof![
                40 => inner.prop_filter("nulls come apart", |value| !matches!(value, Value::Null)),
                1 => Just(Value::Null),
            ];
            vec(element, 0..4).prop_map(Value::List).boxed()
        }
        ColumnType::Map(inner) => vec((".{0,4}", value(inner)), 0..4).prop_map(Value::Map).boxed(),
        ColumnType::Struct(columns) => {
            let values: Vec<_> = columns.iter().map(|column| value(&column.kind)).collect();
            values.prop_map(Value::Struct).boxed()
        }
    };
    prop_oneof![8 => present, 1 => Just(Value::Null)].boxed()
}

/// Of nanoseconds, mostly whole microseconds.
fn whole(unit: Unit, range: std::ops::Range<i64>) -> impl Strategy<Value = i64> {
    (range, 0..20).prop_map(move |(value, dice)| match unit {
        Unit::Nanos if dice > 0 => value - value % 1_000,
        _ => value,
    })
}

fn nulls(values: &[Value]) -> Option<NullBuffer> {
    let valid = values.iter().map(|value| !matches!(value, Value::Null));
    Some(valid.collect::<Vec<_>>().into())
}

fn numbers<T: ArrowPrimitiveType<Native = i64>>(values: &[Value]) -> PrimitiveArray<T> {
    let number = |value: &Value| if let Value::Number(it) = value { Some(*it) } else { None };
    values.iter().map(number).collect()
}

/// The values as decoders hand them over.
pub(crate) fn array(kind: &ColumnType, values: &[Value]) -> ArrayRef {
    let plain: ArrayRef = match kind {
        ColumnType::Boolean => Arc::new(BooleanArray::from_iter(
            values.iter().map(
                |value| {
                    if let Value::Boolean(it) = value { Some(*it) } else { None }
                },
            ),
        )),
        ColumnType::Integer => Arc::new(Int64Array::from(numbers(values))),
        ColumnType::Float => Arc::new(Float64Array::from_iter(
            values.iter().map(|value| if let Value::Float(it) = value { Some(*it) } else { None }),
        )),
        ColumnType::Text => Arc::new(StringArray::from_iter(
            values.iter().map(|value| if let Value::Text(it) = value { Some(it) } else { None }),
        )),
        ColumnType::Binary => Arc::new(BinaryArray::from_iter(
            values.iter().map(|value| if let Value::Bytes(it) = value { Some(it) } else { None }),
        )),
        ColumnType::Decimal { .. } => decimals(kind, values),
        ColumnType::Date => Arc::new(Date32Array::from_iter(values.iter().map(|value| {
            if let Value::Number(it) = value { Some(i32::try_from(*it).unwrap()) } else { None }
        }))),
        ColumnType::Time(Unit::Millis) => {
            let narrow = numbers::<TimestampMillisecondType>(values);
            let narrow = narrow.iter().map(|value| value.map(|it| i32::try_from(it).unwrap()));
            Arc::new(PrimitiveArray::<Time32MillisecondType>::from_iter(narrow))
        }
        ColumnType::Time(Unit::Micros) => Arc::new(numbers::<Time64MicrosecondType>(values)),
        ColumnType::Time(Unit::Nanos) => Arc::new(numbers::<Time64NanosecondType>(values)),
        ColumnType::Timestamp { unit, .. } => {
            let to = kind.arrow_type();
            match unit {
                Unit::Millis => {
                    Arc::new(numbers::<TimestampMillisecondType>(values).with_data_type(to))
                }
                Unit::Micros => {
                    Arc::new(numbers::<TimestampMicrosecondType>(values).with_data_type(to))
                }
                Unit::Nanos => {
                    Arc::new(numbers::<TimestampNanosecondType>(values).with_data_type(to))
                }
            }
        }
        ColumnType::Uuid => {
            let ids = values
                .iter()
                .map(|value| if let Value::Uuid(it) = value { Some(it) } else { None });
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16).unwrap())
        }
        ColumnType::List(element) => list(kind, element, values),
        ColumnType::Map(value) => map(kind, value, values),
        ColumnType::Struct(columns) => structs(kind, columns, values),
    };
    assert_eq!(plain.data_type(), &kind.arrow_type());
    plain
}

fn decimals(kind: &ColumnType, values: &[Value]) -> ArrayRef {
    let unscaled = |value: &Value| if let Value::Decimal(it) = value { Some(*it) } else { None };
    let unscaled = values.iter().map(unscaled);
    match kind.arrow_type() {
        DataType::Decimal128(precision, scale) => {
            let array: Decimal128Array =
                unscaled.map(|value| value.map(|it| it.to_i128().unwrap())).collect();
            Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
        }
        DataType::Decimal256(precision, scale) => {
            let array: Decimal256Array = unscaled.collect();
            Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
        }
        other => unreachable!("{other}"),
    }
}

fn list(kind: &ColumnType, element: &ColumnType, values: &[Value]) -> ArrayRef {
    let DataType::List(field) = kind.arrow_type() else { unreachable!() };
    let items = |value: &Value| if let Value::List(items) = value { items.clone() } else { vec![] };
    let lists: Vec<_> = values.iter().map(items).collect();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    let elements = array(element, &lists.concat());
    Arc::new(ListArray::new(field, offsets, elements, nulls(values)))
}

fn map(kind: &ColumnType, value: &ColumnType, values: &[Value]) -> ArrayRef {
    let DataType::Map(field, _) = kind.arrow_type() else { unreachable!() };
    let DataType::Struct(fields) = field.data_type().clone() else { unreachable!() };
    let entries = |value: &Value| if let Value::Map(it) = value { it.clone() } else { vec![] };
    let maps: Vec<_> = values.iter().map(entries).collect();
    let offsets = OffsetBuffer::from_lengths(maps.iter().map(Vec::len));
    let (keys, inner): (Vec<_>, Vec<_>) = maps.concat().into_iter().unzip();
    let arrays: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), array(value, &inner)];
    let entries = StructArray::new(fields, arrays, None);
    Arc::new(MapArray::new(field, offsets, entries, nulls(values), false))
}

fn structs(kind: &ColumnType, columns: &[Column], values: &[Value]) -> ArrayRef {
    let DataType::Struct(fields) = kind.arrow_type() else { unreachable!() };
    let arrays = columns.iter().enumerate().map(|(at, column)| {
        let inner = |value: &Value| match value {
            Value::Struct(inner) => inner[at].clone(),
            _ => Value::Null,
        };
        array(&column.kind, &values.iter().map(inner).collect::<Vec<_>>())
    });
    let arrays: Vec<_> = arrays.collect();
    if columns.is_empty() {
        return Arc::new(StructArray::new_empty_fields(values.len(), nulls(values)));
    }
    assert_eq!(fields, Fields::from(columns.iter().map(Column::arrow_field).collect::<Vec<_>>()));
    Arc::new(StructArray::new(fields, arrays, nulls(values)))
}

/// As the service prints the value, or that it cannot be kept.
pub(crate) fn printed(kind: &ColumnType, value: &Value) -> Result<Json, Lost> {
    Ok(match (kind, value) {
        (ColumnType::List(_) | ColumnType::Map(_), Value::Null) => Json::Array(Vec::new()),
        (_, Value::Null) => Json::Null,
        (ColumnType::Date, Value::Number(days)) => {
            let span = Span::new().try_days(*days).map_err(|_| Lost)?;
            let day = date(1970, 1, 1).checked_add(span).map_err(|_| Lost)?;
            if day.year() < 1 {
                return Err(Lost);
            }
            day.to_string().into()
        }
        (ColumnType::Time(unit), Value::Number(value)) => {
            let midnight: DateTime = date(1970, 1, 1).into();
            let at =
                midnight.checked_add(Span::new().microseconds(micros(*value, *unit)?)).unwrap();
            format!("{:.6}", at.time()).into()
        }
        (ColumnType::Timestamp { unit, utc }, Value::Number(value)) => {
            let micros = micros(*value, *unit)?;
            let at = Timestamp::from_microsecond(micros).map_err(|_| Lost)?;
            let local = jiff::tz::Offset::UTC.to_datetime(at);
            if local.year() < 1 {
                return Err(Lost);
            }
            if *utc { format!("{at:.6}").into() } else { format!("{local:.6}").into() }
        }
        (_, Value::Number(value)) => (*value).into(),
        (_, Value::Boolean(value)) => (*value).into(),
        (_, Value::Float(value)) if value.is_finite() => (*value).into(),
        (_, Value::Float(value)) => match () {
            () if value.is_nan() => "NaN".into(),
            () if *value > 0.0 => "Infinity".into(),
            () => "-Infinity".into(),
        },
        (_, Value::Text(text)) => text.clone().into(),
        (_, Value::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (ColumnType::Decimal { precision, scale }, Value::Decimal(value)) => {
            decimal_text(*value, *precision, *scale).into()
        }
        (_, Value::Uuid(id)) => uuid::Uuid::from_bytes(*id).to_string().into(),
        (ColumnType::List(element), Value::List(items)) => {
            let item = |item: &Value| match (item, element.as_ref()) {
                (Value::Null, _) => Err(Lost),
                (item, ColumnType::List(_) | ColumnType::Map(_)) => {
                    Ok(serde_json::json!({"element": printed(element, item)?}))
                }
                (item, _) => printed(element, item),
            };
            items.iter().map(item).collect::<Result<_, _>>()?
        }
        (ColumnType::Map(inner), Value::Map(entries)) => {
            let entry = |(key, value): &(String, Value)| {
                Ok(serde_json::json!({"key": key, "value": printed(inner, value)?}))
            };
            entries.iter().map(entry).collect::<Result<_, _>>()?
        }
        (ColumnType::Struct(columns), Value::Struct(values)) => {
            let pairs = columns
                .iter()
                .zip(values)
                .map(|(column, value)| Ok((column.name.clone(), printed(&column.kind, value)?)));
            Json::Object(pairs.collect::<Result<Map<_, _>, _>>()?)
        }
        (kind, value) => unreachable!("{value:?} is no {kind:?}"),
    })
}

fn micros(value: i64, unit: Unit) -> Result<i64, Lost> {
    let nanos = i128::from(value) * i128::from(1_000_000_000 / unit.per_second());
    if nanos % 1_000 != 0 {
        return Err(Lost);
    }
    i64::try_from(nanos / 1_000).map_err(|_| Lost)
}

/// NUMERIC and BIGNUMERIC have no needless zeros; what stands as text has the column's.
fn decimal_text(value: i256, precision: u8, scale: i8) -> String {
    if scale < 0 {
        let factor = i256::from(10).wrapping_pow(u32::from(scale.unsigned_abs()));
        let is_number = i16::from(precision) - i16::from(scale) <= 38;
        if is_number {
            return value.wrapping_mul(factor).to_string();
        }
        let zeros =
            "0".repeat(if value == i256::ZERO { 0 } else { usize::from(scale.unsigned_abs()) });
        return format!("{value}{zeros}");
    }
    let text = Decimal256Type::format_decimal(value, 76, scale);
    let is_number = scale <= 38 && i16::from(precision) - i16::from(scale) <= 38;
    if !is_number || !text.contains('.') {
        return text;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// No rows of that kind.
pub(crate) fn nothing(kind: &ColumnType) -> ArrayRef {
    new_empty_array(&kind.arrow_type())
}
