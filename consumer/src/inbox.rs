//! Pure. What the records of the controller topic mean to a consumer; what it must not obey is refused.

use common::chain::Chain;
use common::identity::TopicId;
use common::messages::Message;
use common::messages::chunk::{Assembler, CHUNK, ChunkHeader};
use common::messages::codec::{DecodeError, EVENT_TYPE, decode};
use common::messages::command::Assign;
use common::messages::event::RefusalClass;
use common::messages::request::{StartConsuming, StopConsuming};
use common::term::Generation;

/// What a record on the consumer's own partition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    LeaderStarted(Generation),
    Assign(Assign),
    /// From people, only where the consumer is led by hand.
    Start(StartConsuming),
    Stop(StopConsuming),
}

/// A record that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub class: RefusalClass,
    pub event_type: String,
    pub text: String,
}

/// What a record on partition 0 says about who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderSign {
    Started(Generation),
    Alive(Generation),
}

/// The parts of a record that tell what it means.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    pub event_type: Option<String>,
    pub chunk: Option<String>,
    pub value: Option<Vec<u8>>,
}

/// Reads the consumer's own partition.
#[derive(Debug)]
pub struct Inbox {
    is_by_hand: bool,
    controller_topic_id: TopicId,
    chunks: Assembler,
}

impl Inbox {
    pub fn new(is_by_hand: bool, controller_topic_id: TopicId) -> Self {
        Self { is_by_hand, controller_topic_id, chunks: Assembler::default() }
    }

    /// Takes one record; `None` if it is a part of a message that is not complete.
    pub fn take(&mut self, record: Envelope) -> Result<Option<Command>, Refusal> {
        let event_type = record.event_type.clone();
        let refuse = |class, text| Refusal {
            class,
            event_type: event_type.clone().unwrap_or_default(),
            text,
        };
        let malformed = |error: &dyn std::error::Error| {
            refuse(RefusalClass::Malformed, Chain(error).to_string())
        };
        let chunk = record.chunk.as_deref().map(ChunkHeader::parse).transpose();
        let chunk = chunk.map_err(|error| malformed(&error))?;
        let whole = self.chunks.take(chunk, record.value.unwrap_or_default());
        let Some(payload) = whole.map_err(|error| malformed(&error))? else {
            return Ok(None);
        };
        let message = decode(event_type.as_deref(), &payload).map_err(|error| match error {
            DecodeError::UnknownKind(_) | DecodeError::UnknownSchema { .. } => {
                refuse(RefusalClass::UnknownKind, error.to_string())
            }
            error => malformed(&error),
        })?;
        let kind = message.kind().name();
        self.command(message).map(Some).map_err(|(class, text)| Refusal {
            class,
            event_type: kind.into(),
            text: text.into(),
        })
    }

    fn command(&self, message: Message) -> Result<Command, (RefusalClass, &'static str)> {
        match message {
            // Its generation is an offset of that topic, and means nothing here.
            Message::LeaderStarted(started)
                if started.controller_topic_id != self.controller_topic_id =>
            {
                Err((RefusalClass::StaleGeneration, "it leads by another controller topic"))
            }
            Message::LeaderStarted(started) => started
                .generation
                .map(Command::LeaderStarted)
                .ok_or((RefusalClass::Malformed, "on this partition it names its generation")),
            Message::Assign(assign) => Ok(Command::Assign(assign)),
            Message::StartConsuming(request) if self.is_by_hand => Ok(Command::Start(request)),
            Message::StopConsuming(request) if self.is_by_hand => Ok(Command::Stop(request)),
            Message::StartConsuming(_)
            | Message::StopConsuming(_)
            | Message::StateQuery(_)
            | Message::Unpin(_)
            | Message::Pause(_)
            | Message::Resume(_)
            | Message::Drain(_)
            | Message::DryRun(_)
            | Message::Approve(_) => Err((
                RefusalClass::NotForConsumers,
                "requests from people belong on partition 0, or to a consumer started with --by-hand",
            )),
            Message::LeaderAlive(_)
            | Message::Snapshot(_)
            | Message::Heartbeat(_)
            | Message::Answer(_)
            | Message::Report(_)
            | Message::Notice(_)
            | Message::Refused(_)
            | Message::Marker(_) => {
                Err((RefusalClass::NotForConsumers, "it does not belong on this partition"))
            }
        }
    }
}

/// What the record at `offset` of partition 0 of the topic `id` says about who leads, if anything.
pub fn leader_sign(id: TopicId, offset: u64, record: &Envelope) -> Option<LeaderSign> {
    if record.chunk.is_some() {
        return None; // Only snapshots are that large.
    }
    match decode(record.event_type.as_deref(), record.value.as_deref()?).ok()? {
        // Of a topic that was deleted since.
        Message::LeaderStarted(started) if started.controller_topic_id != id => None,
        Message::LeaderStarted(_) => Some(LeaderSign::Started(Generation(offset))),
        Message::LeaderAlive(alive) => Some(LeaderSign::Alive(alive.generation)),
        Message::Assign(_)
        | Message::Snapshot(_)
        | Message::StartConsuming(_)
        | Message::StopConsuming(_)
        | Message::StateQuery(_)
        | Message::Unpin(_)
        | Message::Pause(_)
        | Message::Resume(_)
        | Message::Drain(_)
        | Message::DryRun(_)
        | Message::Approve(_)
        | Message::Heartbeat(_)
        | Message::Answer(_)
        | Message::Report(_)
        | Message::Notice(_)
        | Message::Refused(_)
        | Message::Marker(_) => None,
    }
}

impl Envelope {
    /// What `header` finds of a record's headers, and its value.
    pub fn new<'a>(header: impl Fn(&str) -> Option<&'a str>, value: Option<Vec<u8>>) -> Self {
        let owned = |name| header(name).map(str::to_owned);
        Self { event_type: owned(EVENT_TYPE), chunk: owned(CHUNK), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::identity::Nonce;
    use common::messages::Extra;
    use common::messages::command::{LeaderAlive, LeaderStarted};
    use uuid::Uuid;

    fn envelope(message: impl Into<Message>) -> Envelope {
        let message = message.into();
        let event_type = Some(message.kind().name().to_owned());
        Envelope { event_type, chunk: None, value: Some(message.encode()) }
    }

    fn json(event_type: &str, text: &str) -> Envelope {
        let event_type = Some(event_type.to_owned());
        Envelope { event_type, chunk: None, value: Some(text.into()) }
    }

    fn topic(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    fn started(generation: Option<Generation>) -> LeaderStarted {
        LeaderStarted {
            nonce: Nonce(1),
            author: "a".into(),
            generation,
            controller_topic_id: topic(1),
            extra: Extra::new(),
        }
    }

    fn alive() -> LeaderAlive {
        let (nonce, snapshot, extra) = (Nonce(1), None, Extra::new());
        LeaderAlive { generation: Generation(7), nonce, snapshot, extra }
    }

    #[test]
    fn only_a_leader_is_obeyed_unless_the_consumer_is_led_by_hand() {
        let request = json("StartConsuming", r#"{"topic":"orders"}"#);
        let refused = Inbox::new(false, topic(1)).take(request.clone()).unwrap_err();
        assert_eq!(refused.class, RefusalClass::NotForConsumers);
        let taken = Inbox::new(true, topic(1)).take(request).unwrap();
        assert!(matches!(taken, Some(Command::Start(start)) if start.topic == "orders"));
        let led = Inbox::new(false, topic(1)).take(envelope(started(Some(Generation(7)))));
        assert_eq!(led, Ok(Some(Command::LeaderStarted(Generation(7)))));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_class() {
        let class = |record| Inbox::new(true, topic(1)).take(record).unwrap_err().class;
        assert_eq!(class(json("Dance", "{}")), RefusalClass::UnknownKind);
        assert_eq!(class(json("Assign", "{}")), RefusalClass::Malformed);
        assert_eq!(class(json("Assign", "nonsense")), RefusalClass::Malformed);
        assert_eq!(class(Envelope::default()), RefusalClass::Malformed);
        assert_eq!(class(envelope(started(None))), RefusalClass::Malformed);
        assert_eq!(class(envelope(alive())), RefusalClass::NotForConsumers);
        let chunk = Some("no header".to_owned());
        assert_eq!(class(Envelope { chunk, ..envelope(alive()) }), RefusalClass::Malformed);
    }

    /// Else a leader of a topic that was deleted, who wakes and writes to the new one of that name,
    /// makes consumers deaf to the new one's leader: its generations are smaller.
    #[test]
    fn a_leader_by_another_controller_topic_leads_nobody() {
        let other = || envelope(started(Some(Generation(7))));
        let refused = Inbox::new(false, topic(2)).take(other()).unwrap_err();
        assert_eq!(refused.class, RefusalClass::StaleGeneration);
        assert_eq!(leader_sign(topic(2), 42, &other()), None);
    }

    #[test]
    fn on_partition_0_the_offset_is_the_generation() {
        let sign = leader_sign(topic(1), 42, &envelope(started(None)));
        assert_eq!(sign, Some(LeaderSign::Started(Generation(42))));
        let sign = leader_sign(topic(1), 43, &envelope(alive()));
        assert_eq!(sign, Some(LeaderSign::Alive(Generation(7))));
        assert_eq!(leader_sign(topic(1), 44, &json("StateQuery", "{}")), None);
        assert_eq!(leader_sign(topic(1), 45, &json("Dance", "{}")), None);
    }
}
