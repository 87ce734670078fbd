//! Pure. The `kafka_*` columns in BigQuery, and whether a table that people made has them as they must be.

use super::service_field::ServiceField;
use crate::decode::{CHANGE_SEQUENCE, CHANGE_TYPE};
use crate::table::schema::{Column, ColumnType, TableSchema, Unit};

/// Never NULL: what tells one record from all others, and in which order they stand.
const REQUIRED: [&str; 4] = ["kafka_topic", "kafka_topic_id", "kafka_partition", "kafka_offset"];
/// Never NULL either, though a table need not say so.
const ALWAYS_FILLED: &str = "kafka_tombstone";
/// Only there where the service entry asks for headers.
pub(super) const HEADERS: &str = "kafka_headers";

/// What the `kafka_*` columns hold, in the order of [`frame_fields`](crate::decode::frame_fields).
pub(super) fn frame_kinds() -> Vec<Column> {
    let column = |name: &str, kind| Column { name: name.into(), field: None, kind };
    let header = vec![column("key", ColumnType::Text), column("value", ColumnType::Binary)];
    let headers = ColumnType::List(Box::new(ColumnType::Struct(header)));
    vec![
        column("kafka_topic", ColumnType::Text),
        column("kafka_topic_id", ColumnType::Text),
        column("kafka_partition", ColumnType::Integer),
        column("kafka_offset", ColumnType::Integer),
        column("kafka_timestamp", ColumnType::Timestamp { unit: Unit::Millis, utc: true }),
        column("kafka_key", ColumnType::Binary),
        column(HEADERS, headers),
        column("kafka_tombstone", ColumnType::Boolean),
        column("kafka_unparsed", ColumnType::Text),
    ]
}

/// What rows say of what they do, where they change others; the table has no such columns.
pub(super) fn change_kinds(schema: &TableSchema) -> Vec<Column> {
    let column = |name: &str| Column { name: name.into(), field: None, kind: ColumnType::Text };
    match schema.key.is_empty() {
        true => Vec::new(),
        false => vec![column(CHANGE_TYPE), column(CHANGE_SEQUENCE)],
    }
}

/// All `kafka_*` columns.
pub fn frame_columns() -> Vec<ServiceField> {
    let field = |column: Column| {
        let field = ServiceField::of_kind(&column.name, &column.kind);
        if REQUIRED.contains(&column.name.as_str()) { field.required() } else { field }
    };
    frame_kinds().into_iter().map(field).collect()
}

/// The `kafka_*` columns of a new table.
pub fn new_columns(has_headers: bool) -> Vec<ServiceField> {
    let is_wanted = |field: &ServiceField| has_headers || field.name != HEADERS;
    frame_columns().into_iter().filter(is_wanted).collect()
}

/// The `kafka_*` columns that a table lacks, as they can be added to it.
///
/// Fails with what is wrong with a column that it has.
pub fn check_frame(
    service: &[ServiceField],
    has_headers: bool,
) -> Result<Vec<ServiceField>, String> {
    let mut missing = Vec::new();
    for wanted in frame_columns() {
        let found = service.iter().find(|field| field.name.eq_ignore_ascii_case(&wanted.name));
        match found {
            Some(found) => check(found, &wanted, "")?,
            None if !has_headers && wanted.name == HEADERS => {}
            None => {
                let mode = if wanted.is_repeated() { "REPEATED" } else { "NULLABLE" };
                missing.push(ServiceField { mode: Some(mode.into()), ..wanted });
            }
        }
    }
    Ok(missing)
}

fn check(found: &ServiceField, wanted: &ServiceField, above: &str) -> Result<(), String> {
    let name = format!("{above}{}", found.name);
    let is_same = found.service_type() == wanted.service_type()
        && found.is_repeated() == wanted.is_repeated();
    if !is_same {
        return Err(format!(
            "the table's column {name} is {}, and must be {}: rename it, or write into another table",
            found.shape(),
            wanted.shape(),
        ));
    }
    let is_filled = REQUIRED.contains(&wanted.name.as_str()) || wanted.name == ALWAYS_FILLED;
    if found.is_required() && !is_filled {
        return Err(format!(
            "the table's column {name} is REQUIRED, and records may have none: make it NULLABLE"
        ));
    }
    let extra = found.fields.iter().find(|field| wanted.child(&field.name).is_none());
    if let Some(extra) = extra.filter(|field| field.is_required()) {
        return Err(format!(
            "the table's column {name}.{} is REQUIRED, and nothing fills it: make it NULLABLE",
            extra.name
        ));
    }
    for inner in &wanted.fields {
        let Some(found) = found.child(&inner.name) else {
            return Err(format!(
                "the table's column {name} has no field {}, {}: add it",
                inner.name, inner.kind
            ));
        };
        check(found, inner, &format!("{name}."))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use serde_json::{Value, json};

    use super::*;
    use crate::decode::frame_fields;

    /// The columns are those that decoders make, in their order and of their types.
    #[test]
    fn columns_are_those_that_decoders_make() {
        let (kinds, fields) = (frame_kinds(), frame_fields());
        assert_eq!(kinds.len(), fields.len());
        for (column, field) in kinds.iter().zip(&fields) {
            assert_eq!(&column.name, field.name());
            let is_partition = column.name == "kafka_partition";
            let made = if is_partition { &DataType::Int64 } else { field.data_type() };
            assert_eq!(&column.kind.arrow_type(), made, "{}", column.name);
            assert_eq!(REQUIRED.contains(&column.name.as_str()), !field.is_nullable());
        }
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Vec<String>, String> {
        let mut json = serde_json::to_value(frame_columns()).unwrap();
        change(&mut json);
        let fields: Vec<ServiceField> = serde_json::from_value(json).unwrap();
        let missing = check_frame(&fields, true)?;
        for field in &missing {
            assert!(!field.is_required(), "no table takes it");
        }
        Ok(missing.into_iter().map(|field| field.name).collect())
    }

    /// Whoever does not ask for headers has no column for them made, and one that is there must be as it has to be.
    #[test]
    fn headers_have_a_column_where_they_are_asked_for() {
        let names = |has_headers| new_columns(has_headers).into_iter().map(|field| field.name);
        assert!(names(true).any(|name| name == HEADERS));
        assert!(!names(false).any(|name| name == HEADERS));
        assert_eq!(check_frame(&new_columns(false), false), Ok(vec![]));
        let missing = check_frame(&new_columns(false), true).unwrap();
        assert_eq!(missing.iter().map(|field| &*field.name).collect::<Vec<_>>(), [HEADERS]);
        let mut with = new_columns(true);
        assert_eq!(check_frame(&with, false), Ok(vec![]));
        with[6].mode = Some("NULLABLE".into());
        assert!(check_frame(&with, false).unwrap_err().contains("must be REPEATED RECORD"));
    }

    #[test]
    fn tables_of_people_are_checked() {
        assert_eq!(with(|_| {}), Ok(vec![]));
        assert_eq!(with(|it| it[3]["name"] = json!("Kafka_Offset")), Ok(vec![]));
        assert_eq!(with(|it| it[3]["mode"] = json!("NULLABLE")), Ok(vec![]));
        assert_eq!(with(|it| it[7]["mode"] = json!("REQUIRED")), Ok(vec![]));
        let without = with(|it| drop(it.as_array_mut().unwrap().drain(5..7)));
        assert_eq!(without, Ok(vec!["kafka_key".into(), "kafka_headers".into()]));
        for (wrong, said) in [
            (
                with(|it| it[3]["type"] = json!("STRING")),
                "kafka_offset is STRING, and must be INTEGER",
            ),
            (with(|it| it[6]["mode"] = json!("NULLABLE")), "must be REPEATED RECORD"),
            (with(|it| it[5]["mode"] = json!("REQUIRED")), "kafka_key is REQUIRED"),
            (
                with(|it| it[6]["fields"][1]["type"] = json!("STRING")),
                "kafka_headers.value is STRING",
            ),
            (with(|it| drop(it[6]["fields"].as_array_mut().unwrap().pop())), "no field value"),
            (
                with(|it| {
                    it[6]["fields"]
                        .as_array_mut()
                        .unwrap()
                        .push(json!({"name": "x", "type": "STRING", "mode": "REQUIRED"}))
                }),
                "kafka_headers.x is REQUIRED",
            ),
        ] {
            assert!(wrong.as_ref().is_err_and(|text| text.contains(said)), "{wrong:?}");
        }
    }
}
