//! Pure. Puts the chunks of a measurement together again.

use common::messages::measurement::Measurement;

/// The chunks so far of the measurement that is being read.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    parts: Option<Measurement>,
}

impl Assembly {
    /// Takes the next chunk and returns the measurement that it completes, with all partitions in
    /// one. Chunks come in order; if one is missing, its measurement is left out.
    pub fn take(&mut self, chunk: Measurement) -> Option<Measurement> {
        let parts = match self.parts.take() {
            Some(mut parts) if follows(&parts, &chunk) => {
                parts.chunk = chunk.chunk;
                parts.partitions.extend(chunk.partitions);
                parts
            }
            _ if chunk.chunk == 0 => chunk,
            _ => return None,
        };
        if parts.chunk + 1 >= parts.chunks {
            return Some(Measurement { chunk: 0, chunks: 1, ..parts });
        }
        self.parts = Some(parts);
        None
    }
}

fn follows(parts: &Measurement, chunk: &Measurement) -> bool {
    let is_same = parts.monitor == chunk.monitor && parts.sequence == chunk.sequence;
    is_same && parts.chunk.checked_add(1) == Some(chunk.chunk)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::messages::measurement::{MeasurementState, PartitionMeasurement};
    use common::moment::Timestamp;
    use common::rate::BytesPerSecond;

    use super::*;
    use crate::report::Reporter;

    fn chunks(partitions: u32) -> Vec<Measurement> {
        let second = Duration::from_secs(1);
        let measured = (0..partitions).map(|partition| PartitionMeasurement {
            topic: "orders".into(),
            partition,
            rate: BytesPerSecond(1),
            filtered: BytesPerSecond(1),
            burst: BytesPerSecond(1),
            size: 1,
            log_start: 0,
            high_watermark: 1,
            committed: None,
            lag: None,
            lag_seconds: None,
            bytes_per_record: 1.0,
            state: MeasurementState::Warming,
        });
        Reporter::new("host:1-0".into(), second, second * 30).report(Timestamp(7), measured)
    }

    #[test]
    fn a_measurement_in_chunks_comes_out_whole() {
        let mut assembly = Assembly::default();
        let chunks = chunks(1_500);
        assert_eq!(chunks.len(), 3);
        let complete: Vec<_> = chunks.into_iter().map(|chunk| assembly.take(chunk)).collect();
        assert!(complete[0].is_none() && complete[1].is_none());
        let whole = complete[2].as_ref().unwrap();
        let numbers = whole.partitions.iter().map(|partition| partition.partition);
        assert!(numbers.eq(0..1_500));
        assert_eq!((whole.chunk, whole.chunks), (0, 1));
    }

    #[test]
    fn one_that_lacks_a_chunk_is_left_out_and_the_next_is_not() {
        for missing in 0..3 {
            let mut assembly = Assembly::default();
            let mut broken = chunks(1_500);
            broken.remove(missing);
            assert!(broken.into_iter().all(|chunk| assembly.take(chunk).is_none()));
            let next = chunks(1).remove(0);
            assert_eq!(assembly.take(next.clone()), Some(next));
        }
    }
}
