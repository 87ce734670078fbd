//! Pure. Avro data as JSON, for people and for columns of text: names as the writer has them, bytes in base64, decimals
//! and whatever JSON's numbers would not keep as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::input::{Input, Malformed};
use super::node::{DURATION_FIELDS, Node, NodeId, Shape};
use super::reader::scalar;
use crate::decode::columns::Scalar;

/// How deep data may be nested that holds itself.
const DEPTH_MAX: usize = 64;

/// Reads the value at `id`.
pub(in crate::decode) fn value(
    shape: &Shape,
    id: NodeId,
    input: &mut Input<'_>,
) -> Result<Value, Malformed> {
    nested(shape, id, input, 0)
}

fn nested(
    shape: &Shape,
    id: NodeId,
    input: &mut Input<'_>,
    depth: usize,
) -> Result<Value, Malformed> {
    // Schemas are nested less deeply by themselves, so that only data that holds itself comes here.
    if depth > 2 * DEPTH_MAX {
        return Err(input.malformed(format_args!("data is nested deeper than {DEPTH_MAX}")));
    }
    let depth = depth + 1;
    Ok(match shape.node(id) {
        Node::Record(record) => {
            let mut members = Map::new();
            for field in &record.fields {
                members.insert(field.name.clone(), nested(shape, field.node, input, depth)?);
            }
            Value::Object(members)
        }
        Node::Union(branches) => {
            let at = input.index(branches.len())?;
            nested(shape, branches[at].node, input, depth)?
        }
        Node::Wrapped(branch) => nested(shape, branch.node, input, depth)?,
        Node::Recursive(id) => nested(shape, *id, input, depth)?,
        Node::Array(element) => {
            let mut elements = Vec::new();
            blocks(input, |input| {
                elements.push(nested(shape, *element, input, depth)?);
                Ok(())
            })?;
            Value::Array(elements)
        }
        Node::Map(value) => {
            let mut members = Map::new();
            blocks(input, |input| {
                let key = input.text()?.to_owned();
                members.insert(key, nested(shape, *value, input, depth)?);
                Ok(())
            })?;
            Value::Object(members)
        }
        Node::Duration => {
            let mut members = Map::new();
            for name in DURATION_FIELDS {
                members.insert(name.into(), u32::from_le_bytes(input.array()?).into());
            }
            Value::Object(members)
        }
        node => json(scalar(node, input)?),
    })
}

fn blocks<'a>(
    input: &mut Input<'a>,
    mut element: impl FnMut(&mut Input<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    loop {
        let count = input.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let began_at = input.at();
            element(input)?;
            input.count_element(began_at)?;
        }
    }
}

fn json(scalar: Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => value.into(),
        Scalar::Integer(value) | Scalar::Time { value, .. } | Scalar::Timestamp { value, .. } => {
            value.into()
        }
        Scalar::Float(value) => {
            Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        Scalar::Text(text) => text.into(),
        Scalar::Binary(bytes) => STANDARD.encode(bytes).into(),
        Scalar::Decimal { unscaled, scale } => decimal(&unscaled.to_string(), scale).into(),
        Scalar::Date(days) => days.into(),
        Scalar::Uuid(id) => uuid::Uuid::from_bytes(id).to_string().into(),
    }
}

/// The digits with a point in them.
fn decimal(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    let Some(behind) = usize::try_from(scale).ok().filter(|behind| *behind > 0) else {
        return format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    let digits = format!("{digits:0>width$}", width = behind + 1);
    let (whole, fraction) = digits.split_at(digits.len() - behind);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_their_point() {
        for (unscaled, scale, expected) in [
            ("1234", 2, "12.34"),
            ("-5", 2, "-0.05"),
            ("0", 3, "0.000"),
            ("12", 0, "12"),
            ("-1", -2, "-100"),
        ] {
            assert_eq!(decimal(unscaled, scale), expected);
        }
    }
}
