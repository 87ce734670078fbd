//! Pure. The columns of a batch, made ready to be read row by row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, FieldRef, Float64Type,
    Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};

use super::EncodeError;
use super::cells::{Cells, Elements, Put, nulls};
use super::wire::{Delimited, Tag};
use crate::sink::bigquery::service_field::{KEY, VALUE, is_wrapped};
use crate::table::schema::{Column, ColumnType, Unit};

/// A row, a record or an entry of a map: its fields.
#[derive(Debug)]
pub(super) struct Message<'a>(Vec<Field<'a>>);

#[derive(Debug)]
struct Field<'a> {
    name: &'a str,
    tag: Tag,
    nulls: Option<&'a NullBuffer>,
    cells: Cells<'a>,
}

impl<'a> Message<'a> {
    /// The fields of a batch's rows; those that the batch has no column for are NULL.
    pub(super) fn of_batch(
        batch: &'a RecordBatch,
        columns: impl Iterator<Item = (u32, &'a Column)>,
    ) -> Result<Self, EncodeError> {
        let schema = batch.schema_ref();
        Self::new(schema.fields(), batch.columns(), columns)
    }

    fn new(
        fields: &[FieldRef],
        arrays: &'a [ArrayRef],
        columns: impl Iterator<Item = (u32, &'a Column)>,
    ) -> Result<Self, EncodeError> {
        let places = fields.iter().enumerate().map(|(at, field)| (field.name().as_str(), at));
        let mut places: std::collections::BTreeMap<_, _> = places.collect();
        let mut message = Vec::with_capacity(fields.len());
        for (number, column) in columns {
            if let Some(at) = places.remove(column.name.as_str()) {
                message.push(Field::new(number, &column.name, &column.kind, arrays[at].as_ref())?);
            }
        }
        match places.into_keys().next() {
            Some(unknown) => Err(EncodeError::UnknownColumn(unknown.into())),
            None => Ok(Self(message)),
        }
    }

    #[inline]
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Put {
        for field in &self.0 {
            if field.nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                let put = field.cells.put(row, &field.tag, out);
                put.map_err(|problem| problem.within(field.name))?;
            }
        }
        Ok(())
    }
}

impl<'a> Field<'a> {
    fn new(
        number: u32,
        name: &'a str,
        kind: &'a ColumnType,
        array: &'a dyn Array,
    ) -> Result<Self, EncodeError> {
        let other = || {
            let found = array.data_type().to_string();
            EncodeError::OtherType { column: name.into(), found }
        };
        let cells = cells(kind, array)?.ok_or_else(other)?;
        let tag = Tag::new(number, delimited(kind));
        Ok(Self { name, tag, nulls: nulls(array), cells })
    }
}

fn delimited(kind: &ColumnType) -> Delimited {
    match kind {
        ColumnType::Boolean
        | ColumnType::Integer
        | ColumnType::Date
        | ColumnType::Timestamp { utc: true, .. } => Delimited::Varint,
        ColumnType::Float => Delimited::EightBytes,
        ColumnType::List(element) if !is_wrapped(element) => delimited(element),
        _ => Delimited::Length,
    }
}

type Found<'a> = Result<Option<Cells<'a>>, EncodeError>;

/// The values of an array of that kind, or `None` if it is of another.
fn cells<'a>(kind: &'a ColumnType, array: &'a dyn Array) -> Found<'a> {
    Ok(match kind {
        ColumnType::Boolean => array.as_boolean_opt().map(|array| Cells::Boolean(array.values())),
        ColumnType::Integer => match values::<Int64Type>(array) {
            None => values::<Int32Type>(array).map(Cells::Narrow),
            wide => wide.map(Cells::Integer),
        },
        ColumnType::Float => values::<Float64Type>(array).map(Cells::Float),
        ColumnType::Text => array
            .as_string_opt::<i32>()
            .map(|array| Cells::Bytes { ends: array.value_offsets(), bytes: array.value_data() }),
        ColumnType::Binary => array
            .as_binary_opt::<i32>()
            .map(|array| Cells::Bytes { ends: array.value_offsets(), bytes: array.value_data() }),
        ColumnType::Decimal { .. } => decimals(array),
        ColumnType::Date => values::<Date32Type>(array).map(Cells::Date),
        ColumnType::Time(unit) => times(*unit, array),
        ColumnType::Timestamp { unit, utc } => timestamps(*unit, *utc, array),
        ColumnType::Uuid => array.as_fixed_size_binary_opt().and_then(|array| {
            let (ids, _) = array.value_data().as_chunks();
            (array.value_size() == 16).then_some(Cells::Uuid(ids))
        }),
        ColumnType::List(element) => return list(element, array),
        ColumnType::Map(value) => return map(value, array),
        ColumnType::Struct(columns) => {
            let Some(array) = array.as_struct_opt() else { return Ok(None) };
            let message = Message::new(array.fields(), array.columns(), (1..).zip(columns))?;
            Some(Cells::Struct(message))
        }
    })
}

fn values<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_primitive_opt::<T>().map(|array| array.values().as_ref())
}

fn decimals(array: &dyn Array) -> Option<Cells<'_>> {
    if let Some(array) = array.as_primitive_opt::<Decimal128Type>() {
        return Some(Cells::Decimal { values: array.values(), scale: array.scale() });
    }
    let array = array.as_primitive_opt::<Decimal256Type>()?;
    Some(Cells::WideDecimal { values: array.values(), scale: array.scale() })
}

fn times(unit: Unit, array: &dyn Array) -> Option<Cells<'_>> {
    let values = match unit {
        Unit::Millis => return values::<Time32MillisecondType>(array).map(Cells::NarrowTime),
        Unit::Micros => values::<Time64MicrosecondType>(array)?,
        Unit::Nanos => values::<Time64NanosecondType>(array)?,
    };
    Some(Cells::Time { values, unit })
}

fn timestamps(unit: Unit, utc: bool, array: &dyn Array) -> Option<Cells<'_>> {
    let values = match unit {
        Unit::Millis => values::<TimestampMillisecondType>(array)?,
        Unit::Micros => values::<TimestampMicrosecondType>(array)?,
        Unit::Nanos => values::<TimestampNanosecondType>(array)?,
    };
    Some(match utc {
        true => Cells::Timestamp { values, unit },
        false => Cells::DateTime { values, unit },
    })
}

fn list<'a>(element: &'a ColumnType, array: &'a dyn Array) -> Found<'a> {
    let Some(array) = array.as_list_opt::<i32>() else { return Ok(None) };
    let elements = array.values().as_ref();
    let Some(cells) = cells(element, elements)? else { return Ok(None) };
    let wrapped = is_wrapped(element).then(|| Tag::new(1, delimited(element)));
    let elements = Box::new(Elements { nulls: nulls(elements), cells, wrapped });
    Ok(Some(Cells::List { ends: array.value_offsets(), elements }))
}

fn map<'a>(value: &'a ColumnType, array: &'a dyn Array) -> Found<'a> {
    let Some(array) = array.as_map_opt() else { return Ok(None) };
    let keys = Field::new(1, KEY, &ColumnType::Text, array.keys().as_ref())?;
    let values = Field::new(2, VALUE, value, array.values().as_ref())?;
    let entries = Message(vec![keys, values]);
    Ok(Some(Cells::Map { ends: array.value_offsets(), entries }))
}
