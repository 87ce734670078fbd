//! Pure. The columns of a table: what they hold, how they are named, and how they grow.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use arrow_schema::extension::Uuid;
use serde::{Deserialize, Serialize};

/// Columns and nested fields that a table may have; a record that would add more is kept as text.
pub const COLUMNS_MAX: usize = 2_000;
/// Longest name of a field that becomes a column, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// The name of a list's one field, as the Parquet format asks for it.
const ELEMENT: &str = "element";

/// What a column holds. It never changes, but that a struct gains fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Boolean,
    /// Signed, 64 bits.
    Integer,
    /// IEEE 754, 64 bits.
    Float,
    Text,
    Binary,
    /// Decimal digits before and behind the point together, and behind it.
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// Days, without a time zone.
    Date,
    /// Since midnight, without a time zone.
    Time(Unit),
    /// Since 1970; `utc` tells an instant from what a clock on some wall showed.
    Timestamp {
        unit: Unit,
        utc: bool,
    },
    Uuid,
    List(Box<ColumnType>),
    /// From text to values.
    Map(Box<ColumnType>),
    Struct(Vec<Column>),
}

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// One column of a table, or one field of a struct column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Unique among its siblings, also when upper and lower case are not told apart.
    pub name: String,
    /// The record's field that it holds; `None` is the record's whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// The columns that a table's records fill, beside the `kafka_*` columns that every row has.
///
/// A later version has all columns of an earlier one under the same names and types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// 0 is the table without columns, which is written nowhere.
    pub version: u32,
    pub columns: Vec<Column>,
    /// The fields by which rows change others; empty: each row stands for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
}

impl TableSchema {
    /// The next version with `wanted` added, or `None` if it holds all of it already.
    ///
    /// A wanted column whose field is there with another type adds nothing: the first type stays.
    pub fn widened(&self, wanted: &[Column]) -> Option<Self> {
        let mut columns = self.columns.clone();
        let is_wider = merge(&mut columns, wanted, true);
        let key = self.key.clone();
        is_wider.then(|| Self { version: self.version + 1, columns, key })
    }

    /// The columns as Arrow fields, all nullable, in their order.
    pub fn arrow_fields(&self) -> Vec<Field> {
        self.columns.iter().map(Column::arrow_field).collect()
    }

    /// Columns and nested fields, which [`COLUMNS_MAX`] bounds.
    pub fn size(&self) -> usize {
        count(&self.columns)
    }
}

impl Column {
    /// True if both hold the same part of a record.
    fn is_same(&self, other: &Self) -> bool {
        self.field == other.field
    }

    /// As an Arrow field, which is always nullable.
    pub fn arrow_field(&self) -> Field {
        self.kind.arrow_field(&self.name)
    }
}

impl Unit {
    pub fn arrow_unit(self) -> TimeUnit {
        match self {
            Self::Millis => TimeUnit::Millisecond,
            Self::Micros => TimeUnit::Microsecond,
            Self::Nanos => TimeUnit::Nanosecond,
        }
    }

    /// How many of them are a second.
    pub fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }
}

impl ColumnType {
    /// A nullable field of this type, marked where Arrow's types alone do not tell what it holds.
    pub fn arrow_field(&self, name: &str) -> Field {
        let field = Field::new(name, self.arrow_type(), true);
        match self {
            Self::Uuid => field.with_extension_type(Uuid),
            _ => field,
        }
    }

    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Decimal { precision, scale } if *precision <= DECIMAL128_MAX_PRECISION => {
                DataType::Decimal128(*precision, *scale)
            }
            Self::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::Time(unit @ Unit::Millis) => DataType::Time32(unit.arrow_unit()),
            Self::Time(unit) => DataType::Time64(unit.arrow_unit()),
            Self::Timestamp { unit, utc } => {
                DataType::Timestamp(unit.arrow_unit(), utc.then(|| "UTC".into()))
            }
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::List(element) => DataType::List(Arc::new(element.arrow_field(ELEMENT))),
            Self::Map(value) => DataType::Map(Arc::new(entries_field(value)), false),
            Self::Struct(columns) => DataType::Struct(struct_fields(columns)),
        }
    }
}

/// The one field of a list; its name is the one that the Parquet format asks for.
pub fn list_field(element: DataType) -> Field {
    Field::new(ELEMENT, element, true)
}

/// The entries of a map, named as the Parquet format asks for.
pub(crate) fn entries_field(value: &ColumnType) -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    let fields = Fields::from(vec![key, value.arrow_field("value")]);
    Field::new("key_value", DataType::Struct(fields), false)
}

fn struct_fields(columns: &[Column]) -> Fields {
    columns.iter().map(Column::arrow_field).collect()
}

pub(crate) fn count(columns: &[Column]) -> usize {
    columns.iter().map(|column| 1 + nested(&column.kind)).sum()
}

fn nested(kind: &ColumnType) -> usize {
    match kind {
        ColumnType::List(element) | ColumnType::Map(element) => nested(element),
        ColumnType::Struct(columns) => count(columns),
        _ => 0,
    }
}

fn merge(columns: &mut Vec<Column>, wanted: &[Column], is_top: bool) -> bool {
    let mut is_wider = false;
    for column in wanted {
        let present = columns.iter_mut().find(|present| present.is_same(column));
        is_wider |= match present {
            Some(present) => merge_kind(&mut present.kind, &column.kind),
            None => {
                let siblings = columns.iter().map(|column| column.name.as_str());
                let name = free_name(siblings, column.field.as_deref(), is_top);
                let kind = named(&column.kind);
                columns.push(Column { name, field: column.field.clone(), kind });
                true
            }
        };
    }
    is_wider
}

fn merge_kind(present: &mut ColumnType, wanted: &ColumnType) -> bool {
    match (present, wanted) {
        (ColumnType::Struct(present), ColumnType::Struct(wanted)) => merge(present, wanted, false),
        (ColumnType::List(present), ColumnType::List(wanted))
        | (ColumnType::Map(present), ColumnType::Map(wanted)) => merge_kind(present, wanted),
        _ => false,
    }
}

/// The same type with the fields of its structs named anew.
fn named(kind: &ColumnType) -> ColumnType {
    match kind {
        ColumnType::List(element) => ColumnType::List(Box::new(named(element))),
        ColumnType::Map(value) => ColumnType::Map(Box::new(named(value))),
        ColumnType::Struct(wanted) => {
            let mut columns = Vec::with_capacity(wanted.len());
            merge(&mut columns, wanted, false);
            ColumnType::Struct(columns)
        }
        _ => kind.clone(),
    }
}

/// The name of a new column beside `siblings`: that of its field, with a suffix if it is taken.
///
/// At the top `kafka_*` is ours, and `partition` is what readers make of the folders' names.
fn free_name<'a>(
    siblings: impl Iterator<Item = &'a str>,
    field: Option<&str>,
    is_top: bool,
) -> String {
    let wanted = match field {
        Some("") => "_",
        Some(field) => field,
        None => "value",
    };
    let taken: BTreeSet<String> = siblings.map(str::to_lowercase).collect();
    let is_taken = |name: &str| taken.contains(&name.to_lowercase());
    let is_ours = is_top && is_reserved(wanted);
    if !is_ours && !is_taken(wanted) {
        return wanted.into();
    }
    let mut names = (2_u32..).map(|number| format!("{wanted}_{number}"));
    names.find(|name| !is_taken(name)).expect("siblings are fewer than numbers")
}

fn is_reserved(name: &str) -> bool {
    let folded = name.to_lowercase();
    folded.starts_with("kafka_") || folded == "partition"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(field: &str, kind: ColumnType) -> Column {
        Column { name: field.into(), field: Some(field.into()), kind }
    }

    fn names(schema: &TableSchema) -> Vec<&str> {
        schema.columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn the_first_type_stays_and_structs_grow() {
        let inner = |fields: &[&str]| {
            ColumnType::Struct(fields.iter().map(|f| column(f, ColumnType::Text)).collect())
        };
        let list = |fields: &[&str]| ColumnType::List(Box::new(inner(fields)));
        let first = TableSchema::default()
            .widened(&[column("a", ColumnType::Integer), column("s", list(&["x"]))])
            .unwrap();
        assert_eq!(first.version, 1);
        assert_eq!(
            first.widened(&[column("a", ColumnType::Text), column("s", list(&["x"]))]),
            None
        );
        let second = first.widened(&[column("s", list(&["y", "x"]))]).unwrap();
        assert_eq!(second.columns[1].kind, list(&["x", "y"]));
        assert_eq!(second.version, 2);
        assert_eq!(second.size(), 4);
    }

    #[test]
    fn names_that_clash_get_a_number() {
        let fields =
            ["a", "A", "A_2", "kafka_offset", "Kafka_x", "partition", "", "_", "value", "ß", "SS"];
        let wanted: Vec<_> = fields.iter().map(|f| column(f, ColumnType::Text)).collect();
        let mut schema = TableSchema::default().widened(&wanted).unwrap();
        let whole = Column { name: "value".into(), field: None, kind: ColumnType::Binary };
        schema = schema.widened(&[whole]).unwrap();
        assert_eq!(
            names(&schema),
            [
                "a",
                "A_2",
                "A_2_2",
                "kafka_offset_2",
                "Kafka_x_2",
                "partition_2",
                "_",
                "__2",
                "value",
                "ß",
                "SS",
                "value_2"
            ]
        );
    }

    #[test]
    fn a_nested_field_may_be_called_as_ours() {
        let kind = ColumnType::Struct(vec![column("kafka_offset", ColumnType::Text)]);
        let schema = TableSchema::default().widened(&[column("s", kind.clone())]).unwrap();
        assert_eq!(schema.columns[0].kind, kind);
    }

    #[test]
    fn a_schema_is_read_back_from_json() {
        let kind =
            ColumnType::Struct(vec![column("b", ColumnType::List(Box::new(ColumnType::Float)))]);
        let schema = TableSchema::default().widened(&[column("a", kind)]).unwrap();
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"columns":[{"name":"a","field":"a","type":{"struct":[{"name":"b","field":"b","type":{"list":"float"}}]}}]}"#
        );
        assert_eq!(serde_json::from_str::<TableSchema>(&text).unwrap(), schema);
    }
}
