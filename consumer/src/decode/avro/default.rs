//! Pure. Default values of a schema, which are JSON, as the data that stands for them.

use serde_json::Value;

use super::node::{Node, NodeId, Shape};

/// Appends `value`, encoded as the node at `id` says; `None` if it is not of that type.
pub(super) fn encode(shape: &Shape, id: NodeId, value: &Value, datum: &mut Vec<u8>) -> Option<()> {
    match shape.node(id) {
        Node::Null => value.as_null()?,
        Node::Boolean => datum.push(u8::from(value.as_bool()?)),
        Node::Int | Node::Date | Node::Time(crate::table::schema::Unit::Millis) => {
            push_long(datum, i32::try_from(value.as_i64()?).ok()?.into());
        }
        Node::Long | Node::Time(_) | Node::Timestamp { .. } => push_long(datum, value.as_i64()?),
        #[expect(clippy::cast_possible_truncation, reason = "a float's default is rounded to one")]
        Node::Float => datum.extend((value.as_f64()? as f32).to_le_bytes()),
        Node::Double => datum.extend(value.as_f64()?.to_le_bytes()),
        Node::Text => push_bytes(datum, value.as_str()?.as_bytes()),
        Node::Uuid { is_fixed: false } => push_bytes(datum, value.as_str()?.as_bytes()),
        Node::Bytes | Node::Decimal { size: None, .. } => push_bytes(datum, &bytes(value)?),
        Node::Fixed(size) | Node::Decimal { size: Some(size), .. } => {
            datum.extend(sized(value, *size)?);
        }
        Node::Uuid { is_fixed: true } => datum.extend(sized(value, 16)?),
        Node::Duration => datum.extend(sized(value, 12)?),
        Node::Enum(symbols) => {
            let symbol = value.as_str()?;
            push_index(datum, symbols.iter().position(|known| known == symbol)?);
        }
        Node::Array(element) => {
            let elements = value.as_array()?;
            push_block(datum, elements.len());
            for value in elements {
                encode(shape, *element, value, datum)?;
            }
            end_blocks(datum, elements.len());
        }
        Node::Map(element) => {
            let entries = value.as_object()?;
            push_block(datum, entries.len());
            for (key, value) in entries {
                push_bytes(datum, key.as_bytes());
                encode(shape, *element, value, datum)?;
            }
            end_blocks(datum, entries.len());
        }
        // A union's default is of one of its types; older schemas allow the first one only.
        Node::Union(branches) => {
            let mut encoded = branches.iter().enumerate().filter_map(|(at, branch)| {
                let mut part = Vec::new();
                push_index(&mut part, at);
                encode(shape, branch.node, value, &mut part).map(|()| part)
            });
            datum.extend(encoded.next()?);
        }
        Node::Record(record) => {
            for field in &record.fields {
                encode(shape, field.node, value.get(&field.name)?, datum)?;
            }
        }
        Node::Recursive(id) => encode(shape, *id, value, datum)?,
        Node::Wrapped(branch) => encode(shape, branch.node, value, datum)?,
    }
    Some(())
}

/// Bytes stand in JSON as text of the characters U+0000 to U+00FF.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str()?.chars().map(|character| u8::try_from(character).ok()).collect()
}

fn sized(value: &Value, size: usize) -> Option<Vec<u8>> {
    bytes(value).filter(|bytes| bytes.len() == size)
}

fn push_bytes(datum: &mut Vec<u8>, bytes: &[u8]) {
    push_index(datum, bytes.len());
    datum.extend(bytes);
}

fn push_block(datum: &mut Vec<u8>, count: usize) {
    push_index(datum, count);
}

/// An array or map ends with an empty block, which one that is empty already is.
fn end_blocks(datum: &mut Vec<u8>, count: usize) {
    if count > 0 {
        push_block(datum, 0);
    }
}

fn push_index(datum: &mut Vec<u8>, index: usize) {
    push_long(datum, i64::try_from(index).expect("memory is smaller"));
}

fn push_long(datum: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        datum.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    datum.push(rest.to_le_bytes()[0]);
}
