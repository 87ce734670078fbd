//! Pure. A writer's schema in the form in which its data is read: names looked up, and, where a reader's schema was
//! given, resolved against that.

use crate::decode::columns::column_precision;
use crate::table::schema::{Column, ColumnType, Unit};

/// Where in a [`Shape`] a node stands.
pub(in crate::decode) type NodeId = usize;

/// What data of one schema looks like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::decode) struct Shape {
    pub(super) nodes: Vec<Node>,
    pub(in crate::decode) root: NodeId,
}

/// One type of a schema, as it is encoded and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::decode) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    /// `size` bytes, or as many as stand before them.
    Decimal {
        size: Option<usize>,
        precision: u8,
        scale: i8,
    },
    /// 16 bytes, or text or bytes behind their length.
    Uuid {
        is_fixed: bool,
    },
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        utc: bool,
    },
    Duration,
    Array(NodeId),
    Map(NodeId),
    Union(Vec<Branch>),
    Record(Record),
    /// A record within itself, which no column can hold: it is kept as text.
    Recursive(NodeId),
    /// Nothing is encoded: the reader's union takes what the writer knows as one of its branches.
    Wrapped(Branch),
}

/// One type of a union.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::decode) struct Branch {
    /// The field that holds it where a column's unions are structs; else it is the value itself.
    pub(super) into: Option<String>,
    pub(in crate::decode) node: NodeId,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::decode) struct Record {
    pub(in crate::decode) fields: Vec<Field>,
    /// What the reader's schema has and the writer's has not.
    pub(super) defaults: Vec<DefaultValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::decode) struct Field {
    /// As the writer calls it.
    pub(in crate::decode) name: String,
    /// As the table's schema calls it; `None` where the reader does not want it.
    pub(super) into: Option<String>,
    pub(in crate::decode) node: NodeId,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::decode) struct DefaultValue {
    pub(super) into: String,
    pub(super) node: NodeId,
    /// Encoded as the node says.
    pub(super) datum: Vec<u8>,
}

/// The fields of a duration, as Avro encodes them.
pub(super) const DURATION_FIELDS: [&str; 3] = ["months", "days", "milliseconds"];

impl Shape {
    pub(in crate::decode) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The columns of a table that holds this data; `None` if it is no record.
    pub(in crate::decode) fn columns(&self) -> Option<Vec<Column>> {
        self.columns_of(self.root)
    }

    /// The columns for the record at `id`, also where it may be null.
    pub(in crate::decode) fn columns_of(&self, id: NodeId) -> Option<Vec<Column>> {
        match self.kind(id)? {
            ColumnType::Struct(columns) => Some(columns),
            _ => None,
        }
    }

    /// The type of a column that holds these values; `None` where there is nothing to hold.
    pub(in crate::decode) fn kind(&self, id: NodeId) -> Option<ColumnType> {
        Some(match self.node(id) {
            Node::Null => return None,
            Node::Boolean => ColumnType::Boolean,
            Node::Int | Node::Long => ColumnType::Integer,
            Node::Float | Node::Double => ColumnType::Float,
            Node::Bytes | Node::Fixed(_) => ColumnType::Binary,
            Node::Text | Node::Enum(_) | Node::Recursive(_) => ColumnType::Text,
            Node::Decimal { precision, scale, .. } => {
                ColumnType::Decimal { precision: *precision, scale: *scale }
            }
            Node::Uuid { .. } => ColumnType::Uuid,
            Node::Date => ColumnType::Date,
            Node::Time(unit) => ColumnType::Time(*unit),
            Node::Timestamp { unit, utc } => ColumnType::Timestamp { unit: *unit, utc: *utc },
            Node::Duration => ColumnType::Struct(
                DURATION_FIELDS.map(|name| column(name, ColumnType::Integer)).into(),
            ),
            Node::Array(element) => ColumnType::List(Box::new(self.kind(*element)?)),
            Node::Map(value) => ColumnType::Map(Box::new(self.kind(*value)?)),
            Node::Union(branches) => return self.union_kind(branches),
            Node::Wrapped(branch) => return self.union_kind(std::slice::from_ref(branch)),
            Node::Record(record) => {
                let written = record.fields.iter();
                let written = written.filter_map(|field| Some((field.into.as_ref()?, field.node)));
                let defaults = record.defaults.iter().map(|default| (&default.into, default.node));
                let columns = written
                    .chain(defaults)
                    .filter_map(|(name, node)| Some(column(name, self.kind(node)?)));
                let columns: Vec<_> = columns.collect();
                (!columns.is_empty()).then_some(ColumnType::Struct(columns))?
            }
        })
    }

    fn union_kind(&self, branches: &[Branch]) -> Option<ColumnType> {
        let mut columns = Vec::new();
        for branch in branches {
            let Some(kind) = self.kind(branch.node) else { continue };
            match &branch.into {
                None => return Some(kind),
                Some(name) => columns.push(column(name, kind)),
            }
        }
        (!columns.is_empty()).then_some(ColumnType::Struct(columns))
    }

    /// The record at `id`, also where it may be null.
    pub(in crate::decode) fn record(&self, id: NodeId) -> Option<&Record> {
        match self.node(id) {
            Node::Record(record) => Some(record),
            Node::Union(branches) => branches.iter().find_map(|branch| self.record(branch.node)),
            _ => None,
        }
    }
}

/// Makes a shape of something else than an Avro schema.
#[derive(Debug, Default)]
pub(in crate::decode) struct ShapeBuilder(Vec<Node>);

impl ShapeBuilder {
    pub(in crate::decode) fn add(&mut self, node: Node) -> NodeId {
        self.0.push(node);
        self.0.len() - 1
    }

    /// The same, or null.
    pub(in crate::decode) fn nullable(&mut self, node: NodeId) -> NodeId {
        let null = self.add(Node::Null);
        let branches = [null, node].map(|node| Branch { into: None, node });
        self.add(Node::Union(branches.into()))
    }

    pub(in crate::decode) fn record(fields: Vec<(String, NodeId)>) -> Node {
        let field = |(name, node): (String, NodeId)| Field { into: Some(name.clone()), name, node };
        let fields = fields.into_iter().map(field).collect();
        Node::Record(Record { fields, defaults: Vec::new() })
    }

    pub(in crate::decode) fn finish(self, root: NodeId) -> Shape {
        Shape { nodes: self.0, root }
    }
}

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.into(), field: Some(name.into()), kind }
}

/// A decimal's node; plain bytes where no column has so many digits.
pub(in crate::decode) fn decimal(size: Option<usize>, precision: usize, scale: usize) -> Node {
    let scale = i8::try_from(scale).ok();
    match (column_precision(precision), scale) {
        (Some(precision), Some(scale)) if scale.unsigned_abs() <= precision => {
            Node::Decimal { size, precision, scale }
        }
        _ => size.map_or(Node::Bytes, Node::Fixed),
    }
}
