//! Pure. The fields of a struct column, or the columns of a table, while they are filled.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::Field;

use super::values::Values;
use crate::table::schema::{Column, ColumnType};

/// Fields that hold nothing and are remembered from one record to the next, per object: many records
/// repeat the same ones.
const VOID_FIELDS_MAX: usize = 32;

/// The fields of a struct column, or the columns of a table.
#[derive(Debug, Default)]
pub(in crate::decode) struct Fields {
    pub(in crate::decode) fields: Vec<FieldValues>,
    by_field: BTreeMap<Box<str>, usize>,
    /// Rows that are complete; a field may be behind until it is needed, or one ahead.
    pub(in crate::decode) rows: usize,
}

/// One field: what it is and what it holds.
#[derive(Debug)]
pub(in crate::decode) struct FieldValues {
    pub(in crate::decode) column: Column,
    pub(in crate::decode) values: Values,
    /// Made, or given its type, by the record that is being read: it goes when that is refused.
    pub(in crate::decode) is_new: bool,
    /// Counts when a record first named it while it had no type; 0 if it always had one. New
    /// columns stand in this order, which does not tell what was remembered.
    pub(in crate::decode) named_at: u64,
}

impl Fields {
    /// The fields of `columns`, with room for `rows` rows.
    pub(in crate::decode) fn new(columns: &[Column], rows: usize) -> Self {
        let mut fields = Self::default();
        for column in columns {
            fields.add(column.clone(), Values::new(&column.kind, rows), false);
        }
        fields
    }

    fn add(&mut self, column: Column, values: Values, is_new: bool) {
        if let Some(field) = &column.field {
            self.by_field.insert(field.as_str().into(), self.fields.len());
        }
        self.fields.push(FieldValues { column, values, is_new, named_at: 0 });
    }

    /// Which field `key` names; `guess` is where it stands if this record is like the last one.
    pub(in crate::decode) fn find(&self, key: &str, guess: usize) -> Option<usize> {
        let is_guess = |field: &FieldValues| field.column.field.as_deref() == Some(key);
        if self.fields.get(guess).is_some_and(is_guess) {
            return Some(guess);
        }
        self.by_field.get(key).copied()
    }

    /// Makes sure that there are fields for all of `wanted`, and in structs for all of theirs. A field
    /// that is there with another type stays as it is. Returns true if there was something to add.
    pub(in crate::decode) fn want(&mut self, wanted: &[Column]) -> bool {
        let mut is_wider = false;
        for column in wanted {
            let present = match &column.field {
                Some(field) => self.by_field.get(field.as_str()).copied(),
                None => self.fields.iter().position(|present| present.column.field.is_none()),
            };
            match present {
                Some(at) if self.fields[at].values.is_void() => {
                    self.fields[at].values.retype(&column.kind);
                    is_wider = true;
                }
                Some(at) => is_wider |= self.fields[at].values.want(&column.kind),
                None => {
                    self.add(column.clone(), Values::new(&column.kind, 0), false);
                    is_wider = true;
                }
            }
        }
        is_wider
    }

    /// True if there are fields for all of `wanted`, of whatever type.
    pub(in crate::decode) fn has(&self, wanted: &[Column]) -> bool {
        let is_there = |column: &Column| {
            let field = column.field.as_deref().and_then(|field| self.by_field.get(field));
            let present = field.map(|at| &self.fields[*at].values);
            present.is_some_and(|present| present.has(&column.kind))
        };
        wanted.iter().all(is_there)
    }

    /// A new field without a type, and where it stands.
    pub(in crate::decode) fn add_untyped(&mut self, key: String) -> usize {
        // Rows are made only once the table has the column: the table gives it its name and type.
        let column = Column { name: key.clone(), field: Some(key), kind: ColumnType::Text };
        self.add(column, Values::untyped(), true);
        self.fields.len() - 1
    }

    /// Forgets all but the first `rows`, and what the record being read has made.
    pub(in crate::decode) fn cut(&mut self, rows: usize) {
        self.rows = rows;
        self.retain(|field| !field.is_new);
        for field in &mut self.fields {
            field.values.cut(rows);
        }
    }

    /// Keeps what the record being read has made, as far as it has a type.
    pub(in crate::decode) fn settle(&mut self) {
        let mut void = 0;
        for field in &mut self.fields {
            field.values.settle();
            let is_void = field.values.is_void();
            void += usize::from(is_void);
            field.is_new &= is_void && void > VOID_FIELDS_MAX;
        }
        self.retain(|field| !field.is_new);
    }

    /// Columns and nested fields that have a type.
    pub(in crate::decode) fn size(&self) -> usize {
        let typed = self.fields.iter().filter(|field| !field.values.is_void());
        typed.map(|field| 1 + field.values.size()).sum()
    }

    fn retain(&mut self, keep: impl Fn(&FieldValues) -> bool) {
        // New fields stand at the end, so that those which stay keep their place.
        if self.fields.iter().all(&keep) {
            return;
        }
        self.fields.retain(keep);
        self.by_field.clear();
        for (at, field) in self.fields.iter().enumerate() {
            if let Some(name) = &field.column.field {
                self.by_field.insert(name.as_str().into(), at);
            }
        }
    }

    /// The columns with the types that they have by now.
    pub(in crate::decode) fn columns(&self) -> Vec<Column> {
        let typed = self.fields.iter().filter(|field| !field.values.is_void());
        let mut typed: Vec<_> = typed.collect();
        typed.sort_by_key(|field| field.named_at);
        let column =
            |field: &FieldValues| Column { kind: field.values.kind(), ..field.column.clone() };
        typed.into_iter().map(column).collect()
    }

    /// The fields as Arrow's, all as long as the rows.
    pub(in crate::decode) fn finish(self) -> (Vec<Field>, Vec<ArrayRef>) {
        let rows = self.rows;
        let finish = |mut field: FieldValues| {
            field.values.pad(rows);
            (field.values.kind().arrow_field(&field.column.name), field.values.finish())
        };
        let typed = self.fields.into_iter().filter(|field| !field.values.is_void());
        typed.map(finish).unzip()
    }

    /// Leaves out the fields that no row has a value for.
    pub(in crate::decode) fn drop_untouched(&mut self) {
        self.retain(|field| field.values.len() > 0);
    }
}
