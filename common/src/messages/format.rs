//! Pure. How the records of a topic are read: the format of a service entry and the options that go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::avro_schema::{AvroSchema, Role, SchemaTextError};
use crate::chain::Chain;

/// The formats' names; the first is the default.
pub const FORMATS: [&str; 4] = ["json", "avro", "debezium", "bytes"];
/// What Debezium writes in place of a value that it does not know, unless told otherwise.
const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

/// How a topic's records become rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordFormat {
    pub values: ValueFormat,
    /// Rows carry the records' headers.
    pub has_headers: bool,
    pub misfits: Misfits,
    pub ignore: Option<Ignore>,
}

/// How the value of a record is read.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueFormat {
    /// One JSON object per record.
    Json {
        /// Columns that the table is to have, whatever comes.
        schema: Option<Arc<AvroSchema>>,
    },
    Avro(AvroFormat),
    Debezium(DebeziumFormat),
    /// The value as it is.
    Bytes,
}

/// Where the schemas of Avro data are.
#[derive(Clone, Debug, PartialEq)]
pub enum AvroFormat {
    /// Nothing but data stands in a record, all of one schema.
    Raw { schema: Arc<AvroSchema> },
    /// A record names its schema by its id in a schema registry.
    Confluent {
        /// What the data is resolved to.
        reader: Option<Arc<AvroSchema>>,
    },
    /// A record names its schema by the fingerprint.
    SingleObject { schemas: Vec<Arc<AvroSchema>> },
}

/// Change events of Debezium.
#[derive(Clone, Debug, PartialEq)]
pub struct DebeziumFormat {
    /// `None`: JSON, with or without schemas.
    pub avro: Option<AvroFormat>,
    /// Rows carry the state before the change, too.
    pub has_before: bool,
    pub unavailable_value: String,
}

/// What becomes of a record of which a value does not fit its column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfits {
    /// Its text stands in `kafka_unparsed`.
    #[default]
    Unparsed,
    DeadLetter,
}

/// Records that are skipped and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    pub place: Place,
    /// As text; numbers and booleans as JSON writes them.
    pub values: BTreeSet<String>,
}

/// Where the value stands that tells whether a record is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Names of fields, each within the one before.
    Field(Vec<String>),
    Header(String),
}

/// What a service entry asks for and nobody can do.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("the format `{0}` is unknown; known are {known}", known = FORMATS.join(", "))]
    Format(String),
    #[error("the format `{format}` has no option `{option}`; it has {known}")]
    Option { format: String, option: String, known: String },
    #[error("the option `{option}` is {expected}, not `{got}`")]
    Value { option: &'static str, expected: &'static str, got: String },
    #[error("the option `schema` cannot be used: {0}")]
    Schema(String),
    #[error("{encoding} data names no schema: give it as the option `schema`")]
    NoSchema { encoding: &'static str },
    #[error("the option `ignore` is malformed: {0}")]
    Ignore(String),
}

/// As people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IgnoreText {
    field: Option<String>,
    header: Option<String>,
    values: Vec<Value>,
}

/// Options while they are read.
struct Options<'o>(&'o BTreeMap<String, String>);

/// Options that concern no format.
const GENERAL: [&str; 3] = ["headers", "ignore", "misfits"];

impl RecordFormat {
    /// Reads what a service entry says.
    pub fn parse(format: &str, options: &BTreeMap<String, String>) -> Result<Self, FormatError> {
        let own: &[&str] = match format {
            "json" => &["schema"],
            "avro" => &["encoding", "schema"],
            "debezium" => &["before", "encoding", "schema", "unavailable_value"],
            "bytes" => &[],
            _ => return Err(FormatError::Format(format.into())),
        };
        let known: Vec<_> = GENERAL.iter().chain(own).copied().collect();
        if let Some(option) = options.keys().find(|option| !known.contains(&option.as_str())) {
            let (format, option) = (format.into(), option.clone());
            return Err(FormatError::Option { format, option, known: known.join(", ") });
        }
        let options = Options(options);
        let values = match format {
            "json" => ValueFormat::Json { schema: options.schema(Role::Reader)? },
            "avro" => {
                let encoding = options.0.get("encoding").map_or("confluent", String::as_str);
                ValueFormat::Avro(options.avro(encoding, AVRO_ENCODINGS)?)
            }
            "debezium" => ValueFormat::Debezium(options.debezium()?),
            _ => ValueFormat::Bytes,
        };
        Ok(Self {
            values,
            has_headers: options.flag("headers")?,
            misfits: options.misfits()?,
            ignore: options.0.get("ignore").map(|text| ignore(text)).transpose()?,
        })
    }
}

impl Ignore {
    /// The path of the field that tells, unless it is a header.
    pub fn field(&self) -> Option<&[String]> {
        match &self.place {
            Place::Field(path) => Some(path),
            Place::Header(_) => None,
        }
    }
}

const AVRO_ENCODINGS: &str = "`confluent`, `raw` or `single_object`";

impl Options<'_> {
    fn flag(&self, option: &'static str) -> Result<bool, FormatError> {
        let Some(text) = self.0.get(option) else { return Ok(false) };
        let expected = "`true` or `false`";
        text.parse().map_err(|_| FormatError::Value { option, expected, got: text.clone() })
    }

    fn misfits(&self) -> Result<Misfits, FormatError> {
        match self.0.get("misfits").map(String::as_str) {
            None | Some("unparsed") => Ok(Misfits::Unparsed),
            Some("dead_letter") => Ok(Misfits::DeadLetter),
            Some(other) => Err(FormatError::Value {
                option: "misfits",
                expected: "`unparsed` or `dead_letter`",
                got: other.into(),
            }),
        }
    }

    fn debezium(&self) -> Result<DebeziumFormat, FormatError> {
        let encoding = self.0.get("encoding").map_or("json", String::as_str);
        let avro = match encoding {
            "json" => None,
            avro => Some(self.avro(avro, "`json`, `confluent`, `raw` or `single_object`")?),
        };
        let unavailable_value = self.0.get("unavailable_value");
        Ok(DebeziumFormat {
            avro,
            has_before: self.flag("before")?,
            unavailable_value: unavailable_value
                .map_or_else(|| UNAVAILABLE_VALUE.into(), String::clone),
        })
    }

    fn avro(&self, encoding: &str, expected: &'static str) -> Result<AvroFormat, FormatError> {
        let needed = |encoding| FormatError::NoSchema { encoding };
        match encoding {
            "raw" => {
                let schema = self.schema(Role::Writer)?.ok_or_else(|| needed("raw"))?;
                Ok(AvroFormat::Raw { schema })
            }
            "confluent" => Ok(AvroFormat::Confluent { reader: self.schema(Role::Reader)? }),
            "single_object" => {
                let schemas = self.schemas()?.ok_or_else(|| needed("single-object"))?;
                Ok(AvroFormat::SingleObject { schemas })
            }
            _ => Err(FormatError::Value { option: "encoding", expected, got: encoding.into() }),
        }
    }

    fn schema(&self, role: Role) -> Result<Option<Arc<AvroSchema>>, FormatError> {
        self.0.get("schema").map(|text| schema(text, role)).transpose()
    }

    /// One schema, or a list of them.
    fn schemas(&self) -> Result<Option<Vec<Arc<AvroSchema>>>, FormatError> {
        let Some(text) = self.0.get("schema") else { return Ok(None) };
        let several: Option<Vec<Value>> = serde_json::from_str(text).ok();
        let texts = several.map_or_else(
            || vec![text.clone()],
            |several| several.iter().map(Value::to_string).collect(),
        );
        texts.iter().map(|text| schema(text, Role::Writer)).collect::<Result<_, _>>().map(Some)
    }
}

fn schema(text: &str, role: Role) -> Result<Arc<AvroSchema>, FormatError> {
    let problem = FormatError::Schema;
    let parsed = AvroSchema::parse(text, &[], role)
        .map_err(|error: SchemaTextError| problem(Chain(&error).to_string()))?;
    match parsed.schema {
        apache_avro::Schema::Record(_) => Ok(Arc::new(parsed)),
        _ => Err(problem("a table's rows are made of records, and this is none".into())),
    }
}

fn ignore(text: &str) -> Result<Ignore, FormatError> {
    const EXAMPLE: &str = r#"it is like {"field": "type", "values": ["ping"]} or {"header": "type", "values": ["ping"]}"#;
    let wrong = |problem: &str| FormatError::Ignore(format!("{problem}; {EXAMPLE}"));
    let parsed: IgnoreText =
        serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    let place = match (parsed.field, parsed.header) {
        (Some(field), None) => Place::Field(field.split('.').map(str::to_owned).collect()),
        (None, Some(header)) => Place::Header(header),
        _ => return Err(wrong("it names either a field or a header")),
    };
    let value = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let values = parsed.values.iter().map(value).collect::<Option<BTreeSet<_>>>();
    let values = values.ok_or_else(|| wrong("a value is text, a number or a boolean"))?;
    Ok(Ignore { place, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str =
        r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}"#;

    fn parse(format: &str, options: &[(&str, &str)]) -> Result<RecordFormat, String> {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        RecordFormat::parse(format, &options).map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn formats_have_the_options_that_concern_them() {
        for (format, options) in [
            ("json", &[][..]),
            ("json", &[("schema", RECORD), ("misfits", "dead_letter"), ("headers", "true")]),
            ("avro", &[]),
            ("avro", &[("encoding", "raw"), ("schema", RECORD)]),
            ("avro", &[("encoding", "single_object"), ("schema", RECORD)]),
            ("debezium", &[("before", "true")]),
            ("debezium", &[("encoding", "confluent"), ("unavailable_value", "-")]),
            ("bytes", &[("ignore", r#"{"header": "t", "values": [1, true, "x"]}"#)]),
        ] {
            assert!(parse(format, options).is_ok(), "{format} {options:?}");
        }
        let list = format!("[{RECORD}, {RECORD}]");
        let format = parse("avro", &[("encoding", "single_object"), ("schema", &list)]).unwrap();
        let ValueFormat::Avro(AvroFormat::SingleObject { schemas }) = format.values else {
            panic!("single objects")
        };
        assert_eq!(schemas.len(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_what_can() {
        for (format, options, expected) in [
            ("xml", &[][..], "the format `xml` is unknown; known are json, avro, debezium, bytes"),
            (
                "bytes",
                &[("schema", RECORD)],
                "the format `bytes` has no option `schema`; it has headers, ignore, misfits",
            ),
            ("json", &[("headers", "yes")], "the option `headers` is `true` or `false`, not `yes`"),
            (
                "json",
                &[("misfits", "drop")],
                "the option `misfits` is `unparsed` or `dead_letter`, not `drop`",
            ),
            (
                "avro",
                &[("encoding", "raw")],
                "raw data names no schema: give it as the option `schema`",
            ),
            (
                "avro",
                &[("encoding", "json")],
                "the option `encoding` is `confluent`, `raw` or `single_object`, not `json`",
            ),
            (
                "json",
                &[("schema", r#""int""#)],
                "the option `schema` cannot be used: a table's rows are made of records, and this is none",
            ),
        ] {
            assert_eq!(parse(format, options).unwrap_err(), expected);
        }
        for text in ["x", "{}", r#"{"values": []}"#, r#"{"field": "a", "values": [null]}"#] {
            let error = parse("json", &[("ignore", text)]).unwrap_err();
            assert!(error.contains("it is like"), "{error}");
        }
    }
}
