//! How tables grow: processes that widen one table in turn agree, and nothing that people made is harmed.

use std::collections::BTreeMap;

use bigquery_double::schema as double;
use consumer::sink::bigquery::columns::{AdoptError, Adopted, adopt};
use consumer::sink::bigquery::frame_columns::frame_columns;
use consumer::sink::bigquery::service_field::ServiceField;
use consumer::table::schema::{Column, ColumnType, TableSchema, Unit};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::generated::columns;
use crate::{column, double_columns, new_table};

fn fields(json: Json) -> Vec<ServiceField> {
    serde_json::from_value(json).unwrap()
}

fn with_frame(json: Json) -> Vec<ServiceField> {
    frame_columns().into_iter().chain(fields(json)).collect()
}

/// The path of each field's column, by the path of the field.
fn places(columns: &[Column]) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    columns.iter().for_each(|column| place("", "", column, &mut places));
    places
}

fn place(above: &str, above_name: &str, column: &Column, places: &mut BTreeMap<String, String>) {
    let field = format!("{above}/{:?}", column.field);
    let name = format!("{above_name}/{}", column.name);
    inner(&field, &name, &column.kind, places);
    assert_eq!(places.insert(field.clone(), name), None, "{field} has two columns");
}

fn inner(field: &str, name: &str, kind: &ColumnType, places: &mut BTreeMap<String, String>) {
    match kind {
        ColumnType::Struct(columns) => {
            columns.iter().for_each(|column| place(field, name, column, places));
        }
        ColumnType::List(element) => inner(&format!("{field}[]"), name, element, places),
        ColumnType::Map(value) => inner(&format!("{field}{{}}"), name, value, places),
        _ => {}
    }
}

/// Whether the columns stand in `later` as they stood, but that structs have gained fields at their end.
fn stay(earlier: &[Column], later: &[Column]) -> bool {
    let is_same = |(a, b): (&Column, &Column)| {
        a.name == b.name && a.field == b.field && stays(&a.kind, &b.kind)
    };
    earlier.len() <= later.len() && earlier.iter().zip(later).all(is_same)
}

fn stays(earlier: &ColumnType, later: &ColumnType) -> bool {
    match (earlier, later) {
        (ColumnType::Struct(a), ColumnType::Struct(b)) => stay(a, b),
        (ColumnType::List(a), ColumnType::List(b)) | (ColumnType::Map(a), ColumnType::Map(b)) => {
            stays(a, b)
        }
        (a, b) => a == b,
    }
}

/// Widens `service`, too, as far as it takes it.
fn step(known: &mut TableSchema, service: &mut Vec<ServiceField>, wanted: &[Column]) {
    let adopted = adopt(known, service, wanted, false).unwrap();
    assert!(stay(&known.columns, &adopted.schema.columns));
    let is_changed = adopted.schema.columns != known.columns;
    assert_eq!(adopted.schema.version, known.version + u32::from(is_changed));
    *known = adopted.schema;
    if let Some(wider) = adopted.fields {
        let (before, after) = (double_columns(service), double_columns(&wider));
        assert_eq!(double::check_change(&before, &after), Ok(()));
        assert_ne!(service, &wider);
        *service = wider;
    }
    let again = adopt(known, service, wanted, false).unwrap();
    let nothing = Adopted { schema: known.clone(), fields: None, has_other_types: false };
    assert_eq!(again, nothing, "once is enough");
}

/// Whether a decoder that knows `columns` finds there what it wants: it would ask for it for ever.
fn have(columns: &[Column], wanted: &[Column]) -> bool {
    let has = |wanted: &Column| {
        let found = columns.iter().find(|column| column.field == wanted.field);
        found.is_some_and(|found| holds(&found.kind, &wanted.kind))
    };
    wanted.iter().all(has)
}

fn holds(kind: &ColumnType, wanted: &ColumnType) -> bool {
    match (kind, wanted) {
        (ColumnType::Struct(columns), ColumnType::Struct(wanted)) => have(columns, wanted),
        (ColumnType::List(kind), ColumnType::List(wanted))
        | (ColumnType::Map(kind), ColumnType::Map(wanted)) => holds(kind, wanted),
        (ColumnType::Struct(columns), _) => !columns.is_empty(),
        (ColumnType::List(kind) | ColumnType::Map(kind), _) => holds(kind, &ColumnType::Text),
        _ => true,
    }
}

/// Columns that people made, named as fields may be, of any type.
fn made_by_people() -> impl Strategy<Value = Vec<ServiceField>> {
    let scalar = prop::sample::select(vec![
        "BOOL",
        "INT64",
        "FLOAT64",
        "STRING",
        "BYTES",
        "NUMERIC",
        "BIGNUMERIC",
        "DATE",
        "TIME",
        "DATETIME",
        "TIMESTAMP",
        "JSON",
        "GEOGRAPHY",
    ]);
    let mode = || prop::sample::select(vec!["NULLABLE", "REPEATED"]);
    let scalar = (scalar, mode()).prop_map(|(kind, mode)| json!({"type": kind, "mode": mode}));
    let field = scalar.prop_recursive(3, 12, 4, move |inner| {
        let names = vec!["a", "b", "A_b", "element", "key", "x"];
        let fields = vec((prop::sample::select(names), inner), 1..4).prop_map(named);
        (fields, mode())
            .prop_map(|(fields, mode)| json!({"type": "RECORD", "mode": mode, "fields": fields}))
    });
    let names = vec!["a", "b", "a_b", "_1", "c", "A_2"];
    vec((prop::sample::select(names), field), 0..5).prop_map(|it| fields(named(it)))
}

fn named(fields: Vec<(&str, Json)>) -> Json {
    let mut seen = std::collections::BTreeSet::new();
    let fields = fields.into_iter().filter(|(name, _)| seen.insert(name.to_lowercase()));
    let field = |(name, mut field): (&str, Json)| {
        field["name"] = json!(name);
        field
    };
    fields.map(field).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Processes that widen a table in turn, and one that comes later, agree on which column holds
    /// which field; each finds all that it wants; the table only widens, and all of its names are valid.
    #[test]
    fn processes_agree_on_which_column_holds_which_field(
        made in made_by_people(),
        steps in vec((any::<bool>(), columns()), 1..8),
    ) {
        let mut service = [frame_columns(), made].concat();
        let mut known = [TableSchema::default(), TableSchema::default()];
        for (which, wanted) in &steps {
            let known = &mut known[usize::from(*which)];
            step(known, &mut service, wanted);
            prop_assert!(have(&known.columns, wanted), "{:?} in {:?}", wanted, known);
        }
        let mut third = TableSchema::default();
        for (_, wanted) in steps.iter().rev() {
            step(&mut third, &mut service, wanted);
        }
        let all = places(&third.columns);
        for known in known {
            for (field, name) in places(&known.columns) {
                // What a column's own type brings along need not be wanted by anybody.
                prop_assert!(all.get(&field).is_none_or(|other| *other == name), "{}", field);
            }
        }
    }
}

#[test]
fn columns_of_people_are_filled_where_their_type_fits() {
    let service = with_frame(json!([
        {"name": "id", "type": "INTEGER", "mode": "NULLABLE", "defaultValueExpression": "7"},
        {"name": "price", "type": "NUMERIC", "precision": "6", "scale": "2"},
        {"name": "doc", "type": "JSON"},
        {"name": "place", "type": "GEOGRAPHY", "mode": "REPEATED"},
        {"name": "n", "type": "STRING"},
        {"name": "at", "type": "TIMESTAMP", "description": "Field \"created-at\" of the record"},
        {"name": "tags", "type": "RECORD", "mode": "REPEATED",
         "fields": [{"name": "Key", "type": "STRING", "mode": "REQUIRED"}, {"name": "value", "type": "INTEGER"}]},
        {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}]},
    ]));
    let at = ColumnType::Timestamp { unit: Unit::Nanos, utc: true };
    let wanted = [
        column("id", ColumnType::Integer),
        column("price", ColumnType::Decimal { precision: 9, scale: 2 }),
        column("doc", ColumnType::Text),
        column("place", ColumnType::List(Box::new(ColumnType::Text))),
        column("n", ColumnType::Float),
        column("created-at", at.clone()),
        column("tags", ColumnType::Map(Box::new(ColumnType::Text))),
        column("r", ColumnType::Text),
        column("at", ColumnType::Boolean),
    ];
    let adopted = adopt(&TableSchema::default(), &service, &wanted, false).unwrap();
    let kinds: Vec<_> =
        adopted.schema.columns.iter().map(|it| (it.name.as_str(), it.kind.clone())).collect();
    assert_eq!(
        kinds,
        [
            ("id", ColumnType::Integer),
            ("price", ColumnType::Decimal { precision: 6, scale: 2 }),
            ("doc", ColumnType::Text),
            ("place", ColumnType::List(Box::new(ColumnType::Text))),
            ("n", ColumnType::Text),
            ("at", at),
            ("tags", ColumnType::Map(Box::new(ColumnType::Integer))),
            ("r", ColumnType::Struct(vec![column("x", ColumnType::Date)])),
            ("at_2", ColumnType::Boolean),
        ]
    );
    assert!(adopted.has_other_types);
    let fields = adopted.fields.unwrap();
    assert_eq!(fields[..service.len()], service, "all that was there stays as it was");
    let new = serde_json::to_value(&fields[service.len()..]).unwrap();
    assert_eq!(
        new,
        json!([{"name": "at_2", "type": "BOOLEAN", "mode": "NULLABLE",
                "description": "Field \"at\" of the record"}])
    );
}

#[test]
fn what_no_record_can_fill_is_said_by_name() {
    let adopt_one = |service: &[ServiceField], kind: ColumnType, relax| {
        adopt(&TableSchema::default(), service, &[column("c", kind)], relax)
    };
    let service = with_frame(json!([{"name": "c", "type": "INTERVAL"}]));
    let error = adopt_one(&service, ColumnType::Text, true).unwrap_err();
    assert_eq!(error, AdoptError::Unfillable { column: "c".into(), shape: "INTERVAL".into() });
    let inner = json!([{"name": "x", "type": "STRING", "mode": "REQUIRED"},
                       {"name": "y", "type": "RANGE", "rangeElementType": {"type": "DATE"}}]);
    let service = with_frame(json!([
        {"name": "c", "type": "RECORD", "fields": inner, "mode": "REQUIRED"},
        {"name": "d", "type": "DATE", "mode": "REQUIRED"},
    ]));
    let kind = ColumnType::Struct(vec![column("z", ColumnType::Integer)]);
    let error = adopt_one(&service, kind.clone(), false).unwrap_err();
    assert_eq!(error, AdoptError::Required(vec!["c.x".into(), "d".into()]));
    let adopted = adopt_one(&service, kind, true).unwrap();
    let fields = adopted.fields.unwrap();
    let modes: Vec<_> = fields[9..].iter().map(|it| it.mode.as_deref()).collect();
    assert_eq!(modes, [Some("REQUIRED"), Some("NULLABLE")]);
    assert_eq!(fields[9].fields[0].mode.as_deref(), Some("NULLABLE"));
    assert_eq!(fields[9].fields[1].other["rangeElementType"]["type"], "DATE");
    assert_eq!(fields[3].mode.as_deref(), Some("REQUIRED"), "ours are always filled");
}

/// A table that was made anew gets back what it has lost, unless it is of another type now.
#[test]
fn a_table_made_anew_is_widened_again() {
    let (known, fields) = new_table(&[
        column("a-b", ColumnType::Integer),
        column("c", ColumnType::Struct(vec![column("x", ColumnType::Date)])),
    ]);
    let again = adopt(&known, &frame_columns(), &[], false).unwrap();
    let all = Adopted { schema: known.clone(), fields: Some(fields), has_other_types: false };
    assert_eq!(again, all);
    let other = with_frame(json!([{"name": "a_b", "type": "STRING"}]));
    let error = adopt(&known, &other, &[], false).unwrap_err();
    assert_eq!(error, AdoptError::Retyped { column: "a_b".into(), shape: "STRING".into() });
}

/// The service takes 15 records within each other; what is deeper becomes text, which no object fits.
#[test]
fn what_is_nested_too_deep_becomes_text() {
    let mut kind = ColumnType::Integer;
    for level in 0..20 {
        kind = match level % 3 {
            0 => ColumnType::Struct(vec![column("x", kind)]),
            1 => ColumnType::List(Box::new(ColumnType::List(Box::new(kind)))),
            _ => ColumnType::Map(Box::new(kind)),
        };
    }
    let (_, fields) = new_table(&[column("c", kind)]);
    fn depth(field: &ServiceField) -> usize {
        let inner = field.fields.iter().map(depth).max().unwrap_or(0);
        inner + usize::from(field.kind == "RECORD")
    }
    assert_eq!(depth(&fields[9]), 15);
}

#[test]
fn a_table_has_an_end() {
    let wide = |count: usize| -> Vec<_> {
        (0..count).map(|it| json!({"name": format!("c{it}"), "type": "STRING"})).collect()
    };
    let adopt_into = |count| {
        let service = with_frame(wide(count).into());
        adopt(&TableSchema::default(), &service, &[column("x", ColumnType::Text)], false)
    };
    assert!(adopt_into(9_988).is_ok());
    assert_eq!(adopt_into(9_989).unwrap_err(), AdoptError::TooMany { fields: 10_001 });
    let long: Vec<_> = (0..3_000)
        .map(|it| column(&format!("{}{it}", "x".repeat(296)), ColumnType::Text))
        .collect();
    let error = adopt(&TableSchema::default(), &frame_columns(), &long, false).unwrap_err();
    assert!(matches!(error, AdoptError::TooLong { .. }), "{error}");
}
