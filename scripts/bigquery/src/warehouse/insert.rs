//! Pure. insertAll: rows in JSON, of which bad ones are named inside the answer.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::catalog::Warehouse;
use super::streams::Moment;
use crate::names::TableName;
use crate::refusal::RestRefusal;
use crate::row::format::Format;
use crate::row::parse::{WrongField, row_of_json};
use crate::table::StoredRow;

/// The service's limits of a request; its bytes are counted before they are compressed.
pub const REQUEST_BYTES_MAX: usize = 10_000_000;
const ROWS_MAX: usize = 50_000;
const INSERT_ID_CHARS_MAX: usize = 128;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsertAll {
    #[serde(default)]
    pub rows: Vec<InsertRow>,
    #[serde(default)]
    pub skip_invalid_rows: Option<bool>,
    #[serde(default)]
    pub ignore_unknown_values: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsertRow {
    #[serde(default)]
    pub insert_id: Option<String>,
    pub json: Json,
}

impl Warehouse {
    pub fn insert_all(
        &mut self,
        name: &TableName,
        request: InsertAll,
        Moment { now, schema_lag }: Moment,
    ) -> Result<Json, RestRefusal> {
        let columns = Arc::clone(self.table(name)?.known_columns(now, schema_lag).1);
        check(&request.rows)?;
        let ignore_unknown = request.ignore_unknown_values.unwrap_or(false);
        let read = |row: &InsertRow| row_of_json(&row.json, &columns, ignore_unknown).err();
        let wrong: Vec<Option<WrongField>> = request.rows.iter().map(read).collect();
        let skips = request.skip_invalid_rows.unwrap_or(false);
        let is_stopped = !skips && wrong.iter().any(Option::is_some);
        let errors = errors(&wrong, is_stopped);
        if !is_stopped {
            let good = request.rows.into_iter().zip(wrong).filter(|(_, wrong)| wrong.is_none());
            let format = Arc::new(Format::Json { columns, ignore_unknown });
            let good = good.map(|(row, _)| row).collect();
            self.store_inserted(name, good, &format, now);
        }
        let mut answer = json!({"kind": "bigquery#tableDataInsertAllResponse"});
        if !errors.is_empty() {
            answer["insertErrors"] = errors.into();
        }
        Ok(answer)
    }

    fn store_inserted(
        &mut self,
        name: &TableName,
        rows: Vec<InsertRow>,
        format: &Arc<Format>,
        now: Timestamp,
    ) {
        for InsertRow { insert_id, json } in rows {
            let order = self.next_order();
            let table = self.tables.get_mut(name).expect("it was there a moment ago");
            if insert_id.is_some_and(|id| table.is_repeated(&id, now)) {
                continue;
            }
            let bytes = json.to_string().into();
            let format = Arc::clone(format);
            let row = StoredRow { order, stream: None, offset: None, format, bytes };
            table.store(vec![row], false);
        }
    }
}

fn check(rows: &[InsertRow]) -> Result<(), RestRefusal> {
    let is_long = |row: &InsertRow| {
        row.insert_id.as_ref().is_some_and(|id| id.chars().count() > INSERT_ID_CHARS_MAX)
    };
    match rows.len() {
        0 => Err(RestRefusal::invalid("No rows present in the request.")),
        count if count > ROWS_MAX => {
            let message = format!(
                "too many rows present in the request, limit: {ROWS_MAX} row count: {count}."
            );
            Err(RestRefusal::invalid(message))
        }
        _ if rows.iter().any(is_long) => {
            let message = format!("an insertId has more than {INSERT_ID_CHARS_MAX} characters");
            Err(RestRefusal::invalid(message))
        }
        _ => Ok(()),
    }
}

fn errors(wrong: &[Option<WrongField>], is_stopped: bool) -> Vec<Json> {
    let error = |(index, wrong): (usize, &Option<WrongField>)| {
        let (reason, location, message) = match wrong {
            Some(wrong) => ("invalid", wrong.location.as_str(), wrong.message.as_str()),
            None if is_stopped => ("stopped", "", ""),
            None => return None,
        };
        let error =
            json!({"reason": reason, "location": location, "debugInfo": "", "message": message});
        Some(json!({"index": index, "errors": [error]}))
    };
    wrong.iter().enumerate().filter_map(error).collect()
}
