//! Pure. Which write streams consumers announced, and when.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::measurement::Measurement;
use common::partition::TopicPartition;

use super::follow::Witness;

/// The names of streams, each with the time of the first answer that names it.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    streams: BTreeMap<String, i64>,
    /// Who named a stream of the partition last, and which.
    present: BTreeMap<TopicPartition, (ConsumerId, String)>,
}

impl Announced {
    /// A stream of the consumer, by what was said last of its partition.
    pub fn stream_of(&self, consumer: ConsumerId) -> Option<&str> {
        let mut own = self.present.values().filter(|(owner, _)| *owner == consumer);
        own.next().map(|(_, stream)| stream.as_str())
    }

    pub fn streams(&self) -> &BTreeMap<String, i64> {
        &self.streams
    }

    pub fn take(&mut self, event: &Message, at_ms: i64) {
        let Message::Answer(answer) = event else { return };
        for held in &answer.partitions {
            for token in &held.tokens {
                // What comes before its last word is for the next owner.
                let stream = token.rsplit_once(' ').map_or(token.as_str(), |(_, stream)| stream);
                self.streams.entry(stream.to_owned()).or_insert(at_ms);
                let present = (answer.consumer, stream.to_owned());
                self.present.insert(held.partition.clone(), present);
            }
        }
    }
}

impl Witness for Announced {
    fn event(&mut self, event: &Message, at_ms: i64) {
        self.take(event, at_ms);
    }

    fn measurement(&mut self, _measurement: Measurement) {}
}
