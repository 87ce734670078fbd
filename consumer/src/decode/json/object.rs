//! Pure. Reads one JSON object straight into columns.

use jiter::{Jiter, JiterError, Peek};

use super::check::{DEPTH_MAX, Defect};
use super::number;
use crate::decode::values::{Bytes, Data, Fields, Values};
use crate::table::schema::{COLUMNS_MAX, NAME_BYTES_MAX};

/// Why a record does not become a row of columns.
#[derive(Debug)]
pub(super) enum Reject {
    /// A value does not fit its column: the record is kept as text.
    Misfit,
    /// It is no JSON that could be kept at all.
    Defect(Defect),
}

impl From<JiterError> for Reject {
    fn from(error: JiterError) -> Self {
        Self::Defect(Defect::of(&error))
    }
}

/// Reads values of one record; what it made so far stays behind when it rejects the record.
#[derive(Debug)]
pub(super) struct Reader<'j> {
    pub(super) jiter: Jiter<'j>,
    /// Columns and nested fields of the table, those that this record adds included.
    pub(super) size: usize,
    /// True once this record made a field, or gave one its type.
    pub(super) has_new: bool,
    /// How often a field without a type was named before this record, and by now.
    pub(super) named_before: u64,
    pub(super) named: u64,
}

impl Reader<'_> {
    /// Reads the whole text as one object into the next row of `columns`.
    pub(super) fn record(&mut self, columns: &mut Fields) -> Result<(), Reject> {
        match self.jiter.peek()? {
            Peek::Object => self.object(columns, 1)?,
            _ => return Err(Reject::Misfit),
        }
        Ok(self.jiter.finish()?)
    }

    fn object(&mut self, fields: &mut Fields, depth: usize) -> Result<(), Reject> {
        self.check_depth(depth)?;
        let mut guess = 0;
        let mut next = key(self.jiter.known_object()?, fields, guess);
        while let Some(key) = next {
            let at = match key {
                Key::Known(at) => at,
                Key::New(name) => self.new_field(fields, name)?,
            };
            self.field(fields, at, depth)?;
            guess = at + 1;
            next = self::key(self.jiter.next_key()?, fields, guess);
        }
        fields.rows += 1;
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), Reject> {
        if depth > DEPTH_MAX {
            return Err(Reject::Defect(Defect::too_deep(self.jiter.current_index())));
        }
        Ok(())
    }

    fn new_field(&mut self, fields: &mut Fields, name: String) -> Result<usize, Reject> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Reject::Misfit);
        }
        self.has_new = true;
        Ok(fields.add_untyped(name))
    }

    fn field(&mut self, fields: &mut Fields, at: usize, depth: usize) -> Result<(), Reject> {
        let rows = fields.rows;
        let field = &mut fields.fields[at];
        if field.values.len() > rows {
            let name = field.column.field.as_deref().unwrap_or_default();
            return Err(Reject::Defect(Defect::duplicate_key(name, self.jiter.current_index())));
        }
        field.values.pad(rows);
        let was_void = field.values.is_void();
        if was_void {
            field.is_new = true;
            if field.named_at <= self.named_before {
                self.named += 1;
                field.named_at = self.named;
            }
        }
        self.value(&mut field.values, depth)?;
        if was_void && !field.values.is_void() {
            self.has_new = true;
            self.size += 1;
            if self.size > COLUMNS_MAX {
                return Err(Reject::Misfit);
            }
        }
        Ok(())
    }

    fn value(&mut self, values: &mut Values, depth: usize) -> Result<(), Reject> {
        let peek = self.jiter.peek()?;
        match peek {
            Peek::Null => {
                self.jiter.known_null()?;
                values.pad(values.len() + 1);
                return Ok(());
            }
            Peek::True | Peek::False | Peek::String | Peek::Array | Peek::Object => {}
            _ => return self.number(values, peek),
        }
        if !takes(&values.data, peek) {
            if !values.is_void() {
                return self.nothing(values, peek, depth);
            }
            values.become_typed(first_data(peek));
        }
        match &mut values.data {
            Data::Boolean(bits) => bits.append(self.jiter.known_bool(peek)?),
            Data::Text(texts) => texts.push(self.jiter.known_str()?.as_bytes()),
            Data::List { ends, elements } => {
                let end = self.array(elements, depth + 1)?;
                ends.push(end);
            }
            Data::Struct(fields) => self.object(fields, depth + 1)?,
            Data::Untyped | Data::Integer(_) | Data::Float(_) | Data::Binary(_) => {
                return Err(Reject::Misfit);
            }
        }
        values.mark_valid();
        Ok(())
    }

    /// Returns the elements' end.
    fn array(&mut self, elements: &mut Values, depth: usize) -> Result<i32, Reject> {
        self.check_depth(depth)?;
        let mut next = self.jiter.known_array()?;
        while next.is_some() {
            self.value(elements, depth)?;
            next = self.jiter.array_step()?;
        }
        Ok(elements.end())
    }

    fn number(&mut self, values: &mut Values, peek: Peek) -> Result<(), Reject> {
        let text = self.jiter.known_number_bytes(peek)?;
        let text = std::str::from_utf8(text).map_err(|_| Reject::Misfit)?;
        if values.is_void() {
            values.become_typed(if number::is_written_as_integer(text) {
                Data::Integer(Vec::new())
            } else {
                Data::Float(Vec::new())
            });
        }
        match &mut values.data {
            Data::Integer(integers) => integers.push(number::integer(text).ok_or(Reject::Misfit)?),
            Data::Float(floats) => floats.push(number::float(text).ok_or(Reject::Misfit)?),
            Data::Untyped
            | Data::Boolean(_)
            | Data::Text(_)
            | Data::Binary(_)
            | Data::List { .. }
            | Data::Struct(_) => return Err(Reject::Misfit),
        }
        values.mark_valid();
        Ok(())
    }

    /// An object or array in a column of another type: it fits, as null, only if it holds nothing.
    fn nothing(&mut self, values: &mut Values, peek: Peek, depth: usize) -> Result<(), Reject> {
        if !matches!(peek, Peek::Array | Peek::Object) {
            return Err(Reject::Misfit);
        }
        let mut apart = Values::untyped();
        self.value(&mut apart, depth)?;
        if !apart.is_void() {
            return Err(Reject::Misfit);
        }
        values.pad(values.len() + 1);
        Ok(())
    }
}

fn takes(data: &Data, peek: Peek) -> bool {
    match data {
        Data::Boolean(_) => matches!(peek, Peek::True | Peek::False),
        Data::Text(_) => peek == Peek::String,
        Data::List { .. } => peek == Peek::Array,
        Data::Struct(_) => peek == Peek::Object,
        Data::Untyped | Data::Integer(_) | Data::Float(_) | Data::Binary(_) => false,
    }
}

enum Key {
    Known(usize),
    New(String),
}

fn key(key: Option<&str>, fields: &Fields, guess: usize) -> Option<Key> {
    key.map(|key| match fields.find(key, guess) {
        Some(at) => Key::Known(at),
        None => Key::New(key.to_owned()),
    })
}

/// The type of a column whose first value looks like that.
fn first_data(peek: Peek) -> Data {
    match peek {
        Peek::String => Data::Text(Bytes::default()),
        Peek::Array => Data::List { ends: Vec::new(), elements: Box::new(Values::untyped()) },
        Peek::Object => Data::Struct(Fields::default()),
        _ => Data::Boolean(arrow::array::BooleanBufferBuilder::new(0)),
    }
}
