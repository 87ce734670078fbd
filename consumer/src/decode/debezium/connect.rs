//! Pure. Schemas as Kafka Connect's JSON converter writes them beside each record.

use serde::Deserialize;

use crate::decode::avro::node::{Node, Shape, ShapeBuilder, decimal};
use crate::table::schema::Unit;

/// How deep types may be nested.
const DEPTH_MAX: usize = 64;
/// Digits of a decimal whose schema does not tell.
const PRECISION: usize = 38;

#[derive(Deserialize)]
struct ConnectSchema {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    optional: bool,
    name: Option<String>,
    field: Option<String>,
    #[serde(default)]
    fields: Vec<ConnectSchema>,
    items: Option<Box<ConnectSchema>>,
    keys: Option<Box<ConnectSchema>>,
    values: Option<Box<ConnectSchema>>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    scale: Option<String>,
    #[serde(rename = "connect.decimal.precision")]
    precision: Option<String>,
}

/// The shape of data with that schema.
pub(super) fn parse(text: &[u8]) -> Result<Shape, String> {
    let schema: ConnectSchema = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut builder = ShapeBuilder::default();
    let root = node(&schema, &mut builder, 0)?;
    Ok(builder.finish(root))
}

fn node(schema: &ConnectSchema, builder: &mut ShapeBuilder, depth: usize) -> Result<usize, String> {
    if depth > DEPTH_MAX {
        return Err(format!("the schema is nested deeper than {DEPTH_MAX}"));
    }
    let part = |part: &Option<Box<ConnectSchema>>, builder: &mut ShapeBuilder| {
        let part =
            part.as_deref().ok_or_else(|| format!("a schema's {} lacks a part", schema.kind))?;
        node(part, builder, depth + 1)
    };
    let made = match schema.kind.as_str() {
        "struct" => {
            let mut fields = Vec::with_capacity(schema.fields.len());
            for field in &schema.fields {
                let name = field.field.clone().ok_or("a field of a schema has no name")?;
                fields.push((name, node(field, builder, depth + 1)?));
            }
            ShapeBuilder::record(fields)
        }
        "array" => Node::Array(part(&schema.items, builder)?),
        "map" if schema.keys.as_ref().is_some_and(|keys| keys.kind == "string") => {
            Node::Map(part(&schema.values, builder)?)
        }
        "map" => return Err("maps with keys other than strings have no column".into()),
        _ => scalar(schema)?,
    };
    let made = builder.add(made);
    Ok(if schema.optional { builder.nullable(made) } else { made })
}

fn scalar(schema: &ConnectSchema) -> Result<Node, String> {
    let timestamp = |unit, utc| Node::Timestamp { unit, utc };
    let name = schema.name.as_deref().unwrap_or_default();
    Ok(match (schema.kind.as_str(), name) {
        ("bytes", "org.apache.kafka.connect.data.Decimal") => {
            let scale = schema.parameters.scale.as_deref().and_then(|scale| scale.parse().ok());
            let scale = scale.ok_or("a decimal's schema has no scale")?;
            let precision = schema.parameters.precision.as_deref();
            let precision = precision.and_then(|precision| precision.parse().ok());
            decimal(None, precision.unwrap_or(PRECISION), scale)
        }
        ("int32", "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date") => Node::Date,
        ("int32", "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time") => {
            Node::Time(Unit::Millis)
        }
        ("int64", "io.debezium.time.MicroTime") => Node::Time(Unit::Micros),
        ("int64", "io.debezium.time.NanoTime") => Node::Time(Unit::Nanos),
        ("int64", "org.apache.kafka.connect.data.Timestamp") => timestamp(Unit::Millis, true),
        ("int64", "io.debezium.time.Timestamp") => timestamp(Unit::Millis, false),
        ("int64", "io.debezium.time.MicroTimestamp") => timestamp(Unit::Micros, false),
        ("int64", "io.debezium.time.NanoTimestamp") => timestamp(Unit::Nanos, false),
        ("string", "io.debezium.data.Uuid") => Node::Uuid { is_fixed: false },
        ("boolean", _) => Node::Boolean,
        ("int8" | "int16" | "int32", _) => Node::Int,
        ("int64", _) => Node::Long,
        ("float", _) => Node::Float,
        ("double", _) => Node::Double,
        ("bytes", _) => Node::Bytes,
        ("string", _) => Node::Text,
        (other, _) => return Err(format!("a schema has the unknown type `{other}`")),
    })
}
