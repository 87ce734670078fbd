//! IO. Asks the brokers, again and again, for the ids and partitions of the topics that are to be read.

use std::collections::BTreeSet;
use std::time::Duration;

use common::chain::Chain;
use common::kafka::wire::client::WireClient;
use common::kafka::wire::cluster::Topics;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Sense;
use crate::conductor::input::Input;

const INTERVAL: Duration = Duration::from_secs(2);

impl Sense {
    /// At once when `asked` changes, else at an interval.
    pub async fn read_metadata(
        self,
        wire: WireClient,
        mut asked: watch::Receiver<BTreeSet<String>>,
    ) {
        let mut is_away = false;
        loop {
            let topics = asked.borrow_and_update().clone();
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            match wire.cluster(Topics::Named(&names)).await {
                Ok(cluster) => {
                    if std::mem::take(&mut is_away) {
                        info!("brokers describe topics again");
                    }
                    if !self.tell(Input::Topics { asked: topics, cluster }).await {
                        return;
                    }
                }
                Err(error) if !std::mem::replace(&mut is_away, true) => {
                    warn!(error = %Chain(&error), "no broker described the topics");
                }
                Err(_) => {}
            }
            if let Ok(Err(_)) = timeout(INTERVAL, asked.changed()).await {
                return;
            }
        }
    }
}
