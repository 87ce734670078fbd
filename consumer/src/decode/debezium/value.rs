//! Pure. Reads JSON straight into columns, as a schema beside it says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiter::{Jiter, Peek};

use super::unavailable::Unavailable;
use crate::decode::avro::node::{Node, NodeId, Shape};
use crate::decode::columns::{Data, Fields, Misfit, Scalar, Values, unscaled};
use crate::decode::json::{Reject, float, put_number};

/// Reads an object's members into the open row of `columns`; names of those that are not known are noted.
pub(super) fn members(
    shape: &Shape,
    id: NodeId,
    jiter: &mut Jiter<'_>,
    columns: &mut Fields,
    mut unavailable: Option<&mut Unavailable<'_>>,
) -> Result<(), Reject> {
    let Some(record) = shape.record(id) else { return Err(Reject::Misfit) };
    let mut guess = 0;
    let mut next = jiter.known_object()?.map(str::to_owned);
    while let Some(name) = next {
        let field = record.fields.get(guess).filter(|field| field.name == name);
        let field = field.or_else(|| record.fields.iter().find(|field| field.name == name));
        let node = field.ok_or(Reject::Misfit)?.node;
        guess += 1;
        let is_unavailable = unavailable.as_mut().is_some_and(|it| it.takes_json(&name, jiter));
        if let Some(at) = columns.find(&name, guess - 1) {
            let rows = columns.rows;
            let values = &mut columns.fields[at].values;
            if values.len() > rows {
                return Err(Reject::Misfit);
            }
            values.pad(rows);
            if is_unavailable {
                values.push_null();
            } else {
                value(shape, node, jiter, values)?;
            }
        } else if !is_unavailable {
            jiter.next_skip()?;
        }
        next = jiter.next_key()?.map(str::to_owned);
    }
    Ok(())
}

/// Reads one value.
pub(super) fn value(
    shape: &Shape,
    id: NodeId,
    jiter: &mut Jiter<'_>,
    values: &mut Values,
) -> Result<(), Reject> {
    let peek = jiter.peek()?;
    if peek == Peek::Null {
        jiter.known_null()?;
        values.push_null();
        return Ok(());
    }
    match (shape.node(id), peek) {
        (Node::Union(branches), _) => {
            let some = branches.iter().find(|branch| *shape.node(branch.node) != Node::Null);
            value(shape, some.ok_or(Reject::Misfit)?.node, jiter, values)
        }
        (Node::Record(_), Peek::Object) => {
            let Data::Struct(fields) = &mut values.data else { return Err(Reject::Misfit) };
            members(shape, id, jiter, fields, None)?;
            fields.rows += 1;
            values.mark_valid();
            Ok(())
        }
        (Node::Array(element), Peek::Array) => {
            let Data::List { ends, elements } = &mut values.data else {
                return Err(Reject::Misfit);
            };
            let mut next = jiter.known_array()?;
            while next.is_some() {
                value(shape, *element, jiter, elements)?;
                next = jiter.array_step()?;
            }
            ends.push(elements.end());
            values.mark_valid();
            Ok(())
        }
        (Node::Map(part), Peek::Object) => {
            let Data::Map { ends, keys, values: parts } = &mut values.data else {
                return Err(Reject::Misfit);
            };
            let mut next = jiter.known_object()?.map(|key| keys.push(key.as_bytes()));
            while next.is_some() {
                value(shape, *part, jiter, parts)?;
                next = jiter.next_key()?.map(|key| keys.push(key.as_bytes()));
            }
            ends.push(parts.end());
            values.mark_valid();
            Ok(())
        }
        (node, _) => Ok(scalar(node, jiter, peek, values)?),
    }
}

fn scalar(
    node: &Node,
    jiter: &mut Jiter<'_>,
    peek: Peek,
    values: &mut Values,
) -> Result<(), Reject> {
    match (node, peek) {
        (Node::Boolean, Peek::True | Peek::False) => {
            Ok(values.put(Scalar::Boolean(jiter.known_bool(peek)?))?)
        }
        (Node::Text | Node::Uuid { .. }, Peek::String) => {
            Ok(values.put(Scalar::Text(jiter.known_str()?))?)
        }
        (Node::Bytes, Peek::String) => {
            let bytes = STANDARD.decode(jiter.known_str()?).map_err(|_| Misfit)?;
            Ok(values.put(Scalar::Binary(&bytes))?)
        }
        (Node::Decimal { scale, .. }, Peek::String) => {
            let bytes = STANDARD.decode(jiter.known_str()?).map_err(|_| Misfit)?;
            let unscaled = unscaled(&bytes).ok_or(Misfit)?;
            Ok(values.put(Scalar::Decimal { unscaled, scale: *scale })?)
        }
        (_, Peek::True | Peek::False | Peek::String | Peek::Array | Peek::Object) => {
            Err(Reject::Misfit)
        }
        (node, _) => {
            let text = jiter.known_number_bytes(peek)?;
            let text = std::str::from_utf8(text).map_err(|_| Misfit)?;
            number(node, text, values)
        }
    }
}

fn number(node: &Node, text: &str, values: &mut Values) -> Result<(), Reject> {
    let integer = || text.parse::<i64>().map_err(|_| Misfit);
    let scalar = match node {
        Node::Int | Node::Long => Scalar::Integer(integer()?),
        Node::Float | Node::Double => Scalar::Float(float(text).ok_or(Misfit)?),
        Node::Date => Scalar::Date(integer()?.try_into().map_err(|_| Misfit)?),
        Node::Time(unit) => Scalar::Time { unit: *unit, value: integer()? },
        Node::Timestamp { unit, utc } => {
            Scalar::Timestamp { unit: *unit, utc: *utc, value: integer()? }
        }
        // Where the converter writes decimals as numbers.
        Node::Decimal { .. } => return Ok(put_number(values, text)?),
        _ => return Err(Reject::Misfit),
    };
    Ok(values.put(scalar)?)
}
