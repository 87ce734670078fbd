//! Pure. What every process deals with: the brokers, the sink, the way to them, and chance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::TopicId;
use common::moment::{Moment, Timestamp};
use common::partition::TopicPartition;
use rand::rngs::ChaCha8Rng;

use super::kafka::Kafka;
use super::lake::Lake;
use super::network::{Network, Parcel};
use super::seen::Seen;
use super::streams::{Around, Streams};

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) kafka: Kafka,
    pub(crate) lake: Lake,
    pub(crate) streams: Streams,
    /// Topics that are read into streams; the others are read into chains.
    pub(crate) on_streams: BTreeSet<String>,
    pub(crate) network: Network,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) seen: Seen,
    pub(crate) now: Moment,
    /// Milliseconds by which the calendar is wrong.
    pub(crate) calendar_ms: i64,
    /// Whether openings may fail.
    pub(crate) is_sink_bad: bool,
    /// Until then the sink answers nobody, or the brokers do not.
    pub(crate) sink_back_at: Moment,
    pub(crate) brokers_back_at: Moment,
    /// Offsets that were reported as gone, from and to.
    pub(crate) gaps: BTreeMap<TopicPartition, Vec<(u64, u64)>>,
    pids: u32,
}

impl Outside {
    pub(crate) fn new(consumers: u32, rng: ChaCha8Rng) -> Self {
        Self {
            kafka: Kafka::new(consumers),
            lake: Lake::default(),
            streams: Streams::default(),
            on_streams: BTreeSet::new(),
            network: Network::new(),
            rng,
            seen: Seen::default(),
            now: Moment::since_boot(Duration::from_secs(1_000)),
            calendar_ms: 0,
            is_sink_bad: true,
            sink_back_at: Moment::default(),
            brokers_back_at: Moment::default(),
            gaps: BTreeMap::new(),
            pids: 0,
        }
    }

    pub(crate) fn is_on_streams(&self, partition: &TopicPartition) -> bool {
        self.on_streams.contains(partition.topic())
    }

    /// Everything below is stored, or needs not be.
    pub(crate) fn stored_to(&self, partition: &TopicPartition, id: TopicId) -> u64 {
        if self.is_on_streams(partition) {
            return self.streams.stored_to(&(partition.clone(), id), &self.kafka);
        }
        self.lake.end(partition, id)
    }

    /// I1: what is committed is stored.
    pub(crate) fn check_committed(&self, partition: &TopicPartition, id: TopicId, offset: u64) {
        if self.is_on_streams(partition) {
            return self.streams.check_committed(&(partition.clone(), id), offset, &self.kafka);
        }
        self.lake.check_committed(partition, id, offset);
    }

    pub(crate) fn are_brokers_away(&self) -> bool {
        self.now < self.brokers_back_at
    }

    /// Until when something cannot arrive, if it cannot.
    pub(crate) fn held_up_until(&self, parcel: &Parcel) -> Option<Moment> {
        let back_at = match parcel {
            Parcel::Put { .. } | Parcel::Append { .. } | Parcel::Call { .. } => {
                Some(self.sink_back_at)
            }
            Parcel::Commit { .. } => Some(self.brokers_back_at),
            Parcel::Record { to, .. } => {
                let leader_back_at = self.kafka.held_up_until(*to, self.now);
                leader_back_at.max(Some(self.brokers_back_at))
            }
        };
        back_at.filter(|back_at| self.now < *back_at)
    }

    /// The sink with streams, and what it does its work by.
    pub(crate) fn service(&mut self) -> (&mut Streams, Around<'_>) {
        let Self { kafka, streams, rng, seen, now, is_sink_bad, .. } = self;
        (streams, Around { kafka, seen, rng, now: *now, is_bad: *is_sink_bad })
    }

    pub(crate) fn next_pid(&mut self) -> u32 {
        self.pids += 1;
        self.pids
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        let since_boot = i64::try_from(self.now.as_duration().as_millis()).unwrap();
        Timestamp(1_700_000_000_000 + since_boot + self.calendar_ms)
    }

    pub(crate) fn send(&mut self, pid: u32, parcel: Parcel) {
        self.network.send(pid, parcel, self.now, &mut self.rng);
    }
}
