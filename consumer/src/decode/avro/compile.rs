//! Pure. Makes the [`Shape`] of a writer's schema, resolved against the reader's schema if there is one, as
//! <https://avro.apache.org/docs/1.12.0/specification/#schema-resolution> says.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use common::avro_schema::AvroSchema;

use super::default::encode;
use super::matching::{base, branch_names, fit, is_plain, scalar};
use super::node::{Branch, DefaultValue, Field, Node, NodeId, Record, Shape};

/// Types that a schema may have, with all that it repeats by name.
const NODES_MAX: usize = 20_000;
/// How deep types may be nested.
const DEPTH_MAX: usize = 64;

/// Why data of a schema cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::decode) enum CompileError {
    #[error("the schema has more than {NODES_MAX} types")]
    TooLarge,
    #[error("the schema is nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("the schema names `{0}`, which it does not define")]
    Unknown(String),
    #[error("the writer's {writer} cannot be read as the reader's {reader}, at `{path}`")]
    Incompatible { writer: String, reader: String, path: String },
    #[error("the reader's field `{0}` is not in the writer's schema and has no default")]
    NoDefault(String),
    #[error("the default of the reader's field `{0}` is not of its type")]
    Default(String),
}

type Named<'s> = BTreeMap<String, &'s Schema>;

/// The shape of data written with `writer`, as read with `reader` if one is given.
pub(in crate::decode) fn compile(
    writer: &AvroSchema,
    reader: Option<&AvroSchema>,
) -> Result<Shape, CompileError> {
    let mut compiler = Compiler::default();
    collect_all(writer, &mut compiler.writers);
    if let Some(reader) = reader {
        collect_all(reader, &mut compiler.readers);
    }
    let root = compiler.node(&writer.schema, reader.map(|reader| &reader.schema))?;
    Ok(Shape { nodes: compiler.nodes, root })
}

#[derive(Default)]
struct Compiler<'s> {
    nodes: Vec<Node>,
    writers: Named<'s>,
    readers: Named<'s>,
    /// Records that are being made, by their names as written and as read, and fields on the way to here.
    open: Vec<((String, Option<String>), NodeId)>,
    path: Vec<String>,
    depth: usize,
}

fn collect_all<'s>(schema: &'s AvroSchema, named: &mut Named<'s>) {
    schema.references.iter().for_each(|reference| collect(reference, named));
    collect(&schema.schema, named);
}

fn collect<'s>(schema: &'s Schema, named: &mut Named<'s>) {
    match schema {
        Schema::Record(record) => {
            named.insert(record.name.fullname(None), schema);
            record.fields.iter().for_each(|field| collect(&field.schema, named));
        }
        Schema::Array(array) => collect(&array.items, named),
        Schema::Map(map) => collect(&map.types, named),
        Schema::Union(union) => union.variants().iter().for_each(|part| collect(part, named)),
        Schema::Ref { .. } => {}
        _ => {
            if let Some(name) = schema.name() {
                named.insert(name.fullname(None), schema);
            }
        }
    }
}

fn looked_up<'s>(schema: &'s Schema, named: &Named<'s>) -> Result<&'s Schema, CompileError> {
    match schema {
        Schema::Ref { name } => {
            let name = name.fullname(None);
            named.get(&name).copied().ok_or(CompileError::Unknown(name))
        }
        _ => Ok(schema),
    }
}

impl<'s> Compiler<'s> {
    fn add(&mut self, node: Node) -> Result<NodeId, CompileError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(CompileError::TooLarge);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn node(
        &mut self,
        writer: &'s Schema,
        reader: Option<&'s Schema>,
    ) -> Result<NodeId, CompileError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(CompileError::TooDeep);
        }
        let writer = looked_up(writer, &self.writers)?;
        let reader = reader.map(|reader| looked_up(reader, &self.readers)).transpose()?;
        let id = match (writer, reader) {
            (Schema::Union(union), _) => self.union(union.variants(), reader),
            (_, Some(Schema::Union(union))) => self.wrapped(writer, union.variants()),
            (Schema::Record(writer), None) => self.record(writer, None),
            (Schema::Record(writer), Some(Schema::Record(reader))) => {
                self.record(writer, Some(reader))
            }
            (Schema::Array(writer), None | Some(Schema::Array(_))) => {
                let items = reader.and_then(|reader| match reader {
                    Schema::Array(reader) => Some(&*reader.items),
                    _ => None,
                });
                let element = self.node(&writer.items, items)?;
                self.add(Node::Array(element))
            }
            (Schema::Map(writer), None | Some(Schema::Map(_))) => {
                let types = reader.and_then(|reader| match reader {
                    Schema::Map(reader) => Some(&*reader.types),
                    _ => None,
                });
                let value = self.node(&writer.types, types)?;
                self.add(Node::Map(value))
            }
            (_, None) => self.add(scalar(writer)),
            (_, Some(reader)) => self.resolved_scalar(writer, reader),
        }?;
        self.depth -= 1;
        Ok(id)
    }

    fn record(
        &mut self,
        writer: &'s RecordSchema,
        reader: Option<&'s RecordSchema>,
    ) -> Result<NodeId, CompileError> {
        let names = (writer.name.fullname(None), reader.map(|reader| reader.name.fullname(None)));
        if let Some((_, id)) = self.open.iter().find(|(open, _)| *open == names) {
            let id = *id;
            return self.add(Node::Recursive(id));
        }
        let id = self.add(Node::Null)?;
        self.open.push((names, id));
        let mut record = Record::default();
        for field in &writer.fields {
            let wanted = reader.map(|reader| {
                let is_meant = |wanted: &&apache_avro::schema::RecordField| {
                    wanted.name == field.name || wanted.aliases.contains(&field.name)
                };
                reader.fields.iter().find(is_meant)
            });
            let (into, wanted) = match wanted {
                None => (Some(field.name.clone()), None),
                Some(Some(wanted)) => (Some(wanted.name.clone()), Some(&wanted.schema)),
                Some(None) => (None, None),
            };
            self.path.push(field.name.clone());
            let node = self.node(&field.schema, wanted)?;
            self.path.pop();
            record.fields.push(Field { name: field.name.clone(), into, node });
        }
        if let Some(reader) = reader {
            record.defaults = self.defaults(&record.fields, reader)?;
        }
        self.open.pop();
        self.nodes[id] = Node::Record(record);
        Ok(id)
    }

    /// What the reader wants and the writer does not write.
    fn defaults(
        &mut self,
        written: &[Field],
        reader: &'s RecordSchema,
    ) -> Result<Vec<DefaultValue>, CompileError> {
        let mut defaults = Vec::new();
        for field in &reader.fields {
            if written.iter().any(|written| written.into.as_ref() == Some(&field.name)) {
                continue;
            }
            let name = || field.name.clone();
            let value = field.default.as_ref().ok_or_else(|| CompileError::NoDefault(name()))?;
            // As the reader would write it.
            let readers = std::mem::take(&mut self.readers);
            let writers = std::mem::replace(&mut self.writers, readers);
            let node = self.node(&field.schema, None);
            let readers = std::mem::replace(&mut self.writers, writers);
            self.readers = readers;
            let node = node?;
            let mut datum = Vec::new();
            let shape = Shape { nodes: std::mem::take(&mut self.nodes), root: node };
            let encoded = encode(&shape, node, value, &mut datum);
            self.nodes = shape.nodes;
            encoded.ok_or_else(|| CompileError::Default(name()))?;
            defaults.push(DefaultValue { into: name(), node, datum });
        }
        Ok(defaults)
    }

    fn union(
        &mut self,
        writers: &'s [Schema],
        reader: Option<&'s Schema>,
    ) -> Result<NodeId, CompileError> {
        let names = match reader {
            None => branch_names(writers),
            Some(_) => vec![None; writers.len()],
        };
        let mut branches = Vec::with_capacity(writers.len());
        for (writer, into) in writers.iter().zip(names) {
            let branch = match (writer, reader) {
                (Schema::Null, _) => Branch { into: None, node: self.add(Node::Null)? },
                (_, Some(Schema::Union(union))) => self.branch(writer, union.variants())?,
                _ => Branch { into, node: self.node(writer, reader)? },
            };
            branches.push(branch);
        }
        self.add(Node::Union(branches))
    }

    /// A value that only the reader takes for one of several types.
    fn wrapped(
        &mut self,
        writer: &'s Schema,
        readers: &'s [Schema],
    ) -> Result<NodeId, CompileError> {
        if *writer == Schema::Null {
            return self.add(Node::Null);
        }
        let branch = self.branch(writer, readers)?;
        match branch.into {
            None => Ok(branch.node),
            Some(_) => self.add(Node::Wrapped(branch)),
        }
    }

    /// The reader's branch for what is written so.
    fn branch(
        &mut self,
        writer: &'s Schema,
        readers: &'s [Schema],
    ) -> Result<Branch, CompileError> {
        let writer = looked_up(writer, &self.writers)?;
        let names = branch_names(readers);
        let mut best: Option<(u8, &Schema, Option<String>)> = None;
        for (reader, into) in readers.iter().zip(names) {
            let reader = looked_up(reader, &self.readers)?;
            let fit = fit(writer, reader);
            if fit > best.as_ref().map_or(0, |(best, ..)| *best) {
                best = Some((fit, reader, into));
            }
        }
        let Some((_, reader, into)) = best else {
            return Err(self.incompatible(writer, "union"));
        };
        Ok(Branch { into, node: self.node(writer, Some(reader))? })
    }

    fn resolved_scalar(
        &mut self,
        writer: &'s Schema,
        reader: &'s Schema,
    ) -> Result<NodeId, CompileError> {
        if let (Schema::Enum(written), Schema::Enum(read)) = (writer, reader) {
            // A symbol that the reader does not know is its default; without one it stays as it is.
            let known = |symbol: &String| match &read.default {
                Some(default) if !read.symbols.contains(symbol) => default.clone(),
                _ => symbol.clone(),
            };
            return self.add(Node::Enum(written.symbols.iter().map(known).collect()));
        }
        match fit(writer, reader) {
            0 => Err(self.incompatible(writer, base(reader))),
            _ if is_plain(writer) && base(writer) == base(reader) => self.add(scalar(reader)),
            _ => self.add(scalar(writer)),
        }
    }

    fn incompatible(&self, writer: &Schema, reader: &str) -> CompileError {
        CompileError::Incompatible {
            writer: base(writer).into(),
            reader: reader.into(),
            path: self.path.join("."),
        }
    }
}
