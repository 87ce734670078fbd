//! Pure. A partition's records on their way: gathered, decoded, collected in an object, stored.
//!
//! ```text
//!  take ──> batch ──Decode──> decoded ──> open object ──Write──> stored
//! ```
//!
//! One batch is decoded and one object is stored at a time, while the next ones fill up behind
//! them. [`Flow::next_step`] says what to begin now; it is asked after every change.

use std::time::Duration;

use common::moment::Moment;

use crate::batch::{Batch, BatchLimits};
use crate::budget::Usage;
use crate::object::{Addition, OpenObject, Rotation, Sealed};
use crate::record::RawRecord;

/// When what is under way moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    pub batch: BatchLimits,
    pub rotation: Rotation,
}

/// What is to be begun.
#[derive(Debug)]
pub enum Step {
    /// Decode these records and hand the outcome to [`Flow::decoded`].
    Decode { records: Vec<RawRecord>, began_at: Moment },
    /// Store this object and hand the outcome to [`Flow::stored`].
    Write(Sealed),
    /// All that was taken is stored, and nothing more will be taken.
    Finish,
}

/// What was taken of what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub records: u64,
    /// Of keys, values and headers.
    pub bytes: u64,
}

/// What of one partition is under way.
#[derive(Debug)]
pub struct Flow {
    limits: FlowLimits,
    /// The next record to take; what is below is on its way, or stored.
    read_to: u64,
    /// Where the next object begins.
    sealed_to: u64,
    batch: Batch,
    /// Bytes of the records that are being decoded.
    decoding: Option<usize>,
    object: OpenObject,
    /// Bytes of the object that is being stored.
    writing: Option<usize>,
    decode_early: bool,
    close_early: bool,
    stopping: bool,
}

impl Flow {
    /// Nothing is under way; `position` is the next record to take.
    pub fn new(limits: FlowLimits, position: u64) -> Self {
        Self {
            limits,
            read_to: position,
            sealed_to: position,
            batch: Batch::default(),
            decoding: None,
            object: OpenObject::default(),
            writing: None,
            decode_early: false,
            close_early: false,
            stopping: false,
        }
    }

    /// The next record to take.
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Whether records may be taken; else they wait in the client's queue.
    pub fn wants_records(&self) -> bool {
        !self.stopping && !self.batch.is_full(self.limits.batch)
    }

    /// Takes the records, in the order of their offsets, that were not taken before and that no
    /// other owner stored.
    pub fn take(&mut self, mut records: Vec<RawRecord>, now: Moment) -> Taken {
        if self.stopping {
            return Taken::default();
        }
        let known = records.partition_point(|record| record.offset < self.read_to);
        records.drain(..known);
        if let Some(last) = records.last() {
            self.read_to = last.offset + 1;
        }
        let taken = Taken {
            records: records.len() as u64,
            bytes: records.iter().map(|record| record.content_bytes() as u64).sum(),
        };
        self.batch.extend(records, now);
        taken
    }

    pub fn decoded(&mut self, addition: Addition) {
        self.decoding = None;
        self.object.add(addition);
    }

    /// The batch that was being decoded does not pass: it and what came behind it are dropped, and
    /// what came before is stored.
    pub fn refused(&mut self) {
        self.decoding = None;
        self.batch.take();
        self.stopping = true;
    }

    /// Everything below `end` is stored: what was written, and perhaps more by another owner.
    pub fn stored(&mut self, end: u64) {
        self.writing = None;
        self.sealed_to = self.sealed_to.max(end);
        self.read_to = self.read_to.max(end);
        self.batch.skip_below(end);
    }

    /// Decodes what was gathered, since rows take less memory.
    pub fn decode_early(&mut self) {
        self.decode_early = true;
    }

    /// Stores what there is, so that its memory becomes free.
    pub fn close_early(&mut self) {
        self.close_early = true;
    }

    /// Takes no more records and stores what was taken.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether decoding, or reading when the budget does not allow more, could go on if the sink
    /// were done with what is being stored.
    pub fn waits_for_sink(&self, may_gather: bool) -> bool {
        let is_full = self.object.is_full(self.limits.rotation);
        self.writing.is_some() && (is_full || !may_gather && self.decoding.is_none())
    }

    /// What to begin now, if anything.
    pub fn next_step(&mut self, now: Moment) -> Option<Step> {
        if self.writing.is_none() && self.is_object_due(now) {
            self.close_early = false;
            if let Some(sealed) = self.object.seal(self.sealed_to) {
                self.sealed_to = sealed.batch.to;
                self.writing = Some(sealed.bytes);
                return Some(Step::Write(sealed));
            }
        }
        if self.is_batch_due(now) {
            self.decode_early = false;
            let (bytes, began_at) = (self.batch.bytes(), self.batch.began_at().unwrap_or(now));
            self.decoding = Some(bytes);
            return Some(Step::Decode { records: self.batch.take(), began_at });
        }
        (self.stopping && self.is_idle()).then_some(Step::Finish)
    }

    /// When [`Flow::next_step`] is to be asked again if nothing happens before.
    pub fn wake_at(&self) -> Option<Moment> {
        let batch = self.batch.due_at(self.limits.batch).filter(|_| self.may_decode());
        let object = self.object.due_at(self.limits.rotation).filter(|_| self.writing.is_none());
        [batch, object].into_iter().flatten().min()
    }

    /// Bytes that are held for this partition. What is being decoded stands there twice, as records
    /// and as rows; so does what is being stored, as rows and as an object.
    pub fn usage(&self) -> Usage {
        Usage {
            gathered: self.batch.bytes(),
            decoding: 2 * self.decoding.unwrap_or(0),
            open: self.object.bytes(),
            in_flight: 2 * self.writing.unwrap_or(0),
        }
    }

    fn is_idle(&self) -> bool {
        self.batch.is_empty()
            && self.object.is_empty()
            && self.decoding.is_none()
            && self.writing.is_none()
    }

    /// One batch at a time, and none on top of a full object that has to wait.
    fn may_decode(&self) -> bool {
        let is_full = self.object.is_full(self.limits.rotation) && self.writing.is_some();
        self.decoding.is_none() && !is_full
    }

    fn is_batch_due(&self, now: Moment) -> bool {
        let waited = self.batch.due_at(self.limits.batch).is_some_and(|due| due <= now);
        let is_due = waited || self.batch.is_full(self.limits.batch);
        let is_due = is_due || self.decode_early || self.is_hurried();
        is_due && !self.batch.is_empty() && self.may_decode()
    }

    fn is_object_due(&self, now: Moment) -> bool {
        let is_old = self.object.due_at(self.limits.rotation).is_some_and(|due| due <= now);
        let is_last = self.is_hurried() && self.decoding.is_none() && self.batch.is_empty();
        !self.object.is_empty()
            && (is_old || is_last || self.close_early || self.object.is_full(self.limits.rotation))
    }

    fn is_hurried(&self) -> bool {
        self.stopping || self.close_early
    }
}

impl FlowLimits {
    /// The same, with objects of no more than that.
    pub fn within(mut self, object_bytes_max: Option<usize>) -> Self {
        let rotation = &mut self.rotation.bytes;
        *rotation = object_bytes_max.map_or(*rotation, |most| most.min(*rotation));
        self
    }
}

impl Default for FlowLimits {
    /// Batches of 5 MB or 1 s, objects of 64 MiB or 5 s.
    fn default() -> Self {
        Self {
            batch: BatchLimits { bytes: 5_000_000, wait: Duration::from_secs(1) },
            rotation: Rotation { bytes: 64 << 20, age: Duration::from_secs(5) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::AsArray as _;
    use arrow::datatypes::Int64Type;
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::sink::{Packed, packed_offsets};
    use crate::table::schema::TableSchema;

    fn limits() -> FlowLimits {
        let batch = BatchLimits { bytes: 1_500, wait: Duration::from_secs(1) };
        FlowLimits { batch, rotation: Rotation { bytes: 4_000, age: Duration::from_secs(3) } }
    }

    fn record(offset: u64) -> RawRecord {
        let value = Some(Bytes::from(vec![0; (offset % 7) as usize * 100]));
        RawRecord { offset, value, ..RawRecord::default() }
    }

    fn rows(records: &[RawRecord], began_at: Moment) -> Addition {
        let offsets = records.iter().map(|record| record.offset.cast_signed());
        Addition {
            rows: packed_offsets(offsets),
            schema: Arc::new(TableSchema::default()),
            to: records.last().unwrap().offset + 1,
            leader_epoch: None,
            oldest_ms: None,
            dead_letters: 0,
            began_at,
        }
    }

    /// A driver that finishes what is under way whenever it is told to.
    struct Driver {
        flow: Flow,
        now: Moment,
        decoding: Option<Addition>,
        writing: Option<Sealed>,
        taken: Vec<u64>,
        stored: Vec<u64>,
        stored_to: u64,
        is_finished: bool,
    }

    impl Driver {
        fn new() -> Self {
            Self {
                flow: Flow::new(limits(), 0),
                now: Moment::default(),
                decoding: None,
                writing: None,
                taken: vec![],
                stored: vec![],
                stored_to: 0,
                is_finished: false,
            }
        }

        fn advance(&mut self) {
            while let Some(step) = self.flow.next_step(self.now).filter(|_| !self.is_finished) {
                match step {
                    Step::Decode { records, began_at } => {
                        assert!(records[0].offset >= self.stored_to, "stored already");
                        let addition = rows(&records, began_at);
                        assert!(self.decoding.replace(addition).is_none(), "one at a time");
                    }
                    Step::Write(sealed) => {
                        assert_eq!(sealed.batch.from, self.stored_to, "the chain has no holes");
                        assert!(self.writing.replace(sealed).is_none(), "one at a time");
                    }
                    Step::Finish => self.is_finished = true,
                }
            }
        }

        fn finish_decoding(&mut self) {
            if let Some(addition) = self.decoding.take() {
                self.flow.decoded(addition);
            }
        }

        /// The object is stored, and `more` offsets behind it were stored by another owner.
        fn finish_writing(&mut self, more: u64) {
            let Some(sealed) = self.writing.take() else { return };
            for rows in &sealed.batch.rows {
                let Packed::Parquet(chunk) = rows else { panic!("{rows:?}") };
                let rows = chunk.unpack().unwrap();
                let offsets = rows.column(0).as_primitive::<Int64Type>().values();
                let new = offsets.iter().map(|offset| offset.cast_unsigned());
                self.stored.extend(new.filter(|offset| *offset >= self.stored_to));
            }
            let end = sealed.batch.to + more;
            self.stored.extend(sealed.batch.to..end);
            self.stored_to = end;
            self.flow.stored(end);
        }
    }

    proptest! {
        /// Whatever happens in whatever order, every record that was taken is stored exactly once,
        /// in order, in objects without holes between them; memory is bounded; a stop comes to
        /// its end.
        #[test]
        fn every_record_is_stored_once(
            steps in prop::collection::vec((0u8..7, 0u64..4), 1..120),
        ) {
            let mut driver = Driver::new();
            let mut next = 0;
            for (what, amount) in steps {
                match what {
                    0..=2 if driver.flow.wants_records() => {
                        let now = driver.now;
                        if driver.flow.take(vec![record(next)], now).records == 1 {
                            driver.taken.push(next);
                        }
                        let again = driver.flow.take(vec![record(next)], now);
                            prop_assert_eq!(again, Taken::default(), "taken twice");
                        next += 1;
                    }
                    3 => driver.finish_decoding(),
                    4 => driver.finish_writing(amount.saturating_sub(2)),
                    5 => driver.now = driver.now + Duration::from_secs(amount),
                    6 if amount == 3 => driver.flow.close_early(),
                    6 if amount == 2 => driver.flow.decode_early(),
                    _ => {}
                }
                driver.advance();
                let usage = driver.flow.usage();
                let open = usage.gathered + usage.decoding + usage.open;
                prop_assert!(open < 20_000 && usage.in_flight < 20_000);
            }
            driver.flow.stop();
            for _ in 0..10 {
                driver.advance();
                driver.finish_decoding();
                driver.advance();
                driver.finish_writing(0);
            }
            prop_assert!(driver.is_finished);
            prop_assert_eq!(driver.flow.usage(), Usage::default());
            let stored_twice = driver.stored.windows(2).any(|pair| pair[0] >= pair[1]);
            prop_assert!(!stored_twice, "{:?}", driver.stored);
            for offset in &driver.taken {
                prop_assert!(driver.stored.contains(offset), "{offset} in {:?}", driver.stored);
            }
        }
    }

    #[test]
    fn a_lonely_record_is_decoded_and_stored_in_time() {
        let mut driver = Driver::new();
        driver.flow.take(vec![record(0)], driver.now);
        for (seconds, is_decoding, is_writing) in
            [(0, false, false), (1, true, false), (3, false, true)]
        {
            driver.now = Moment::since_boot(Duration::from_secs(seconds));
            assert!(driver.flow.wake_at().is_some());
            driver.advance();
            assert_eq!(
                (driver.decoding.is_some(), driver.writing.is_some()),
                (is_decoding, is_writing)
            );
            driver.finish_decoding();
        }
        assert_eq!(driver.flow.wake_at(), None);
    }

    #[test]
    fn only_what_the_sink_holds_up_waits_for_it() {
        let mut driver = Driver::new();
        assert!(!driver.flow.waits_for_sink(false), "nothing is being stored");
        let add = |driver: &mut Driver| {
            for offset in driver.flow.read_to()..driver.flow.read_to() + 200 {
                driver.flow.take(vec![record(offset)], driver.now);
            }
            driver.advance();
            driver.finish_decoding();
            driver.advance();
        };
        for _ in 0..100 {
            if driver.writing.is_none() {
                add(&mut driver);
            }
        }
        assert!(driver.writing.is_some());
        assert!(!driver.flow.waits_for_sink(true), "the next object fills meanwhile");
        assert!(driver.flow.waits_for_sink(false), "the budget is used up");
        for _ in 0..100 {
            if !driver.flow.waits_for_sink(true) {
                add(&mut driver);
            }
        }
        assert!(driver.flow.waits_for_sink(true), "the next object is full as well");
        driver.finish_writing(0);
        assert!(!driver.flow.waits_for_sink(true));
    }

    #[test]
    fn records_are_decoded_early_once() {
        let mut driver = Driver::new();
        driver.flow.take(vec![record(0)], driver.now);
        driver.flow.decode_early();
        driver.advance();
        assert!(driver.decoding.is_some());
        driver.finish_decoding();
        driver.flow.take(vec![record(1)], driver.now);
        driver.advance();
        assert!(
            driver.decoding.is_none() && driver.writing.is_none(),
            "the next batch waits as ever"
        );
    }

    #[test]
    fn an_early_close_stores_what_was_only_gathered() {
        let mut driver = Driver::new();
        driver.flow.take(vec![record(0)], driver.now);
        driver.flow.close_early();
        driver.advance();
        driver.finish_decoding();
        driver.advance();
        assert!(driver.writing.is_some());
        assert!(driver.flow.wants_records(), "reading goes on meanwhile");
    }
}
