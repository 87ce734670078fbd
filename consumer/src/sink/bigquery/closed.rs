//! Pure. What of wanted columns a table has that may not be changed.

use super::columns::{AdoptError, Adopted, adopt};
use super::service_field::ServiceField;
use crate::table::schema::{Column, ColumnType, TableSchema};

/// Adds to what is `known` those of `wanted` for which the table has a column; of structs the fields that it has.
/// Records that need more are misfits.
pub(super) fn adopt_present(
    known: &TableSchema,
    service: &[ServiceField],
    wanted: &[Column],
) -> Result<Adopted, AdoptError> {
    let is_there = |column: Column| {
        let adopted = adopt(known, service, &[column], false);
        adopted.is_ok_and(|adopted| adopted.fields.is_none())
    };
    let present: Vec<_> =
        wanted.iter().filter_map(|column| part_of_column(column, &is_there)).collect();
    adopt(known, service, &present, false)
}

fn part_of_column(column: &Column, is_there: &dyn Fn(Column) -> bool) -> Option<Column> {
    let with = |kind| Column { kind, ..column.clone() };
    part(&column.kind, &|kind| is_there(with(kind))).map(with)
}

/// As much of a type as is there.
fn part(kind: &ColumnType, is_there: &dyn Fn(ColumnType) -> bool) -> Option<ColumnType> {
    if is_there(kind.clone()) {
        return Some(kind.clone());
    }
    match kind {
        ColumnType::Struct(columns) => {
            let of_struct = |column| is_there(ColumnType::Struct(vec![column]));
            let present = columns.iter().filter_map(|column| part_of_column(column, &of_struct));
            let present: Vec<_> = present.collect();
            (!present.is_empty()).then_some(ColumnType::Struct(present))
        }
        ColumnType::List(element) => {
            let list = |element| ColumnType::List(Box::new(element));
            part(element, &|element| is_there(list(element))).map(list)
        }
        ColumnType::Map(value) => {
            let map = |value| ColumnType::Map(Box::new(value));
            part(value, &|value| is_there(map(value))).map(map)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sink::bigquery::frame_columns::frame_columns;

    fn column(name: &str, kind: ColumnType) -> Column {
        Column { name: name.into(), field: Some(name.into()), kind }
    }

    #[test]
    fn what_a_table_has_is_filled_and_nothing_is_added() {
        let made = json!([
            {"name": "n", "type": "INTEGER"},
            {"name": "s", "type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]},
            {"name": "l", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "b", "type": "STRING"}]},
        ]);
        let made: Vec<ServiceField> = serde_json::from_value(made).unwrap();
        let service = [frame_columns(), made].concat();
        let both = |one: &str, kind: ColumnType| {
            ColumnType::Struct(vec![column(one, ColumnType::Text), column("more", kind)])
        };
        let wanted = [
            column("n", ColumnType::Integer),
            column("x", ColumnType::Integer),
            column("s", both("a", ColumnType::Integer)),
            column("l", ColumnType::List(Box::new(both("b", ColumnType::Text)))),
        ];
        let adopted = adopt_present(&TableSchema::default(), &service, &wanted).unwrap();
        assert_eq!(adopted.fields, None);
        let one = |name: &str| ColumnType::Struct(vec![column(name, ColumnType::Text)]);
        let expected = [
            column("n", ColumnType::Integer),
            column("s", one("a")),
            column("l", ColumnType::List(Box::new(one("b")))),
        ];
        assert_eq!(adopted.schema.columns, expected);
        let again = adopt_present(&adopted.schema, &service, &wanted).unwrap();
        assert_eq!(again.schema, adopted.schema);
    }
}
