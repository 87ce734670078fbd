//! Pure. Change events in JSON as changes of single rows.

use std::borrow::Cow;
use std::sync::Arc;

use jiter::Jiter;

use super::envelope::{Effect, column_of, effect_of, finish_state, lacking};
use super::json::{
    Envelope, EnvelopeReader, Members, envelope, member, part_of, split, state, want,
};
use super::sequence::{self, Source};
use super::unavailable::Marker;
use crate::decode::avro::node::NodeId;
use crate::decode::changes::{Change, ChangeKind, Changes, inapplicable};
use crate::decode::columns::Fields;
use crate::decode::json::{Growth, Reject, each_member};
use crate::decode::rows::Defect;
use crate::decode::schemas::WriterSchema;
use crate::record::RawRecord;

/// A row, before it is read into columns.
pub(in crate::decode) struct Planned<'v> {
    pub(in crate::decode) change: Change,
    /// Objects that fill columns of the row, each its own.
    parts: Vec<Object<'v>>,
    /// What an upsert says besides the row's state.
    event: Option<Event<'v>>,
}

struct Object<'v> {
    text: Cow<'v, [u8]>,
    schema: Option<(Arc<WriterSchema>, NodeId)>,
}

/// A change event with the schema beside it.
struct Event<'v> {
    op: String,
    members: Members<'v>,
    schema: Option<Arc<WriterSchema>>,
    has_before: bool,
}

/// The fields of a record's key.
#[derive(Default)]
struct Key<'v> {
    members: Members<'v>,
    schema: Option<Arc<WriterSchema>>,
}

impl EnvelopeReader<'_> {
    /// The rows that the record takes, in their order; none if it changes nothing.
    pub(in crate::decode) fn plan<'v>(
        &mut self,
        record: &'v RawRecord,
        changes: &mut Changes,
    ) -> Result<Vec<Planned<'v>>, Reject> {
        let event = record.value.as_deref().map(|value| self.event(value)).transpose()?.flatten();
        let effect = match &event {
            Some(event) => effect_of(&event.op).map_err(Reject::Defect)?,
            None if changes.takes_tombstones() => Effect::Delete,
            None => Effect::Nothing,
        };
        if effect == Effect::Nothing {
            return Ok(Vec::new());
        }
        let key = self.key(record)?;
        let names: Vec<_> = key.members.iter().map(|(name, _)| name.as_str()).collect();
        changes.take_key(&names).map_err(Reject::Defect)?;
        let source = event.as_ref().map(Event::source).transpose()?.unwrap_or_default();
        let sequence = sequence::number(changes.sequence_by, &source, record.offset);
        let sequence = sequence.map_err(|text| Reject::Defect(inapplicable(text)))?;
        let delete = |parts| {
            let change = Change { kind: ChangeKind::Delete, sequence: sequence.clone() };
            Planned { change, parts, event: None }
        };
        let Some(event) = event else { return Ok(vec![delete(vec![key.object(changes.key())])]) };
        let before = event.object("before")?;
        let mut old: Vec<_> = event.key_of(&before, changes.key())?.into_iter().collect();
        if effect == Effect::Delete {
            old.extend(key.lacking(&before, changes.key()));
            return Ok(vec![delete(old)]);
        }
        let after = event.object("after")?;
        let mut parts = vec![event.state_after(&after, &before, &self.format.unavailable_value)?];
        parts.extend(key.lacking(&after, changes.key()));
        let moved = (!is_same_key(&before, &after, changes.key())).then(|| delete(old));
        let change = Change { kind: ChangeKind::Upsert, sequence: sequence.clone() };
        let upsert = Planned { change, parts, event: Some(event) };
        Ok(moved.into_iter().chain([upsert]).collect())
    }

    /// `None` where the value says nothing.
    fn event<'v>(&mut self, value: &'v [u8]) -> Result<Option<Event<'v>>, Reject> {
        let (schema, payload) = split(value)?;
        if payload == b"null" {
            return Ok(None);
        }
        let Envelope { op, members } = envelope(payload)?;
        let schema = schema.map(|schema| self.schemas.get(schema)).transpose()?;
        Ok(Some(Event { op, members, schema, has_before: self.format.has_before }))
    }

    /// A key that is no object has no fields.
    fn key<'v>(&mut self, record: &'v RawRecord) -> Result<Key<'v>, Reject> {
        let Some(Ok((schema, payload))) = record.key.as_deref().map(split) else {
            return Ok(Key::default());
        };
        let Ok(members) = members_of(payload) else { return Ok(Key::default()) };
        let schema = schema.map(|schema| self.key_schemas.get(schema)).transpose()?;
        Ok(Key { members, schema })
    }
}

impl<'v> Event<'v> {
    /// The members of an object among the event's members; none if it is null or not there.
    fn object(&self, name: &str) -> Result<Members<'v>, Reject> {
        let found = self.members.iter().find(|(member, text)| member == name && *text != b"null");
        match found {
            Some((_, text)) => members_of(text).map_err(Reject::Defect),
            None => Ok(Vec::new()),
        }
    }

    fn part(&self, name: &str, text: Cow<'v, [u8]>) -> Result<Object<'v>, Reject> {
        let part = part_of(self.schema.as_deref(), name)?;
        let schema = part.and_then(|(_, id)| Some((Arc::clone(self.schema.as_ref()?), id)));
        Ok(Object { text, schema })
    }

    /// The fields of the key as they were before, as far as they are told.
    fn key_of(&self, before: &Members<'v>, key: &[String]) -> Result<Option<Object<'v>>, Reject> {
        let told: Vec<_> = before.iter().filter(|(name, _)| key.contains(name)).collect();
        if told.is_empty() {
            return Ok(None);
        }
        self.part("before", text_of(told.into_iter()).into()).map(Some)
    }

    /// The whole row after the event: what did not change and is not told stands in the row before.
    fn state_after(
        &self,
        after: &Members<'v>,
        before: &Members<'v>,
        unavailable: &str,
    ) -> Result<Object<'v>, Reject> {
        let text = self.members.iter().find(|(name, text)| name == "after" && *text != b"null");
        let Some((_, text)) = text else {
            let text = format!("its `op` is {:?}, and it has no row `after` it", self.op);
            return Err(Reject::Defect(inapplicable(text)));
        };
        let is_lacking =
            |text: &[u8]| Marker(unavailable).is_in_json(&mut Jiter::new(text)).unwrap_or(false);
        if !after.iter().any(|(_, text)| is_lacking(text)) {
            return self.part("after", Cow::Borrowed(text));
        }
        let known = |name: &str| {
            before.iter().find(|(other, text)| other == name && !is_lacking(text)).map(|it| it.1)
        };
        let mut whole: Members<'v> = Vec::with_capacity(after.len());
        let mut lost = Vec::new();
        for (name, text) in after {
            match if is_lacking(text) { known(name) } else { Some(*text) } {
                Some(text) => whole.push((name.clone(), text)),
                None => lost.push(name.as_str()),
            }
        }
        match lost.is_empty() {
            true => self.part("after", text_of(whole.iter()).into()),
            false => Err(Reject::Defect(lacking(&lost))),
        }
    }

    fn source(&self) -> Result<Source, Reject> {
        let members = self.object("source")?.into_iter();
        Ok(members.filter_map(|(name, text)| Some((name, scalar_text(text)?))).collect())
    }
}

impl<'v> Key<'v> {
    /// Its fields among those of the table's key.
    fn object(&self, key: &[String]) -> Object<'v> {
        let told = self.members.iter().filter(|(name, _)| key.contains(name));
        let schema = self.schema.clone().map(|schema| (Arc::clone(&schema), schema.shape.root));
        Object { text: text_of(told).into(), schema }
    }

    /// Those fields of the table's key that `row` does not tell.
    fn lacking(&self, row: &Members<'v>, key: &[String]) -> Option<Object<'v>> {
        let is_told = |field: &String| row.iter().any(|(name, _)| name == field);
        let lacking: Vec<_> = key.iter().filter(|field| !is_told(field)).cloned().collect();
        (!lacking.is_empty()).then(|| self.object(&lacking))
    }
}

impl Planned<'_> {
    /// Reads it into the open row.
    pub(in crate::decode) fn read(
        &self,
        columns: &mut Fields,
        growth: &mut Growth,
    ) -> Result<(), Reject> {
        if let Some(schema) = self.event.as_ref().and_then(|event| event.schema.as_ref()) {
            want(schema, columns, growth)?;
        }
        for Object { text, schema } in &self.parts {
            let part = schema.as_ref().map(|(schema, id)| (&**schema, *id));
            if let Some((schema, _)) = part {
                want(schema, columns, growth)?;
            }
            state(part, text, columns, growth, None)?;
        }
        let Some(event) = &self.event else { return Ok(()) };
        for (name, text) in event.members.iter().filter(|(name, _)| name != "after") {
            if let Some(column) = column_of(name, event.has_before) {
                member(event.schema.as_deref(), (name, text), (&column, columns), growth)?;
            }
        }
        Ok(finish_state(&event.op, columns)?)
    }
}

fn members_of(text: &[u8]) -> Result<Members<'_>, Defect> {
    let mut members = Vec::new();
    each_member(text, |name, member| {
        members.push((name.to_owned(), member));
        Ok(())
    })?;
    Ok(members)
}

/// An object of these members.
fn text_of<'m>(members: impl Iterator<Item = &'m (String, &'m [u8])>) -> Vec<u8> {
    let mut text = vec![b'{'];
    for (name, member) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend(serde_json::Value::from(name.as_str()).to_string().bytes());
        text.push(b':');
        text.extend_from_slice(member);
    }
    text.push(b'}');
    text
}

/// Whether both tell the same key; what is not told before the change has not changed.
fn is_same_key(before: &Members<'_>, after: &Members<'_>, key: &[String]) -> bool {
    let text = |row: &Members<'_>, field: &String| {
        row.iter().find(|(name, _)| name == field).map(|(_, text)| text.to_vec())
    };
    key.iter().all(|field| match (text(before, field), text(after, field)) {
        (Some(before), Some(after)) => before == after,
        _ => true,
    })
}

fn scalar_text(text: &[u8]) -> Option<String> {
    match text.first()? {
        b'"' => serde_json::from_slice(text).ok(),
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(text).ok().map(str::to_owned),
    }
}
