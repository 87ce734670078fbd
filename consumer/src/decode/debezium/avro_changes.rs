//! Pure. Change events in Avro as changes of single rows.

use std::sync::Arc;

use common::messages::format::DebeziumFormat;

use super::avro::format_of;
use super::envelope::{Effect, column_of, effect_of, finish_state, lacking, no_envelope};
use super::sequence::{self, Source};
use super::unavailable::Marker;
use crate::decode::avro::Reject;
use crate::decode::avro::cells::{Cell, all_cells};
use crate::decode::avro::input::Malformed;
use crate::decode::changes::{Change, ChangeKind, Changes, inapplicable};
use crate::decode::columns::Fields;
use crate::decode::rows::{Defect, RowsBuilder};
use crate::decode::schemas::WriterSchema;
use crate::decode::{DeadLetterReason, Decoder};
use crate::record::RawRecord;

/// The members of an event.
struct Event<'a> {
    op: String,
    members: Vec<Cell<'a>>,
}

/// A row, before it is read into columns.
struct Planned<'a> {
    change: Change,
    cells: Vec<Cell<'a>>,
    /// What an upsert says besides the row's state.
    event: Option<&'a Event<'a>>,
}

/// Makes the rows that one event takes.
pub(in crate::decode) fn read(
    decoder: &Decoder,
    schema: &WriterSchema,
    (record, data): (&RawRecord, &[u8]),
    rows: &mut RowsBuilder,
) -> Result<(), Reject> {
    let event = Event::of(schema, data)?;
    let effect = effect_of(&event.op).map_err(Reject::Defect)?;
    if effect == Effect::Nothing {
        rows.ignore();
        return Ok(());
    }
    let key_schema = key_schema(decoder, record)?;
    let key = key_of(key_schema.as_ref())?;
    let changes = changes_of(rows);
    take_key(&key, changes)?;
    let sequence = sequence::number(changes.sequence_by, &event.source()?, record.offset);
    let sequence = sequence.map_err(|text| Reject::Defect(inapplicable(text)))?;
    let change = |kind| Change { kind, sequence: sequence.clone() };
    let before = event.row("before")?;
    let mut old = of_key(&before, changes.key());
    if effect == Effect::Delete {
        old.extend(lacked(&key, &before, changes.key()));
        let delete = Planned { change: change(ChangeKind::Delete), cells: old, event: None };
        return add(format_of(decoder), &[delete], record, rows);
    }
    let after = event.row("after")?;
    let mut whole = event.state_after(&after, &before, &format_of(decoder).unavailable_value)?;
    whole.extend(lacked(&key, &after, changes.key()));
    let is_moved = !is_same_key(&before, &after, changes.key());
    let delete = Planned { change: change(ChangeKind::Delete), cells: old, event: None };
    let upsert = Planned { change: change(ChangeKind::Upsert), cells: whole, event: Some(&event) };
    let planned: Vec<_> = is_moved.then_some(delete).into_iter().chain([upsert]).collect();
    add(format_of(decoder), &planned, record, rows)
}

/// Makes the row that a record without a value takes, if it takes any.
pub(in crate::decode) fn read_tombstone(
    decoder: &Decoder,
    record: &RawRecord,
    rows: &mut RowsBuilder,
) -> Result<(), Reject> {
    if !changes_of(rows).takes_tombstones() {
        rows.ignore();
        return Ok(());
    }
    let key_schema = key_schema(decoder, record)?;
    let key = key_of(key_schema.as_ref())?;
    let changes = changes_of(rows);
    take_key(&key, changes)?;
    let sequence = sequence::number(changes.sequence_by, &Source::new(), record.offset);
    let sequence = sequence.map_err(|text| Reject::Defect(inapplicable(text)))?;
    let change = Change { kind: ChangeKind::Delete, sequence };
    let cells = of_key(&key, changes.key());
    add(format_of(decoder), &[Planned { change, cells, event: None }], record, rows)
}

/// Adds all rows of the record or none.
fn add(
    format: &DebeziumFormat,
    planned: &[Planned<'_>],
    record: &RawRecord,
    rows: &mut RowsBuilder,
) -> Result<(), Reject> {
    if planned.len() > 1 {
        for row in planned {
            row.read(format, rows)?;
            rows.cut();
        }
    }
    for row in planned {
        row.read(format, rows)?;
        rows.push_change(record, &row.change);
    }
    Ok(())
}

impl<'a> Event<'a> {
    fn of(schema: &'a WriterSchema, data: &'a [u8]) -> Result<Self, Reject> {
        let members = all_cells(&schema.shape, data)?;
        let op = members.iter().find(|member| member.name == "op").and_then(Cell::text);
        let op = op.ok_or_else(|| Reject::Defect(no_envelope("its `op` is no text")))?;
        Ok(Self { op, members })
    }

    /// The fields of a record among the members; none if it is null or not there.
    fn row(&self, name: &str) -> Result<Vec<Cell<'a>>, Malformed> {
        let member = self.members.iter().find(|member| member.name == name);
        member.map_or(Ok(Vec::new()), Cell::cells)
    }

    fn source(&self) -> Result<Source, Malformed> {
        let text = |cell: &Cell<'_>| Some((cell.name.to_owned(), cell.text()?));
        Ok(self.row("source")?.iter().filter_map(text).collect())
    }

    /// The whole row after the event: what did not change and is not told stands in the row before.
    fn state_after(
        &self,
        after: &[Cell<'a>],
        before: &[Cell<'a>],
        unavailable: &str,
    ) -> Result<Vec<Cell<'a>>, Reject> {
        if after.is_empty() {
            let text = format!("its `op` is {:?}, and it has no row `after` it", self.op);
            return Err(Reject::Defect(inapplicable(text)));
        }
        let is_lacking = |cell: &Cell<'_>| cell.is_unavailable(Marker(unavailable));
        let known =
            |name: &str| before.iter().find(|cell| cell.name == name && !is_lacking(cell)).copied();
        let (mut whole, mut lost) = (Vec::with_capacity(after.len()), Vec::new());
        for cell in after {
            match if is_lacking(cell) { known(cell.name) } else { Some(*cell) } {
                Some(cell) => whole.push(cell),
                None => lost.push(cell.name),
            }
        }
        if lost.is_empty() { Ok(whole) } else { Err(Reject::Defect(lacking(&lost))) }
    }
}

impl Planned<'_> {
    /// Reads it into the open row.
    fn read(&self, format: &DebeziumFormat, rows: &mut RowsBuilder) -> Result<(), Reject> {
        let columns: &mut Fields = &mut rows.columns;
        let mut guess = 0;
        for cell in &self.cells {
            guess = cell.read((cell.name, guess), columns)?;
        }
        if let Some(event) = self.event {
            for member in event.members.iter().filter(|member| member.name != "after") {
                if let Some(name) = column_of(member.name, format.has_before) {
                    member.read((&name, 0), columns)?;
                }
            }
            finish_state(&event.op, columns)?;
        }
        rows.check_key().map_err(Reject::Defect)
    }
}

fn changes_of(rows: &mut RowsBuilder) -> &mut Changes {
    rows.changes.as_mut().expect("only rows that change others are made here")
}

type KeyData<'a> = (Arc<WriterSchema>, &'a [u8]);

/// How the record's key is read; `None` if that is not known, or nobody asks for it.
fn key_schema<'a>(decoder: &Decoder, record: &'a RawRecord) -> Result<Option<KeyData<'a>>, Reject> {
    let (Some(schemas), Some(key)) = (&decoder.key_schemas, record.key.as_deref()) else {
        return Ok(None);
    };
    let Ok((id, data)) = schemas.split(key) else { return Ok(None) };
    match schemas.get(id) {
        Ok(schema) => Ok(Some((schema, data))),
        Err(defect) if defect.reason == DeadLetterReason::UnknownSchema => {
            Err(Reject::Defect(Defect::new(defect.reason, format!("its key: {}", defect.text))))
        }
        // A key of other data than records has no fields.
        Err(_) => Ok(None),
    }
}

fn key_of<'a>(key: Option<&'a KeyData<'_>>) -> Result<Vec<Cell<'a>>, Malformed> {
    key.map_or(Ok(Vec::new()), |(schema, data)| all_cells(&schema.shape, data))
}

fn take_key(key: &[Cell<'_>], changes: &mut Changes) -> Result<(), Reject> {
    let names: Vec<_> = key.iter().map(|cell| cell.name).collect();
    changes.take_key(&names).map_err(Reject::Defect)
}

fn of_key<'a>(row: &[Cell<'a>], key: &[String]) -> Vec<Cell<'a>> {
    let is_of_key = |cell: &&Cell<'_>| key.iter().any(|field| field == cell.name);
    row.iter().filter(is_of_key).copied().collect()
}

/// Those fields of the table's key that `row` does not tell, and the record's key does.
fn lacked<'a>(record_key: &[Cell<'a>], row: &[Cell<'_>], key: &[String]) -> Vec<Cell<'a>> {
    let is_told = |cell: &Cell<'_>| row.iter().any(|told| told.name == cell.name);
    of_key(record_key, key).into_iter().filter(|cell| !is_told(cell)).collect()
}

/// Whether both tell the same key; what is not told before the change has not changed.
fn is_same_key(before: &[Cell<'_>], after: &[Cell<'_>], key: &[String]) -> bool {
    let data = |row: &[Cell<'_>], field: &String| {
        row.iter().find(|cell| cell.name == field).map(|cell| cell.data.to_vec())
    };
    key.iter().all(|field| match (data(before, field), data(after, field)) {
        (Some(before), Some(after)) => before == after,
        _ => true,
    })
}
