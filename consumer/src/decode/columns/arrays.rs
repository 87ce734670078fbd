//! Pure. Filled columns as Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float64Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray, Time32MillisecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};

use super::values::{Bytes, Data, Values};
use crate::table::schema::{ColumnType, Unit, entries_field};

type Nulls = Option<NullBuffer>;

impl Values {
    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = Some(NullBuffer::new(self.validity.finish()));
        match self.data {
            Data::Untyped => unreachable!("void fields are left out"),
            Data::Boolean(mut bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Data::Integer(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Data::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Data::Text(values) => Arc::new(values.finish_text(nulls)),
            Data::Binary(values) => {
                Arc::new(BinaryArray::new(offsets(values.ends), values.bytes.into(), nulls))
            }
            Data::Decimal { precision, scale, values } => {
                let array = Decimal128Array::new(values.into(), nulls);
                let array = array.with_precision_and_scale(precision, scale);
                Arc::new(array.expect("the column's type was checked"))
            }
            Data::WideDecimal { precision, scale, values } => {
                let array = Decimal256Array::new(values.into(), nulls);
                let array = array.with_precision_and_scale(precision, scale);
                Arc::new(array.expect("the column's type was checked"))
            }
            Data::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Data::Time { unit, values } => times(unit, values, nulls),
            Data::Timestamp { unit, utc, values } => timestamps(unit, utc, values, nulls),
            Data::Uuid(values) => {
                let bytes = Buffer::from_vec(values.into_flattened());
                Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls))
            }
            Data::List { ends, elements } => {
                let field = elements.kind().arrow_field("element");
                let elements = elements.finish();
                Arc::new(ListArray::new(Arc::new(field), offsets(ends), elements, nulls))
            }
            Data::Map { ends, keys, values } => map(ends, keys, *values, nulls),
            Data::Struct(fields) => {
                let rows = fields.rows;
                let (fields, arrays) = fields.finish();
                let array = StructArray::try_new_with_length(fields.into(), arrays, nulls, rows);
                Arc::new(array.expect("every field has a value per row"))
            }
        }
    }
}

impl Bytes {
    fn finish_text(self, nulls: Nulls) -> StringArray {
        StringArray::new(offsets(self.ends), self.bytes.into(), nulls)
    }
}

fn map(ends: Vec<i32>, keys: Bytes, values: Values, nulls: Nulls) -> ArrayRef {
    let field = entries_field(&values.kind());
    let arrays: Vec<ArrayRef> = vec![Arc::new(keys.finish_text(None)), values.finish()];
    let arrow::datatypes::DataType::Struct(fields) = field.data_type().clone() else {
        unreachable!("entries are structs")
    };
    let entries = StructArray::new(fields, arrays, None);
    Arc::new(MapArray::new(Arc::new(field), offsets(ends), entries, nulls, false))
}

fn times(unit: Unit, values: Vec<i64>, nulls: Nulls) -> ArrayRef {
    match unit {
        Unit::Millis => {
            let narrow = |value: i64| i32::try_from(value).expect("a day has fewer milliseconds");
            let values: ScalarBuffer<i32> = values.into_iter().map(narrow).collect();
            Arc::new(Time32MillisecondArray::new(values, nulls))
        }
        Unit::Micros => primitive::<Time64MicrosecondType>(values, nulls),
        Unit::Nanos => primitive::<Time64NanosecondType>(values, nulls),
    }
}

fn timestamps(unit: Unit, utc: bool, values: Vec<i64>, nulls: Nulls) -> ArrayRef {
    let kind = ColumnType::Timestamp { unit, utc }.arrow_type();
    let (values, nulls) = (values.into(), nulls);
    match unit {
        Unit::Millis => {
            let array = PrimitiveArray::<TimestampMillisecondType>::new(values, nulls);
            Arc::new(array.with_data_type(kind))
        }
        Unit::Micros => {
            let array = PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls);
            Arc::new(array.with_data_type(kind))
        }
        Unit::Nanos => {
            let array = PrimitiveArray::<TimestampNanosecondType>::new(values, nulls);
            Arc::new(array.with_data_type(kind))
        }
    }
}

fn primitive<T: ArrowPrimitiveType<Native = i64>>(values: Vec<i64>, nulls: Nulls) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    OffsetBuffer::new(offsets.into())
}
