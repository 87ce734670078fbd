//! Pure. Records whose value is kept as it is, in one binary column.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::Field;

use super::frame::Frame;
use super::{Decoded, Decoder, Rows, Wider, ignore};
use crate::record::RawRecord;
use crate::table::schema::{Column, ColumnType, TableSchema};

pub(super) fn decode(decoder: &Decoder, records: &[RawRecord], schema: &TableSchema) -> Decoded {
    let is_value = |column: &&Column| column.field.is_none() && column.kind == ColumnType::Binary;
    let Some(column) = schema.columns.iter().find(is_value) else {
        let column = Column { name: "value".into(), field: None, kind: ColumnType::Binary };
        return Decoded::Wider(Wider::new(vec![column]));
    };
    let is_kept = |record: &&RawRecord| !ignore::by_header(&decoder.format, record);
    let kept: Vec<_> = records.iter().filter(is_kept).collect();
    let mut frame = Frame::new(decoder, kept.len(), false);
    for record in &kept {
        frame.push(record, None);
    }
    let values = kept.iter().map(|record| record.value.as_deref());
    let values: ArrayRef = Arc::new(BinaryArray::from_iter(values));
    let field = Field::new(&column.name, values.data_type().clone(), true);
    let batch = frame.finish(vec![field], vec![values]);
    Decoded::Rows(Rows {
        batch,
        dead_letters: Vec::new(),
        unparsed: 0,
        ignored: records.len() - kept.len(),
    })
}
