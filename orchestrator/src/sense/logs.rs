//! IO. Reads requests, events and service entries from their topics.

use std::time::Duration;

use common::chain::Chain;
use common::kafka::reader::{ReaderError, Start, TopicReader, TopicRecord};
use common::partition::TopicPartition;
use common::term::Generation;

use super::Sense;
use crate::conductor::input::{Input, Log};
use crate::inbox::Inbox;

const LEADER_PATIENCE: Duration = Duration::from_secs(30);

impl Sense {
    /// Partition 0 of the controller topic, from its beginning.
    pub async fn read_requests(self) {
        let partition = TopicPartition::new(&self.topics.controller, 0);
        let mut inbox = Inbox::default();
        let take = |record| match inbox.take(record) {
            Ok(received) => received.map(Input::Requests),
            Err(error) => Some(malformed(Log::Requests, &error)),
        };
        let read = self.read_whole(partition, Input::RequestsEnd, take).await;
        self.tell_if_lost(Log::Requests, read).await;
    }

    /// The service topic, from its beginning.
    pub async fn read_service(self) {
        let partition = TopicPartition::new(&self.topics.service, 0);
        let take =
            |record: TopicRecord| Some(Input::Service { key: record.key, value: record.value });
        let read = self.read_whole(partition, Input::ServiceEnd, take).await;
        self.tell_if_lost(Log::Service, read).await;
    }

    /// The events topic for one reign; what retention has removed is left out.
    pub async fn read_events(self, generation: Generation, from: Option<u64>) {
        let read = self.events(generation, from).await;
        self.tell_if_lost(Log::Events, read).await;
    }

    async fn events(&self, generation: Generation, from: Option<u64>) -> Result<(), ReaderError> {
        let partition = TopicPartition::new(&self.topics.events, 0);
        let start = from.map_or(Start::Beginning, Start::Offset);
        let reader = TopicReader::open(&self.clients, partition, start)?;
        let mut inbox = Inbox::default();
        loop {
            let record = match reader.next().await {
                Ok(record) => record,
                Err(ReaderError::PositionGone { .. }) => {
                    reader.restart(Start::Beginning)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let input = match inbox.take(record) {
                Ok(None) => continue,
                Ok(Some(received)) => Input::Event { generation, received },
                Err(error) => malformed(Log::Events, &error),
            };
            if !self.tell(input).await {
                return Ok(());
            }
        }
    }

    /// Reads on for ever, and tells once when the end that the log had at first is reached.
    async fn read_whole(
        &self,
        partition: TopicPartition,
        at_end: Input,
        mut take: impl FnMut(TopicRecord) -> Option<Input> + Send,
    ) -> Result<(), ReaderError> {
        let reader = TopicReader::open(&self.clients, partition, Start::Beginning)?;
        let range = reader.log_range(LEADER_PATIENCE).await?;
        let mut at_end = Some(at_end);
        let mut next = range.start;
        loop {
            if next >= range.end
                && let Some(at_end) = at_end.take()
                && !self.tell(at_end).await
            {
                return Ok(());
            }
            let record = reader.next().await?;
            next = record.offset + 1;
            if let Some(input) = take(record)
                && !self.tell(input).await
            {
                return Ok(());
            }
        }
    }

    async fn tell_if_lost(&self, log: Log, read: Result<(), ReaderError>) {
        if let Err(error) = read {
            let error = Chain(&error).to_string();
            self.tell(Input::Lost { log, error }).await;
        }
    }
}

fn malformed(log: Log, error: &crate::inbox::InboxError) -> Input {
    Input::Malformed { log, error: Chain(error).to_string() }
}
