//! Pure. Columns while they are filled: growable, cut back when a record turns out not to fit, then Arrow arrays.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use crate::table::schema::{Column, ColumnType, list_field};

/// Fields that hold nothing and are remembered from one record to the next, per object: many records
/// repeat the same ones.
const VOID_FIELDS_MAX: usize = 32;

/// The values of one column or of a list's elements.
#[derive(Debug)]
pub(super) struct Values {
    validity: BooleanBufferBuilder,
    pub(super) data: Data,
}

/// The values by type; those of null rows are placeholders.
#[derive(Debug)]
pub(super) enum Data {
    /// Only nulls so far: no type yet.
    Untyped,
    Boolean(BooleanBufferBuilder),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    Text(Bytes),
    Binary(Bytes),
    List {
        ends: Vec<i32>,
        elements: Box<Values>,
    },
    Struct(Fields),
}

/// Values of any length, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

/// The fields of a struct column, or the columns of a table.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) fields: Vec<FieldValues>,
    by_field: BTreeMap<Box<str>, usize>,
    /// Rows that are complete; a field may be behind until it is needed, or one ahead.
    pub(super) rows: usize,
}

/// One field: what it is and what it holds.
#[derive(Debug)]
pub(super) struct FieldValues {
    pub(super) column: Column,
    pub(super) values: Values,
    /// Made, or given its type, by the record that is being read: it goes when that is refused.
    pub(super) is_new: bool,
    /// Counts when a record first named it while it had no type; 0 if it always had one. New
    /// columns stand in this order, which does not tell what was remembered.
    pub(super) named_at: u64,
}

impl Values {
    /// No values yet, with room for those of `rows` rows.
    pub(super) fn new(kind: &ColumnType, rows: usize) -> Self {
        let data = match kind {
            ColumnType::Boolean => Data::Boolean(BooleanBufferBuilder::new(rows)),
            ColumnType::Integer => Data::Integer(Vec::with_capacity(rows)),
            ColumnType::Float => Data::Float(Vec::with_capacity(rows)),
            ColumnType::Text => Data::Text(Bytes::new(rows)),
            ColumnType::Binary => Data::Binary(Bytes::new(rows)),
            ColumnType::List(element) => {
                let elements = Box::new(Self::new(element, rows));
                Data::List { ends: Vec::with_capacity(rows), elements }
            }
            ColumnType::Struct(columns) => Data::Struct(Fields::new(columns, rows)),
        };
        Self { validity: BooleanBufferBuilder::new(rows), data }
    }

    pub(super) fn untyped() -> Self {
        Self { validity: BooleanBufferBuilder::new(0), data: Data::Untyped }
    }

    pub(super) fn len(&self) -> usize {
        self.validity.len()
    }

    /// True if there are only nulls, `{}` and `[]`, and so any type may follow.
    pub(super) fn is_void(&self) -> bool {
        match &self.data {
            Data::Untyped => true,
            Data::List { elements, .. } => elements.is_void(),
            Data::Struct(fields) => fields.fields.iter().all(|field| field.values.is_void()),
            Data::Boolean(_)
            | Data::Integer(_)
            | Data::Float(_)
            | Data::Text(_)
            | Data::Binary(_) => false,
        }
    }

    /// Where these elements of a list end.
    pub(super) fn end(&self) -> i32 {
        length(self.len())
    }

    /// Gives void values a type; the rows so far become nulls.
    pub(super) fn become_typed(&mut self, data: Data) {
        let rows = self.len();
        self.data = data;
        self.validity = BooleanBufferBuilder::new(rows);
        self.validity.append_n(rows, false);
        self.pad_data(rows);
    }

    /// To be called after a value was added to `data`.
    pub(super) fn mark_valid(&mut self) {
        self.validity.append(true);
    }

    /// Adds nulls until there are `rows`.
    pub(super) fn pad(&mut self, rows: usize) {
        if self.len() < rows {
            self.pad_data(rows);
            self.validity.append_n(rows - self.len(), false);
        }
    }

    fn pad_data(&mut self, rows: usize) {
        match &mut self.data {
            Data::Untyped => {}
            Data::Boolean(bits) => bits.append_n(rows - bits.len(), false),
            Data::Integer(values) => values.resize(rows, 0),
            Data::Float(values) => values.resize(rows, 0.0),
            Data::Text(values) | Data::Binary(values) => values.pad(rows),
            Data::List { ends, elements } => ends.resize(rows, length(elements.len())),
            Data::Struct(fields) => fields.rows = rows,
        }
    }

    /// Forgets all but the first `rows`, and what the record being read has made.
    fn cut(&mut self, rows: usize) {
        if self.len() > rows {
            self.validity.truncate(rows);
        }
        match &mut self.data {
            Data::Untyped => {}
            Data::Boolean(bits) => bits.truncate(rows),
            Data::Integer(values) => values.truncate(rows),
            Data::Float(values) => values.truncate(rows),
            Data::Text(values) | Data::Binary(values) => values.cut(rows),
            Data::List { ends, elements } => {
                ends.truncate(rows);
                elements.cut(index(ends.last().copied().unwrap_or(0)));
            }
            Data::Struct(fields) => fields.cut(rows),
        }
    }

    /// Keeps what the record being read has made, as far as it has a type.
    fn settle(&mut self) {
        match &mut self.data {
            Data::List { elements, .. } => elements.settle(),
            Data::Struct(fields) => fields.settle(),
            Data::Untyped
            | Data::Boolean(_)
            | Data::Integer(_)
            | Data::Float(_)
            | Data::Text(_)
            | Data::Binary(_) => {}
        }
    }

    /// Columns and nested fields among these values.
    fn size(&self) -> usize {
        match &self.data {
            Data::List { elements, .. } => elements.size(),
            Data::Struct(fields) => fields.size(),
            Data::Untyped
            | Data::Boolean(_)
            | Data::Integer(_)
            | Data::Float(_)
            | Data::Text(_)
            | Data::Binary(_) => 0,
        }
    }

    pub(super) fn kind(&self) -> ColumnType {
        match &self.data {
            Data::Untyped => unreachable!("void fields are left out"),
            Data::Boolean(_) => ColumnType::Boolean,
            Data::Integer(_) => ColumnType::Integer,
            Data::Float(_) => ColumnType::Float,
            Data::Text(_) => ColumnType::Text,
            Data::Binary(_) => ColumnType::Binary,
            Data::List { elements, .. } => ColumnType::List(Box::new(elements.kind())),
            Data::Struct(fields) => ColumnType::Struct(fields.columns()),
        }
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = Some(NullBuffer::new(self.validity.finish()));
        match self.data {
            Data::Untyped => unreachable!("void fields are left out"),
            Data::Boolean(mut bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Data::Integer(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Data::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Data::Text(values) => {
                let bytes = values.bytes.into();
                Arc::new(StringArray::new(offsets(values.ends), bytes, nulls))
            }
            Data::Binary(values) => {
                Arc::new(BinaryArray::new(offsets(values.ends), values.bytes.into(), nulls))
            }
            Data::List { ends, elements } => {
                let elements = elements.finish();
                let field = Arc::new(list_field(elements.data_type().clone()));
                Arc::new(ListArray::new(field, offsets(ends), elements, nulls))
            }
            Data::Struct(fields) => {
                let rows = fields.rows;
                let (fields, arrays) = fields.finish();
                let fields = fields.into();
                let array = StructArray::try_new_with_length(fields, arrays, nulls, rows);
                Arc::new(array.expect("every field has a value per row"))
            }
        }
    }
}

impl Bytes {
    fn new(rows: usize) -> Self {
        Self { ends: Vec::with_capacity(rows), bytes: Vec::new() }
    }

    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(length(self.bytes.len()));
    }

    fn pad(&mut self, rows: usize) {
        self.ends.resize(rows, length(self.bytes.len()));
    }

    fn cut(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(index(self.ends.last().copied().unwrap_or(0)));
    }
}

impl Fields {
    /// The fields of `columns`, with room for `rows` rows.
    pub(super) fn new(columns: &[Column], rows: usize) -> Self {
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
    pub(super) fn find(&self, key: &str, guess: usize) -> Option<usize> {
        let is_guess = |field: &FieldValues| field.column.field.as_deref() == Some(key);
        if self.fields.get(guess).is_some_and(is_guess) {
            return Some(guess);
        }
        self.by_field.get(key).copied()
    }

    /// A new field without a type, and where it stands.
    pub(super) fn add_untyped(&mut self, key: String) -> usize {
        // Rows are made only once the table has the column: the table gives it its name and type.
        let column = Column { name: key.clone(), field: Some(key), kind: ColumnType::Text };
        self.add(column, Values::untyped(), true);
        self.fields.len() - 1
    }

    /// Forgets all but the first `rows`, and what the record being read has made.
    pub(super) fn cut(&mut self, rows: usize) {
        self.rows = rows;
        self.retain(|field| !field.is_new);
        for field in &mut self.fields {
            field.values.cut(rows);
        }
    }

    /// Keeps what the record being read has made, as far as it has a type.
    pub(super) fn settle(&mut self) {
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
    pub(super) fn size(&self) -> usize {
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
    pub(super) fn columns(&self) -> Vec<Column> {
        let typed = self.fields.iter().filter(|field| !field.values.is_void());
        let mut typed: Vec<_> = typed.collect();
        typed.sort_by_key(|field| field.named_at);
        let column =
            |field: &FieldValues| Column { kind: field.values.kind(), ..field.column.clone() };
        typed.into_iter().map(column).collect()
    }

    /// The fields as Arrow's, all as long as the rows.
    pub(super) fn finish(self) -> (Vec<arrow::datatypes::Field>, Vec<ArrayRef>) {
        let rows = self.rows;
        let finish = |mut field: FieldValues| {
            field.values.pad(rows);
            let array = field.values.finish();
            (
                arrow::datatypes::Field::new(&field.column.name, array.data_type().clone(), true),
                array,
            )
        };
        let typed = self.fields.into_iter().filter(|field| !field.values.is_void());
        typed.map(finish).unzip()
    }

    /// Leaves out the fields that no row has a value for.
    pub(super) fn drop_untouched(&mut self) {
        self.retain(|field| field.values.len() > 0);
    }
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    OffsetBuffer::new(offsets.into())
}

/// A length as Arrow's offsets have it.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a batch holds less than 2 GiB")
}

fn index(end: i32) -> usize {
    usize::try_from(end).expect("offsets are never negative")
}
