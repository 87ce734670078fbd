//! Pure. The values of one column while they are filled.

use arrow::array::BooleanBufferBuilder;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, i256};

use super::fields::Fields;
use crate::table::schema::{ColumnType, Unit};

/// The values of one column or of a list's elements.
#[derive(Debug)]
pub(in crate::decode) struct Values {
    pub(super) validity: BooleanBufferBuilder,
    pub(in crate::decode) data: Data,
}

/// The values by type; those of null rows are placeholders.
#[derive(Debug)]
pub(in crate::decode) enum Data {
    /// Only nulls so far: no type yet.
    Untyped,
    Boolean(BooleanBufferBuilder),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    Text(Bytes),
    Binary(Bytes),
    /// Unscaled, of at most 38 digits.
    Decimal {
        precision: u8,
        scale: i8,
        values: Vec<i128>,
    },
    /// Unscaled, of more digits.
    WideDecimal {
        precision: u8,
        scale: i8,
        values: Vec<i256>,
    },
    Date(Vec<i32>),
    Time {
        unit: Unit,
        values: Vec<i64>,
    },
    Timestamp {
        unit: Unit,
        utc: bool,
        values: Vec<i64>,
    },
    Uuid(Vec<[u8; 16]>),
    List {
        ends: Vec<i32>,
        elements: Box<Values>,
    },
    Map {
        ends: Vec<i32>,
        keys: Bytes,
        values: Box<Values>,
    },
    Struct(Fields),
}

/// Values of any length, one behind the other.
#[derive(Debug, Default)]
pub(in crate::decode) struct Bytes {
    pub(super) ends: Vec<i32>,
    pub(super) bytes: Vec<u8>,
}

impl Data {
    /// No values yet, with room for those of `rows` rows.
    fn new(kind: &ColumnType, rows: usize) -> Self {
        match *kind {
            ColumnType::Boolean => Self::Boolean(BooleanBufferBuilder::new(rows)),
            ColumnType::Integer => Self::Integer(Vec::with_capacity(rows)),
            ColumnType::Float => Self::Float(Vec::with_capacity(rows)),
            ColumnType::Text => Self::Text(Bytes::new(rows)),
            ColumnType::Binary => Self::Binary(Bytes::new(rows)),
            ColumnType::Decimal { precision, scale } if precision <= DECIMAL128_MAX_PRECISION => {
                Self::Decimal { precision, scale, values: Vec::with_capacity(rows) }
            }
            ColumnType::Decimal { precision, scale } => {
                Self::WideDecimal { precision, scale, values: Vec::with_capacity(rows) }
            }
            ColumnType::Date => Self::Date(Vec::with_capacity(rows)),
            ColumnType::Time(unit) => Self::Time { unit, values: Vec::with_capacity(rows) },
            ColumnType::Timestamp { unit, utc } => {
                Self::Timestamp { unit, utc, values: Vec::with_capacity(rows) }
            }
            ColumnType::Uuid => Self::Uuid(Vec::with_capacity(rows)),
            ColumnType::List(ref element) => {
                let elements = Box::new(Values::new(element, rows));
                Self::List { ends: Vec::with_capacity(rows), elements }
            }
            ColumnType::Map(ref value) => Self::Map {
                ends: Vec::with_capacity(rows),
                keys: Bytes::new(rows),
                values: Box::new(Values::new(value, rows)),
            },
            ColumnType::Struct(ref columns) => Self::Struct(Fields::new(columns, rows)),
        }
    }

    /// Fills up to `rows` with placeholders.
    fn pad(&mut self, rows: usize) {
        match self {
            Self::Untyped => {}
            Self::Boolean(bits) => bits.append_n(rows - bits.len(), false),
            Self::Integer(values) | Self::Time { values, .. } | Self::Timestamp { values, .. } => {
                values.resize(rows, 0)
            }
            Self::Float(values) => values.resize(rows, 0.0),
            Self::Text(values) | Self::Binary(values) => values.pad(rows),
            Self::Decimal { values, .. } => values.resize(rows, 0),
            Self::WideDecimal { values, .. } => values.resize(rows, i256::ZERO),
            Self::Date(values) => values.resize(rows, 0),
            Self::Uuid(values) => values.resize(rows, [0; 16]),
            Self::List { ends, elements } => ends.resize(rows, elements.end()),
            Self::Map { ends, values, .. } => ends.resize(rows, values.end()),
            Self::Struct(fields) => fields.rows = rows,
        }
    }

    fn cut(&mut self, rows: usize) {
        match self {
            Self::Untyped => {}
            Self::Boolean(bits) => bits.truncate(rows),
            Self::Integer(values) | Self::Time { values, .. } | Self::Timestamp { values, .. } => {
                values.truncate(rows)
            }
            Self::Float(values) => values.truncate(rows),
            Self::Text(values) | Self::Binary(values) => values.cut(rows),
            Self::Decimal { values, .. } => values.truncate(rows),
            Self::WideDecimal { values, .. } => values.truncate(rows),
            Self::Date(values) => values.truncate(rows),
            Self::Uuid(values) => values.truncate(rows),
            Self::List { ends, elements } => {
                ends.truncate(rows);
                elements.cut(index(ends.last().copied().unwrap_or(0)));
            }
            Self::Map { ends, keys, values } => {
                ends.truncate(rows);
                let entries = index(ends.last().copied().unwrap_or(0));
                keys.cut(entries);
                values.cut(entries);
            }
            Self::Struct(fields) => fields.cut(rows),
        }
    }

    fn kind(&self) -> ColumnType {
        match *self {
            Self::Untyped => unreachable!("void fields are left out"),
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Integer(_) => ColumnType::Integer,
            Self::Float(_) => ColumnType::Float,
            Self::Text(_) => ColumnType::Text,
            Self::Binary(_) => ColumnType::Binary,
            Self::Decimal { precision, scale, .. } | Self::WideDecimal { precision, scale, .. } => {
                ColumnType::Decimal { precision, scale }
            }
            Self::Date(_) => ColumnType::Date,
            Self::Time { unit, .. } => ColumnType::Time(unit),
            Self::Timestamp { unit, utc, .. } => ColumnType::Timestamp { unit, utc },
            Self::Uuid(_) => ColumnType::Uuid,
            Self::List { ref elements, .. } => ColumnType::List(Box::new(elements.kind())),
            Self::Map { ref values, .. } => ColumnType::Map(Box::new(values.kind())),
            Self::Struct(ref fields) => ColumnType::Struct(fields.columns()),
        }
    }
}

impl Values {
    /// No values yet, with room for those of `rows` rows.
    pub(in crate::decode) fn new(kind: &ColumnType, rows: usize) -> Self {
        Self { validity: BooleanBufferBuilder::new(rows), data: Data::new(kind, rows) }
    }

    pub(in crate::decode) fn untyped() -> Self {
        Self { validity: BooleanBufferBuilder::new(0), data: Data::Untyped }
    }

    pub(in crate::decode) fn len(&self) -> usize {
        self.validity.len()
    }

    /// Whether that row has a value.
    pub(in crate::decode) fn is_set(&self, row: usize) -> bool {
        row < self.len() && self.validity.get_bit(row)
    }

    /// True if there are only nulls, `{}` and `[]`, and so any type may follow.
    pub(in crate::decode) fn is_void(&self) -> bool {
        match &self.data {
            Data::Untyped => true,
            Data::List { elements, .. } => elements.is_void(),
            Data::Map { values, .. } => values.is_void(),
            Data::Struct(fields) => fields.fields.iter().all(|field| field.values.is_void()),
            _ => false,
        }
    }

    /// Where these elements of a list end.
    pub(in crate::decode) fn end(&self) -> i32 {
        length(self.len())
    }

    /// Gives void values a type; the rows so far become nulls.
    pub(in crate::decode) fn become_typed(&mut self, data: Data) {
        let rows = self.len();
        self.data = data;
        self.validity = BooleanBufferBuilder::new(rows);
        self.validity.append_n(rows, false);
        self.data.pad(rows);
    }

    /// The same, with the type of a column.
    pub(super) fn retype(&mut self, kind: &ColumnType) {
        self.become_typed(Data::new(kind, 0));
    }

    /// Makes sure that structs among these values have the fields of `wanted`; true if some were added.
    pub(super) fn want(&mut self, wanted: &ColumnType) -> bool {
        match (&mut self.data, wanted) {
            (Data::Struct(fields), ColumnType::Struct(wanted)) => fields.want(wanted),
            (Data::List { elements: values, .. }, ColumnType::List(wanted))
            | (Data::Map { values, .. }, ColumnType::Map(wanted)) => {
                if !values.is_void() {
                    return values.want(wanted);
                }
                values.retype(wanted);
                true
            }
            _ => false,
        }
    }

    /// Whether [`Values::want`] would add nothing.
    pub(super) fn has(&self, wanted: &ColumnType) -> bool {
        match (&self.data, wanted) {
            (Data::Struct(fields), ColumnType::Struct(wanted)) => fields.has(wanted),
            (Data::List { elements: values, .. }, ColumnType::List(wanted))
            | (Data::Map { values, .. }, ColumnType::Map(wanted)) => values.has(wanted),
            _ => !self.is_void(),
        }
    }

    /// To be called after a value was added to `data`.
    pub(in crate::decode) fn mark_valid(&mut self) {
        self.validity.append(true);
    }

    pub(in crate::decode) fn push_null(&mut self) {
        self.pad(self.len() + 1);
    }

    /// Adds nulls until there are `rows`.
    pub(in crate::decode) fn pad(&mut self, rows: usize) {
        if self.len() < rows {
            self.data.pad(rows);
            self.validity.append_n(rows - self.len(), false);
        }
    }

    /// Forgets all but the first `rows`, and what the record being read has made.
    pub(super) fn cut(&mut self, rows: usize) {
        if self.len() > rows {
            self.validity.truncate(rows);
        }
        self.data.cut(rows);
    }

    /// Keeps what the record being read has made, as far as it has a type.
    pub(super) fn settle(&mut self) {
        match &mut self.data {
            Data::List { elements: values, .. } | Data::Map { values, .. } => values.settle(),
            Data::Struct(fields) => fields.settle(),
            _ => {}
        }
    }

    /// Columns and nested fields among these values.
    pub(super) fn size(&self) -> usize {
        match &self.data {
            Data::List { elements: values, .. } | Data::Map { values, .. } => values.size(),
            Data::Struct(fields) => fields.size(),
            _ => 0,
        }
    }

    pub(super) fn kind(&self) -> ColumnType {
        self.data.kind()
    }
}

impl Bytes {
    fn new(rows: usize) -> Self {
        Self { ends: Vec::with_capacity(rows), bytes: Vec::new() }
    }

    pub(in crate::decode) fn push(&mut self, value: &[u8]) {
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

/// A length as Arrow's offsets have it.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a batch holds less than 2 GiB")
}

fn index(end: i32) -> usize {
    usize::try_from(end).expect("offsets are never negative")
}
