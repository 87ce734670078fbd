//! Pure. What the registry's answers mean.

use std::sync::Arc;

use common::avro_schema::{AvroSchema, Role};
use common::chain::Chain;
use serde::Deserialize;

use crate::decode::schemas::Registered;

/// A schema as the registry tells it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct SchemaAnswer {
    pub(super) schema: String,
    /// Avro if it is not told.
    #[serde(rename = "schemaType")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

/// A schema that another one names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) subject: String,
    pub(super) version: u32,
}

/// What data can be read with, of a schema and all that it refers to.
pub(super) fn registered(answer: &SchemaAnswer, references: &[String]) -> Registered {
    match answer.kind.as_deref() {
        None | Some("AVRO") => {}
        Some(other) => {
            return Registered::Unusable(format!("it is a schema of {other}, not of Avro"));
        }
    }
    match AvroSchema::parse(&answer.schema, references, Role::Writer) {
        Ok(schema) => Registered::Avro(Arc::new(schema)),
        Err(error) => Registered::Unusable(Chain(&error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_not_avros_is_said_to_be_so() {
        let answer = |text: &str| serde_json::from_str::<SchemaAnswer>(text).unwrap();
        let usable = answer(r#"{"schema": "\"int\""}"#);
        assert!(matches!(registered(&usable, &[]), Registered::Avro(_)));
        for (text, expected) in [
            (r#"{"schema": "syntax", "schemaType": "PROTOBUF"}"#, "of PROTOBUF, not of Avro"),
            (r#"{"schema": "{"}"#, "an Avro schema is JSON"),
            (r#"{"schema": "\"x\""}"#, "no Avro schema"),
        ] {
            match registered(&answer(text), &[]) {
                Registered::Unusable(problem) => assert!(problem.contains(expected), "{problem}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
