//! Pure. The fields of a table's schema as the service writes them, and which of our kinds each of them holds.

use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names;
use crate::table::schema::{Column, ColumnType, Unit};

/// The one field of the records that lists of lists and lists of maps are made of.
pub(super) const ELEMENT: &str = "element";
/// The fields of the records that maps are made of.
pub(super) const KEY: &str = "key";
pub(super) const VALUE: &str = "value";

/// Digits before and behind the point of what the types hold.
const NUMERIC_DIGITS: (i16, i16) = (29, 9);
const BIGNUMERIC_DIGITS: (i16, i16) = (38, 38);

/// A field as REST has it. It is written back with all that it came with: a change of a table's
/// schema takes away what it does not repeat, such as default values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceField {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Those of a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ServiceField>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a field holds, whatever the name that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceType {
    Boolean,
    Integer,
    Float,
    String,
    Bytes,
    Numeric,
    BigNumeric,
    Date,
    Time,
    DateTime,
    Timestamp,
    Json,
    Geography,
    Record,
    /// INTERVAL, RANGE and what is yet to come.
    Other,
}

impl ServiceField {
    pub(super) fn new(name: &str, kind: ServiceType) -> Self {
        Self {
            name: name.into(),
            kind: kind.name().into(),
            mode: Some("NULLABLE".into()),
            description: None,
            fields: Vec::new(),
            other: Map::new(),
        }
    }

    /// A new field for values of that kind.
    pub(super) fn of_kind(name: &str, kind: &ColumnType) -> Self {
        match kind {
            ColumnType::List(element) if is_wrapped(element) => {
                let element = Self::of_kind(ELEMENT, element);
                Self::record(name, vec![element]).repeated()
            }
            ColumnType::List(element) => Self::of_kind(name, element).repeated(),
            ColumnType::Map(value) => {
                let key = Self::new(KEY, ServiceType::String);
                Self::record(name, vec![key, Self::of_kind(VALUE, value)]).repeated()
            }
            ColumnType::Struct(columns) => {
                Self::record(name, columns.iter().map(Self::of_column).collect())
            }
            scalar => Self::new(name, scalar_type(scalar)),
        }
    }

    /// A new field for a column, which says what it holds where its name does not.
    pub(super) fn of_column(column: &Column) -> Self {
        let mut field = Self::of_kind(&column.name, &column.kind);
        field.description = names::description(column.field.as_deref(), &column.name);
        field
    }

    /// The service has no record without fields: one that nothing fills stands in.
    fn record(name: &str, fields: Vec<Self>) -> Self {
        let mut record = Self::new(name, ServiceType::Record);
        record.fields = fields;
        if record.fields.is_empty() {
            let mut nothing = Self::new("_empty", ServiceType::Boolean);
            nothing.description = Some(names::NOTHING.into());
            record.fields.push(nothing);
        }
        record
    }

    fn repeated(mut self) -> Self {
        self.mode = Some("REPEATED".into());
        self
    }

    pub(super) fn required(mut self) -> Self {
        self.mode = Some("REQUIRED".into());
        self
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.has_mode("REPEATED")
    }

    pub(super) fn is_required(&self) -> bool {
        self.has_mode("REQUIRED")
    }

    fn has_mode(&self, mode: &str) -> bool {
        self.mode.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(mode))
    }

    pub(super) fn service_type(&self) -> ServiceType {
        ServiceType::parse(&self.kind)
    }

    /// Type and mode, for people.
    pub(super) fn shape(&self) -> String {
        match self.is_repeated() {
            true => format!("REPEATED {}", self.kind),
            false => self.kind.clone(),
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether a value of that kind, which is no list, map or struct, can stand in it as it is.
    pub(super) fn holds(&self, kind: &ColumnType) -> bool {
        let own = self.service_type();
        match kind {
            ColumnType::List(_) | ColumnType::Map(_) | ColumnType::Struct(_) => false,
            ColumnType::Text if matches!(own, ServiceType::Json | ServiceType::Geography) => true,
            ColumnType::Decimal { precision, scale } if own == scalar_type(kind) => {
                self.digits().is_none_or(|(whole, fraction)| {
                    i16::from(*precision) - i16::from(*scale) <= whole
                        && i16::from(*scale) <= fraction
                })
            }
            _ => own == scalar_type(kind),
        }
    }

    /// What it holds if nothing is known of the records, or `None` if no record can fill it.
    pub(super) fn canonical(&self) -> Option<ColumnType> {
        let element = self.canonical_element()?;
        Some(if self.is_repeated() { ColumnType::List(Box::new(element)) } else { element })
    }

    /// The same of one of a list's elements.
    pub(super) fn canonical_element(&self) -> Option<ColumnType> {
        Some(match self.service_type() {
            ServiceType::Boolean => ColumnType::Boolean,
            ServiceType::Integer => ColumnType::Integer,
            ServiceType::Float => ColumnType::Float,
            ServiceType::String | ServiceType::Json | ServiceType::Geography => ColumnType::Text,
            ServiceType::Bytes => ColumnType::Binary,
            ServiceType::Numeric => self.decimal(38, 9),
            ServiceType::BigNumeric => self.decimal(76, 38),
            ServiceType::Date => ColumnType::Date,
            ServiceType::Time => ColumnType::Time(Unit::Micros),
            ServiceType::DateTime => ColumnType::Timestamp { unit: Unit::Micros, utc: false },
            ServiceType::Timestamp => ColumnType::Timestamp { unit: Unit::Micros, utc: true },
            ServiceType::Record => {
                let fillable = |field: &Self| {
                    let kind = field.canonical()?;
                    let said = names::field_of(field)?;
                    Some(Column { name: field.name.clone(), field: said, kind })
                };
                let columns: Vec<_> = self.fields.iter().filter_map(fillable).collect();
                (!columns.is_empty()).then_some(ColumnType::Struct(columns))?
            }
            ServiceType::Other => return None,
        })
    }

    fn decimal(&self, precision: u8, scale: i8) -> ColumnType {
        let own = self.digits().and_then(|(whole, fraction)| {
            Some((u8::try_from(whole + fraction).ok()?, i8::try_from(fraction).ok()?))
        });
        let (precision, scale) = own.unwrap_or((precision, scale));
        ColumnType::Decimal { precision, scale }
    }

    /// Digits before and behind the point, where the table was made with a number of them.
    fn digits(&self) -> Option<(i16, i16)> {
        let number = |key: &str| match self.other.get(key)? {
            Value::String(text) => text.parse::<i16>().ok(),
            number => number.as_i64()?.try_into().ok(),
        };
        let precision = number("precision")?;
        let scale = number("scale").unwrap_or(0);
        Some((precision - scale, scale))
    }
}

impl From<&TableFieldSchema> for ServiceField {
    fn from(field: &TableFieldSchema) -> Self {
        let json = serde_json::to_value(field).expect("a field holds nothing but text");
        serde_json::from_value(json).expect("both name the same members")
    }
}

impl TryFrom<&ServiceField> for TableFieldSchema {
    type Error = serde_json::Error;

    /// Leaves out what the crate does not know.
    fn try_from(field: &ServiceField) -> Result<Self, Self::Error> {
        serde_json::from_value(serde_json::to_value(field)?)
    }
}

impl ServiceType {
    const NAMES: [(Self, &'static str); 18] = [
        (Self::Boolean, "BOOLEAN"),
        (Self::Boolean, "BOOL"),
        (Self::Integer, "INTEGER"),
        (Self::Integer, "INT64"),
        (Self::Float, "FLOAT"),
        (Self::Float, "FLOAT64"),
        (Self::String, "STRING"),
        (Self::Bytes, "BYTES"),
        (Self::Numeric, "NUMERIC"),
        (Self::BigNumeric, "BIGNUMERIC"),
        (Self::Date, "DATE"),
        (Self::Time, "TIME"),
        (Self::DateTime, "DATETIME"),
        (Self::Timestamp, "TIMESTAMP"),
        (Self::Json, "JSON"),
        (Self::Geography, "GEOGRAPHY"),
        (Self::Record, "RECORD"),
        (Self::Record, "STRUCT"),
    ];

    fn parse(text: &str) -> Self {
        let found = Self::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map_or(Self::Other, |(kind, _)| *kind)
    }

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        found.map_or("OTHER", |(_, name)| name)
    }
}

/// Whether a list's elements stand in records of their own: arrays hold no arrays.
pub(super) fn is_wrapped(element: &ColumnType) -> bool {
    matches!(element, ColumnType::List(_) | ColumnType::Map(_))
}

/// The type that holds all values of a kind; a list's is that of its elements.
fn scalar_type(kind: &ColumnType) -> ServiceType {
    match kind {
        ColumnType::Boolean => ServiceType::Boolean,
        ColumnType::Integer => ServiceType::Integer,
        ColumnType::Float => ServiceType::Float,
        ColumnType::Text | ColumnType::Uuid => ServiceType::String,
        ColumnType::Binary => ServiceType::Bytes,
        ColumnType::Decimal { precision, scale } => {
            let (whole, fraction) = (i16::from(*precision) - i16::from(*scale), i16::from(*scale));
            let fits = |digits: (i16, i16)| whole <= digits.0 && fraction <= digits.1;
            match () {
                () if fits(NUMERIC_DIGITS) => ServiceType::Numeric,
                () if fits(BIGNUMERIC_DIGITS) => ServiceType::BigNumeric,
                () => ServiceType::String,
            }
        }
        ColumnType::Date => ServiceType::Date,
        ColumnType::Time(_) => ServiceType::Time,
        ColumnType::Timestamp { utc: false, .. } => ServiceType::DateTime,
        ColumnType::Timestamp { utc: true, .. } => ServiceType::Timestamp,
        ColumnType::List(element) => scalar_type(element),
        ColumnType::Map(_) | ColumnType::Struct(_) => ServiceType::Record,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(json: Value) -> ServiceField {
        serde_json::from_value(json).unwrap()
    }

    /// What a field came with is what it is written back with.
    #[test]
    fn nothing_is_lost_on_the_way() {
        let json = json!({"name": "a", "type": "RANGE", "mode": "NULLABLE", "fields": [],
            "rangeElementType": {"type": "DATE"}, "defaultValueExpression": "1"});
        let mut written = serde_json::to_value(field(json.clone())).unwrap();
        written["fields"] = json!([]);
        assert_eq!(written, json);
    }

    #[test]
    fn decimals_stand_where_all_of_their_digits_do() {
        let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
        for (precision, scale, name) in [
            (38, 9, "NUMERIC"),
            (29, 0, "NUMERIC"),
            (10, -5, "NUMERIC"),
            (30, 0, "BIGNUMERIC"),
            (10, 10, "BIGNUMERIC"),
            (76, 38, "BIGNUMERIC"),
            (39, 0, "STRING"),
            (39, 39, "STRING"),
        ] {
            assert_eq!(scalar_type(&decimal(precision, scale)).name(), name, "{precision} {scale}");
        }
        let narrow = field(json!({"name": "a", "type": "NUMERIC", "precision": "5", "scale": "2"}));
        assert!(narrow.holds(&decimal(4, 1)) && !narrow.holds(&decimal(5, 1)));
        assert_eq!(narrow.canonical(), Some(decimal(5, 2)));
    }

    #[test]
    fn records_without_a_field_that_can_be_filled_are_no_columns() {
        let inner = json!([{"name": "i", "type": "INTERVAL"}]);
        let record = field(json!({"name": "r", "type": "RECORD", "fields": inner}));
        assert_eq!(record.canonical(), None);
    }
}
