//! Pure. Avro schemas as topics use them: parsed with their references, and with what Kafka Connect says of types in
//! words of its own.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use serde_json::{Map, Value};

/// A schema and those that it names without defining them.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroSchema {
    pub schema: Schema,
    pub references: Vec<Schema>,
}

/// What a schema is parsed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Defaults count for nothing, so that those which are wrong do no harm.
    Writer,
    /// Defaults stand in for what the writer's schema lacks.
    Reader,
}

/// Why a text is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaTextError {
    #[error("an Avro schema is JSON")]
    Json(#[source] serde_json::Error),
    #[error("it is no Avro schema")]
    Avro(#[source] Box<apache_avro::Error>),
}

impl AvroSchema {
    /// Parses `text`, which may name types of `references`.
    pub fn parse(text: &str, references: &[String], role: Role) -> Result<Self, SchemaTextError> {
        let prepared = |text: &str| {
            let mut value: Value = serde_json::from_str(text).map_err(SchemaTextError::Json)?;
            prepare(&mut value, role);
            Ok(value.to_string())
        };
        let references = references.iter().map(|text| prepared(text));
        let references: Vec<String> = references.collect::<Result<_, _>>()?;
        let (schema, references) = Schema::parse_str_with_list(&prepared(text)?, references)
            .map_err(|error| SchemaTextError::Avro(Box::new(error)))?;
        Ok(Self { schema, references })
    }

    /// The CRC-64-AVRO fingerprint by which single-object encoding names the schema, as it stands before the data.
    pub fn fingerprint(&self) -> [u8; 8] {
        let bytes = self.schema.fingerprint::<Rabin>().bytes;
        bytes.try_into().expect("a Rabin fingerprint has 64 bits")
    }
}

/// Takes out what is not needed and may be wrong, and puts in Avro's own words for types that only carry Kafka Connect's.
fn prepare(value: &mut Value, role: Role) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| prepare(value, role)),
        Value::Object(members) => {
            members.remove("doc");
            if role == Role::Writer {
                members.remove("default");
            }
            if let Some(name) = logical_type(members) {
                members.insert("logicalType".into(), name.into());
            }
            // Only where types stand: a default may look like anything.
            for key in ["type", "fields", "items", "values"] {
                if let Some(part) = members.get_mut(key) {
                    prepare(part, role);
                }
            }
        }
        _ => {}
    }
}

/// Avro's name of a logical type that only Kafka Connect or Debezium names.
fn logical_type(members: &Map<String, Value>) -> Option<&'static str> {
    if members.contains_key("logicalType") {
        return None;
    }
    let name = members.get("connect.name")?.as_str()?;
    let base = members.get("type")?.as_str()?;
    Some(match (base, name) {
        ("int", "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date") => "date",
        ("int", "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time") => "time-millis",
        ("long", "io.debezium.time.MicroTime") => "time-micros",
        ("long", "org.apache.kafka.connect.data.Timestamp") => "timestamp-millis",
        // Debezium's have no time zone.
        ("long", "io.debezium.time.Timestamp") => "local-timestamp-millis",
        ("long", "io.debezium.time.MicroTimestamp") => "local-timestamp-micros",
        ("long", "io.debezium.time.NanoTimestamp") => "local-timestamp-nanos",
        ("string", "io.debezium.data.Uuid") => "uuid",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_connect_names_are_avros_own() {
        let text = r#"{"type": "record", "name": "r", "doc": "d", "fields": [
            {"name": "due", "type": ["null", {"type": "int", "connect.name": "io.debezium.time.Date"}]},
            {"name": "n", "type": "int", "default": "x"},
            {"name": "at", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}}]}"#;
        let Schema::Record(record) = AvroSchema::parse(text, &[], Role::Writer).unwrap().schema
        else {
            panic!("a record")
        };
        let Schema::Union(due) = &record.fields[0].schema else { panic!("a union") };
        assert_eq!(due.variants()[1], Schema::Date);
        assert_eq!(record.fields[2].schema, Schema::LocalTimestampMicros);
        assert!(AvroSchema::parse(text, &[], Role::Reader).is_err(), "the default is no number");
    }

    #[test]
    fn a_schema_names_types_of_another() {
        let money = r#"{"type": "fixed", "name": "m.Money", "size": 4}"#;
        let order =
            r#"{"type": "record", "name": "m.Order", "fields": [{"name": "a", "type": "Money"}]}"#;
        assert!(AvroSchema::parse(order, &[], Role::Writer).is_err());
        let parsed = AvroSchema::parse(order, &[money.into()], Role::Writer).unwrap();
        assert_eq!(parsed.references.len(), 1);
    }

    /// The value that the specification's own fingerprint of `"int"` has, lowest byte first.
    #[test]
    fn a_fingerprint_is_the_specifications() {
        let schema = AvroSchema::parse(r#""int""#, &[], Role::Writer).unwrap();
        assert_eq!(u64::from_le_bytes(schema.fingerprint()), 0x7275_d51a_3f39_5c8f);
    }
}
