//! Pure. The beginning of a reign: closes the partitions of all consumers to earlier leaders, one by one, and reads what those wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::Extra;
use common::messages::command::LeaderStarted;
use common::moment::Moment;
use orchestrator::conductor::action::{Destination, Reading};
use orchestrator::conductor::input::{CommandsRead, Input};
use rand::RngExt as _;

use super::kafka::{Record, controller_topic_id};
use super::outside::Outside;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct TakingOver {
    reading: Reading,
    began: Moment,
    /// Behind the own `LeaderStarted`, where it was acknowledged.
    ends: BTreeMap<ConsumerId, u64>,
    /// What was read was passed on without the rest.
    is_partial: bool,
}

impl TakingOver {
    pub(crate) fn new(reading: Reading, now: Moment) -> Self {
        Self { reading, began: now, ends: BTreeMap::new(), is_partial: false }
    }

    /// Announces itself to some, or reads when all know, or when time is up; the input that follows.
    pub(crate) fn turn(&mut self, author: &str, outside: &mut Outside) -> Option<Input> {
        if self.is_partial && !self.ends.is_empty() {
            let generation = self.reading.generation;
            return Some(Input::Reachable { generation });
        }
        let unannounced = self.reading.starts.keys().filter(|n| !self.ends.contains_key(n));
        let unannounced: Vec<_> = unannounced.copied().collect();
        let is_late = outside.now.saturating_since(self.began) >= PATIENCE;
        if !self.is_partial && (unannounced.is_empty() || is_late && !self.ends.is_empty()) {
            outside.seen.take_overs += 1;
            outside.seen.partial_take_overs += u64::from(!unannounced.is_empty());
            return Some(Input::Commands(self.read(outside)));
        }
        for consumer in unannounced {
            self.announce(consumer, author, outside);
        }
        None
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.reading.starts.is_empty()
    }

    fn announce(&mut self, consumer: ConsumerId, author: &str, outside: &mut Outside) {
        let to = Destination::Consumer(consumer);
        let is_lost = outside.network.is_bad && outside.rng.random_ratio(1, 10);
        if is_lost || outside.kafka.held_up_until(to, outside.now).is_some() {
            return; // It did not arrive.
        }
        let next = outside.kafka.append(to, Record::sound(self.started(author).into()));
        // An acknowledgement that is lost: it is written again.
        if !(outside.network.is_bad && outside.rng.random_ratio(1, 10)) {
            self.ends.insert(consumer, next);
        }
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

    /// Reads where it is announced; what is left is waited for.
    fn read(&mut self, outside: &Outside) -> CommandsRead {
        let mut messages = vec![];
        let ends = std::mem::take(&mut self.ends);
        for (consumer, end) in &ends {
            let start = self.reading.starts.remove(consumer).flatten().unwrap_or(0);
            let log = &outside.kafka.controller[consumer.0 as usize];
            let range = usize::try_from(start).unwrap()..usize::try_from(*end).unwrap();
            let found = log.get(range).unwrap_or_default().iter();
            let found = found.filter_map(|record| record.payload.message());
            messages.extend(found.map(|message| (*consumer, message)));
        }
        self.is_partial = true;
        let next = ends.into_iter().collect();
        CommandsRead { generation: self.reading.generation, messages, next }
    }
}
