//! IO. Reads the controller topic: the consumer's own partition for commands, partition 0 for who leads.

use std::time::Duration;

use common::chain::Chain;
use common::identity::TopicId;
use common::kafka::clients::KafkaClients;
use common::kafka::reader::{LogRange, ReaderError, Start, TopicReader, TopicRecord};
use common::partition::TopicPartition;
use common::term::Generation;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::inbox::{Command, Envelope, Inbox, LeaderSign, Refusal, leader_sign};

/// How long Kafka may take to say where a partition ends.
const RANGE_PATIENCE: Duration = Duration::from_secs(10);
/// Offsets that nobody answers for, at the end of what is looked through, are not waited for longer.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);
/// How far back the first look for a leader goes; each further one goes eight times as far.
const FIRST_LOOK: u64 = 256;

/// What was read.
#[derive(Debug)]
pub enum Heard {
    Command(Command),
    Refused {
        refusal: Refusal,
        offset: u64,
    },
    /// The leader of this generation went round.
    LeaderAlive(Generation),
    /// Reading goes on no more.
    Lost(ReaderError),
}

/// The controller topic as one consumer reads it, before it is listened to.
pub struct Control {
    commands: TopicReader,
    leaders: TopicReader,
    inbox: Inbox,
    controller_topic_id: TopicId,
    generation: Option<Generation>,
}

/// Reading in the background; it ends when this is dropped.
#[derive(Debug)]
pub struct Listening {
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Control {
    /// Finds out who leads, and prepares to read `own` from its end on: what stands there was for
    /// earlier incarnations. Led by hand it is read from its beginning: there the wishes stand.
    pub async fn open(
        clients: &KafkaClients,
        own: TopicPartition,
        controller_topic_id: TopicId,
        is_by_hand: bool,
    ) -> Result<Self, ReaderError> {
        let partition_0 = TopicPartition::new(own.topic(), 0);
        let commands = TopicReader::open(clients, own, Start::End)?;
        let range = commands.log_range(RANGE_PATIENCE).await?;
        let from = if is_by_hand { range.start } else { range.end };
        commands.restart(Start::Offset(from))?;
        let leaders = TopicReader::open(clients, partition_0, Start::End)?;
        let generation = find_leader(&leaders, controller_topic_id).await?;
        info!(generation = generation.map(|generation| generation.0), "looked for a leader");
        let inbox = Inbox::new(is_by_hand, controller_topic_id);
        Ok(Self { commands, leaders, inbox, controller_topic_id, generation })
    }

    /// The generation that led last, if any ever did.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Begins to listen.
    pub fn listen(self) -> (Listening, mpsc::UnboundedReceiver<Heard>) {
        let (told, heard) = mpsc::unbounded_channel();
        let Self { commands, leaders, inbox, controller_topic_id, .. } = self;
        let tasks = [
            tokio::spawn(hear_commands(commands, inbox, told.clone())),
            tokio::spawn(hear_leaders(leaders, controller_topic_id, told)),
        ];
        (Listening { tasks }, heard)
    }
}

async fn hear_commands(reader: TopicReader, mut inbox: Inbox, told: mpsc::UnboundedSender<Heard>) {
    loop {
        let heard = match reader.next().await {
            Ok(record) => {
                let offset = record.offset;
                match inbox.take(envelope(record)) {
                    Ok(None) => continue,
                    Ok(Some(command)) => Heard::Command(command),
                    Err(refusal) => Heard::Refused { refusal, offset },
                }
            }
            Err(error) => Heard::Lost(error),
        };
        let is_last = matches!(heard, Heard::Lost(_));
        if told.send(heard).is_err() || is_last {
            return;
        }
    }
}

async fn hear_leaders(reader: TopicReader, id: TopicId, told: mpsc::UnboundedSender<Heard>) {
    loop {
        let heard = match reader.next().await {
            Ok(record) => match leader_sign(id, record.offset, &envelope(record)) {
                Some(LeaderSign::Alive(generation)) => Heard::LeaderAlive(generation),
                // It is obeyed when it speaks on our own partition, but it shows that one lives.
                Some(LeaderSign::Started(generation)) => Heard::LeaderAlive(generation),
                None => continue,
            },
            Err(error) => Heard::Lost(error),
        };
        let is_last = matches!(heard, Heard::Lost(_));
        if told.send(heard).is_err() || is_last {
            return;
        }
    }
}

/// Looks through partition 0 from ever further back until a leader shows, always on to the end, and
/// leaves the reader there.
async fn find_leader(reader: &TopicReader, id: TopicId) -> Result<Option<Generation>, ReaderError> {
    let mut distance = FIRST_LOOK;
    loop {
        let LogRange { start, end } = reader.log_range(RANGE_PATIENCE).await?;
        let from = end.saturating_sub(distance).max(start);
        reader.restart(Start::Offset(from))?;
        let found = highest_generation(reader, id, from, end).await?;
        if found.is_some() || from == start {
            reader.restart(Start::Offset(end))?;
            return Ok(found);
        }
        distance = distance.saturating_mul(8);
    }
}

async fn highest_generation(
    reader: &TopicReader,
    id: TopicId,
    from: u64,
    end: u64,
) -> Result<Option<Generation>, ReaderError> {
    let mut highest = None;
    let mut next = from;
    while next < end {
        let Ok(record) = timeout(SEARCH_PATIENCE, reader.next()).await else {
            debug!(next, end, "the end of partition 0 did not come");
            break;
        };
        let record =
            record.inspect_err(|error| debug!(error = %Chain(error), "lost partition 0"))?;
        next = record.offset + 1;
        let sign = leader_sign(id, record.offset, &envelope(record));
        highest = highest.max(sign.map(|sign| match sign {
            LeaderSign::Started(generation) | LeaderSign::Alive(generation) => generation,
        }));
    }
    Ok(highest)
}

fn envelope(record: TopicRecord) -> Envelope {
    let TopicRecord { headers, value, .. } = record;
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    Envelope::new(header, value)
}
