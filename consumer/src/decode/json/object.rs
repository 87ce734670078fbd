//! Pure. Reads one JSON object straight into columns.

use jiter::{Jiter, JiterError, Peek};

use super::check::{DEPTH_MAX, defect_of, duplicate_key, too_deep};
use super::{Growth, number, typed};
use crate::decode::columns::{Bytes, Data, Fields, Misfit, Values};
use crate::decode::debezium::Unavailable;
use crate::decode::rows::Defect;
use crate::table::schema::{COLUMNS_MAX, NAME_BYTES_MAX};

/// Why a record does not become a row of columns.
#[derive(Debug)]
pub(in crate::decode) enum Reject {
    /// A value does not fit its column: the record is kept as text.
    Misfit,
    /// It is no JSON that could be kept at all.
    Defect(Defect),
}

impl From<JiterError> for Reject {
    fn from(error: JiterError) -> Self {
        Self::Defect(defect_of(&error))
    }
}

impl From<Misfit> for Reject {
    fn from(Misfit: Misfit) -> Self {
        Self::Misfit
    }
}

/// Reads values of one record; what it made so far stays behind when it rejects the record.
#[derive(Debug)]
pub(in crate::decode) struct Reader<'j, 'g> {
    pub(in crate::decode) jiter: Jiter<'j>,
    growth: &'g mut Growth,
    /// Set where a text stands for values that are not known.
    pub(in crate::decode) unavailable: Option<&'g mut Unavailable<'j>>,
}

impl<'j, 'g> Reader<'j, 'g> {
    pub(in crate::decode) fn new(jiter: Jiter<'j>, growth: &'g mut Growth) -> Self {
        Self { jiter, growth, unavailable: None }
    }

    /// Reads the whole text as one object into the row of `columns` that is open.
    pub(in crate::decode) fn record(&mut self, columns: &mut Fields) -> Result<(), Reject> {
        match self.jiter.peek()? {
            Peek::Object => self.members(columns, 1)?,
            _ => return Err(Reject::Misfit),
        }
        Ok(self.jiter.finish()?)
    }

    /// Reads the whole text as the value of the column `name`.
    pub(in crate::decode) fn member(
        &mut self,
        name: &str,
        columns: &mut Fields,
    ) -> Result<(), Reject> {
        let at = match columns.find(name, 0) {
            Some(at) => at,
            None => self.new_field(columns, name.to_owned())?,
        };
        self.field(columns, at, 1)?;
        Ok(self.jiter.finish()?)
    }

    fn object(&mut self, fields: &mut Fields, depth: usize) -> Result<(), Reject> {
        self.members(fields, depth)?;
        fields.rows += 1;
        Ok(())
    }

    /// Reads an object into the row that is open.
    fn members(&mut self, fields: &mut Fields, depth: usize) -> Result<(), Reject> {
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
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), Reject> {
        if depth > DEPTH_MAX {
            return Err(Reject::Defect(too_deep(self.jiter.current_index())));
        }
        Ok(())
    }

    fn new_field(&mut self, fields: &mut Fields, name: String) -> Result<usize, Reject> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Reject::Misfit);
        }
        self.growth.has_new = true;
        Ok(fields.add_untyped(name))
    }

    fn field(&mut self, fields: &mut Fields, at: usize, depth: usize) -> Result<(), Reject> {
        let rows = fields.rows;
        let field = &mut fields.fields[at];
        if field.values.len() > rows {
            let name = field.column.field.as_deref().unwrap_or_default();
            return Err(Reject::Defect(duplicate_key(name, self.jiter.current_index())));
        }
        field.values.pad(rows);
        let was_void = field.values.is_void();
        if was_void {
            field.is_new = true;
            if field.named_at <= self.growth.named_before {
                self.growth.named += 1;
                field.named_at = self.growth.named;
            }
        }
        if depth == 1
            && let Some(unavailable) = &mut self.unavailable
            && unavailable
                .takes_json(field.column.field.as_deref().unwrap_or_default(), &mut self.jiter)
        {
            field.values.push_null();
            return Ok(());
        }
        self.value(&mut field.values, depth)?;
        if was_void && !field.values.is_void() {
            self.growth.has_new = true;
            self.growth.size += 1;
            if self.growth.size > COLUMNS_MAX {
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
        if peek == Peek::String && typed::is_typed(&values.data) {
            return Ok(typed::put_text(values, self.jiter.known_str()?)?);
        }
        if !fits(&values.data, peek) {
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
            Data::Map { ends, keys, values } => {
                self.map(keys, values, depth + 1)?;
                ends.push(values.end());
            }
            _ => return Err(Reject::Misfit),
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
            _ => return Ok(typed::put_number(values, text)?),
        }
        values.mark_valid();
        Ok(())
    }

    fn map(&mut self, keys: &mut Bytes, values: &mut Values, depth: usize) -> Result<(), Reject> {
        self.check_depth(depth)?;
        let mut next = self.jiter.known_object()?.map(|key| keys.push(key.as_bytes()));
        while next.is_some() {
            self.value(values, depth)?;
            next = self.jiter.next_key()?.map(|key| keys.push(key.as_bytes()));
        }
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

fn fits(data: &Data, peek: Peek) -> bool {
    match data {
        Data::Boolean(_) => matches!(peek, Peek::True | Peek::False),
        Data::Text(_) => peek == Peek::String,
        Data::List { .. } => peek == Peek::Array,
        Data::Struct(_) | Data::Map { .. } => peek == Peek::Object,
        _ => false,
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
