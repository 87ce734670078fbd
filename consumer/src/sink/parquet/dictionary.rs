//! Pure. Which columns are worth a dictionary.
//!
//! Parquet's writer makes a dictionary of every column until it has grown too long. Where values hardly
//! ever repeat it holds them all, each was looked up in it, and the column takes more space than without.

#![expect(clippy::disallowed_types, reason = "a set that is counted, never gone through")]

use std::collections::HashSet;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use parquet::schema::types::ColumnPath;

/// So many values of a column are looked at, evenly spread.
const SAMPLE: usize = 1_024;
/// Of fewer values nothing is said.
const SAMPLE_MIN: usize = 100;

/// The columns of `rows` whose values hardly ever repeat: of those looked at, nine in ten are different.
/// Of what is within lists and structs nothing is said.
pub(super) fn hardly_repeating(rows: &RecordBatch) -> impl Iterator<Item = ColumnPath> {
    let schema = rows.schema();
    let found = rows.columns().iter().enumerate().filter(|(_, column)| !repeats(column));
    let names: Vec<_> = found.map(|(at, _)| schema.field(at).name().clone()).collect();
    names.into_iter().map(|name| ColumnPath::new(vec![name]))
}

fn repeats(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            repeat(column, |at| texts.value(at).as_bytes())
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            repeat(column, |at| values.value(at))
        }
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            repeat(column, |at| values.value(at))
        }
        kind => {
            let Some(width) = kind.primitive_width() else { return true };
            let data = column.to_data();
            let values = &data.buffers()[0].as_slice()[data.offset() * width..];
            repeat(column, |at| &values[at * width..][..width])
        }
    }
}

fn repeat<'a>(column: &dyn Array, value: impl Fn(usize) -> &'a [u8]) -> bool {
    let step = column.len().div_ceil(SAMPLE).max(1);
    let looked_at = (0..column.len()).step_by(step).filter(|at| column.is_valid(*at));
    let (mut count, mut distinct) = (0, HashSet::with_capacity(SAMPLE));
    for at in looked_at {
        count += 1;
        distinct.insert(value(at));
    }
    count < SAMPLE_MIN || distinct.len() * 10 < count * 9
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};

    use super::*;

    /// How often of `rows` each value stands in a column of numbers, and in one of texts.
    fn names(rows: i64, times: i64) -> Vec<String> {
        let number = |at: i64| (at % 7 != 0).then_some(at / times);
        let numbers: ArrayRef = Arc::new((0..rows).map(number).collect::<Int64Array>());
        let text = |at: i64| number(at).map(|number| format!("text {number}"));
        let texts: ArrayRef = Arc::new((0..rows).map(text).collect::<StringArray>());
        let flags: ArrayRef = Arc::new((0..rows).map(|at| Some(at > 5)).collect::<BooleanArray>());
        let columns = [("numbers", numbers), ("texts", texts), ("flags", flags)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        // Columns may begin anywhere in their memory.
        let whole = hardly_repeating(&batch).map(|path| path.string()).collect();
        let half = batch.slice(batch.num_rows() / 2, batch.num_rows() / 2);
        let later: Vec<_> = hardly_repeating(&half).map(|path| path.string()).collect();
        assert!(rows < 300 || later == whole);
        whole
    }

    #[test]
    fn columns_without_repetition_are_told() {
        assert_eq!(names(20_000, 1), ["numbers", "texts"]);
        assert_eq!(names(500, 1), ["numbers", "texts"]);
        assert_eq!(names(20_000, 200), Vec::<String>::new());
        assert_eq!(names(1_000, 4), Vec::<String>::new());
        assert_eq!(names(90, 1), Vec::<String>::new(), "too few to say");
        assert_eq!(names(0, 1), Vec::<String>::new());
    }
}
