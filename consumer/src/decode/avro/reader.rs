//! Pure. Reads Avro data straight into columns, as its shape says.

use super::input::{Input, Malformed};
use super::node::{Branch, DURATION_FIELDS, Node, NodeId, Record, Shape};
use super::text;
use crate::decode::columns::{Data, Fields, Misfit, Scalar, Values, unscaled};
use crate::decode::debezium::Unavailable;
use crate::decode::rows::Defect;
use crate::table::schema::Unit;

/// Why a record does not become a row of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decode) enum Reject {
    /// A value does not fit its column.
    Misfit,
    /// The bytes are not what their schema says.
    Malformed(Malformed),
    /// It is no record of its format.
    Defect(Defect),
}

impl From<Misfit> for Reject {
    fn from(Misfit: Misfit) -> Self {
        Self::Misfit
    }
}

impl From<Malformed> for Reject {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Reads one datum; what it made so far stays behind when it rejects it.
#[derive(Debug)]
pub(in crate::decode) struct Reader<'a, 'u> {
    shape: &'a Shape,
    pub(in crate::decode) input: Input<'a>,
    /// Set where a text stands for values that are not known.
    pub(in crate::decode) unavailable: Option<&'u mut Unavailable<'a>>,
}

impl<'a, 'u> Reader<'a, 'u> {
    pub(in crate::decode) fn new(shape: &'a Shape, input: Input<'a>) -> Self {
        Self { shape, input, unavailable: None }
    }

    /// Reads the record at `id`, and nothing behind it, into the next row of `columns`. The row is not
    /// complete before the caller counts it.
    pub(in crate::decode) fn members(
        &mut self,
        id: NodeId,
        columns: &mut Fields,
    ) -> Result<(), Reject> {
        match self.shape.node(id) {
            Node::Record(record) => self.record(record, columns),
            Node::Union(branches) => {
                let at = self.input.index(branches.len())?;
                self.members(branches[at].node, columns)
            }
            Node::Wrapped(branch) => self.members(branch.node, columns),
            Node::Null => Ok(()),
            _ => Err(Reject::Misfit),
        }
    }

    fn record(&mut self, record: &Record, columns: &mut Fields) -> Result<(), Reject> {
        let mut guess = 0;
        for field in &record.fields {
            match &field.into {
                Some(name) => guess = self.field(name, guess, field.node, columns)?,
                None => self.skip(field.node)?,
            }
        }
        for default in &record.defaults {
            let input = Input::new(&default.datum);
            let mut reader = Reader::new(self.shape, input);
            guess = reader.field(&default.into, guess, default.node, columns)?;
        }
        Ok(())
    }

    /// Returns where the next field probably stands.
    pub(in crate::decode) fn field(
        &mut self,
        name: &str,
        guess: usize,
        node: NodeId,
        columns: &mut Fields,
    ) -> Result<usize, Reject> {
        let Some(at) = columns.find(name, guess) else {
            // A field that can hold nothing has no column.
            self.skip(node)?;
            return Ok(guess);
        };
        let rows = columns.rows;
        let values = &mut columns.fields[at].values;
        if values.len() > rows {
            return Err(Reject::Misfit);
        }
        values.pad(rows);
        let (shape, input) = (self.shape, &mut self.input);
        let is_unavailable =
            self.unavailable.as_mut().is_some_and(|it| it.takes_avro(name, (shape, node), input));
        if is_unavailable {
            values.push_null();
        } else {
            self.value(node, values)?;
        }
        Ok(at + 1)
    }

    fn value(&mut self, id: NodeId, values: &mut Values) -> Result<(), Reject> {
        match self.shape.node(id) {
            Node::Union(branches) => {
                let at = self.input.index(branches.len())?;
                self.branch(&branches[at], values)
            }
            Node::Wrapped(branch) => self.branch(branch, values),
            Node::Record(record) => {
                let Data::Struct(fields) = &mut values.data else { return Err(Reject::Misfit) };
                self.record(record, fields)?;
                fields.rows += 1;
                values.mark_valid();
                Ok(())
            }
            Node::Array(element) => self.array(*element, values),
            Node::Map(value) => self.map(*value, values),
            Node::Duration => self.duration(values),
            Node::Recursive(id) => {
                let value = text::value(self.shape, *id, &mut self.input)?;
                Ok(values.put(Scalar::Text(&value.to_string()))?)
            }
            node => Ok(values.put(scalar(node, &mut self.input)?)?),
        }
    }

    fn branch(&mut self, branch: &Branch, values: &mut Values) -> Result<(), Reject> {
        let Some(name) = &branch.into else { return self.value(branch.node, values) };
        let Data::Struct(fields) = &mut values.data else { return Err(Reject::Misfit) };
        self.field(name, 0, branch.node, fields)?;
        fields.rows += 1;
        values.mark_valid();
        Ok(())
    }

    fn array(&mut self, element: NodeId, values: &mut Values) -> Result<(), Reject> {
        let Data::List { ends, elements } = &mut values.data else { return Err(Reject::Misfit) };
        loop {
            let count = self.input.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let began_at = self.input.at();
                self.value(element, elements)?;
                self.input.count_element(began_at)?;
            }
        }
        ends.push(elements.end());
        values.mark_valid();
        Ok(())
    }

    fn map(&mut self, value: NodeId, column: &mut Values) -> Result<(), Reject> {
        let Data::Map { ends, keys, values } = &mut column.data else {
            return Err(Reject::Misfit);
        };
        loop {
            let count = self.input.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                keys.push(self.input.text()?.as_bytes());
                self.value(value, values)?;
            }
        }
        ends.push(values.end());
        column.mark_valid();
        Ok(())
    }

    fn duration(&mut self, values: &mut Values) -> Result<(), Reject> {
        let Data::Struct(fields) = &mut values.data else { return Err(Reject::Misfit) };
        let rows = fields.rows;
        for (guess, name) in DURATION_FIELDS.into_iter().enumerate() {
            let part = u32::from_le_bytes(self.input.array()?);
            let at = fields.find(name, guess).ok_or(Reject::Misfit)?;
            let values = &mut fields.fields[at].values;
            values.pad(rows);
            values.put(Scalar::Integer(part.into()))?;
        }
        fields.rows += 1;
        values.mark_valid();
        Ok(())
    }

    pub(in crate::decode) fn skip(&mut self, id: NodeId) -> Result<(), Reject> {
        Ok(skip(self.shape, id, &mut self.input)?)
    }
}

/// Reads a value without parts.
pub(in crate::decode) fn scalar<'n, 'i: 'n>(
    node: &'n Node,
    input: &mut Input<'i>,
) -> Result<Scalar<'n>, Malformed> {
    Ok(match node {
        Node::Null => Scalar::Null,
        Node::Boolean => Scalar::Boolean(input.boolean()?),
        Node::Int => Scalar::Integer(input.int()?.into()),
        Node::Long => Scalar::Integer(input.long()?),
        Node::Float => Scalar::Float(input.float()?.into()),
        Node::Double => Scalar::Float(input.double()?),
        Node::Bytes => Scalar::Binary(input.bytes()?),
        Node::Text => Scalar::Text(input.text()?),
        Node::Fixed(size) => Scalar::Binary(input.take(*size)?),
        Node::Enum(symbols) => Scalar::Text(&symbols[input.index(symbols.len())?]),
        Node::Decimal { size, scale, .. } => {
            let bytes = match size {
                Some(size) => input.take(*size)?,
                None => input.bytes()?,
            };
            let unscaled = unscaled(bytes).ok_or_else(|| {
                input.malformed(format_args!("a decimal is longer than 32 bytes"))
            })?;
            Scalar::Decimal { unscaled, scale: *scale }
        }
        Node::Uuid { is_fixed: true } => Scalar::Uuid(input.array()?),
        Node::Uuid { is_fixed: false } => {
            let bytes = input.bytes()?;
            match (<[u8; 16]>::try_from(bytes), std::str::from_utf8(bytes)) {
                (Ok(id), _) => Scalar::Uuid(id),
                (_, Ok(text)) => Scalar::Text(text),
                _ => return Err(input.malformed(format_args!("a string is not UTF-8"))),
            }
        }
        Node::Date => Scalar::Date(input.int()?),
        Node::Time(unit @ Unit::Millis) => Scalar::Time { unit: *unit, value: input.int()?.into() },
        Node::Time(unit) => Scalar::Time { unit: *unit, value: input.long()? },
        Node::Timestamp { unit, utc } => {
            Scalar::Timestamp { unit: *unit, utc: *utc, value: input.long()? }
        }
        Node::Duration
        | Node::Array(_)
        | Node::Map(_)
        | Node::Union(_)
        | Node::Record(_)
        | Node::Recursive(_)
        | Node::Wrapped(_) => unreachable!("types with parts are told apart before"),
    })
}

/// Reads over a value.
pub(in crate::decode) fn skip(
    shape: &Shape,
    id: NodeId,
    input: &mut Input<'_>,
) -> Result<(), Malformed> {
    match shape.node(id) {
        Node::Record(record) => {
            record.fields.iter().try_for_each(|field| skip(shape, field.node, input))
        }
        Node::Union(branches) => {
            let at = input.index(branches.len())?;
            skip(shape, branches[at].node, input)
        }
        Node::Wrapped(branch) => skip(shape, branch.node, input),
        // Its depth is not the schema's, but the data's: where it is rendered that is bounded.
        Node::Recursive(_) | Node::Array(_) | Node::Map(_) => {
            text::value(shape, id, input).map(drop)
        }
        Node::Duration => input.take(12).map(drop),
        node => scalar(node, input).map(drop),
    }
}
