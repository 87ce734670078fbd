//! Pure. The fields of a record in Avro, apart from each other: where each of them stands in the data.

use super::input::{Input, Malformed};
use super::node::{DefaultValue, Node, NodeId, Shape};
use super::reader::{Reader, Reject, scalar, skip};
use crate::decode::columns::{Fields, Scalar};
use crate::decode::debezium::Marker;

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Cell<'a> {
    shape: &'a Shape,
    /// As the table's schema calls it.
    pub(in crate::decode) name: &'a str,
    node: NodeId,
    pub(in crate::decode) data: &'a [u8],
}

/// The fields of the record that `data` is, and nothing behind it.
pub(in crate::decode) fn all_cells<'a>(
    shape: &'a Shape,
    data: &'a [u8],
) -> Result<Vec<Cell<'a>>, Malformed> {
    let mut input = Input::new(data);
    let cells = cells(shape, shape.root, data, &mut input)?;
    input.finish()?;
    Ok(cells)
}

/// The fields of the record at `id`, with which `data` begins; none if it is null.
fn cells<'a>(
    shape: &'a Shape,
    id: NodeId,
    data: &'a [u8],
    input: &mut Input<'_>,
) -> Result<Vec<Cell<'a>>, Malformed> {
    let Node::Record(record) = resolve(shape, id, input)? else { return Ok(Vec::new()) };
    let mut cells = Vec::with_capacity(record.fields.len() + record.defaults.len());
    for field in &record.fields {
        let begin = input.at();
        skip(shape, field.node, input)?;
        if let Some(name) = &field.into {
            cells.push(Cell { shape, name, node: field.node, data: &data[begin..input.at()] });
        }
    }
    let default = |default: &'a DefaultValue| Cell {
        shape,
        name: &default.into,
        node: default.node,
        data: &default.datum,
    };
    cells.extend(record.defaults.iter().map(default));
    Ok(cells)
}

/// What the data at `id` is, once a branch was taken.
pub(in crate::decode) fn resolve<'a>(
    shape: &'a Shape,
    mut id: NodeId,
    input: &mut Input<'_>,
) -> Result<&'a Node, Malformed> {
    loop {
        id = match shape.node(id) {
            Node::Union(branches) => branches[input.index(branches.len())?].node,
            Node::Wrapped(branch) => branch.node,
            node => return Ok(node),
        };
    }
}

impl<'a> Cell<'a> {
    /// The fields of the record that it is; none if it is null.
    pub(in crate::decode) fn cells(&self) -> Result<Vec<Cell<'a>>, Malformed> {
        cells(self.shape, self.node, self.data, &mut Input::new(self.data))
    }

    /// Reads it into the column `name` of the row that is open.
    pub(in crate::decode) fn read(
        &self,
        (name, guess): (&str, usize),
        columns: &mut Fields,
    ) -> Result<usize, Reject> {
        Reader::new(self.shape, Input::new(self.data)).field(name, guess, self.node, columns)
    }

    /// Whether the source did not tell its value.
    pub(in crate::decode) fn is_unavailable(&self, marker: Marker<'_>) -> bool {
        let mut input = Input::new(self.data);
        marker.is_in_avro(self.shape, self.node, &mut input).unwrap_or(false)
    }

    /// A text, number or boolean as text.
    pub(in crate::decode) fn text(&self) -> Option<String> {
        let mut input = Input::new(self.data);
        let node = resolve(self.shape, self.node, &mut input).ok()?;
        if matches!(
            node,
            Node::Record(_) | Node::Array(_) | Node::Map(_) | Node::Duration | Node::Recursive(_)
        ) {
            return None;
        }
        match scalar(node, &mut input).ok()? {
            Scalar::Text(text) => Some(text.into()),
            Scalar::Integer(value) => Some(value.to_string()),
            Scalar::Boolean(value) => Some(value.to_string()),
            _ => None,
        }
    }
}
