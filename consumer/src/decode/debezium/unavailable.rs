//! Pure. Values that a source did not tell because they did not change: a marker stands for each.
//!
//! In a column of texts it is a text, in one of bytes that text's bytes (in JSON in base64), in an array of either its only
//! element, in an array of numbers the bytes one by one, in a map its only key and value (Debezium's connector for
//! PostgreSQL, option `unavailable.value.placeholder`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiter::{Jiter, JiterResult, Peek};

use crate::decode::avro::cells::resolve;
use crate::decode::avro::input::{Input, Malformed};
use crate::decode::avro::node::{Node, NodeId, Shape};

/// The text of which markers are made.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Marker<'f>(pub(super) &'f str);

/// The marker, and the columns where it stood in the open row.
#[derive(Debug)]
pub(in crate::decode) struct Unavailable<'f> {
    marker: Marker<'f>,
    pub(super) names: Vec<String>,
}

impl<'f> Unavailable<'f> {
    pub(super) fn new(text: &'f str) -> Self {
        Self { marker: Marker(text), names: Vec::new() }
    }

    /// Takes the value of the column `name` that comes next in JSON if it is not known; then it is noted.
    pub(in crate::decode) fn takes_json(&mut self, name: &str, jiter: &mut Jiter<'_>) -> bool {
        let mut ahead = jiter.clone();
        let is_it = self.marker.is_in_json(&mut ahead).unwrap_or(false);
        if is_it {
            *jiter = ahead;
            self.names.push(name.into());
        }
        is_it
    }

    /// The same in Avro.
    pub(in crate::decode) fn takes_avro(
        &mut self,
        name: &str,
        (shape, node): (&Shape, NodeId),
        input: &mut Input<'_>,
    ) -> bool {
        let mut ahead = input.clone();
        let is_it = self.marker.is_in_avro(shape, node, &mut ahead).unwrap_or(false);
        if is_it {
            *input = ahead;
            self.names.push(name.into());
        }
        is_it
    }
}

impl Marker<'_> {
    /// Whether it comes next. An error is one of the data, which whoever reads it will find.
    pub(super) fn is_in_json(self, jiter: &mut Jiter<'_>) -> JiterResult<bool> {
        match jiter.peek()? {
            Peek::String => Ok(self.is_text(jiter.known_str()?)),
            Peek::Array => {
                let first = jiter.known_array()?;
                if first == Some(Peek::String) {
                    return Ok(self.is_text(jiter.known_str()?) && jiter.array_step()?.is_none());
                }
                self.is_numbers_in_json(first, jiter)
            }
            Peek::Object => {
                let is_key = jiter.known_object()?.is_some_and(|key| key == self.0);
                Ok(is_key
                    && jiter.peek()? == Peek::String
                    && self.is_text(jiter.known_str()?)
                    && jiter.next_key()?.is_none())
            }
            _ => Ok(false),
        }
    }

    fn is_numbers_in_json(self, first: Option<Peek>, jiter: &mut Jiter<'_>) -> JiterResult<bool> {
        let mut next = first;
        for number in self.numbers() {
            let Some(peek) = next.filter(|peek| peek.is_num()) else { return Ok(false) };
            let text = std::str::from_utf8(jiter.known_number_bytes(peek)?);
            if text.ok().and_then(|text| text.parse().ok()) != Some(number) {
                return Ok(false);
            }
            next = jiter.array_step()?;
        }
        // None stands for nothing.
        Ok(next.is_none() && !self.0.is_empty())
    }

    pub(in crate::decode) fn is_in_avro(
        self,
        shape: &Shape,
        node: NodeId,
        input: &mut Input<'_>,
    ) -> Result<bool, Malformed> {
        match resolve(shape, node, input)? {
            Node::Array(element) => {
                let count = input.block()?;
                let is_it = match count {
                    0 => return Ok(false),
                    1 => self.is_text_in_avro(resolve(shape, *element, input)?, input)?,
                    _ if count == self.0.len() as u64 => {
                        self.is_numbers_in_avro(shape, *element, input)?
                    }
                    _ => false,
                };
                Ok(is_it && input.block()? == 0)
            }
            Node::Map(value) => Ok(input.block()? == 1
                && input.bytes()? == self.0.as_bytes()
                && self.is_text_in_avro(resolve(shape, *value, input)?, input)?
                && input.block()? == 0),
            node => self.is_text_in_avro(node, input),
        }
    }

    fn is_text_in_avro(self, node: &Node, input: &mut Input<'_>) -> Result<bool, Malformed> {
        let is_text = matches!(node, Node::Text | Node::Bytes);
        Ok(is_text && input.bytes()? == self.0.as_bytes())
    }

    fn is_numbers_in_avro(
        self,
        shape: &Shape,
        node: NodeId,
        input: &mut Input<'_>,
    ) -> Result<bool, Malformed> {
        for number in self.numbers() {
            let is_it = match resolve(shape, node, input)? {
                Node::Int | Node::Long => input.long()? == number,
                _ => false,
            };
            if !is_it {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A text, or bytes in base64.
    fn is_text(self, text: &str) -> bool {
        text == self.0
            || text.len() == self.0.len().div_ceil(3) * 4 && text == STANDARD.encode(self.0)
    }

    /// Java's bytes have a sign.
    fn numbers(self) -> impl Iterator<Item = i64> {
        self.0.bytes().map(|byte| byte.cast_signed().into())
    }
}

#[cfg(test)]
mod tests {
    use common::avro_schema::{AvroSchema, Role};

    use super::*;
    use crate::decode::avro::compile::compile;

    const TEXT: &str = "__é";

    #[test]
    fn a_marker_is_told_in_json_whatever_the_columns_type_is() {
        let is_it =
            |text: &str| Marker(TEXT).is_in_json(&mut Jiter::new(text.as_bytes())).unwrap_or(false);
        for text in [
            r#""__é""#,
            r#""__\u00e9""#,
            r#""X1/DqQ==""#,
            r#"["__é"]"#,
            r#"["X1/DqQ=="]"#,
            "[95, 95, -61, -87]",
            r#"{"__é": "__é"}"#,
        ] {
            assert!(is_it(text), "{text}");
        }
        for text in [
            r#""__e""#,
            r#""""#,
            "null",
            "95",
            "[]",
            "{}",
            r#"["__é", "__é"]"#,
            r#"[["__é"]]"#,
            "[95, 95, -61]",
            "[95, 95, -61, -87, 0]",
            "[95, 95, 195, 169]",
            r#"{"__é": "x"}"#,
            r#"{"x": "__é"}"#,
            r#"{"__é": "__é", "x": "__é"}"#,
            r#"["__é""#,
        ] {
            assert!(!is_it(text), "{text}");
        }
        assert!(!Marker("").is_in_json(&mut Jiter::new(b"[]")).unwrap());
    }

    #[test]
    fn a_marker_is_told_in_avro_whatever_the_columns_type_is() {
        let is_it = |schema: &str, data: &[u8]| {
            let schema = AvroSchema::parse(schema, &[], Role::Writer).unwrap();
            let shape = compile(&schema, None).unwrap();
            let mut input = Input::new(data);
            Marker("ab").is_in_avro(&shape, shape.root, &mut input).unwrap_or(false)
        };
        let texts = r#"{"type": "array", "items": ["null", "string"]}"#;
        let numbers = r#"["null", {"type": "array", "items": "int"}]"#;
        let map = r#"{"type": "map", "values": ["null", "string"]}"#;
        for (schema, data) in [
            (r#""string""#, &[4, b'a', b'b'][..]),
            (r#"["null", "bytes"]"#, &[2, 4, b'a', b'b']),
            (texts, &[2, 2, 4, b'a', b'b', 0]),
            (texts, &[1, 8, 2, 4, b'a', b'b', 0]),
            (numbers, &[2, 4, 0xc2, 1, 0xc4, 1, 0]),
            (map, &[2, 4, b'a', b'b', 2, 4, b'a', b'b', 0]),
        ] {
            assert!(is_it(schema, data), "{schema} {data:?}");
        }
        for (schema, data) in [
            (r#""string""#, &[4, b'a', b'a'][..]),
            (texts, &[0]),
            (texts, &[2, 0, 0]),
            (texts, &[4, 2, 4, b'a', b'b', 2, 4, b'a', b'b', 0]),
            (texts, &[2, 2, 4, b'a', b'b', 2, 0, 0]),
            (numbers, &[2, 4, 0xc2, 1, 0xc2, 1, 0]),
            (numbers, &[2, 2, 0xc2, 1, 0]),
            (map, &[2, 4, b'a', b'b', 0, 0]),
            (map, &[2, 4, b'a', b'a', 2, 4, b'a', b'b', 0]),
            (texts, &[2, 2, 4]),
        ] {
            assert!(!is_it(schema, data), "{schema} {data:?}");
        }
    }
}
