//! Schemas as the properties make them up, with values and what should be read of them.

use apache_avro::types::Value as Avro;
use apache_avro::{Days, Decimal, Duration, Millis, Months};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Records of one schema.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) schema: Value,
    /// As they are written, and as they should be read.
    pub(crate) values: Vec<(Avro, Value)>,
}

const ROWS: usize = 3;

/// A type, a value of it for each row, and whether it has a column at all.
#[derive(Clone, Debug)]
struct Typed {
    schema: Value,
    values: Vec<(Avro, Value)>,
    has_column: bool,
}

fn rows<T: std::fmt::Debug + Clone + 'static>(
    schema: Value,
    values: impl Strategy<Value = T>,
    both: impl Fn(T) -> (Avro, Value),
) -> impl Strategy<Value = Typed> {
    vec(values, ROWS).prop_map(move |values| Typed {
        schema: schema.clone(),
        values: values.into_iter().map(&both).collect(),
        has_column: true,
    })
}

fn logical(base: &str, logical: &str) -> Value {
    json!({"type": base, "logicalType": logical})
}

fn plain() -> impl Strategy<Value = Typed> {
    let text = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
    prop_oneof![
        rows(json!("boolean"), any::<bool>(), |v| (Avro::Boolean(v), v.into())),
        rows(json!("int"), any::<i32>(), |v| (Avro::Int(v), v.into())),
        rows(json!("long"), any::<i64>(), |v| (Avro::Long(v), v.into())),
        rows(json!("float"), -1e30_f32..1e30, |v| (Avro::Float(v), f64::from(v).into())),
        rows(json!("double"), -1e300_f64..1e300, |v| (Avro::Double(v), v.into())),
        rows(json!("string"), "[a-z\"\\\\\n\u{0}é😀]{0,5}", |v| (
            Avro::String(v.clone()),
            v.into()
        )),
        rows(json!("bytes"), vec(any::<u8>(), 0..5), move |v| (Avro::Bytes(v.clone()), text(&v))),
        rows(json!({"type": "fixed", "name": "Fixed", "size": 3}), any::<[u8; 3]>(), move |v| (
            Avro::Fixed(3, v.into()),
            text(&v)
        )),
        rows(json!({"type": "enum", "name": "Enum", "symbols": ["A", "B", "C"]}), 0_u32..3, |v| {
            let symbol = ["A", "B", "C"][v as usize];
            (Avro::Enum(v, symbol.into()), symbol.into())
        }),
    ]
}

fn meaning() -> impl Strategy<Value = Typed> {
    let day = 86_400_000_i32;
    prop_oneof![
        rows(
            json!({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}),
            -999_999_999_999_i64..=999_999_999_999,
            |v| (Avro::Decimal(Decimal::from(v.to_be_bytes())), decimal(v))
        ),
        rows(logical("string", "uuid"), any::<u128>(), |v| {
            let id = apache_avro::Uuid::from_u128(v);
            (Avro::Uuid(id), id.to_string().into())
        }),
        rows(logical("int", "date"), any::<i32>(), |v| (Avro::Date(v), v.into())),
        rows(logical("int", "time-millis"), 0..day, |v| (
            Avro::TimeMillis(v),
            clock(i64::from(v) * 1_000, 3)
        )),
        rows(logical("long", "time-micros"), 0..86_400_000_000_i64, |v| (
            Avro::TimeMicros(v),
            clock(v, 6)
        )),
        rows(logical("long", "timestamp-micros"), 0..86_400_000_000_i64, |v| (
            Avro::TimestampMicros(v),
            format!("1970-01-01T{}Z", clock(v, 6).as_str().unwrap()).into()
        )),
        rows(logical("long", "local-timestamp-millis"), 0..i64::from(day), |v| (
            Avro::LocalTimestampMillis(v),
            format!("1970-01-01T{}", clock(v * 1_000, 3).as_str().unwrap()).into()
        )),
        rows(
            json!({"type": "fixed", "name": "Span", "size": 12, "logicalType": "duration"}),
            any::<(u32, u32, u32)>(),
            |(months, days, millis)| {
                let span = Duration::new(Months::new(months), Days::new(days), Millis::new(millis));
                let read = json!({"months": months, "days": days, "milliseconds": millis});
                (Avro::Duration(span), read)
            }
        ),
    ]
}

fn decimal(hundredths: i64) -> Value {
    let sign = if hundredths < 0 { "-" } else { "" };
    let magnitude = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100).into()
}

/// As Arrow prints times: without a fraction that is nothing.
fn clock(micros: i64, digits: usize) -> Value {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{fraction:06}");
    match (micros % 1_000_000, digits, micros % 1_000) {
        (0, ..) => time.into(),
        (_, 6, rest) if rest != 0 => format!("{time}.{fraction}").into(),
        _ => format!("{time}.{}", &fraction[..3]).into(),
    }
}

fn nothing() -> impl Strategy<Value = Typed> {
    Just(Typed {
        schema: json!("null"),
        values: vec![(Avro::Null, Value::Null); ROWS],
        has_column: false,
    })
}

fn typed() -> impl Strategy<Value = Typed> {
    let leaf = prop_oneof![6 => plain(), 6 => meaning(), 1 => nothing()];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_flat_map(nullable),
            inner.clone().prop_map(array),
            inner.clone().prop_map(map),
            vec(inner, 1..4).prop_map(|fields| structure(&fields, "Inner")),
        ]
    })
}

/// The same or null, unless it may be null already.
fn nullable(typed: Typed) -> impl Strategy<Value = Typed> {
    vec(any::<bool>(), ROWS).prop_map(move |nulls| {
        if typed.schema.is_array() || !typed.has_column {
            return typed.clone();
        }
        let values = typed.values.iter().zip(nulls).map(|((avro, read), is_null)| {
            if is_null {
                (Avro::Union(0, Box::new(Avro::Null)), Value::Null)
            } else {
                (Avro::Union(1, Box::new(avro.clone())), read.clone())
            }
        });
        Typed { schema: json!(["null", typed.schema]), values: values.collect(), has_column: true }
    })
}

/// Lists that hold the values of as many rows as the row's number says.
fn array(typed: Typed) -> Typed {
    let list = |count: usize| {
        let (avro, read): (Vec<_>, Vec<_>) = typed.values[..count].iter().cloned().unzip();
        (Avro::Array(avro), Value::Array(read))
    };
    Typed {
        schema: json!({"type": "array", "items": typed.schema}),
        values: (0..ROWS).map(list).collect(),
        has_column: typed.has_column,
    }
}

fn map(typed: Typed) -> Typed {
    let one = |(avro, read): &(Avro, Value)| {
        let avro = Avro::Map([("k".to_owned(), avro.clone())].into());
        (avro, json!({"k": read}))
    };
    Typed {
        schema: json!({"type": "map", "values": typed.schema}),
        values: typed.values.iter().map(one).collect(),
        has_column: typed.has_column,
    }
}

fn structure(fields: &[Typed], name: &str) -> Typed {
    let named = || (0..).zip(fields).map(|(at, field)| (format!("f{at}"), field));
    let schemas: Vec<_> =
        named().map(|(name, field)| json!({"name": name, "type": field.schema})).collect();
    let row = |at: usize| {
        let avro = named().map(|(name, field)| (name, field.values[at].0.clone())).collect();
        let read = named().filter(|(_, field)| field.has_column);
        let read: Map<_, _> =
            read.map(|(name, field)| (name, field.values[at].1.clone())).collect();
        (Avro::Record(avro), Value::Object(read))
    };
    Typed {
        schema: json!({"type": "record", "name": name, "fields": schemas}),
        values: (0..ROWS).map(row).collect(),
        has_column: fields.iter().any(|field| field.has_column),
    }
}

pub(crate) fn record() -> impl Strategy<Value = Generated> {
    let usable = vec(typed(), 1..5)
        .prop_filter("rows have columns", |fields| fields.iter().any(|field| field.has_column));
    usable.prop_map(|fields| {
        let Typed { mut schema, values, .. } = structure(&fields, "Row");
        let mut count = 0;
        rename(&mut schema, &mut count);
        Generated { schema, values }
    })
}

/// Types that are named get names of their own.
fn rename(schema: &mut Value, count: &mut usize) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(|part| rename(part, count)),
        Value::Object(members) => {
            if members.contains_key("name") && members["type"].is_string() {
                let is_named =
                    ["record", "enum", "fixed"].contains(&members["type"].as_str().unwrap());
                if is_named {
                    *count += 1;
                    members.insert("name".into(), format!("T{count}").into());
                }
            }
            for key in ["type", "items", "values"] {
                if let Some(part) = members.get_mut(key) {
                    rename(part, count);
                }
            }
            if let Some(Value::Array(fields)) = members.get_mut("fields") {
                fields.iter_mut().for_each(|field| rename(&mut field["type"], count));
            }
        }
        _ => {}
    }
}
