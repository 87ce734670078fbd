//! Pure. The values of one column of a batch, and how each of them is written.

use std::fmt;

use arrow::array::Array;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::i256;
use uuid::Uuid;

use super::civil::{Lost, checked_day, checked_micros, micros, put_date_time, put_time};
use super::reader::Message;
use super::text::{put_decimal, put_wide_decimal};
use super::wire::{Tag, put_bytes, put_message, put_signed};
use crate::table::schema::Unit;

/// Longest text of a date with a time, and of a decimal of 76 digits and as many zeros as there can be.
const SHORT: usize = 256;

/// The values of a column, or of a list's elements.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    Boolean(&'a BooleanBuffer),
    Narrow(&'a [i32]),
    Integer(&'a [i64]),
    Float(&'a [f64]),
    /// Text, too.
    Bytes {
        ends: &'a [i32],
        bytes: &'a [u8],
    },
    Decimal {
        values: &'a [i128],
        scale: i8,
    },
    WideDecimal {
        values: &'a [i256],
        scale: i8,
    },
    Date(&'a [i32]),
    /// In milliseconds since midnight.
    NarrowTime(&'a [i32]),
    Time {
        values: &'a [i64],
        unit: Unit,
    },
    Timestamp {
        values: &'a [i64],
        unit: Unit,
    },
    DateTime {
        values: &'a [i64],
        unit: Unit,
    },
    Uuid(&'a [[u8; 16]]),
    List {
        ends: &'a [i32],
        elements: Box<Elements<'a>>,
    },
    Map {
        ends: &'a [i32],
        entries: Message<'a>,
    },
    Struct(Message<'a>),
}

/// What a list holds.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    pub(super) nulls: Option<&'a NullBuffer>,
    pub(super) cells: Cells<'a>,
    /// Where each element stands in a record of its own: what stands before it there.
    pub(super) wrapped: Option<Tag>,
}

/// What would be lost, and where.
#[derive(Debug)]
pub(super) struct Problem {
    what: What,
    /// From the innermost part to the column.
    path: Vec<Part>,
}

#[derive(Debug)]
enum What {
    NullElement,
    Time { value: i64, unit: &'static str, lost: Lost },
}

#[derive(Debug)]
enum Part {
    Name(String),
    Index(usize),
}

/// Boxed, since nearly every value is written without one.
pub(super) type Put = Result<(), Box<Problem>>;

impl Problem {
    fn new(what: What) -> Box<Self> {
        Box::new(Self { what, path: Vec::new() })
    }

    fn time(value: i64, unit: Unit, lost: Lost) -> Box<Self> {
        let unit = match unit {
            Unit::Millis => "milliseconds since 1970",
            Unit::Micros => "microseconds since 1970",
            Unit::Nanos => "nanoseconds",
        };
        Self::new(What::Time { value, unit, lost })
    }

    pub(super) fn within(mut self: Box<Self>, column: &str) -> Box<Self> {
        self.path.push(Part::Name(column.into()));
        self
    }

    fn at(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.path.push(Part::Index(index));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.path.iter().rev().enumerate() {
            match part {
                Part::Name(name) if at == 0 => write!(f, "{name}")?,
                Part::Name(name) => write!(f, ".{name}")?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        match &self.what {
            What::NullElement => write!(f, " is NULL, which no array of BigQuery holds"),
            What::Time { value, unit, lost: Lost::Nanos } => {
                write!(f, " is {value} {unit}, and BigQuery keeps whole microseconds")
            }
            What::Time { value, unit, lost: Lost::Range } => {
                write!(f, " is {value} {unit}, and BigQuery keeps the years 1 to 9999")
            }
        }
    }
}

impl Cells<'_> {
    /// Writes the value in `row`, which is not NULL, as that of a field.
    #[inline]
    pub(super) fn put(&self, row: usize, tag: &Tag, out: &mut Vec<u8>) -> Put {
        match self {
            Self::List { ends, elements } => return elements.put(span(ends, row), tag, out),
            Self::Map { ends, entries } => {
                for entry in span(ends, row) {
                    tag.put(out);
                    put_message(out, |out| entries.write(entry, out))?;
                }
                return Ok(());
            }
            _ => tag.put(out),
        }
        self.put_value(row, out)
    }

    /// Writes what follows the tag of a value that is no list.
    fn put_value(&self, row: usize, out: &mut Vec<u8>) -> Put {
        match self {
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Narrow(values) => put_signed(values[row].into(), out),
            Self::Integer(values) => put_signed(values[row], out),
            Self::Float(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Bytes { ends, bytes } => put_bytes(&bytes[span(ends, row)], out),
            Self::Decimal { values, scale } => {
                put_short(out, |out| put_decimal(values[row], *scale, out));
            }
            Self::WideDecimal { values, scale } => {
                put_short(out, |out| put_wide_decimal(values[row], *scale, out));
            }
            Self::Date(values) => {
                let lost = |lost| {
                    let value = values[row].into();
                    Problem::new(What::Time { value, unit: "days since 1970", lost })
                };
                put_signed(checked_day(values[row]).map_err(lost)?.into(), out);
            }
            Self::NarrowTime(values) => put_clock(values[row].into(), Unit::Millis, out)?,
            Self::Time { values, unit } => put_clock(values[row], *unit, out)?,
            Self::Timestamp { values, unit } => put_signed(since_1970(values[row], *unit)?, out),
            Self::DateTime { values, unit } => {
                let micros = since_1970(values[row], *unit)?;
                put_short(out, |out| put_date_time(micros, out));
            }
            Self::Uuid(values) => {
                let mut text = Uuid::encode_buffer();
                let id = Uuid::from_bytes(values[row]);
                put_bytes(id.hyphenated().encode_lower(&mut text).as_bytes(), out);
            }
            Self::Struct(message) => put_message(out, |out| message.write(row, out))?,
            Self::List { .. } | Self::Map { .. } => unreachable!("each element has its own tag"),
        }
        Ok(())
    }
}

impl Elements<'_> {
    fn put(&self, span: std::ops::Range<usize>, tag: &Tag, out: &mut Vec<u8>) -> Put {
        let begin = span.start;
        for at in span {
            if self.nulls.is_some_and(|nulls| nulls.is_null(at)) {
                return Err(Problem::new(What::NullElement).at(at - begin));
            }
            let put = match &self.wrapped {
                None => self.cells.put(at, tag, out),
                Some(inner) => {
                    tag.put(out);
                    put_message(out, |out| self.cells.put(at, inner, out))
                }
            };
            put.map_err(|problem| problem.at(at - begin))?;
        }
        Ok(())
    }
}

fn since_1970(value: i64, unit: Unit) -> Result<i64, Box<Problem>> {
    checked_micros(value, unit).map_err(|lost| Problem::time(value, unit, lost))
}

fn put_clock(value: i64, unit: Unit, out: &mut Vec<u8>) -> Put {
    let micros = micros(value, unit).map_err(|lost| Problem::time(value, unit, lost))?;
    put_short(out, |out| put_time(micros, out));
    Ok(())
}

fn put_short(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.reserve(SHORT);
    let written = put_message(out, |out| {
        write(out);
        Ok::<_, std::convert::Infallible>(())
    });
    written.expect("nothing can fail");
}

/// Where the bytes or elements of a row stand.
#[inline]
fn span(ends: &[i32], row: usize) -> std::ops::Range<usize> {
    index(ends[row])..index(ends[row + 1])
}

#[inline]
#[expect(clippy::cast_sign_loss, reason = "Arrow's offsets are never negative")]
fn index(end: i32) -> usize {
    end as usize
}

/// The nulls of an array that has any.
pub(super) fn nulls(array: &dyn Array) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}
