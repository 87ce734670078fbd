//! IO. Reads what the monitor publishes, from now on.

use common::chain::Chain;
use common::kafka::reader::{ReaderError, Start, TopicReader};
use common::messages::measurement::Measurement;
use common::partition::TopicPartition;

use super::Sense;
use crate::conductor::input::{Input, Log};

impl Sense {
    /// A topic that does not exist yet is waited for: without measurements nothing is moved that
    /// need not be.
    pub async fn read_measurements(self) {
        if let Err(error) = self.measurements().await {
            let error = Chain(&error).to_string();
            self.tell(Input::Lost { log: Log::Measurements, error }).await;
        }
    }

    async fn measurements(&self) -> Result<(), ReaderError> {
        let partition = TopicPartition::new(&self.topics.monitor, 0);
        let reader = TopicReader::open(&self.clients, partition, Start::End)?;
        loop {
            let record = match reader.next().await {
                Ok(record) => record,
                Err(ReaderError::PositionGone { .. }) => {
                    reader.restart(Start::End)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let offset = record.offset;
            let value = record.value.unwrap_or_default();
            let input = match serde_json::from_slice::<Measurement>(&value) {
                Ok(measurement) => Input::Measured(measurement),
                Err(error) => {
                    let error = format!("the record at offset {offset} is no measurement: {error}");
                    Input::Malformed { log: Log::Measurements, error }
                }
            };
            if !self.tell(input).await {
                return Ok(());
            }
        }
    }
}
