//! IO. Prints what the monitor publishes: a table that refreshes on a terminal, or lines of JSON.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use common::kafka::admin::{AdminError, TopicAdmin};
use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::reader::{ReaderError, Start, TopicReader};
use common::messages::measurement::Measurement;
use common::partition::TopicPartition;
use thiserror::Error;

use crate::args::TailArgs;
use crate::assemble::Assembly;
use crate::table;

/// To begin with a whole measurement, unless it has very many partitions.
const TAIL: u32 = 20;

/// How long the broker may take to tell where the topic ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rows of a table where the height of the terminal is not known.
const ROWS: usize = 40;

#[derive(Debug, Error)]
pub enum TailError {
    #[error("failed to look for the monitor's topic")]
    Find {
        #[source]
        source: AdminError,
    },
    #[error("the topic {topic} does not exist: no monitor has published to it")]
    NoTopic { topic: String },
    #[error("failed to read measurements")]
    Read {
        #[source]
        source: ReaderError,
    },
    #[error("failed to print a measurement")]
    Print {
        #[source]
        source: io::Error,
    },
}

/// A tail whose settings were checked.
pub struct Tail {
    args: TailArgs,
    clients: KafkaClients,
}

impl Tail {
    /// # Errors
    /// If settings are malformed or contradict each other.
    pub fn prepare(args: TailArgs) -> anyhow::Result<Self> {
        // Nothing is committed; but librdkafka asks for the group, and rights may be tight.
        let group = args.group.group_id.clone();
        let names = ClientNames { client_id: "stowage-monitor-tail".into(), group };
        let clients = KafkaClients::new(args.kafka.load()?, names, ClientMetrics::default());
        clients.offsets_consumer()?;
        Ok(Self { args, clients })
    }

    /// Prints for ever, or one measurement if so asked. That nobody reads on is no error.
    ///
    /// # Errors
    /// If no broker answers, there is no such topic, or it cannot be read.
    pub async fn run(&self) -> Result<(), TailError> {
        let topic = self.args.names.topics().monitor;
        let find = |source| TailError::Find { source };
        let admin = TopicAdmin::connect(&self.clients).await.map_err(find)?;
        if admin.partitions(&topic).await.map_err(find)?.is_none() {
            return Err(TailError::NoTopic { topic });
        }
        let read = |source| TailError::Read { source };
        let partition = TopicPartition::new(&topic, 0);
        let reader =
            TopicReader::open(&self.clients, partition, Start::Tail(TAIL)).map_err(read)?;
        match self.print(&reader).await {
            Err(TailError::Print { source }) if source.kind() == io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Begins with the newest measurement that is there.
    async fn print(&self, reader: &TopicReader) -> Result<(), TailError> {
        let failed = |source| TailError::Read { source };
        let end = reader.log_range(PATIENCE).await.map_err(failed)?.end;
        let mut assembly = Assembly::default();
        let mut newest = None;
        loop {
            let record = match reader.next().await {
                // Retention was faster than we are.
                Err(ReaderError::PositionGone { .. }) => {
                    reader.restart(Start::End).map_err(failed)?;
                    continue;
                }
                read => read.map_err(failed)?,
            };
            // What somebody else wrote there is none of ours.
            let chunk = record.value.and_then(|value| serde_json::from_slice(&value).ok());
            newest = chunk.and_then(|chunk| assembly.take(chunk)).or(newest);
            if record.offset + 1 < end {
                continue;
            }
            let Some(measurement) = newest.take() else { continue };
            self.show(&measurement).map_err(|source| TailError::Print { source })?;
            if self.args.once {
                return Ok(());
            }
        }
    }

    fn show(&self, measurement: &Measurement) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.args.json {
            serde_json::to_writer(&mut out, measurement)?;
        } else {
            if out.is_terminal() && !self.args.once {
                // Clears the screen and goes to its first corner.
                write!(out, "\x1b[2J\x1b[H")?;
            }
            write!(out, "{}", table::render(measurement, rows()))?;
        }
        writeln!(out)?;
        out.flush()
    }
}

/// Rows that leave room for what stands above and below.
fn rows() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
    rows.map_or(ROWS, |rows| rows.saturating_sub(4).max(1))
}
