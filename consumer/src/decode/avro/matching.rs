//! Pure. The types of an Avro schema, one by one: how they are encoded, and which can be read as which.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};

use super::node::{Node, decimal};
use crate::table::schema::Unit;

/// Names of the fields for the branches of a union; `None` where its one type is the value itself.
pub(super) fn branch_names(branches: &[Schema]) -> Vec<Option<String>> {
    let values = branches.iter().filter(|branch| **branch != Schema::Null);
    if values.count() < 2 {
        return vec![None; branches.len()];
    }
    let short = |branch: &Schema| match branch {
        Schema::Ref { name } => name.name().to_owned(),
        _ => branch.name().map_or_else(|| base(branch).to_owned(), |name| name.name().to_owned()),
    };
    let shorts: Vec<_> = branches.iter().map(short).collect();
    let name = |(at, branch): (usize, &Schema)| {
        let is_shared = shorts.iter().filter(|other| **other == shorts[at]).count() > 1;
        match branch {
            Schema::Null => None,
            Schema::Ref { name } if is_shared => Some(name.fullname(None)),
            _ if is_shared => branch.name().map(|name| name.fullname(None)),
            _ => Some(shorts[at].clone()),
        }
    };
    branches.iter().enumerate().map(name).collect()
}

/// How well data of one type is read as another: 0 not at all, 1 promoted, 2 as a type of another name, 3 as the same.
pub(super) fn fit(writer: &Schema, reader: &Schema) -> u8 {
    let (written, read) = (base(writer), base(reader));
    let is_promoted = matches!(
        (written, read),
        ("int", "long" | "float" | "double")
            | ("long", "float" | "double")
            | ("float", "double")
            | ("string", "bytes")
            | ("bytes", "string")
    );
    if written != read {
        return u8::from(is_promoted);
    }
    match (size(writer), size(reader)) {
        (Some(written), Some(read)) if written != read => 0,
        _ => match (writer.name(), reader.name()) {
            (Some(writer), Some(reader)) if writer.name() != reader.name() => 2,
            _ => 3,
        },
    }
}

fn size(schema: &Schema) -> Option<usize> {
    match schema {
        Schema::Fixed(fixed) | Schema::Duration(fixed) => Some(fixed.size),
        Schema::Uuid(UuidSchema::Fixed(fixed)) => Some(fixed.size),
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

pub(super) fn is_plain(schema: &Schema) -> bool {
    matches!(schema, Schema::Int | Schema::Long | Schema::Bytes | Schema::String | Schema::Fixed(_))
}

/// Avro's name of the type that is encoded.
pub(super) fn base(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => "bytes",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) | Schema::Ref { .. } => "record",
        Schema::Enum(_) => "enum",
        Schema::Fixed(_) | Schema::Duration(_) | Schema::Uuid(UuidSchema::Fixed(_)) => "fixed",
        Schema::Decimal(decimal) => match decimal.inner {
            InnerDecimalSchema::Bytes => "bytes",
            InnerDecimalSchema::Fixed(_) => "fixed",
        },
    }
}

pub(super) fn scalar(schema: &Schema) -> Node {
    use Unit::{Micros, Millis, Nanos};
    let at = |unit, utc| Node::Timestamp { unit, utc };
    match schema {
        Schema::Null => Node::Null,
        Schema::Boolean => Node::Boolean,
        Schema::Int => Node::Int,
        Schema::Long => Node::Long,
        Schema::Float => Node::Float,
        Schema::Double => Node::Double,
        Schema::Bytes | Schema::BigDecimal => Node::Bytes,
        Schema::String => Node::Text,
        Schema::Enum(symbols) => Node::Enum(symbols.symbols.clone()),
        Schema::Fixed(fixed) => Node::Fixed(fixed.size),
        Schema::Decimal(schema) => decimal(
            match &schema.inner {
                InnerDecimalSchema::Bytes => None,
                InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
            },
            schema.precision,
            schema.scale,
        ),
        Schema::Uuid(uuid) => Node::Uuid { is_fixed: matches!(uuid, UuidSchema::Fixed(_)) },
        Schema::Date => Node::Date,
        Schema::TimeMillis => Node::Time(Millis),
        Schema::TimeMicros => Node::Time(Micros),
        Schema::TimestampMillis => at(Millis, true),
        Schema::TimestampMicros => at(Micros, true),
        Schema::TimestampNanos => at(Nanos, true),
        Schema::LocalTimestampMillis => at(Millis, false),
        Schema::LocalTimestampMicros => at(Micros, false),
        Schema::LocalTimestampNanos => at(Nanos, false),
        Schema::Duration(_) => Node::Duration,
        Schema::Array(_)
        | Schema::Map(_)
        | Schema::Union(_)
        | Schema::Record(_)
        | Schema::Ref { .. } => unreachable!("types with parts were told apart before"),
    }
}
