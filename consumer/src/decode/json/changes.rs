//! Pure. Change events in JSON, each of which becomes the rows that it takes to change a table.

use super::{Batch, Reject, check, is_ignored};
use crate::decode::DeadLetterReason;
use crate::decode::debezium::Planned;
use crate::decode::rows::Defect;
use crate::record::RawRecord;

impl Batch<'_> {
    /// Adds the rows of the record, or says why it is a dead letter.
    pub(super) fn add_changes(&mut self, index: usize, record: &RawRecord) -> Result<(), Defect> {
        let ignore = self.decoder.format.ignore.as_ref();
        let is_ignored = |value| ignore.is_some_and(|ignore| is_ignored(ignore, value));
        if record.value.as_deref().is_some_and(is_ignored) {
            self.rows.ignore();
            return Ok(());
        }
        let reject = match self.read_changes(index, record) {
            Ok(()) => return Ok(()),
            Err(reject) => reject,
        };
        self.rows.cut();
        match (reject, &record.value) {
            (Reject::Defect(defect), _) => Err(defect),
            (Reject::Misfit, Some(value)) => {
                let text = check::check(value)?;
                self.misfits.insert(index);
                self.rows.push_misfit(index, record, text);
                Ok(())
            }
            (Reject::Misfit, None) => {
                let text = "its key does not fit the columns of the primary key";
                Err(Defect::new(DeadLetterReason::Misfit, text))
            }
        }
    }

    /// All rows of the record or none.
    fn read_changes(&mut self, index: usize, record: &RawRecord) -> Result<(), Reject> {
        if self.misfits.contains(&index) {
            return Err(Reject::Misfit);
        }
        let expected = "change events are read as such";
        let (envelopes, changes) = (self.envelopes.as_mut(), self.rows.changes.as_mut());
        let planned = envelopes.expect(expected).plan(record, changes.expect(expected))?;
        if planned.is_empty() {
            self.rows.ignore();
        }
        if planned.len() > 1 {
            for row in &planned {
                self.read_change(row)?;
                self.rows.cut();
            }
        }
        for row in &planned {
            self.read_change(row)?;
            self.rows.push_change(record, &row.change);
        }
        Ok(())
    }

    fn read_change(&mut self, planned: &Planned<'_>) -> Result<(), Reject> {
        let mut growth = self.next_growth();
        let read = planned.read(&mut self.rows.columns, &mut growth);
        let checked = read.and_then(|()| self.rows.check_key().map_err(Reject::Defect));
        let has_room = self.grown(growth, checked.is_ok());
        checked.and(has_room)
    }
}
