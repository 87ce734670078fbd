//! Pure. The columns of a table in BigQuery: as the service writes them, as this process fills them, and how they grow.
//!
//! ```text
//!  wanted columns ──> resolve: name and type of each ──> known schema ──> ensure: the service's fields, widened
//!                          │ by what the service has
//! ```

use prost::Message as _;

use super::encode::descriptor::descriptor;
use super::encode::rows::SCHEMA_BYTES_MAX;
use super::frame_columns::frame_columns;
use super::names::Siblings;
use super::resolve::{Place, resolve_columns};
use super::service_field::ServiceField;
use super::widening::Widening;
use crate::table::schema::{Column, ColumnType, TableSchema};

/// Columns and nested fields that the service lets a table have.
const SERVICE_FIELDS_MAX: usize = 10_000;

/// What a process fills from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Adopted {
    /// Of the next version, if it changed.
    pub schema: TableSchema,
    /// All fields that the table must have first, if it has not.
    pub fields: Option<Vec<ServiceField>>,
    /// A column that is new to the process holds other values than was wanted, since the table has it
    /// already: records must be decoded as if for the first time, since what did not fit the wanted
    /// type may fit that one.
    pub has_other_types: bool,
}

/// Why records cannot fill a table as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    #[error(
        "no record fills the table's REQUIRED columns {}: make them NULLABLE, or allow that they are relaxed",
        .0.join(", ")
    )]
    Required(Vec<String>),
    #[error("the table's column {column} is {shape}, which no record can fill: rename or drop it")]
    Unfillable { column: String, shape: String },
    #[error(
        "the table's column {column} is {shape} now, and holds other values than before: restart the consumer"
    )]
    Retyped { column: String, shape: String },
    #[error(
        "the table would have {fields} columns and nested fields, at most {SERVICE_FIELDS_MAX} are possible"
    )]
    TooMany { fields: usize },
    #[error(
        "the names of the table's columns need {bytes} bytes in each request's schema, at most {SCHEMA_BYTES_MAX} are possible"
    )]
    TooLong { bytes: usize },
}

/// Adds `wanted` to what is `known`, and says what the table must gain for it.
///
/// A column that the service has already is filled if its type fits, and keeps its type if not: values
/// that do not fit it stay text. What is known is never changed, but that structs gain fields at their
/// end. REQUIRED columns that nothing fills become NULLABLE with `relax`, and are an error without it.
///
/// Processes that widen one table in turn agree on which column holds which field.
pub fn adopt(
    known: &TableSchema,
    service: &[ServiceField],
    wanted: &[Column],
    relax: bool,
) -> Result<Adopted, AdoptError> {
    let ours = frame_columns();
    let mut columns = known.columns.clone();
    let siblings = Siblings::at_top(service, &ours);
    resolve_columns(&mut columns, wanted, service, (siblings, &Place::top()))?;
    let mut fields = service.to_vec();
    let mut widening = Widening::new(relax);
    widening.ensure_columns(&columns, &mut fields, &ours, &Place::top())?;
    if !widening.unfilled.is_empty() {
        return Err(AdoptError::Required(widening.unfilled));
    }
    let changed = columns != known.columns;
    let version = known.version + u32::from(changed);
    let schema = TableSchema { version, columns, key: known.key.clone() };
    if widening.has_changed {
        let fields = count(&fields);
        if fields > SERVICE_FIELDS_MAX {
            return Err(AdoptError::TooMany { fields });
        }
    }
    if changed {
        let bytes = descriptor(&schema, true).encoded_len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(AdoptError::TooLong { bytes });
        }
    }
    let has_other_types = are_other(&known.columns, &schema.columns, wanted);
    Ok(Adopted { schema, fields: widening.has_changed.then_some(fields), has_other_types })
}

/// Whether a column among `wanted` that is new since `before` holds something else.
fn are_other(before: &[Column], after: &[Column], wanted: &[Column]) -> bool {
    wanted.iter().any(|column| {
        let after = kind_of(after, column);
        after.is_none_or(|after| is_other(kind_of(before, column), after, &column.kind))
    })
}

fn kind_of<'a>(columns: &'a [Column], wanted: &Column) -> Option<&'a ColumnType> {
    let found = columns.iter().find(|column| column.field == wanted.field);
    found.map(|column| &column.kind)
}

fn is_other(before: Option<&ColumnType>, after: &ColumnType, wanted: &ColumnType) -> bool {
    match (after, wanted) {
        (ColumnType::Struct(after), ColumnType::Struct(wanted)) => match before {
            Some(ColumnType::Struct(before)) => are_other(before, after, wanted),
            _ => are_other(&[], after, wanted),
        },
        (ColumnType::List(after), ColumnType::List(wanted))
        | (ColumnType::Map(after), ColumnType::Map(wanted)) => match before {
            Some(ColumnType::List(before) | ColumnType::Map(before)) => {
                is_other(Some(before), after, wanted)
            }
            _ => is_other(None, after, wanted),
        },
        (after, wanted) => before.is_none() && after != wanted,
    }
}

fn count(fields: &[ServiceField]) -> usize {
    fields.iter().map(|field| 1 + count(&field.fields)).sum()
}
