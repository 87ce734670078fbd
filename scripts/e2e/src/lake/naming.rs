//! Pure. Which field of a record each column holds, as the table's schema says.

use std::collections::BTreeMap;

use serde::Deserialize;

/// From columns to fields. A column that is not named holds the field of its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    columns: BTreeMap<String, Named>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    field: Option<String>,
    inner: Naming,
}

#[derive(Debug, Deserialize)]
struct SchemaFile {
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    Binary,
    List(Box<Kind>),
    Struct(Vec<Column>),
}

impl Naming {
    /// Reads a table's `_schema/<version>.json`.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let file: SchemaFile = serde_json::from_slice(text)?;
        Ok(Self::of(file.columns))
    }

    fn of(columns: Vec<Column>) -> Self {
        let named = columns.into_iter().map(|column| {
            let named = Named { field: column.field, inner: Self::within(column.kind) };
            (column.name, named)
        });
        Self { columns: named.collect() }
    }

    fn within(kind: Kind) -> Self {
        match kind {
            Kind::Boolean | Kind::Integer | Kind::Float | Kind::Text | Kind::Binary => {
                Self::default()
            }
            Kind::List(element) => Self::within(*element),
            Kind::Struct(columns) => Self::of(columns),
        }
    }

    /// The field that `column` holds.
    pub fn field<'a>(&'a self, column: &'a str) -> &'a str {
        let named = self.columns.get(column);
        named.and_then(|named| named.field.as_deref()).unwrap_or(column)
    }

    /// The naming of the fields within `column`, of its elements if it is a list.
    pub fn within_column(&self, column: &str) -> Option<&Self> {
        self.columns.get(column).map(|named| &named.inner)
    }
}

/// The version that `<version>.json` names.
pub fn version(file: &str) -> Option<u32> {
    file.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_lead_to_their_fields_also_within_lists() {
        let text = br#"{"version":2,"columns":[
            {"name":"A_2","field":"A","type":"integer"},
            {"name":"value","type":"binary"},
            {"name":"l","field":"l","type":{"list":{"struct":[
                {"name":"x_2","field":"X","type":"text"}]}}}]}"#;
        let naming = Naming::parse(text).unwrap();
        assert_eq!(naming.field("A_2"), "A");
        assert_eq!(naming.field("value"), "value");
        assert_eq!(naming.field("unknown"), "unknown");
        assert_eq!(naming.within_column("l").unwrap().field("x_2"), "X");
        assert_eq!(version("12.json"), Some(12));
    }
}
