//! Pure. Which name and type each wanted column has, by what the service has already.

use super::columns::AdoptError;
use super::names::Siblings;
use super::service_field::{ELEMENT, KEY, ServiceField, ServiceType, VALUE, is_wrapped};
use crate::table::schema::{Column, ColumnType};

/// Records within records that the service lets a table have; what is deeper becomes text.
const RECORDS_MAX: usize = 15;

/// Where a column stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// With a point behind it, unless it is empty.
    pub(super) above: String,
    /// Records around it.
    records: usize,
}

impl Place {
    pub(super) fn top() -> Self {
        Self { above: String::new(), records: 0 }
    }

    pub(super) fn within(&self, record: &str) -> Self {
        Self { above: format!("{}{record}.", self.above), records: self.records + 1 }
    }

    fn unfillable(&self, field: &ServiceField) -> AdoptError {
        let column = format!("{}{}", self.above, field.name);
        AdoptError::Unfillable { column, shape: field.shape() }
    }
}

/// Adds the wanted columns to the known ones, beside `siblings` at their place.
pub(super) fn resolve_columns(
    known: &mut Vec<Column>,
    wanted: &[Column],
    service: &[ServiceField],
    (mut siblings, place): (Siblings<'_>, &Place),
) -> Result<(), AdoptError> {
    known.iter().for_each(|column| siblings.take(&column.name));
    for column in wanted {
        if let Some(present) = known.iter_mut().find(|present| present.field == column.field) {
            let is_same = |field: &&ServiceField| field.name.eq_ignore_ascii_case(&present.name);
            let field = service.iter().find(is_same);
            widen(&mut present.kind, &column.kind, field, (&present.name, place))?;
            continue;
        }
        let found = siblings.find(column.field.as_deref());
        // The whole value and a field called `value` may both find the same column.
        let found = found.filter(|found| known.iter().all(|column| column.name != found.name));
        let name = match found {
            Some(found) => found.name.clone(),
            None => siblings.name(column.field.as_deref()),
        };
        let kind = resolve(&column.kind, found, (&name, place))?;
        known.push(Column { name, field: column.field.clone(), kind });
    }
    Ok(())
}

/// Adds the fields that structs within a wanted type have and those of a known one lack.
fn widen(
    known: &mut ColumnType,
    wanted: &ColumnType,
    field: Option<&ServiceField>,
    (name, place): (&str, &Place),
) -> Result<(), AdoptError> {
    let child = |name| field.and_then(|field| field.child(name));
    match (known, wanted) {
        (ColumnType::Struct(known), ColumnType::Struct(wanted)) => {
            let inner = field.map_or(&[][..], |field| &field.fields);
            let below = (Siblings::nested(inner), &place.within(name));
            resolve_columns(known, wanted, inner, below)
        }
        (ColumnType::List(known), ColumnType::List(wanted)) if is_wrapped(known) => {
            widen(known, wanted, child(ELEMENT), (ELEMENT, &place.within(name)))
        }
        (ColumnType::List(known), ColumnType::List(wanted)) => {
            widen(known, wanted, field, (name, place))
        }
        (ColumnType::Map(known), ColumnType::Map(wanted)) => {
            widen(known, wanted, child(VALUE), (VALUE, &place.within(name)))
        }
        _ => Ok(()),
    }
}

/// What a new column holds: the wanted type where `field` takes its values, or that of the field.
fn resolve(
    wanted: &ColumnType,
    field: Option<&ServiceField>,
    (name, place): (&str, &Place),
) -> Result<ColumnType, AdoptError> {
    let canonical = |field: &ServiceField| {
        let kind = field.canonical();
        kind.ok_or_else(|| place.unfillable(field))
    };
    match (wanted, field) {
        (ColumnType::List(element), Some(field)) if field.is_repeated() => {
            let element = match is_wrapped(element) {
                false => resolve_one(element, Some(field), (name, place))?,
                true if field.service_type() == ServiceType::Record => {
                    let below = (ELEMENT, &place.within(name));
                    let element = resolve(element, field.child(ELEMENT), below)?;
                    // What is no list and no map there stands in the record under that name only.
                    if !is_wrapped(&element) {
                        return canonical(field);
                    }
                    element
                }
                true => return canonical(field),
            };
            Ok(ColumnType::List(Box::new(element)))
        }
        (ColumnType::Map(value), Some(field)) if is_map(field) => {
            let below = (VALUE, &place.within(name));
            Ok(ColumnType::Map(Box::new(resolve(value, field.child(VALUE), below)?)))
        }
        (ColumnType::List(_) | ColumnType::Map(_), Some(field)) => canonical(field),
        (_, Some(field)) if field.is_repeated() => canonical(field),
        (ColumnType::List(element), None) if !is_wrapped(element) => {
            let element = resolve_one(element, None, (name, place))?;
            Ok(ColumnType::List(Box::new(element)))
        }
        (ColumnType::List(_) | ColumnType::Map(_), None) if place.records == RECORDS_MAX => {
            Ok(ColumnType::Text)
        }
        (ColumnType::List(element), None) => {
            let element = resolve(element, None, (ELEMENT, &place.within(name)))?;
            Ok(ColumnType::List(Box::new(element)))
        }
        (ColumnType::Map(value), None) => {
            let value = resolve(value, None, (VALUE, &place.within(name)))?;
            Ok(ColumnType::Map(Box::new(value)))
        }
        _ => resolve_one(wanted, field, (name, place)),
    }
}

/// The same of what is no list and no map: a value, or one of a list's elements.
fn resolve_one(
    wanted: &ColumnType,
    field: Option<&ServiceField>,
    (name, place): (&str, &Place),
) -> Result<ColumnType, AdoptError> {
    let is_record = field.is_none_or(|field| field.service_type() == ServiceType::Record);
    match (wanted, field) {
        (ColumnType::Struct(_), None) if place.records == RECORDS_MAX => Ok(ColumnType::Text),
        (ColumnType::Struct(wanted), _) if is_record => {
            let inner = field.map_or(&[][..], |field| &field.fields);
            let mut columns = Vec::with_capacity(wanted.len());
            let below = (Siblings::nested(inner), &place.within(name));
            resolve_columns(&mut columns, wanted, inner, below)?;
            Ok(ColumnType::Struct(columns))
        }
        (scalar, None) => Ok(scalar.clone()),
        (scalar, Some(field)) if field.holds(scalar) => Ok(scalar.clone()),
        (_, Some(field)) => field.canonical_element().ok_or_else(|| place.unfillable(field)),
    }
}

/// Whether it is made as maps are: of records with a text as their key.
pub(super) fn is_map(field: &ServiceField) -> bool {
    let has_key = |key: &ServiceField| !key.is_repeated() && key.holds(&ColumnType::Text);
    field.is_repeated()
        && field.service_type() == ServiceType::Record
        && field.child(KEY).is_some_and(has_key)
}
