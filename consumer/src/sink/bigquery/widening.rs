//! Pure. What a table's fields lack for the columns that are to be filled.

use std::collections::BTreeMap;

use super::columns::AdoptError;
use super::resolve::{Place, is_map};
use super::service_field::{ELEMENT, KEY, ServiceField, ServiceType, VALUE, is_wrapped};
use crate::table::schema::{Column, ColumnType};

/// A table's fields while they get what they lack.
#[derive(Debug)]
pub(super) struct Widening {
    relax: bool,
    pub(super) has_changed: bool,
    /// REQUIRED columns that no record fills.
    pub(super) unfilled: Vec<String>,
}

impl Widening {
    pub(super) fn new(relax: bool) -> Self {
        Self { relax, has_changed: false, unfilled: Vec::new() }
    }

    /// Makes sure that there is a field for each of `columns`; `others` are filled as well.
    pub(super) fn ensure_columns(
        &mut self,
        columns: &[Column],
        fields: &mut Vec<ServiceField>,
        others: &[ServiceField],
        place: &Place,
    ) -> Result<(), AdoptError> {
        let places = fields.iter().enumerate();
        let places: BTreeMap<String, usize> =
            places.map(|(at, field)| (field.name.to_lowercase(), at)).collect();
        let mut is_filled = vec![false; fields.len()];
        for column in columns {
            match places.get(&column.name.to_lowercase()) {
                Some(at) => {
                    is_filled[*at] = true;
                    self.ensure(&column.kind, &mut fields[*at], place)?;
                }
                None => {
                    fields.push(ServiceField::of_column(column));
                    self.has_changed = true;
                }
            }
        }
        for (field, is_filled) in fields.iter_mut().zip(is_filled) {
            let is_other = others.iter().any(|other| other.name.eq_ignore_ascii_case(&field.name));
            if !is_other {
                self.relax(field, is_filled, place);
            }
        }
        Ok(())
    }

    /// The same for the fields of the records that lists and maps are made of.
    fn ensure_children(
        &mut self,
        children: &[(&str, &ColumnType)],
        field: &mut ServiceField,
        place: &Place,
    ) -> Result<(), AdoptError> {
        let child = |(name, kind): &(&str, &ColumnType)| {
            let kind = (*kind).clone();
            Column { name: (*name).into(), field: Some((*name).into()), kind }
        };
        let columns: Vec<_> = children.iter().map(child).collect();
        let before = field.fields.len();
        let place = place.within(&field.name);
        self.ensure_columns(&columns, &mut field.fields, &[], &place)?;
        // What lists and maps are made of needs no description.
        field.fields[before..].iter_mut().for_each(|field| field.description = None);
        Ok(())
    }

    /// Makes sure that the field takes all values of that type.
    fn ensure(
        &mut self,
        kind: &ColumnType,
        field: &mut ServiceField,
        place: &Place,
    ) -> Result<(), AdoptError> {
        let is_record = field.service_type() == ServiceType::Record;
        match kind {
            ColumnType::List(element)
                if is_wrapped(element) && is_record && field.is_repeated() =>
            {
                self.ensure_children(&[(ELEMENT, element)], field, place)
            }
            ColumnType::List(element) if !is_wrapped(element) && field.is_repeated() => {
                self.ensure_one(element, field, place)
            }
            ColumnType::Map(value) if is_map(field) => {
                self.ensure_children(&[(KEY, &ColumnType::Text), (VALUE, value)], field, place)
            }
            ColumnType::List(_) | ColumnType::Map(_) => Err(retyped(field, place)),
            _ if field.is_repeated() => Err(retyped(field, place)),
            _ => self.ensure_one(kind, field, place),
        }
    }

    fn ensure_one(
        &mut self,
        kind: &ColumnType,
        field: &mut ServiceField,
        place: &Place,
    ) -> Result<(), AdoptError> {
        match kind {
            ColumnType::Struct(columns) if field.service_type() == ServiceType::Record => {
                let place = place.within(&field.name);
                self.ensure_columns(columns, &mut field.fields, &[], &place)
            }
            scalar if field.holds(scalar) => Ok(()),
            _ => Err(retyped(field, place)),
        }
    }

    /// What records fill stays REQUIRED: people wanted it so.
    fn relax(&mut self, field: &mut ServiceField, is_filled: bool, place: &Place) {
        if !field.is_required() || is_filled {
            return;
        }
        if self.relax {
            field.mode = Some("NULLABLE".into());
            self.has_changed = true;
        } else {
            self.unfilled.push(format!("{}{}", place.above, field.name));
        }
    }
}

fn retyped(field: &ServiceField, place: &Place) -> AdoptError {
    let column = format!("{}{}", place.above, field.name);
    AdoptError::Retyped { column, shape: field.shape() }
}
