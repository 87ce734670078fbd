//! Pure. The primary key of a table whose rows change others: which columns it has, and whether it may be set.

use std::time::Duration;

use super::service_field::{ServiceField, ServiceType};
use crate::table::schema::TableSchema;

/// As many as the service takes.
const KEY_COLUMNS_MAX: usize = 16;
/// As many as the service takes to cluster a table by.
const CLUSTER_COLUMNS_MAX: usize = 4;

/// What a table has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundKey {
    /// The columns of its primary key; empty: it has none.
    pub columns: Vec<String>,
    pub has_rows: bool,
    pub is_clustered: bool,
}

/// What a table is to get with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub columns: Vec<String>,
    /// Columns to cluster it by; empty: it stays as it is.
    pub cluster_by: Vec<String>,
}

/// Why rows cannot change those of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no column holds the field `{0}` of the primary key: look at the option `primary_key`")]
    NoColumn(String),
    #[error(
        "the table's column {column} is {shape}, which is no part of a primary key in BigQuery: name other columns with the \
         option `primary_key`"
    )]
    Type { column: String, shape: String },
    #[error(
        "the key has {0} columns, at most {KEY_COLUMNS_MAX} are possible: name fewer with the option `primary_key`"
    )]
    TooMany(usize),
    #[error(
        "its primary key is ({}), and records are told apart by ({}): write into another table, or name the columns with the \
         option `primary_key`", .found.join(", "), .wanted.join(", ")
    )]
    Other { found: Vec<String>, wanted: Vec<String> },
    #[error(
        "it has no primary key, and {why}: see to it that each key is there once, then run ALTER TABLE `{table}` ADD PRIMARY \
         KEY ({}) NOT ENFORCED", .wanted.join(", ")
    )]
    Missing { why: &'static str, table: String, wanted: Vec<String> },
}

/// What the table `name` with these fields lacks, so that rows of that schema can change others by its key.
pub fn new_key(
    (name, fields): (&str, &[ServiceField]),
    schema: &TableSchema,
    found: &FoundKey,
    may_change: bool,
) -> Result<Option<NewKey>, KeyError> {
    let wanted = columns_of(schema, fields)?;
    let has = |column: &String| found.columns.iter().any(|it| it.eq_ignore_ascii_case(column));
    if !found.columns.is_empty() {
        let is_same = found.columns.len() == wanted.len() && wanted.iter().all(has);
        let found = found.columns.clone();
        return if is_same { Ok(None) } else { Err(KeyError::Other { found, wanted }) };
    }
    let why = match (found.has_rows, may_change) {
        (true, _) => "has rows already",
        (false, false) => "the service entry says `widen` `false`",
        (false, true) => {
            let cluster_by = if found.is_clustered { &[][..] } else { &wanted };
            let cluster_by = cluster_by.iter().take(CLUSTER_COLUMNS_MAX).cloned().collect();
            return Ok(Some(NewKey { columns: wanted, cluster_by }));
        }
    };
    Err(KeyError::Missing { why, table: name.into(), wanted })
}

/// The columns that hold the fields of the key.
fn columns_of(schema: &TableSchema, fields: &[ServiceField]) -> Result<Vec<String>, KeyError> {
    let column = |field: &String| {
        let column = schema.columns.iter().find(|column| column.field.as_ref() == Some(field));
        let column = column.ok_or_else(|| KeyError::NoColumn(field.clone()))?;
        let found = fields.iter().find(|it| it.name.eq_ignore_ascii_case(&column.name));
        let found = found.ok_or_else(|| KeyError::NoColumn(field.clone()))?;
        match is_of_keys(found) {
            true => Ok(found.name.clone()),
            false => Err(KeyError::Type { column: found.name.clone(), shape: found.shape() }),
        }
    };
    let columns = schema.key.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    if columns.len() > KEY_COLUMNS_MAX {
        return Err(KeyError::TooMany(columns.len()));
    }
    Ok(columns)
}

fn is_of_keys(field: &ServiceField) -> bool {
    let kind = matches!(
        field.service_type(),
        ServiceType::Boolean
            | ServiceType::Integer
            | ServiceType::String
            | ServiceType::Numeric
            | ServiceType::BigNumeric
            | ServiceType::Date
            | ServiceType::DateTime
            | ServiceType::Timestamp
    );
    kind && !field.is_repeated()
}

/// A span as the service writes one: years and months, days, and hours, minutes and seconds.
pub fn interval(span: Duration) -> String {
    let seconds = span.as_secs();
    format!("0-0 0 {}:{}:{}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::{Column, ColumnType};

    fn schema(key: &[&str]) -> TableSchema {
        let column = |field: &str, name: &str, kind| Column {
            name: name.into(),
            field: Some(field.into()),
            kind,
        };
        let columns = vec![
            column("id", "id", ColumnType::Integer),
            column("the-region", "the_region", ColumnType::Text),
            column("score", "score", ColumnType::Float),
            column("tags", "tags", ColumnType::List(Box::new(ColumnType::Text))),
        ];
        TableSchema { columns, key: key.iter().map(|name| (*name).into()).collect(), version: 1 }
    }

    fn lacks(key: &[&str], found: &FoundKey, may: bool) -> Result<Option<NewKey>, KeyError> {
        let schema = schema(key);
        let fields: Vec<_> = schema.columns.iter().map(ServiceField::of_column).collect();
        new_key(("p.d.t", &fields), &schema, found, may)
    }

    fn found(columns: &[&str]) -> FoundKey {
        let columns = columns.iter().map(|name| (*name).into()).collect();
        FoundKey { columns, ..FoundKey::default() }
    }

    #[test]
    fn an_empty_table_gets_its_key_and_is_clustered_by_it() {
        let columns: Vec<String> = vec!["id".into(), "the_region".into()];
        let new = NewKey { columns: columns.clone(), cluster_by: columns.clone() };
        assert_eq!(lacks(&["id", "the-region"], &found(&[]), true), Ok(Some(new)));
        let clustered = FoundKey { is_clustered: true, ..found(&[]) };
        let new = NewKey { columns, cluster_by: vec![] };
        assert_eq!(lacks(&["id", "the-region"], &clustered, true), Ok(Some(new)));
    }

    #[test]
    fn a_table_that_has_the_key_is_left_alone() {
        let rows = FoundKey { has_rows: true, ..found(&["The_Region", "id"]) };
        assert_eq!(lacks(&["id", "the-region"], &rows, false), Ok(None));
    }

    #[test]
    fn what_cannot_be_keyed_is_refused_with_what_to_do() {
        let rows = FoundKey { has_rows: true, ..found(&[]) };
        let statement = "ALTER TABLE `p.d.t` ADD PRIMARY KEY (id, the_region) NOT ENFORCED";
        for (refused, said) in [
            (lacks(&["id", "the-region"], &rows, true), statement),
            (lacks(&["id", "the-region"], &found(&[]), false), statement),
            (lacks(&["id"], &found(&["the_region"]), true), "is (the_region), and"),
            (lacks(&["id"], &found(&["id", "the_region"]), true), "told apart by (id)"),
            (lacks(&["score"], &found(&[]), true), "score is FLOAT"),
            (lacks(&["tags"], &found(&[]), true), "tags is REPEATED STRING"),
            (lacks(&["nothing"], &found(&[]), true), "`nothing`"),
            (lacks(&["id"; 17], &found(&[]), true), "17 columns"),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn spans_are_written_as_intervals() {
        let written = [0, 59, 900, 90_061].map(|seconds| interval(Duration::from_secs(seconds)));
        assert_eq!(written, ["0-0 0 0:0:0", "0-0 0 0:0:59", "0-0 0 0:15:0", "0-0 0 25:1:1"]);
    }
}
