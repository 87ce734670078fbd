//! IO. Follows topics, partitions and leaders as they change.

use std::sync::Arc;
use std::time::Duration;

use common::chain::Chain;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::catalog::Catalog;
use crate::log_dirs::BrokerClient;
use crate::metrics::MonitorMetrics;
use crate::selection::Selection;

/// Changes are noticed after so long.
const INTERVAL: Duration = Duration::from_secs(5);

/// The catalog as it was last told, for whoever measures.
pub type Catalogs = watch::Receiver<Arc<Catalog>>;

/// Asks on its own, so that a broker that takes long holds up no turn.
pub struct Follower {
    pub client: Arc<BrokerClient>,
    pub selection: Selection,
    pub metrics: MonitorMetrics,
    pub catalog: watch::Sender<Arc<Catalog>>,
}

impl Follower {
    /// Goes on for ever.
    pub async fn follow(self) {
        loop {
            sleep(INTERVAL).await;
            match self.client.catalog(&self.selection).await {
                Ok(catalog) => self.take(catalog),
                Err(error) => {
                    self.metrics.metadata_failures.inc();
                    warn!(error = %Chain(&error), "failed to ask for topics and leaders");
                }
            }
        }
    }

    fn take(&self, catalog: Catalog) {
        self.catalog.send_if_modified(|known| {
            if **known == catalog {
                return false;
            }
            let (topics, partitions) = (catalog.topics().len(), catalog.len());
            info!(topics, partitions, "topics, partitions or leaders changed");
            *known = Arc::new(catalog);
            true
        });
    }
}
