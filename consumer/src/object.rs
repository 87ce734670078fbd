//! Pure. The open object of a partition: packed rows that will be stored at once.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use common::moment::Moment;

use crate::sink::{Packed, SealedBatch};
use crate::table::schema::TableSchema;

/// When an open object is closed and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Of packed rows.
    pub bytes: usize,
    /// Since its first record was read.
    pub age: Duration,
}

/// What a decoded batch adds.
#[derive(Clone, Debug)]
pub struct Addition {
    pub rows: Packed,
    pub schema: Arc<TableSchema>,
    /// The last record's offset + 1.
    pub to: u64,
    pub leader_epoch: Option<i32>,
    /// Of the record that is oldest by its timestamp, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Records that are no rows: their dead letters are acknowledged.
    pub dead_letters: u64,
    /// When the first of the records was read.
    pub began_at: Moment,
}

/// An object that is complete.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub batch: SealedBatch,
    pub oldest_ms: Option<i64>,
    pub dead_letters: u64,
    /// Held in memory.
    pub bytes: usize,
}

/// Rows and dead letters that follow what was stored or is being stored.
#[derive(Debug, Default)]
pub struct OpenObject {
    rows: Vec<Packed>,
    schema: Option<Arc<TableSchema>>,
    to: u64,
    leader_epoch: Option<i32>,
    oldest_ms: Option<i64>,
    dead_letters: u64,
    bytes: usize,
    began_at: Option<Moment>,
}

impl OpenObject {
    pub fn add(&mut self, addition: Addition) {
        let Addition { rows, schema, to, leader_epoch, oldest_ms, dead_letters, began_at } =
            addition;
        if rows.rows() > 0 {
            self.bytes += rows.bytes();
            self.rows.push(rows);
        }
        let is_newer = self.schema.as_ref().is_none_or(|known| known.version <= schema.version);
        if is_newer {
            self.schema = Some(schema);
        }
        self.to = self.to.max(to);
        self.leader_epoch = leader_epoch.or(self.leader_epoch);
        self.oldest_ms = [self.oldest_ms, oldest_ms].into_iter().flatten().min();
        self.dead_letters += dead_letters;
        self.began_at.get_or_insert(began_at);
    }

    pub fn is_empty(&self) -> bool {
        self.schema.is_none()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_full(&self, rotation: Rotation) -> bool {
        self.bytes >= rotation.bytes
    }

    /// When it will be old enough to be stored; `None` while it is empty.
    pub fn due_at(&self, rotation: Rotation) -> Option<Moment> {
        self.began_at.map(|began_at| began_at + rotation.age)
    }

    /// Completes the object as the range from `from` on; `None` if nothing in it is beyond that.
    /// The next one begins empty.
    pub fn seal(&mut self, from: u64) -> Option<Sealed> {
        let Self { rows, schema, to, leader_epoch, oldest_ms, dead_letters, bytes, .. } =
            mem::take(self);
        let schema = schema.filter(|_| to > from)?;
        let batch = SealedBatch { from, to, leader_epoch, rows, schema };
        Some(Sealed { batch, oldest_ms, dead_letters, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::packed_offsets;

    fn addition(to: u64, rows: i64, version: u32) -> Addition {
        Addition {
            rows: packed_offsets(0..rows),
            schema: Arc::new(TableSchema { version, ..TableSchema::default() }),
            to,
            leader_epoch: None,
            oldest_ms: Some(i64::from(version)),
            dead_letters: 1,
            began_at: Moment::since_boot(Duration::from_secs(to)),
        }
    }

    #[test]
    fn an_object_covers_all_that_was_added_under_the_newest_schema() {
        let mut object = OpenObject::default();
        assert!(object.is_empty());
        object.add(addition(10, 3, 2));
        object.add(addition(12, 0, 1));
        let rotation = Rotation { bytes: object.bytes(), age: Duration::from_secs(5) };
        assert!(object.is_full(rotation));
        assert_eq!(object.due_at(rotation), Some(Moment::since_boot(Duration::from_secs(15))));
        let sealed = object.seal(4).unwrap();
        assert_eq!((sealed.batch.from, sealed.batch.to), (4, 12));
        assert_eq!((sealed.batch.rows.len(), sealed.batch.schema.version), (1, 2));
        assert_eq!((sealed.oldest_ms, sealed.dead_letters), (Some(1), 2));
        assert!(object.is_empty() && object.bytes() == 0);
        for version in [2, 3, 3] {
            object.add(addition(20, 1, version));
        }
        assert_eq!(object.seal(12).unwrap().batch.schema.version, 3, "later rows have its columns");
    }

    #[test]
    fn what_is_stored_already_makes_no_object() {
        let mut object = OpenObject::default();
        object.add(addition(10, 3, 2));
        assert!(object.seal(10).is_none());
        assert!(object.is_empty());
    }
}
