//! Pure. What a change event says besides the row's state, and the columns for it.

use crate::decode::DeadLetterReason;
use crate::decode::changes::inapplicable;
use crate::decode::columns::{Data, Fields, Misfit, Scalar};
use crate::decode::rows::Defect;
use crate::table::schema::{Column, ColumnType};

pub(super) const OP: &str = "__op";
const DELETED: &str = "__deleted";
const SOURCE_TS_MS: &str = "__source_ts_ms";
const UNAVAILABLE: &str = "__unavailable";
const SOURCE: &str = "__source";
pub(super) const BEFORE: &str = "__before";

/// What an event does to a row; `op` of an event that deletes one.
const DELETE: &str = "d";

/// The columns that every changelog has, before those of its rows are known. A table that shows the present state has
/// no rows that were deleted, and all of their values.
pub(in crate::decode) fn own_columns(is_state: bool) -> Vec<Column> {
    let column = |name: &str, kind| Column { name: name.into(), field: Some(name.into()), kind };
    let mut columns = vec![
        column(OP, ColumnType::Text),
        column(DELETED, ColumnType::Boolean),
        column(SOURCE_TS_MS, ColumnType::Integer),
        column(UNAVAILABLE, ColumnType::List(Box::new(ColumnType::Text))),
    ];
    columns.retain(|column| !is_state || [OP, SOURCE_TS_MS].contains(&column.name.as_str()));
    columns
}

/// The column that holds a member of the envelope; `None` for what has none of its own.
pub(super) fn column_of(member: &str, has_before: bool) -> Option<String> {
    match member {
        "before" if has_before => Some(BEFORE.into()),
        // `ts_ms` says the same in the unit that people know.
        "before" | "after" | "op" | "ts_us" | "ts_ns" => None,
        other => Some(format!("__{other}")),
    }
}

/// Which member holds the row's state: what it is after the change, or what it was if it is deleted.
pub(super) fn state_of(op: &str) -> &'static str {
    if op == DELETE { "before" } else { "after" }
}

/// Completes the columns of the open row that are not members of the envelope.
pub(super) fn finish(op: &str, unavailable: &[String], columns: &mut Fields) -> Result<(), Misfit> {
    finish_state(op, columns)?;
    put(columns, DELETED, Scalar::Boolean(op == DELETE))?;
    put_names(columns, unavailable)
}

/// The same where the row is the present state.
pub(super) fn finish_state(op: &str, columns: &mut Fields) -> Result<(), Misfit> {
    let source_ts_ms = source_ts_ms(columns);
    put(columns, OP, Scalar::Text(op))?;
    put(columns, SOURCE_TS_MS, source_ts_ms.map_or(Scalar::Null, Scalar::Integer))
}

/// What an event does to a table that shows the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Upsert,
    Delete,
    /// It is about no row.
    Nothing,
}

/// # Errors
/// If it is about more than one row, or nobody knows what it is about.
pub(super) fn effect_of(op: &str) -> Result<Effect, Defect> {
    match op {
        "c" | "u" | "r" => Ok(Effect::Upsert),
        DELETE => Ok(Effect::Delete),
        "m" => Ok(Effect::Nothing),
        "t" => Err(inapplicable(
            "the source's table was truncated, which no change of single rows says: remove the rows that are older than this \
             event, and go on behind it",
        )),
        other => Err(inapplicable(format!("nobody knows what its `op` {other:?} does to a row"))),
    }
}

/// Values that the source did not tell, and that nothing else tells.
pub(super) fn lacking(names: &[&str]) -> Defect {
    let names = names.join(", ");
    inapplicable(format!(
        "the source did not tell its unchanged {names}, and an upsert without them would lose what is stored: let the \
         source tell whole rows (in PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)"
    ))
}

fn put(columns: &mut Fields, name: &str, scalar: Scalar<'_>) -> Result<(), Misfit> {
    let at = columns.find(name, 0).ok_or(Misfit)?;
    let rows = columns.rows;
    let values = &mut columns.fields[at].values;
    // A column of the row itself may have the name.
    if values.len() > rows {
        return Err(Misfit);
    }
    values.pad(rows);
    values.put(scalar)
}

fn put_names(columns: &mut Fields, names: &[String]) -> Result<(), Misfit> {
    if names.is_empty() {
        return Ok(());
    }
    let at = columns.find(UNAVAILABLE, 0).ok_or(Misfit)?;
    let rows = columns.rows;
    let values = &mut columns.fields[at].values;
    values.pad(rows);
    let Data::List { ends, elements } = &mut values.data else { return Err(Misfit) };
    for name in names {
        elements.put(Scalar::Text(name))?;
    }
    ends.push(elements.end());
    values.mark_valid();
    Ok(())
}

/// `source.ts_ms` of the open row.
fn source_ts_ms(columns: &Fields) -> Option<i64> {
    let source = &columns.fields[columns.find(SOURCE, 0)?].values;
    let Data::Struct(members) = &source.data else { return None };
    let at = &members.fields[members.find("ts_ms", 0)?].values;
    // Where this event tells none, the last value is that of an event before it.
    let is_told = source.is_set(columns.rows) && at.is_set(columns.rows);
    match &at.data {
        Data::Integer(values) if is_told => values.get(columns.rows).copied(),
        _ => None,
    }
}

pub(super) fn no_envelope(problem: &str) -> Defect {
    let text = format!(
        "it is no change event: {problem}; events that were flattened are of the format `json` or `avro`"
    );
    Defect::new(DeadLetterReason::NotAnEnvelope, text)
}
