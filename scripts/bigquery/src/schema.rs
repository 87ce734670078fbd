//! Pure. The columns of a table: as REST writes them, as the Storage Write API names them, and how they may change.

use std::collections::BTreeSet;

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage::table_field_schema as proto;

const NAME_LENGTH_MAX: usize = 300;

/// What no column's name may begin with, in any case.
const RESERVED_PREFIXES: [&str; 6] =
    ["_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER"];

/// Printed by its name in REST; SQL's names are taken, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    String,
    #[serde(alias = "INT64")]
    Integer,
    #[serde(alias = "FLOAT64")]
    Float,
    #[serde(alias = "BOOL")]
    Boolean,
    Bytes,
    Timestamp,
    Date,
    Time,
    #[serde(rename = "DATETIME")]
    DateTime,
    Geography,
    Numeric,
    #[serde(rename = "BIGNUMERIC")]
    BigNumeric,
    Json,
    #[serde(alias = "STRUCT")]
    Record,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    #[default]
    Nullable,
    Required,
    Repeated,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub mode: Mode,
    /// The columns inside a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Column>,
    #[serde(default, rename = "defaultValueExpression", skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Description, precision, tags: kept, and given back.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Column {
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

pub fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.is_called(name))
}

/// Refuses what no table can have. Names are judged by the strict rule: letters, digits and underscores.
pub fn check(columns: &[Column]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for column in columns {
        check_name(&column.name)?;
        if !names.insert(column.name.to_ascii_lowercase()) {
            return Err(format!("Duplicate field name: {}", column.name));
        }
        if (column.kind == Kind::Record) == column.fields.is_empty() {
            return Err(format!("Field {}: RECORD and only RECORD has fields", column.name));
        }
        check(&column.fields)?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let upper = name.to_ascii_uppercase();
    let reserved = RESERVED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    if begins && goes_on && !reserved && name.len() <= NAME_LENGTH_MAX {
        return Ok(());
    }
    Err(format!("Invalid field name \"{name}\""))
}

/// Whether a table may change from `old` to `new`: columns may come, NULLABLE or REPEATED, and
/// REQUIRED may become NULLABLE; nothing else.
pub fn check_change(old: &[Column], new: &[Column]) -> Result<(), String> {
    for before in old {
        let Some(after) = find(new, &before.name) else {
            return Err(format!("Field {} is missing in new schema", before.name));
        };
        if after.kind != before.kind {
            return Err(format!("Field {} has changed type", before.name));
        }
        let relaxed = before.mode == Mode::Required && after.mode == Mode::Nullable;
        if after.mode != before.mode && !relaxed {
            return Err(format!("Field {} has changed mode", before.name));
        }
        check_change(&before.fields, &after.fields)?;
    }
    let added = new.iter().filter(|column| find(old, &column.name).is_none());
    match added.into_iter().find(|column| column.mode == Mode::Required) {
        Some(column) => Err(format!("Cannot add REQUIRED field {} to a table", column.name)),
        None => Ok(()),
    }
}

pub fn to_proto(columns: &[Column]) -> storage::TableSchema {
    storage::TableSchema { fields: columns.iter().map(field_to_proto).collect() }
}

fn field_to_proto(column: &Column) -> storage::TableFieldSchema {
    let kind = match column.kind {
        Kind::String => proto::Type::String,
        Kind::Integer => proto::Type::Int64,
        Kind::Float => proto::Type::Double,
        Kind::Boolean => proto::Type::Bool,
        Kind::Bytes => proto::Type::Bytes,
        Kind::Timestamp => proto::Type::Timestamp,
        Kind::Date => proto::Type::Date,
        Kind::Time => proto::Type::Time,
        Kind::DateTime => proto::Type::Datetime,
        Kind::Geography => proto::Type::Geography,
        Kind::Numeric => proto::Type::Numeric,
        Kind::BigNumeric => proto::Type::Bignumeric,
        Kind::Json => proto::Type::Json,
        Kind::Record => proto::Type::Struct,
    };
    let mode = match column.mode {
        Mode::Nullable => proto::Mode::Nullable,
        Mode::Required => proto::Mode::Required,
        Mode::Repeated => proto::Mode::Repeated,
    };
    storage::TableFieldSchema {
        name: column.name.clone(),
        r#type: kind.into(),
        mode: mode.into(),
        fields: column.fields.iter().map(field_to_proto).collect(),
        default_value_expression: column.default.clone().unwrap_or_default(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(schema: Value) -> Vec<Column> {
        serde_json::from_value(schema).unwrap()
    }

    #[test]
    fn types_are_given_back_by_one_name_and_modes_always() {
        let read = columns(json!([
            {"name": "a", "type": "INT64", "description": "d"},
            {"name": "b", "type": "STRUCT", "fields": [{"name": "c", "type": "FLOAT64", "mode": "REPEATED"}]},
            {"name": "d", "type": "BIGNUMERIC"}, {"name": "e", "type": "DATETIME"},
        ]));
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(
            written,
            json!([
                {"name": "a", "type": "INTEGER", "mode": "NULLABLE", "description": "d"},
                {"name": "b", "type": "RECORD", "mode": "NULLABLE",
                 "fields": [{"name": "c", "type": "FLOAT", "mode": "REPEATED"}]},
                {"name": "d", "type": "BIGNUMERIC", "mode": "NULLABLE"},
                {"name": "e", "type": "DATETIME", "mode": "NULLABLE"},
            ])
        );
        assert_eq!(columns(written), read);
    }

    #[test]
    fn columns_that_no_table_can_have_are_refused() {
        for wrong in [
            json!([{"name": "a-b", "type": "STRING"}]),
            json!([{"name": "1a", "type": "STRING"}]),
            json!([{"name": "_partitiontime", "type": "STRING"}]),
            json!([{"name": "a", "type": "STRING"}, {"name": "A", "type": "STRING"}]),
            json!([{"name": "a", "type": "RECORD"}]),
            json!([{"name": "a", "type": "STRING", "fields": [{"name": "b", "type": "STRING"}]}]),
        ] {
            assert!(check(&columns(wrong.clone())).is_err(), "{wrong}");
        }
        assert_eq!(check(&columns(json!([{"name": "_a1", "type": "STRING"}]))), Ok(()));
    }

    #[test]
    fn a_table_may_only_widen() {
        let old = columns(json!([
            {"name": "a", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "STRING"}]},
        ]));
        let a = json!({"name": "A", "type": "INTEGER", "mode": "NULLABLE"});
        let r = json!({"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "STRING"}]});
        let wider = json!({"name": "r", "type": "RECORD", "fields": [
            {"name": "x", "type": "STRING"}, {"name": "y", "type": "STRING", "mode": "REPEATED"}]});
        let other =
            json!({"name": "r", "type": "RECORD", "fields": [{"name": "y", "type": "STRING"}]});
        let new = json!({"name": "n", "type": "STRING", "mode": "REQUIRED"});
        let retyped = json!({"name": "a", "type": "STRING", "mode": "REQUIRED"});
        let repeated = json!({"name": "a", "type": "INTEGER", "mode": "REPEATED"});
        for (is_legal, schema) in [
            (true, json!([a, r])),
            (true, json!([wider, a])),
            (false, json!([a])),
            (false, json!([a, other])),
            (false, json!([a, r, new])),
            (false, json!([retyped, r])),
            (false, json!([repeated, r])),
        ] {
            assert_eq!(check_change(&old, &columns(schema.clone())).is_ok(), is_legal, "{schema}");
        }
        let relaxed = columns(json!([a, r]));
        assert!(check_change(&relaxed, &old).is_err(), "NULLABLE never becomes REQUIRED");
    }
}
