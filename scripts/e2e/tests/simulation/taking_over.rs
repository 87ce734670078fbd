//! Pure. The beginning of a reign: closes the partitions of all consumers to earlier leaders, one by one, and reads what those wrote.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::Extra;
use common::messages::command::LeaderStarted;
use orchestrator::conductor::action::{Destination, Reading};
use orchestrator::conductor::input::CommandsRead;
use rand::RngExt as _;

use super::kafka::{Record, controller_topic_id};
use super::outside::Outside;

#[derive(Debug)]
pub(crate) struct TakingOver {
    reading: Reading,
    /// Behind the own `LeaderStarted`, where it was acknowledged.
    ends: BTreeMap<ConsumerId, u64>,
}

impl TakingOver {
    pub(crate) fn new(reading: Reading) -> Self {
        Self { reading, ends: BTreeMap::new() }
    }

    /// Announces itself to some, or reads when all know; returns what was read.
    pub(crate) fn turn(&mut self, author: &str, outside: &mut Outside) -> Option<CommandsRead> {
        let unannounced: Vec<_> =
            self.reading.starts.keys().filter(|n| !self.ends.contains_key(n)).copied().collect();
        if unannounced.is_empty() {
            return Some(self.read(outside));
        }
        for consumer in unannounced {
            if outside.network.is_bad && outside.rng.random_ratio(1, 10) {
                continue; // It did not arrive.
            }
            let to = Destination::Consumer(consumer);
            let next = outside.kafka.append(to, Record::sound(self.started(author).into()));
            // An acknowledgement that is lost: it is written again.
            if !(outside.network.is_bad && outside.rng.random_ratio(1, 10)) {
                self.ends.insert(consumer, next);
            }
        }
        None
    }

    fn started(&self, author: &str) -> common::messages::Message {
        let started = LeaderStarted {
            nonce: self.reading.nonce,
            author: author.into(),
            generation: Some(self.reading.generation),
            controller_topic_id: controller_topic_id(),
            extra: Extra::new(),
        };
        started.into()
    }

    fn read(&self, outside: &Outside) -> CommandsRead {
        let mut messages = vec![];
        for (consumer, end) in &self.ends {
            let start = self.reading.starts.get(consumer).copied().flatten().unwrap_or(0);
            let log = &outside.kafka.controller[consumer.0 as usize];
            let range = usize::try_from(start).unwrap()..usize::try_from(*end).unwrap();
            let found = log.get(range).unwrap_or_default().iter();
            let found = found.filter_map(|record| record.payload.message());
            messages.extend(found.map(|message| (*consumer, message)));
        }
        let next = self.ends.iter().map(|(consumer, end)| (*consumer, *end)).collect();
        CommandsRead { generation: self.reading.generation, messages, next }
    }
}
